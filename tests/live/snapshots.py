"""What a gateway lists and what lies on the disk, before and after."""

from __future__ import annotations

import hashlib
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .gateway import Rpc, wait_until
from .lab import Lab

INDEX = "sessions.json"
QUIET_SECONDS = 0.5
STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z"
ZSTD = r"(\.[0-9a-f]{32}\.zst)?"
# The gateway says when it made the list.
VOLATILE = ("snapshotAt",)
# Whoever reads a database that has a -wal says so in it, as SQLite has it: memory that is shared, no data.
READERS = re.compile(r"\.sqlite-shm$")
# A gateway has its databases open, and makes folders for media a while after its start.
ITS_OWN = re.compile(r"\.sqlite(-shm|-wal)?$|^media(/|$)|^\.$")
# An archive that OpenClaw was writing when it was killed; it writes it again.
UNFINISHED = re.compile(r"\.zst\.[0-9a-f-]{36}\.tmp$")
COMPANION = re.compile(r"\.trajectory\.jsonl$|\.trajectory-path\.json$|\.checkpoint\.[0-9a-f-]{36}\.jsonl$")


def rows(rpc: Rpc) -> dict[str, dict[str, Any]]:
    """Return the gateway's own list of all sessions, by key; no field of an idle one changes by itself."""
    answer = rpc("sessions.list", limit=100_000, includeGlobal=True, includeUnknown=True)
    listed = [{name: value for name, value in row.items() if name not in VOLATILE} for row in answer["sessions"]]
    found = {str(row["key"]): row for row in listed}
    assert len(found) == len(answer["sessions"]), "the gateway lists a key twice"
    return found


def without(listed: dict[str, dict[str, Any]], *gone: str) -> dict[str, dict[str, Any]]:
    """Return a list of sessions without some that must have been in it."""
    assert set(gone) <= set(listed), f"not listed to begin with: {set(gone) - set(listed)}"
    return {key: _without_children(row, gone) for key, row in listed.items() if key not in gone}


def _without_children(row: dict[str, Any], gone: tuple[str, ...]) -> dict[str, Any]:
    children = [key for key in row.get("childSessions", ()) if key not in gone]
    rest = {name: value for name, value in row.items() if name != "childSessions"}
    return {**rest, "childSessions": children} if children else rest


def digests(lab: Lab) -> dict[str, str]:
    """Return the sha256 of all that is kept of sessions, by path below the state directory."""
    return lab.store.digests()


def settled(lab: Lab) -> dict[str, str]:
    """Return `digests` once they no longer change: a gateway may still be writing what it has acknowledged."""
    found = [digests(lab)]

    def is_quiet() -> bool:
        time.sleep(QUIET_SECONDS)
        found.append(digests(lab))
        return found[-1] == found[-2]

    wait_until(is_quiet, 30, "a store that is not written to")
    return found[-1]


def tree(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return mode, size, mtime and content of everything below a directory and of the directory itself."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        if READERS.search(path.name):
            continue
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


def everything(lab: Lab) -> dict[str, Any]:
    """Return the tree of the state directory, with what is in the databases instead of those a gateway has open."""
    found: dict[str, Any] = dict(tree(lab.state))
    if lab.gateway is None or lab.era == "files":
        return found
    kept = {path: what for path, what in found.items() if ITS_OWN.search(path) is None}
    return kept | {f"content of {path}": digest for path, digest in digests(lab).items()}


@dataclass(frozen=True)
class Change:
    """What became of what is kept of sessions: archived live paths, new backups."""

    archived: dict[str, str]
    backups: tuple[str, ...]


def change(before: dict[str, str], after: dict[str, str]) -> Change:
    """Compare two `digests`; AssertionError for anything but archives, backups and new stores."""
    archived = {}
    new = {path for path in set(after) - set(before) if UNFINISHED.search(path) is None}
    for path, digest in before.items():
        if "#" in path and path not in after:
            continue
        if path in after:
            assert Path(path).name == INDEX or after[path] == digest, f"{path} was changed"
            continue
        # OpenClaw takes a companion that is archived as `.deleted.` for a session of its own.
        suffix = "bak" if COMPANION.search(path) else "deleted"
        found = [name for name in new if re.fullmatch(rf"{re.escape(path)}\.{suffix}\.{STAMP}{ZSTD}", name)]
        assert len(found) == 1, f"{path} is gone and has {len(found)} archives among {sorted(new)}"
        assert after[found[0]] == digest, f"{found[0]} does not hold the bytes of {path}"
        archived[path] = found[0]
        new.remove(found[0])
    backups = {name for name in new if re.fullmatch(rf"sessions\.json\.bak-{STAMP}(-\d+)?", Path(name).name)}
    assert new == backups, f"files that nobody asked for: {sorted(new - backups)}"
    return Change(archived, tuple(sorted(backups)))
