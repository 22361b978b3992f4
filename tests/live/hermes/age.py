"""Make a home older than it is: every time that Hermes or a cleanup goes by is set back, and nothing else changes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection
from pathlib import Path

DAY = 86_400
# The columns of state.db that say when something was.
TIMES = {
    "sessions": ("started_at", "ended_at"),
    "messages": ("timestamp",),
    "async_delegations": ("dispatched_at", "completed_at", "updated_at", "delivered_at"),
    "gateway_routing": ("updated_at",),
}
OWNERS = {"sessions": "id", "messages": "session_id", "async_delegations": "parent_session_id"}
# What holds artifacts; the rest of a home has no age.
FOLDERS = ("sessions", "checkpoints", "cache/delegation", "delegation_cache", "spawn-trees", "moa-traces",
           "hook_outputs")  # fmt: skip


def age(home: Path, days: float, *, young: Collection[str] = ()) -> None:
    """Set all times back by so many days, but for sessions, and names of files and folders, that are young."""
    seconds = days * DAY
    _age_rows(home / "state.db", seconds, young)
    for project in (home / "checkpoints" / "store" / "projects").glob("*.json"):
        facts = json.loads(project.read_bytes())
        if not young or Path(facts["workdir"]).name not in young:
            facts |= {name: facts[name] - seconds for name in ("created_at", "last_touch")}
            project.write_text(json.dumps(facts))
    for folder in FOLDERS:
        if (home / folder).is_dir():
            _age_files(home / folder, seconds, young)


def _age_rows(database: Path, seconds: float, young: Collection[str]) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table, columns in TIMES.items():
            there = {row[1] for row in connection.execute(f"pragma table_info({table})")}
            changes = ", ".join(f"{name} = {name} - {seconds}" for name in columns if name in there)
            spared = ", ".join("?" * len(young))
            where = f" where {OWNERS[table]} not in ({spared})" if table in OWNERS else ""
            if changes:
                connection.execute(f"update {table} set {changes}{where}", list(young) if where else [])
        # What was committed lies in the database itself, as it does once the last Hermes has ended.
        connection.commit()
        connection.execute("pragma wal_checkpoint(truncate)")


def _age_files(folder: Path, seconds: float, young: Collection[str]) -> None:
    """Set back what is below a folder, contents before the folder itself, whose own time they change."""
    for path in sorted([*folder.rglob("*"), folder], key=lambda found: len(found.parts), reverse=True):
        if any(name in str(path.relative_to(folder.parent)) for name in young):
            continue
        times = path.lstat()
        at = (times.st_atime_ns - int(seconds * 1e9), times.st_mtime_ns - int(seconds * 1e9))
        os.utime(path, ns=at, follow_symlinks=False)
