"""A whole home between two moments: every file with its mode and time, every row, every checkpoint of every project.

A picture is taken read-only. What SQLite keeps beside a database, and how git packs its objects, is not in it: what is
in both is compared row by row and commit by commit.
"""

from __future__ import annotations

import re
from typing import Any

from ..difference import file_facts, tables
from .lab import Lab

Picture = dict[str, Any]
# Bytes that say nothing by themselves: databases, the inside of git, and marks that Hermes leaves when it looks.
INSIDE = re.compile(r"\.db(-wal|-shm|-journal)?$|^checkpoints/store/(?!projects/|indexes/)|^session-closer(/|$)")
# Indexes made from rows that are compared.
DERIVED = re.compile(r"#(\w+_fts(_\w+)?_(data|idx|content|docsize|config)|sqlite_\w+)$")


def picture(lab: Lab, *, times: bool = True) -> Picture:
    """Return all that is in a home, but for our own folder."""
    found: Picture = {}
    for path in sorted(lab.home.rglob("*")):
        name = str(path.relative_to(lab.home))
        if path.name == "state.db":
            rows = tables(path.with_name("state.db"), name)
            found |= {table: content for table, content in rows.items() if not DERIVED.search(table)}
        if not INSIDE.search(name):
            found[name] = file_facts(path)
            # A folder has another time whenever something in it comes or goes.
            if times and not path.is_dir():
                found[name]["time"] = path.lstat().st_mtime_ns
    return found | {f"checkpoints of {project}": history for project, history in histories(lab).items()}


def histories(lab: Lab) -> dict[str, list[str]]:
    """Return the checkpoints of each project, newest first, each with all that is in it."""
    store = lab.home / "checkpoints" / "store"
    if not store.is_dir():
        return {}
    tips = lab.git("for-each-ref", "--format=%(refname)", "refs/hermes").split()
    return {
        tip.rpartition("/")[2]: [
            f"{commit} {lab.git('ls-tree', '-r', commit)}" for commit in lab.git("rev-list", tip).split()
        ]
        for tip in tips
    }


def differences(before: Picture, after: Picture) -> dict[str, tuple[Any, Any]]:
    """Return what is not the same: place -> before and after, None where it is not."""
    places = sorted({*before, *after})
    return {place: (before.get(place), after.get(place)) for place in places if before.get(place) != after.get(place)}
