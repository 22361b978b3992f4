"""Which of the sessions that were asked for are closed, and by whom: decided from snapshots (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import escape, fileplan, keys, kinds, transcripts
from .escape import quoted
from .model import GatewayView, Plan, PlannedRow, Session, Snapshot
from .protection import PINNED, protection
from .routes import deletable, route
from .status import Reason, Route, Status
from .tuples import NamedTuple
from .words import Kind

if TYPE_CHECKING:
    from .claims import Claims
    from .keys import Target


class Choices(NamedTuple):
    """What changes decisions: `via` is auto, gateway or files; `stamp` goes into archive names.

    `only` holds the (agent, key) pairs that may be closed at all, None for any. `freed` are the kinds whose keys are
    freed in a database, where the others are archived, None for all, `freeing` the (agent, key) pairs that are besides.
    `own` are the keys of the caller's own session. `lent`: by agent, what each other agent claims in its folder.
    """

    force: bool = False
    via: str = "auto"
    stamp: str = ""
    only: frozenset[tuple[str, str]] | None = None
    freed: frozenset[Kind] | None = frozenset()
    freeing: frozenset[tuple[str, str]] = frozenset()
    own: frozenset[str] = frozenset()
    lent: Mapping[str, Mapping[str, Claims]] = MappingProxyType({})


def close(targets: Sequence[Target], snapshots: Mapping[str, Snapshot], view: GatewayView, choices: Choices) -> Plan:
    """Return the plan that closes the named sessions."""
    wanted: dict[tuple[str, str], str] = {}
    absent: dict[tuple[str, str], PlannedRow] = {}
    exact: set[tuple[str, str]] = set()
    for target in targets:
        there = present(target, snapshots[target.agent])
        for key in there:
            wanted.setdefault((target.agent, key), target.given)
        exact.update((target.agent, key) for key in there if target.exact or key == target.given)
        if not there:
            row = PlannedRow(target.given, target.agent, target.candidates[0], Status.NOT_FOUND)
            absent.setdefault((target.agent, target.given), row)
    rows = _decide(wanted, snapshots, view, choices, loose=wanted.keys() - exact)
    return _finish([*rows, *absent.values()], snapshots, view, choices)


def keep_only(targets: Sequence[Target], snapshot: Snapshot, view: GatewayView, choices: Choices) -> Plan:
    """Return the plan that closes all of one agent's sessions but the named ones and those that always stay.

    A name that is not there plans nothing at all. Archived sessions stay, as they are out of the way already, but for
    those that are to be freed.
    """
    kept: set[str] = set()
    fitting: set[str] = set()
    unknown: list[PlannedRow] = []
    for target in targets:
        there = present(target, snapshot)
        kept.update(there)
        fitting.update(keys.folded(key) for key in there if not target.exact and key != target.given)
        if not there:
            unknown.append(PlannedRow(target.given, target.agent, target.candidates[0], Status.NOT_FOUND))
    if unknown:
        return Plan(tuple(unknown), kept=len(snapshot.sessions))
    own = f"agent:{snapshot.agent}:"
    wanted = {
        (snapshot.agent, key): key
        for key, session in snapshot.sessions.items()
        if key not in kept
        and not keys.is_main(key)
        and (key.startswith(own) or is_own(key, snapshot))
        and (not session.archived or (snapshot.agent, key) in choices.freeing)
    }
    # Of two that a project id fits, which one was to be kept is not known.
    loose = {pair for pair in wanted if keys.folded(pair[1]) in fitting} if fitting else ()
    rows = [
        _refused(row, Reason.SELF, "the caller's own session was not named")
        if row.status is Status.WOULD_DEFER
        else row
        for row in _decide(wanted, {snapshot.agent: snapshot}, view, choices, loose=loose)
    ]
    return _finish(rows, {snapshot.agent: snapshot}, view, choices)


def present(target: Target, snapshot: Snapshot) -> list[str]:
    """Return the keys of a store that a name stands for: in one for all agents a full key is its own agent's."""
    return [
        key
        for key in target.candidates
        if key in snapshot.sessions
        and (snapshot.own_index or keys.agent_of(key) in (None, target.agent))
        and target.session_id in (None, snapshot.sessions[key].session_id)
    ]


