"""What sessions leave in a home of Hermes: a file or folder of each kind, as old as a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from session_closer.core import retention
from session_closer.core.wish import Options
from session_closer.hermes import entrance
from session_closer.operations import prune
from session_closer.ports.context import Console
from session_closer.system.disk import Disk

from support.aged import Aged
from support.commands import Answer, run_json
from support.hermes import DAY, HermesHome

OVER, OPEN = "20200101_000000_abcdef", "20200102_000000_fedcba"
# By kind what a session that is over has left for long, and nobody needs.
FREE = {
    "session_json": f"sessions/session_{OVER}.json",
    "request_dump": f"sessions/request_dump_{OVER}_20200101_000000_abcdef.json",
    "transcript_jsonl": f"sessions/{OVER}.jsonl",
    "checkpoint_v1": "checkpoints/0123456789abcdef",
    "checkpoint_legacy": "checkpoints/legacy-20200101-000000",
    "delegation_log": "cache/delegation/live/deleg_01234567",
}
OPTIONAL = {
    "spawn_tree": f"spawn-trees/{OVER}",
    "moa_trace": f"moa-traces/{OVER}.jsonl",
    "hook_output": f"hook_outputs/{OVER}",
}
# Does something when a cleanup has looked at a home, and is about to change it.
BeforeChanging = Callable[[Callable[[], object]], None]
FOLDERS = frozenset({"checkpoint_v1", "checkpoint_legacy", "delegation_log", "spawn_tree", "hook_output"})


class Entry(NamedTuple):
    """What there is by one path: bytes, mode and time; of a folder no bytes, and no time, which its names move."""

    data: bytes | None
    mode: int
    at: int


class Leavings(HermesHome, Aged):
    """A home with a session that is over and one that is open, and with files; ages in seconds."""

    def __init__(self, path: Path, version: int = 22) -> None:
        super().__init__(path, version)
        self.session(OVER, messages=2)
        self.session(OPEN, ended_at=None, end_reason=None)

    def lay_kind(self, kind: str, path: str, *, age: float = 60 * DAY) -> None:
        """Leave one of a kind."""
        if kind not in FOLDERS:
            self.lay(path, json.dumps({"session_id": OVER}) + "\n", age=age)
            return
        names = {"checkpoint_v1": ("HEAD", "HERMES_WORKDIR", "objects/aa/b")}.get(kind, ("one", "deep/er/two"))
        for name in names:
            self.lay(f"{path}/{name}", "/nowhere/at/all")
        self.age(path, age)

    def lay_all(self, *, optional: bool = False) -> list[str]:
        """Leave one of each kind that goes; return their paths."""
        wanted = {**FREE, **(OPTIONAL if optional else {})}
        for kind, path in wanted.items():
            self.lay_kind(kind, path)
        return list(wanted.values())

    def tree(self) -> dict[str, Entry]:
        """Return all that is there but for what is ours, and but for the database's side files."""
        found = {}
        for each in sorted(self.path.rglob("*")):
            path = each.relative_to(self.path).as_posix()
            if path.split("/")[0] == "session-closer" or each.name.startswith("state.db-"):
                continue
            status = each.lstat()
            plain = each.is_file() and not each.is_symlink()
            found[path] = Entry(
                each.read_bytes() if plain else None, status.st_mode, 0 if each.is_dir() else status.st_mtime_ns
            )
        return found

    def archived(self) -> list[str]:
        """Return the files that are put away, by their paths below their archive."""
        archives = self.path / "session-closer" / "archives"
        files = [each.relative_to(archives).parts[1:] for each in archives.rglob("*") if not each.is_dir()]
        return sorted("/".join(parts) for parts in files)

    def age_receipts(self, age: float) -> None:
        """Make all runs of ours so old."""
        for path in (self.path / "session-closer" / "receipts").iterdir():
            data = json.loads(path.read_text())
            data["finishedAt"] = datetime.fromtimestamp(self.now - age, UTC).isoformat()
            path.write_text(json.dumps(data))

    def clean(self, disk: Disk, *, delete: bool = False, expire: float | None = None) -> None:
        """Clean up below the command line, on a disk of the test's choice."""
        place = entrance.find({}, named=str(self.path), profile=None)
        limits = retention.limits(retention.Asked(), place.rules)._replace(expire=expire)
        prune.perform(place, limits, Options(yes=True, delete=delete), told="", console=Console(), disk=disk)

    def run(self, command: type, *words: str) -> Answer:
        """Run a command over this home."""
        return run_json(command, *words, state=self.path)


def by_status(answer: Answer) -> dict[str, list[str]]:
    """Return the paths of each status, below the home."""
    found: dict[str, list[str]] = {}
    root = answer.data["stores"][0]["path"] + "/" if answer.data["stores"] else ""
    for row in answer.data["results"]:
        found.setdefault(row["status"], []).append(row["path"].removeprefix(root))
    return {status: sorted(paths) for status, paths in found.items()}
