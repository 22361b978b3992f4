"""A `hermes` of our own for a test: what 0.19 does to rows, and, where the home has a file `fault`, what goes wrong."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

SCHEMA = 22


def install(folder: Path) -> str:
    """Make a command of it; return a PATH on which it is first."""
    folder.mkdir()
    command = folder / "hermes"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "$@"\n')
    command.chmod(0o700)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def main(words: list[str]) -> int:
    """Do what was asked; errors end with 0, as those of 0.19 do."""
    home = Path(os.environ["HERMES_HOME"])
    if words[:1] == ["--profile"]:
        words = words[2:]
    fault = (home / "fault").read_text() if (home / "fault").exists() else ""
    with (home / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\n")
    if words == ["config", "path"]:
        sys.stdout.write(f"{'/elsewhere' if fault == 'home' else home}/config.yaml\n")
        return 0
    database = sqlite3.connect(home / "state.db", isolation_level=None)
    database.row_factory = sqlite3.Row
    if words == ["sessions", "stats"]:
        database.executescript(
            "create table schema_version (version integer); create table messages (session_id text);"
            "create table sessions (id text, ended_at real, parent_session_id text);"
        )
        database.execute("insert into schema_version values (?)", (SCHEMA,))
        return 0
    if fault == "broken":
        sys.stderr.write("Traceback: no module\n")
        return 1
    if words[:2] == ["sessions", "export"]:
        return _export(database, Path(words[2]), words[3].removeprefix("--session-id="), fault)
    return _delete(database, home, words[2], fault)


def _export(database: sqlite3.Connection, path: Path, asked: str, fault: str) -> int:
    found = database.execute("select * from sessions where id = ?", (asked,)).fetchone()
    if found is None or fault == "nothing":
        sys.stdout.write(f"Session '{asked}' not found.\n")
        return 0
    messages = [dict(row) for row in database.execute("select * from messages where session_id = ?", (asked,))]
    if fault == "lost":
        messages.pop()
    told = {**dict(found), "messages": messages} | ({"id": "another"} if fault == "another" else {})
    path.write_text("{" if fault == "half" else json.dumps(told) + "\n")
    if fault == "says more":
        database.execute("insert into messages (session_id, role, timestamp) values (?, 'user', 1)", (asked,))
    if fault == "resumes":
        database.execute("update sessions set ended_at = null where id = ?", (asked,))
    return 0


def _delete(database: sqlite3.Connection, home: Path, asked: str, fault: str) -> int:
    if fault == "refuses":
        sys.stdout.write("Error: database is locked\n")
        return 0
    names = [row["id"] for row in database.execute("select id from sessions where id like ?", (f"{asked}%",))]
    found = asked if asked in names else names[0] if len(names) == 1 else None
    if found is None:
        return 0
    gone = [found, *(row["id"] for row in database.execute(
        "select id from sessions where json_extract(coalesce(model_config, '{}'), '$._delegate_from') = ?", (found,)
    ))]  # fmt: skip
    for name in gone:
        database.execute("update sessions set parent_session_id = null where parent_session_id = ?", (name,))
        database.execute("delete from messages where session_id = ?", (name,))
        database.execute("delete from sessions where id = ?", (name,))
        for path in (home / "sessions").glob(f"request_dump_{name}_*.json"):
            path.unlink()
        for suffix in (".json", ".jsonl"):
            (home / "sessions" / f"{name}{suffix}").unlink(missing_ok=True)
    if fault == "takes another":
        database.execute("delete from sessions where id = 'other'")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
