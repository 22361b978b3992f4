"""Run a command, in this process or in one of its own, and read what it says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from session_closer.cli.app import Command
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions

from support import documents
from support.clock import current
from support.patience import PATIENCE_SECONDS
from support.programs import BARE, importable


class Place(Protocol):
    """What has a state directory: a store in files, or databases."""

    @property
    def state(self) -> Path:
        """The state directory."""
        ...


class Result(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class Answer(NamedTuple):
    """How a command ended with --json."""

    code: int
    data: dict[str, Any]
    stderr: str

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Key and status of each row, in the order given."""
        return [(row["key"], row["status"]) for row in self.data["results"]]

    @property
    def error(self) -> str | None:
        """The name of the error of the whole run."""
        found = self.data["error"]
        return None if found is None else str(found["name"])


def run(command: type[Command], *words: str, state: Path | None = None) -> Result:
    """Run a command in this process; an exception that it lets out is the test's."""
    out, err = io.StringIO(), io.StringIO()
    place = [] if state is None else ["--state-dir", str(state)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        _, code = _with_clock(command).run([command.OPERATION, *place, *words], exit=False)
    return _checked(words, Result(int(code), out.getvalue(), err.getvalue()))


def _with_clock(command: type[Command]) -> type[Command]:
    """Return the command with the clock that it is given."""
    return type(command.__name__, (command,), {"clock": current(), "__doc__": command.__doc__})


def run_json(command: type[Command], *words: str, state: Path | None = None) -> Answer:
    """Run a command in this process with --json; its stdout must be one document, one line."""
    result = run(command, "--json", *words, state=state)
    return Answer(result.code, one_document(result.stdout), result.stderr)


def close(place: Place, *words: str, command: type[Command] = CloseProjectBatch) -> Answer:
    """Close sessions of a state directory."""
    return run_json(command, *words, state=place.state)


def restore(place: Place, *words: str) -> Answer:
    """Restore sessions of a state directory."""
    return run_json(RestoreSessions, *words, state=place.state)


def undo(place: Place, answer: Answer, *words: str) -> Answer:
    """Restore what the run with this answer has closed."""
    return restore(place, Path(answer.data["receipt"]).stem, *words)


def one_document(text: str) -> dict[str, Any]:
    """Return the only JSON document of a text, which is as its schema says."""
    assert text.endswith("}\n"), text
    assert text.count("\n") == 1, text
    assert not {"NaN", "Infinity"}.intersection(text.split())
    found = json.loads(text)
    assert isinstance(found, dict)
    documents.check(text)
    return found


def run_process(
    name: str,
    *words: str,
    state: Path | None = None,
    env: Mapping[str, str] | None = None,
    before: str = "",
    closed: str = "<&-",
    seconds: float = PATIENCE_SECONDS,
) -> Result:
    """Run a command in a process of its own with stdin closed; `before` is Python to be run ahead of it."""
    place = [] if state is None else ["--state-dir", str(state)]
    module = name.replace("-", "_")
    program = f"import sys; from session_closer.cli.commands.{module} import main\n{before}\nsys.exit(main())"
    # What is left in a buffer fails at the very end.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    done = subprocess.run(
        [*shell, sys.executable, *BARE, "-B", "-c", program, *place, *words],
        env={**environ, "PYTHONPATH": importable(), **(env or {})},
        capture_output=True,
        timeout=seconds,
        start_new_session=True,
        check=False,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return _checked(words, Result(done.returncode, out, err))


def _checked(words: tuple[str, ...], result: Result) -> Result:
    """Return how a command ended; what it says with --json must be as its schema says, whoever reads it."""
    if "--json" in words and result.stdout.startswith("{"):
        documents.check(result.stdout)
    return result
