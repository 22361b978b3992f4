"""Which files without a session a cleanup puts away or deletes (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from . import names
from .claims import Claims

if TYPE_CHECKING:
    from .model import Snapshot
    from .policy import Rules


def orphan_groups(snapshot: Snapshot, lent: Iterable[Claims] = ()) -> list[tuple[str, ...]]:
    """Return the transcript files that no row refers to, nor another agent's; those of one session id together."""
    claims = (Claims.of(snapshot.sessions.values()), *lent)
    groups: dict[str, list[str]] = {}
    busy: set[str] = set()
    for name in sorted(snapshot.files):
        owners = names.owners(name)
        if (
            not owners
            or names.is_archive(name)
            or not names.can_be_archived(name)
            or any(each.cover(name) for each in claims)
        ):
            continue
        # Beside an index elsewhere there may be anything that is called `x.jsonl`.
        if "/" in name and not any(map(names.is_generated, owners)):
            continue
        # The shortest id: `x` also owns `x-topic-1.jsonl`.
        owner = min(owners, key=len)
        groups.setdefault(owner, []).append(name)
        if any(locked == name or owner in names.owners(locked) for locked in snapshot.locked):
            busy.add(owner)
    return [tuple(found) for owner, found in groups.items() if owner not in busy]


def temporary(snapshot: Snapshot) -> list[str]:
    """Return the files that OpenClaw was writing and left."""
    index = names.base(snapshot.path)
    return sorted(name for name in snapshot.files if names.is_temporary(name, index))


def unknown(snapshot: Snapshot) -> list[str]:
    """Return the names in the agent's own folder that tell neither whose nor what the files are."""
    index = names.base(snapshot.path)
    return sorted(name for name in snapshot.files if "/" not in name and not names.is_known(name, index))


def old_groups(groups: Iterable[Sequence[str]], times: Mapping[str, float], rules: Rules) -> list[str]:
    """Return the names in those groups of which every file is older than the policy says; `times`: mtimes in s."""
    assert rules.policy.orphans is not None
    until = rules.now - rules.policy.orphans
    return [name for group in groups for name in group if all(times.get(other, math.inf) < until for other in group)]


def expired(shelf: Mapping[str, float], needed: frozenset[str], rules: Rules) -> list[str]:
    """Return the archives that are old enough and that no young receipt needs; `shelf`: name → when it was made, s."""
    assert rules.policy.expire_archives is not None
    until = rules.now - rules.policy.expire_archives
    return sorted(name for name, made in shelf.items() if made < until and name not in needed)
