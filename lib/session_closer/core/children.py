"""Sessions that other sessions have spawned: which go along with what is closed, and which stay (pure)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from . import keys, planning
from .escape import plain
from .model import PlannedRow, Session, Snapshot
from .status import GOING, Reason, Status
from .tuples import NamedTuple

# A parent that was closed before has left its children behind.
_GONE = GOING | {Status.ALREADY_CLOSED}
# A session as its children name it: of a bare key only those of the same agent can mean it.
Name = tuple[str | None, str]


class Child(NamedTuple):
    """A session and the key of its parent; `why` it stays all the same, "" where it goes along."""

    agent: str
    key: str
    parent: str
    why: str = ""


def family(
    parents: Iterable[tuple[str, str]],
    snapshots: Mapping[str, Snapshot],
    known: Collection[tuple[str, str]],
    stays: Callable[[Session, Snapshot], str | None],
) -> list[Child]:
    """Return the children of these (agent, key) pairs and theirs, by whole keys, nearest first, each once.

    Those that are `known` already are left out; who stays keeps what it has spawned.
    """
    spawned: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for agent, snapshot in snapshots.items():
        for key, session in snapshot.sessions.items():
            if session.parents and planning.is_own(key, snapshot):
                for parent in session.parents:
                    spawned[parent].append((agent, key))
    queue = deque(parents)
    seen = {*known, *queue}
    found = []
    while queue:
        agent, key = queue.popleft()
        for pair in spawned.get(key, ()):
            if pair in seen or (keys.agent_of(key) is None and pair[0] != agent):
                continue
            seen.add(pair)
            snapshot = snapshots[pair[0]]
            why = stays(snapshot.sessions[pair[1]], snapshot)
            found.append(Child(*pair, key, why or ""))
            if not why:
                queue.append(pair)
    return found


def named(agent: str, key: str) -> Name:
    """Return a session as its children name it."""
    return (None if keys.agent_of(key) is not None else agent, key)


def gone(rows: Iterable[PlannedRow]) -> set[Name]:
    """Return the sessions of a plan that its children go along with."""
    return {named(row.agent, row.key) for row in rows if row.status in _GONE}


def kept(row: PlannedRow, reason: Reason, hint: str) -> PlannedRow:
    """Return the row of a child that stays."""
    return row.but(status=Status.KEPT, reason=reason, hint=hint, moves=(), attached=(), left=())


def with_their_parents(rows: Sequence[PlannedRow], others: Sequence[PlannedRow] = ()) -> list[PlannedRow]:
    """Return the rows, but that a child stays whose parent does; `others` are those of other stores."""
    made = [*rows, *others]
    while True:
        going = gone(made)
        stay = [
            at
            for at, row in enumerate(made)
            if row.parent and row.status in GOING and named(row.agent, row.parent) not in going
        ]
        if not stay:
            return made[: len(rows)]
        for at in stay:
            made[at] = kept(made[at], Reason.CHILD, f"its parent {plain(made[at].parent)} stays")


def left_alone(rows: Sequence[PlannedRow], others: Sequence[PlannedRow] = ()) -> list[str]:
    """Return a line for each child that stays while its parent goes; `others` are the rows of other stores."""
    going = gone([*rows, *others])
    return [
        f"{plain(row.key)} stays, though its parent {plain(row.parent)} goes: {row.hint}"
        for row in rows
        if row.parent and row.status not in _GONE and named(row.agent, row.parent) in going
    ]
