"""What every command promises of its answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from session_closer.cli.app import Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions

from support.commands import Answer
from support.stores import Store, build

COMMANDS: list[type[Command]] = [CloseProject, CloseProjectBatch, KeepOnlySessions]
ENVELOPE = {
    "ok", "exitCode", "operation", "dryRun", "stores", "results", "kept", "gateway", "restart", "receipt", "undo",
    "free", "warnings", "error", "children", "putAway", "freed", "broughtBack",
}  # fmt: skip
ROW = {
    "input", "agent", "key", "ok", "status", "reason", "sessionId", "route", "archives", "left", "keyFree", "message",
    "effects", "error",
}  # fmt: skip
STORE = {"agent", "path", "era", "backup"}
RESTART = {"needed", "ok", "result", "detail"}
GATEWAY = {"state", "pid", "port", "version", "evidence"}
ERROR = {"code", "name", "message", "remedy"}


def check_envelope(answer: Answer) -> None:
    """The key set is the same in every ending."""
    data = answer.data
    assert set(data) == ENVELOPE, set(data) ^ ENVELOPE
    assert data["exitCode"] == answer.code
    assert data["ok"] is (answer.code == 0)
    assert set(data["restart"]) == RESTART
    for name, keys in (("gateway", GATEWAY), ("error", ERROR)):
        assert data[name] is None or set(data[name]) == keys
    for row in data["results"]:
        assert set(row) == ROW
    for found in data["stores"]:
        assert set(found) == STORE
    assert all(isinstance(warning, str) for warning in data["warnings"])


def words_of_shell(line: str) -> list[str]:
    """Return the words that bash, which knows $'…', makes of a line."""
    printed = subprocess.run(
        ["bash", "-c", f"set -- {line}; printf '%s\\0' \"$@\""], capture_output=True, check=True, text=True
    )
    return printed.stdout.split("\0")[:-1]


def homes(world: Path, port: int, *names: str) -> dict[str, Store]:
    """Return a store for each name in the home."""
    return {name: build(world / "home" / name, port) for name in names}
