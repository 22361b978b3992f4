"""Sessions that are chosen by what they are, besides or instead of by name (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from . import durations, kinds, planning, selection
from .details import NOTHING, Details
from .escape import quoted
from .keys import Target
from .model import GatewayView, Plan, PlannedRow, Session, Snapshot
from .protection import protection
from .status import Reason, Status
from .transcripts import is_running
from .tuples import NamedTuple
from .words import Kind

if TYPE_CHECKING:
    from .wanted import Wanted
    from .wish import Wish


class Filtered(NamedTuple):
    """The sessions that are to be closed, and rows for those that stay, or that there are none."""

    targets: tuple[Target, ...]
    rows: tuple[PlannedRow, ...]


class Scene(NamedTuple):
    """What is known of the stores: `details` is by agent and key, as far as a label is looked for, `now` in seconds.

    `own` are the keys of the caller's own session, whose run is no reason to let it stay; `force`: nor is any.
    """

    snapshots: Mapping[str, Snapshot]
    details: Mapping[str, Mapping[str, Details]]
    view: GatewayView
    now: float
    own: Collection[str] = ()
    force: bool = False


def choose(wish: Wish, scene: Scene) -> Filtered:
    """Return which of the named sessions the filters match; without names, which of an agent's they match.

    What only a filter has matched stays where a policy would let it stay, but for a kind that is named.
    """
    wanted = wish.matching
    assert wanted is not None
    if wish.targets:
        return _among(wish.targets, wanted, scene)
    assert wish.agent is not None
    targets, rows = [], []
    snapshot = scene.snapshots.get(wish.agent)
    if snapshot is None:
        # Decided again for a store of another agent, of which none but children go.
        return Filtered((), ())
    for key in _matching(wish.agent, wanted, scene):
        session = snapshot.sessions[key]
        why = _protected(session, snapshot, wanted, scene)
        if why is None:
            targets.append(Target(key, wish.agent, (key,)))
        else:
            rows.append(_kept(key, wish.agent, session, Reason.PROTECTED, f"{why}: no filter takes it"))
    if not targets and not rows:
        none = f"agent {wish.agent} has no such session"
        rows = [PlannedRow(told(wanted), wish.agent, "", Status.NOT_FOUND, Reason.FILTER, hint=none)]
    return Filtered(tuple(targets), tuple(rows))


def _among(targets: Collection[Target], wanted: Wanted, scene: Scene) -> Filtered:
    found: list[Target] = []
    rows: list[PlannedRow] = []
    matching = {
        agent: _matching(agent, wanted, scene) for agent in {target.agent for target in targets} & set(scene.snapshots)
    }
    for target in targets:
        there = planning.present(target, scene.snapshots[target.agent]) if target.agent in scene.snapshots else []
        if not there:
            found.append(target)
        for key in there:
            session = scene.snapshots[target.agent].sessions[key]
            if key in matching[target.agent]:
                found.append(target._replace(candidates=(key,)))
            else:
                rows.append(_kept(target.given, target.agent, session, Reason.FILTER, f"not {told(wanted)}"))
    return Filtered(tuple(found), tuple(rows))


def _matching(agent: str, wanted: Wanted, scene: Scene) -> dict[str, None]:
    """Return the keys of an agent's own sessions that match, in the order of the store."""
    snapshot, details = scene.snapshots[agent], scene.details.get(agent, {})
    own = {key: session for key, session in snapshot.sessions.items() if planning.is_own(key, snapshot)}
    return {
        one.key: None
        for one in selection.matching([own], wanted, int(scene.now * 1000))
        if selection.is_called(one.session, details.get(one.key, NOTHING), wanted)
    }


def _protected(session: Session, snapshot: Snapshot, wanted: Wanted, scene: Scene) -> str | None:
    """Return why a session stays although it matches, None where it goes."""
    what = kinds.of(session)
    runs = not scene.force and session.key not in scene.own and is_running(session, snapshot, scene.view)
    # Of a kind that was named only what holds for each session alone is asked.
    asked = Kind.OTHER if what in wanted.kinds and what is not Kind.MAIN else what
    return protection(asked, session, running=runs)


def _kept(given: str, agent: str, session: Session, reason: Reason, hint: str) -> PlannedRow:
    return PlannedRow(given, agent, session.key, Status.KEPT, reason, session, hint=hint)


def told(wanted: Wanted) -> str:
    """Return the filters as they are typed."""
    words = [
        *(f"--match {quoted(glob)}" for glob in wanted.globs),
        *(f"--kind {kind}" for kind in sorted(wanted.kinds)),
        *([f"--older-than {durations.exact(wanted.older_than)}"] if wanted.older_than is not None else []),
        *([f"--label {quoted(wanted.label)}"] if wanted.label is not None else []),
    ]
    return " ".join(words)


def counted(plan: Plan) -> str:
    """Return how many sessions of each kind go, as a warning says it, "" where none does."""
    sessions = [row.session for row in (*plan.closing, *plan.deferred) if row.session is not None]
    count = Counter(map(kinds.of, sessions))
    return ", ".join(f"{count[kind]} {kind}" for kind in Kind if count[kind])
