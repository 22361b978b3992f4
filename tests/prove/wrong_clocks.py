"""A clock that is set between two closes, the recovery, a restore and the freeing of archives, by hours and years."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import Any, NamedTuple

from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.policy import Policy, Rules
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options, Wish
from session_closer.journal import clocks, history
from session_closer.openclaw.home import Home
from session_closer.operations import restore
from session_closer.operations.close import execute
from support.clock import Ahead, current, handed
from support.interrupted import Killed, KilledDisk
from support.keys import LEAD
from support.stores import Store, build
from support.trees import tree

from .parts import Given, Skipped, Tally

_HOUR, _DAY = 3600.0, 86400.0
_YEARS = (-800 * _DAY, 0.0, 800 * _DAY)
_ALL = (*_YEARS, -_HOUR, _HOUR)
_FIRST, _SECOND = "topics", "kelly-dashboard"


class _Case(NamedTuple):
    """How far the clock is ahead at each step, in seconds; `killed`: the second close is, and another run ends it."""

    first: float
    second: float
    then: float
    killed: bool


def wrong_clocks(given: Given) -> Tally:
    """Set the clock ahead or back before each of three steps: undo is the identity, and nothing young is deleted."""
    if not clocks.uptime().boot:
        raise Skipped("this system does not tell how long it has been up")
    steps = itertools.product(_ALL if given.everything else _YEARS, repeat=3)
    cases = [_Case(*ahead, killed) for ahead in steps for killed in (False, True)]
    return given.spread(cases, _try)


def _try(case: _Case, place: str) -> Tally:
    # Nothing can listen there.
    store = build(Path(place, "state"), 1)
    for archive in store.state.rglob("*.deleted.*"):
        archive.unlink()
    before = _picture(store)
    broken: list[str] = []
    with _clock(case.first):
        _close(store, _FIRST)
    with _clock(case.second), contextlib.suppress(Killed):
        _close(store, _SECOND, **({"disk": KilledDisk("exchange", after=True)} if case.killed else {}))
    with _clock(case.then):
        archives = _archives(store)
        report = _expire(store)
        broken += [f"{case}: {lost} was deleted" for lost in sorted(archives - _archives(store))]
        if exit_code(report) and {row.status for row in report.results} != {Status.REFUSED}:
            broken.append(f"{case}: the cleanup ended with {exit_code(report)}")
        # Each time the latest that is not back yet.
        for word in (_SECOND, _FIRST):
            rows = {row.key for row in _restore(store).results if row.status is Status.RESTORED}
            if LEAD + word not in rows:
                broken.append(f"{case}: last brought {sorted(rows)} back, not {word}")
            _forget(store)
    if not broken and _picture(store) != before:
        broken.append(f"{case}: the store is not what it was")
    return Tally(1, broken)


def _clock(ahead: float) -> contextlib.AbstractContextManager[None]:
    return handed(Ahead(seconds=ahead))


def _home(store: Store) -> Home:
    return Home(str(store.state), "demo", {}, isolated=True)


def _close(store: Store, word: str, **more: Any) -> Report:
    return execute(_home(store), Wish("close-project", (keys.target(word, None),)), Options(), clock=current(), **more)


def _expire(store: Store) -> Report:
    rules = Rules(Policy(expire_archives=30 * _DAY), current().seconds())
    return execute(
        _home(store), Wish("cleanup-sessions", (), rules=rules, among=("project-lead",)), Options(), clock=current()
    )


def _restore(store: Store) -> Report:
    return restore.execute(_home(store), restore.Ask(), Options(), clock=current())


def _forget(store: Store) -> None:
    """Put the receipt aside that was restored, and that of its restore: `last` is to be the one before."""
    for begun in history.beginnings(str(store.state))[-2:]:
        os.rename(history.receipt_path(str(store.state), begun.run), os.path.join(store.state, begun.run))


def _archives(store: Store) -> set[str]:
    return {path.name for path in store.state.rglob("*") if ".deleted." in path.name or ".bak" in path.name}


def _picture(store: Store) -> dict[str, Any]:
    found = tree(store.state / "agents").items()
    return {name: (mode, what) for name, (mode, _, what) in found if ".bak-" not in name and what is not None}
