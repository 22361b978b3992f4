"""What a gateway lists and what lies on the disk, before and after."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .gateway import Rpc
from .lab import Lab

INDEX = "sessions.json"
STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z"
COMPANION = re.compile(r"\.trajectory\.jsonl$|\.trajectory-path\.json$|\.checkpoint\.[0-9a-f-]{36}\.jsonl$")


def rows(rpc: Rpc) -> dict[str, dict[str, Any]]:
    """Return the gateway's own list of all sessions, by key; no field of an idle one changes by itself."""
    answer = rpc("sessions.list", limit=100_000, includeGlobal=True, includeUnknown=True)
    found = {str(row["key"]): row for row in answer["sessions"]}
    assert len(found) == len(answer["sessions"]), "the gateway lists a key twice"
    return found


def without(listed: dict[str, dict[str, Any]], *gone: str) -> dict[str, dict[str, Any]]:
    """Return a list of sessions without some that must have been in it."""
    assert set(gone) <= set(listed), f"not listed to begin with: {set(gone) - set(listed)}"
    return {key: row for key, row in listed.items() if key not in gone}


def digests(lab: Lab) -> dict[str, str]:
    """Return the sha256 of every file in every sessions directory, by path below the state directory."""
    return {
        str(path.relative_to(lab.state)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lab.state.glob("agents/*/sessions/**/*"))
        if path.is_file()
    }


def tree(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return mode, size, mtime and content of everything below a directory and of the directory itself."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


@dataclass(frozen=True)
class Change:
    """What became of the files in the sessions directories: archived live paths, new backups."""

    archived: dict[str, str]
    backups: tuple[str, ...]


def change(before: dict[str, str], after: dict[str, str]) -> Change:
    """Compare two `digests`; AssertionError for anything but archives, backups and new stores."""
    archived = {}
    new = set(after) - set(before)
    for path, digest in before.items():
        if path in after:
            assert Path(path).name == INDEX or after[path] == digest, f"{path} was changed"
            continue
        # OpenClaw takes a companion that is archived as `.deleted.` for a session of its own.
        suffix = "bak" if COMPANION.search(path) else "deleted"
        found = [name for name in new if re.fullmatch(rf"{re.escape(path)}\.{suffix}\.{STAMP}", name)]
        assert len(found) == 1, f"{path} is gone and has {len(found)} archives among {sorted(new)}"
        assert after[found[0]] == digest, f"{found[0]} does not hold the bytes of {path}"
        archived[path] = found[0]
        new.remove(found[0])
    backups = {name for name in new if re.fullmatch(rf"sessions\.json\.bak-{STAMP}(-\d+)?", Path(name).name)}
    assert new == backups, f"files that nobody asked for: {sorted(new - backups)}"
    return Change(archived, tuple(sorted(backups)))
