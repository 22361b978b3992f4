"""The order in which rows are told: the same of a run, store by store, as of the dry run ahead (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from .status import Status

if TYPE_CHECKING:
    from .model import Plan
    from .report import Outcome
    from .wish import Wish

# What a run has no turn for, or the last of all, among what no word names.
_ITS_TURN = 2
_TURNS = {Status.REFUSED: 0, Status.ALREADY_CLOSED: 1, Status.WOULD_DEFER: 3, Status.DEFERRED: 3}


def ordered(wish: Wish, plan: Plan, rows: Sequence[Outcome]) -> list[Outcome]:
    """Return rows in the order of the command line; behind them what it does not name, of a policy files.

    A run lets go of its plan store by store, so nothing but what stands in a row tells its place.
    """
    if wish.rules is not None:
        # Of tens of thousands mostly each has its own turn.
        if any(row.status in _TURNS for row in rows):
            rows = sorted(rows, key=_turn)
        return [*(row for row in rows if row.key), *_files(rows)] if plan.chores else [*rows]
    places = {target.given: number for number, target in enumerate(wish.targets)}
    last = len(places)

    def place(row: Outcome) -> tuple[bool, int, int, str, str]:
        at = places.get(row.given, last)
        whose = (row.agent, row.key) if row.parent else ("", "")
        return row.status is Status.KEPT, at, _turn(row) if at == last else 0, *whose

    return sorted(rows, key=place)


def _files(rows: Sequence[Outcome]) -> list[Outcome]:
    """Return the rows of files, and of whole agents, agent by agent.

    A run looks after an agent's files with its sessions, of which there may be none.
    """
    return sorted((row for row in rows if not row.key), key=attrgetter("agent"))


def _turn(row: Outcome) -> int:
    return _TURNS.get(row.status, _ITS_TURN)