def is_there(target: Target, snapshot: Snapshot) -> bool:
    """Tell whether a store has a session that a name stands for."""
    return bool(present(target, snapshot))


def chosen(
    wanted: Mapping[str, Collection[str]], snapshots: Mapping[str, Snapshot], view: GatewayView, choices: Choices
) -> Plan:
    """Return the plan that closes these keys, by agent, which a policy has taken."""
    # One agent after the other: what is only needed meanwhile would be felt where there are many.
    parts = [_of_agent(agent, keys_of, snapshots[agent], view, choices) for agent, keys_of in wanted.items()]
    rows = tuple(row for part in parts for row in part.rows)
    warnings = tuple(warning for part in parts for warning in part.warnings)
    return Plan(rows, warnings, _kept(snapshots, rows))


def _of_agent(agent: str, wanted: Collection[str], snapshot: Snapshot, view: GatewayView, choices: Choices) -> Plan:
    own = {agent: snapshot}
    return _finish(_decide({(agent, key): key for key in wanted}, own, view, choices), own, view, choices)


def spared(plan: Plan, snapshots: Mapping[str, Snapshot], view: GatewayView, choices: Choices) -> Plan:
    """Return the plan with the files left where they are that are lent to other agents."""
    return _finish(plan.rows, snapshots, view, choices)._replace(kept=plan.kept, findings=plan.findings)


def together(
    rows: Sequence[PlannedRow], snapshots: Mapping[str, Snapshot], view: GatewayView, choices: Choices
) -> Plan:
    """Return the plan of rows that were decided apart: whose files go depends on all that goes."""
    return _finish(rows, snapshots, view, choices)


def spoken_of(plan: Plan, *, named: bool) -> list[str]:
    """Return what is to be said of sessions that go although no policy may take them; of `named` ones what is pinned.

    A session is what PROTECTED says of it in a list.
    """
    sessions = [row.session for row in (*plan.closing, *plan.deferred) if row.session is not None]
    if named:
        return [f"{quoted(session.key)} is pinned" for session in sessions if session.pinned]
    why = Counter([protection(kinds.of(one), one, running=False) for one in sessions])
    counted = ", ".join(f"{why[word]} {word}" for word in (PINNED, *map(str, Kind)) if why[word])
    return [f"among them: {counted}"] if counted else []


def is_own(key: str, snapshot: Snapshot) -> bool:
    """Tell whether a row is the agent's own: in a file for all agents a bare key may be anybody's."""
    agent = keys.agent_of(key)
    return snapshot.own_index if agent is None else agent == snapshot.agent


def _decide(
    wanted: Mapping[tuple[str, str], str],
    snapshots: Mapping[str, Snapshot],
    view: GatewayView,
    choices: Choices,
    *,
    loose: Collection[tuple[str, str]] = (),
) -> list[PlannedRow]:
    """Return the rows with what becomes of each; `loose` are those that only a project id has named."""
    agents = {agent for agent, _ in wanted}
    doubles = {agent: _doubles(snapshots[agent].sessions) for agent in agents}
    clear = {agent for agent in agents if not doubles[agent] and _is_clear(snapshots[agent], view, choices)}
    rows = []
    for pair, given in wanted.items():
        if choices.only is None or pair in choices.only:
            agent, key = pair
            session = snapshots[agent].sessions[key]
            row = PlannedRow(given, agent, key, Status.WOULD_CLOSE, None, session)
            # Nothing else can be said of most rows of a long list.
            if agent not in clear or session.status == "running" or keys.is_main(key):
                alike = doubles[agent].get(keys.folded(key), ()) if doubles[agent] else ()
                row = _decided(row, session, snapshots[agent], view, choices=choices, alike=alike, loose=pair in loose)
            rows.append(row)
    return rows


def _is_clear(snapshot: Snapshot, view: GatewayView, choices: Choices) -> bool:
    """Tell whether all that decides upon a session of a store without doubles is what stands in its row."""
    by_file = Route.FILES in snapshot.traits.writers and (choices.via == "files" or not view.usable)
    frees = not snapshot.traits.hides or choices.freed is None
    return by_file and frees and not (snapshot.locked or view.active or choices.own)


