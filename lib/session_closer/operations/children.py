"""Take along what sessions have spawned: looked for in all stores, decided with them, and again under each lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from ..core import children, kinds, planning
from ..core.children import Child
from ..core.errors import CloserError
from ..core.keys import Target
from ..core.model import Plan, PlannedRow, Session, Snapshot
from ..core.planning import Choices
from ..core.protection import protection
from ..core.status import Reason, Status
from ..core.transcripts import is_running
from ..journal import closed
from ..ports.share import Share
from .request import Look, Request

_NEW = "it has appeared in this moment: look again"


def look(request: Request, read: Callable[[str], None], settle: Callable[[str], None] | None) -> None:
    """Read the stores of all other agents, too; one that cannot be read is said, as its sessions stay."""
    runtime = request.runtime
    for agent in sorted({*runtime.agents()} - {*request.wish.agents()}):
        try:
            runtime.check_folders([agent])
            if settle is not None:
                settle(agent)
            read(agent)
        except CloserError as problem:
            request.warn(f"children among the sessions of agent {agent} are not known: {problem.message}")
            runtime.stores.pop(agent, None)
            runtime.snapshots.pop(agent, None)


def concerned(request: Request, found: Look, plan: Plan) -> Look:
    """Return a look without the stores that were only searched."""
    agents = {*request.wish.agents(), *(row.agent for row in plan.rows)}
    stores = {agent: store for agent, store in found.stores.items() if agent in agents}
    snapshots = {agent: snapshot for agent, snapshot in found.snapshots.items() if agent in agents}
    return found._replace(stores=stores, snapshots=snapshots)


def added(request: Request, found: Look, plan: Plan, choices: Choices, first: Plan | None) -> Plan:
    """Return the plan with the children of what goes; `first`: the one that it may only be less than."""
    parents = [row for row in (*plan.rows, *_elsewhere(found, first)) if children.gone([row])]
    known = {(row.agent, row.key) for row in plan.rows}
    family = children.family(
        ((row.agent, row.key) for row in parents), found.snapshots, known, _stays(request, found, choices)
    )
    rows = [*plan.rows, *_going(family, found, choices), *_staying(family, found)]
    if first is not None:
        rows += _new(family, found, choices, first)
    agents = {*request.wish.agents(), *(child.agent for child in family)}
    snapshots = {agent: snapshot for agent, snapshot in found.snapshots.items() if agent in agents}
    made = planning.together(rows, snapshots, found.view, choices)
    return made._replace(findings=plan.findings)


def _stays(request: Request, found: Look, choices: Choices) -> Callable[[Session, Snapshot], str | None]:
    """Return what tells why a child stays, None where it goes: as for what a filter alone has matched."""
    options, now = request.options, request.clock.seconds()
    marked = {agent: request.runtime.marked(snapshot, now) for agent, snapshot in found.snapshots.items()}
    ours = _archived_by_us(request, found) if options.delete else ()

    def stays(session: Session, snapshot: Snapshot) -> str | None:
        if options.delete and session.archived and (session.agent, session.key) not in ours:
            return "somebody else has archived it"
        one = marked[snapshot.agent].sessions[session.key]
        runs = not options.force and session.key not in choices.own and is_running(session, snapshot, found.view)
        return protection(kinds.of(one), one, running=runs)

    return stays


def _archived_by_us(request: Request, found: Look) -> Collection[tuple[str, str]]:
    wanted = {
        (agent, key): (session.session_id, session.archived_at)
        for agent, snapshot in found.snapshots.items()
        for key, session in snapshot.sessions.items()
        if session.parents and session.archived_at is not None
    }
    return closed.archived_by_us(request.runtime.root, wanted) if wanted else ()


def _going(family: Iterable[Child], found: Look, choices: Choices) -> list[PlannedRow]:
    """Return the rows of children that go; what is archived is out of the way already."""
    parents = {(child.agent, child.key): child.parent for child in family if not child.why}
    targets = [Target(key, agent, (key,)) for agent, key in parents]
    plan = planning.close(targets, found.snapshots, found.view, choices)
    rows = [row for row in plan.rows if row.status is not Status.ALREADY_CLOSED]
    return [row.but(parent=parents[row.agent, row.key]) for row in rows]


def _staying(family: Iterable[Child], found: Look) -> list[PlannedRow]:
    return [children.kept(_row(child, found), Reason.PROTECTED, child.why) for child in family if child.why]


def _new(family: Iterable[Child], found: Look, choices: Choices, first: Plan) -> list[PlannedRow]:
    """Return the rows of children that the first plan has not shown: nobody has agreed to close them."""
    known = {(row.agent, row.key) for row in first.rows} | (choices.only or frozenset())
    new = [child for child in family if not child.why and (child.agent, child.key) not in known]
    rows = [_row(child, found) for child in new]
    return [children.kept(row, Reason.CHILD, _NEW) for row in rows if row.session and not row.session.archived]


def _row(child: Child, found: Look) -> PlannedRow:
    session = found.snapshots[child.agent].sessions[child.key]
    return PlannedRow(child.key, child.agent, child.key, Status.KEPT, session=session, parent=child.parent)


def with_their_parents(found: Look, plan: Plan, choices: Choices, first: Plan | None = None) -> Plan:
    """Return the plan, but that a child stays whose parent does after all."""
    rows = children.with_their_parents(plan.rows, _elsewhere(found, first))
    if rows == list(plan.rows):
        return plan
    agents = {row.agent for row in rows}
    snapshots = {agent: snapshot for agent, snapshot in found.snapshots.items() if agent in agents}
    made = planning.together(rows, snapshots, found.view, choices)
    return plan._replace(rows=made.rows, warnings=made.warnings, kept=plan.kept + len(plan.closing) - len(made.closing))


def warn(request: Request, found: Look, plan: Plan, first: Plan | None = None) -> None:
    """Say which children stay while their parents go."""
    request.warn(*children.left_alone(plan.rows, _elsewhere(found, first)))


def _elsewhere(found: Look, first: Plan | None) -> list[PlannedRow]:
    """Return the rows of other stores than the one that is looked at again, and of it those that have gone, or go last.

    Only what goes now is decided again there, but what was put away before has children all the same, and so has the
    caller's own session.
    """
    rows = first.rows if first is not None else ()
    return [row for row in rows if row.agent not in found.snapshots or _is_gone(row, found.snapshots[row.agent])]


def _is_gone(row: PlannedRow, snapshot: Snapshot) -> bool:
    if row.status is Status.WOULD_DEFER:
        return row.key in snapshot.sessions
    session = snapshot.sessions.get(row.key)
    return row.status is Status.ALREADY_CLOSED and (session is None or session.archived)


def after(plan: Plan, agent: str, part: Plan, shares: Sequence[Share]) -> tuple[Plan, Plan]:
    """Return what is left of a plan once an agent's sessions were closed, and of it what stays with its parents."""
    out = {row.key for row in part.rows if row.agent == agent and row.status is Status.ALREADY_CLOSED}
    for share in shares:
        if share.store.agent == agent:
            out |= share.results.those(Status.CLOSED, Status.ARCHIVED)
    rows = [
        row.but(status=Status.FAILED)
        if row.agent == agent and row.status is Status.WOULD_CLOSE and row.key not in out
        else row
        for row in plan.rows
    ]
    left = children.with_their_parents(rows)
    stay = tuple(row for row, before in zip(left, rows, strict=True) if row is not before)
    return plan._replace(rows=tuple(left)), Plan(stay)
