"""--url, --token-file and --gateway-state-dir name a gateway; its token is in no output."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import close, run, run_json, run_process
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import OTHER_PLACE, delete, others, picture
from support.sqlite import Bases
from support.stores import TOKEN
from support.trees import tree, write

# --url, --token-file, --gateway-state-dir


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    write(path, TOKEN + "\n")
    return path


@pytest.fixture
def elsewhere(bases: Bases, stub: StubGateway, closed_port: int) -> Bases:
    """The sample, with a gateway of which nothing is to be seen from here."""
    assert stub.lock is not None
    stub.lock.unlink()
    bases.store.port = closed_port
    bases.store.configure(token=None)
    return bases


def named(stub: StubGateway, token_file: Path, *more: str) -> tuple[str, ...]:
    return ("--url", f"ws://127.0.0.1:{stub.port}", "--token-file", str(token_file), *more)


def test_a_gateway_is_named_by_url_and_token_file(elsewhere: Bases, stub: StubGateway, token_file: Path) -> None:
    before = picture(elsewhere)
    assert close(elsewhere, "alpha").code == 6
    answer = delete(elsewhere, "alpha", *named(stub, token_file))
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(elsewhere, before, LEAD + "alpha")
    assert TOKEN not in json.dumps(answer.data) + answer.stderr


def test_a_gateway_in_a_container_calls_the_state_directory_otherwise(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    stub.tell(hello=OTHER_PLACE)
    before = picture(elsewhere)
    for more in ((), ("--gateway-state-dir", "/srv/another")):
        answer = close(elsewhere, "alpha", *named(stub, token_file, *more))
        assert (answer.code, answer.error) == (6, "other_gateway")
        assert picture(elsewhere) == before
    assert not stub.calls("sessions.patchMany")
    answer = delete(elsewhere, "alpha", *named(stub, token_file, "--gateway-state-dir", OTHER_PLACE))
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(elsewhere, before, LEAD + "alpha")


def test_a_gateway_that_serves_us_is_not_taken_for_the_one_in_the_container(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    answer = close(elsewhere, "alpha", *named(stub, token_file, "--gateway-state-dir", OTHER_PLACE))
    assert (answer.code, answer.error) == (6, "other_gateway")


def test_a_named_gateway_that_does_not_say_whom_it_serves_is_asked_nothing_else(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    stub.tell(hello=None)
    answer = close(elsewhere, "alpha", *named(stub, token_file))
    assert (answer.code, answer.error) == (6, "other_gateway")
    assert stub.methods() == ["connect", "health"]


def test_a_named_gateway_with_another_token_is_exit_6(elsewhere: Bases, stub: StubGateway, tmp_path: Path) -> None:
    write(tmp_path / "wrong", "not-the-token")
    answer = close(elsewhere, "alpha", *named(stub, tmp_path / "wrong"))
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "not-the-token" not in json.dumps(answer.data) + answer.stderr


def test_a_named_gateway_that_is_not_there_is_exit_6(elsewhere: Bases, closed_port: int, token_file: Path) -> None:
    url = ("--url", f"ws://127.0.0.1:{closed_port}", "--token-file", str(token_file))
    answer = close(elsewhere, "alpha", *url)
    assert (answer.code, answer.error) == (6, "gateway_needed")


def test_a_named_gateway_without_any_token_is_exit_6(elsewhere: Bases, stub: StubGateway, tmp_path: Path) -> None:
    assert close(elsewhere, "alpha", "--url", f"ws://127.0.0.1:{stub.port}").code == 6
    write(tmp_path / "empty", "\n")
    assert close(elsewhere, "alpha", *named(stub, tmp_path / "empty")).code == 6
    assert stub.methods() == []


@pytest.mark.parametrize(
    "url",
    [
        "ws://gateway.example:18789",
        "ws://10.0.0.1:18789",
        "ws://0.0.0.0:18789",
        "ws://[2001:db8::1]:18789",
        "ws://127.0.0.1.gateway.example:18789",
        "ws://127.gateway.example:18789",
        "ws://localhost.gateway.example:18789",
        "ws://127.0.0.1\t.gateway.example:18789",
        "ws://gateway.example\\@127.0.0.1:18789",
        "http://127.0.0.1:18789",
        "127.0.0.1:18789",
        "ws://",
        "ws://127.0.0.1:99999999",
        "ws://127.0.0.1:0",
        "ws://[::1",
    ],
)
def test_an_address_that_would_give_the_token_away_is_a_usage_error(down: Bases, url: str, token_file: Path) -> None:
    before = tree(down.store.state)
    answer = close(down, "alpha", "--url", url, "--token-file", str(token_file))
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(down.store.state) == before


@pytest.mark.parametrize("shape", ["ws://me:{}@127.0.0.1:1", "ws://{}@127.0.0.1:1", "ws://:{}@127.0.0.1:1",
                                   "wss://x.example/?token={}", "wss://x.example/#{}", "ws://{}@[::1"])  # fmt: skip
@pytest.mark.parametrize("form", ["apart", "joined"])
def test_an_address_with_a_secret_in_it_is_a_usage_error_that_does_not_repeat_it(
    down: Bases, shape: str, form: str
) -> None:
    url = shape.format("hunter2")
    words = ("--url", url) if form == "apart" else (f"--url={url}",)
    for shown in (run(CloseProjectBatch, "alpha", *words, state=down.store.state),
                  run(CloseProjectBatch, "--json", "alpha", *words, state=down.store.state)):  # fmt: skip
        assert shown.code == 2
        assert "hunter2" not in shown.stdout + shown.stderr


def test_a_token_file_that_is_none_is_a_usage_error(down: Bases, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = tree(down.store.state)
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        answer = close(down, "alpha", "--url", "ws://127.0.0.1:1", "--token-file", str(path))
        assert (answer.code, answer.error) == (2, "usage")
    assert tree(down.store.state) == before


@pytest.mark.parametrize("words", [("--token-file", "FILE"), ("--gateway-state-dir", "/srv/x")])
def test_what_belongs_to_url_needs_it(down: Bases, token_file: Path, words: tuple[str, str]) -> None:
    answer = close(down, "alpha", *(word.replace("FILE", str(token_file)) for word in words))
    assert (answer.code, answer.error) == (2, "usage")


@pytest.mark.parametrize("words", [("--url", "ws://127.0.0.1:1"), ("--token-file", "FILE")])
def test_a_demonstration_connects_to_nothing(token_file: Path, words: tuple[str, str]) -> None:
    answer = run_json(CloseProjectBatch, "--demo", "x", *(word.replace("FILE", str(token_file)) for word in words))
    assert (answer.code, answer.error) == (2, "usage")


# The token


def test_the_token_is_in_no_output_no_receipt_and_no_process_list(
    bases: Bases, stub: StubGateway, token_file: Path
) -> None:
    """While the gateway takes its time, whoever looks at the process list sees the command line and environment."""
    seen = bases.store.state.parent / "seen"
    look = textwrap.dedent(f"""
        import os, pathlib
        import session_closer.openclaw.sqlite.close as asking
        real = asking.delete
        def looking(*arguments, **options):
            found = b""
            for process in pathlib.Path("/proc").iterdir() if os.path.isdir("/proc/self") else ():
                if process.name.isdecimal():
                    try:
                        found += (process / "cmdline").read_bytes()
                    except OSError:
                        pass
            pathlib.Path({str(seen)!r}).write_bytes(found + repr(os.environ).encode())
            return real(*arguments, **options)
        asking.delete = looking
    """)
    secret = "a-token-for-this-test-alone"
    stub.tell(token=secret)
    write(token_file, secret)
    bases.store.configure(token=secret)
    for at, words in enumerate(((), named(stub, token_file))):
        target = ("alpha", "beta")[at]
        result = run_process(
            "close-project", target, "--verbose", "--json", *words, state=bases.store.state, before=look
        )
        assert result.code == 0, result.stderr
        assert secret not in result.stdout + result.stderr
        assert seen.exists()
        assert secret.encode() not in seen.read_bytes()
        seen.unlink()
    for path in bases.store.state.rglob("session-closer/**/*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()