def _decided(
    row: PlannedRow,
    session: Session,
    snapshot: Snapshot,
    view: GatewayView,
    *,
    choices: Choices,
    alike: Collection[str],
    loose: bool,
) -> PlannedRow:
    """Return a row with what becomes of its session; `alike`: as for `deletable`, `loose`: by a project id alone."""
    key = row.key
    if not ((row.agent, key) in choices.freeing or _frees(session, snapshot, choices)):
        row = row.but(frees=False)
    running = transcripts.is_running(session, snapshot, view)
    if keys.is_main(key):
        return _refused(row, Reason.MAIN, "a main session is never closed")
    if alike and loose:
        listed = " and ".join(map(escape.plain, alike))
        return _refused(row, Reason.AMBIGUOUS, f"this may be each of {listed}: give the whole key")
    if key in choices.own:
        return row.but(status=Status.WOULD_DEFER)
    if running and not choices.force:
        return _refused(row, Reason.RUNNING, "a run is in flight: wait, or --force")
    if session.archived and not row.frees:
        return row.but(status=Status.ALREADY_CLOSED)
    return _routed(row, session, snapshot, view, via=choices.via, alike=alike, running=running)


def _routed(
    row: PlannedRow,
    session: Session,
    snapshot: Snapshot,
    view: GatewayView,
    *,
    via: str,
    alike: Collection[str],
    running: bool,
) -> PlannedRow:
    """Return a row with who takes its entry out, failed where nobody can."""
    if Route.FILES not in snapshot.traits.writers and not deletable(session, snapshot, alike):
        return row.but(status=Status.FAILED, hint="the gateway cannot tell this key from another one's")
    by = route(session, snapshot, view, via, alike)
    if via == "gateway" and view.usable and by is not Route.GATEWAY:
        return row.but(status=Status.FAILED, hint="the gateway cannot delete this key: leave out --via gateway")
    return row.but(was_running=running, route=by) if running or by is not row.route else row


def _frees(session: Session, snapshot: Snapshot, choices: Choices) -> bool:
    """Tell whether closing frees the key: in a file it always does."""
    if not snapshot.traits.hides or choices.freed is None:
        return True
    return bool(choices.freed) and kinds.of(session) in choices.freed


def refused_for(row: PlannedRow, loss: str) -> PlannedRow:
    """Return a row that is refused where its worktree holds what would be lost, as it is where nothing would."""
    return _refused(row, Reason.WORKTREE, loss).but(moves=()) if loss else row


def _refused(row: PlannedRow, reason: Reason, hint: str) -> PlannedRow:
    return row.but(status=Status.REFUSED, reason=reason, hint=hint)


def _doubles(sessions: Collection[str]) -> dict[str, list[str]]:
    """Return the keys that a person could mistake for each other, by the form in which they are equal."""
    forms = keys.all_folded(sessions)
    if len(set(forms)) == len(forms):
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    for form, key in zip(forms, sessions, strict=True):
        found[form].append(key)
    return {form: alike for form, alike in found.items() if len(alike) > 1}


def _finish(rows: Sequence[PlannedRow], snapshots: Mapping[str, Snapshot], view: GatewayView, choices: Choices) -> Plan:
    closing: dict[str, list[PlannedRow]] = defaultdict(list)
    for row in rows:
        if row.status is Status.WOULD_CLOSE:
            closing[row.agent].append(row)
    plans = {
        agent: fileplan.of(of_agent, snapshots[agent], view, lent=choices.lent.get(agent, {}), stamp=choices.stamp)
        for agent, of_agent in closing.items()
    }
    finished = {agent: iter(plan.rows) for agent, plan in plans.items()}
    done = [next(finished[row.agent]) if row.status is Status.WOULD_CLOSE else row for row in rows]
    warnings = tuple(warning for plan in plans.values() for warning in plan.warnings)
    return Plan(tuple(done), warnings, _kept(snapshots, done))


def _kept(snapshots: Mapping[str, Snapshot], rows: Sequence[PlannedRow]) -> int:
    """Return how many sessions stay; several agents may have one index."""
    there = {snapshot.path: len(snapshot.sessions) for snapshot in snapshots.values()}
    return sum(there.values()) - sum([row.status in (Status.WOULD_CLOSE, Status.WOULD_DEFER) for row in rows])
