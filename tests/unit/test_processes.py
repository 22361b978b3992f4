"""Which processes could be a gateway by their looks: real ones, under names that are not their own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_closer.system import processes
from support.patience import it_ends


@contextlib.contextmanager
def called(*words: str, program: str = "/bin/sh") -> Iterator[int]:
    """Run a shell that waits, under such a command line."""
    with subprocess.Popen(words, executable=program, stdin=subprocess.PIPE) as process:
        try:
            with it_ends():
                while Path(f"/proc/{process.pid}/cmdline").read_bytes() != "\0".join([*words, ""]).encode():
                    pass
            yield process.pid
        finally:
            process.kill()


WAIT = ("-c", "read word")


@pytest.mark.parametrize(
    "words",
    [
        ("node", *WAIT, "gateway"),
        ("bun", *WAIT, "gateway"),
        ("/opt/of ours/bin/node", *WAIT, "gateway", "--port", "18789"),
        ("openclaw", *WAIT),
        ("/usr/local/bin/openclaw-gateway", *WAIT),
        ("openclaw-gateway --port 18789",),
        ("node /opt/openclaw/dist/index.js gateway",),
    ],
    ids=" ".join,
)
def test_what_is_called_as_a_gateway_could_be_one(words: tuple[str, ...]) -> None:
    with called(*words) as pid:
        assert pid in set(processes.gateways())


def test_a_program_that_has_the_name_of_one_could_be_one(tmp_path: Path) -> None:
    program = tmp_path / "openclaw-x"
    program.symlink_to("/bin/sh")
    with called("whatever", *WAIT, program=str(program)) as pid:
        assert pid in set(processes.gateways())


@pytest.mark.parametrize(
    "words",
    [
        ("node", *WAIT, "server"),
        ("vim", *WAIT, "gateway"),
        ("grep", *WAIT, "openclaw"),
        ("nodes", *WAIT, "gateway"),
        ("/opt/openclaw/bin/other", *WAIT),
    ],
    ids=" ".join,
)
def test_what_only_speaks_of_a_gateway_is_none(words: tuple[str, ...]) -> None:
    with called(*words) as pid:
        assert pid not in set(processes.gateways())
