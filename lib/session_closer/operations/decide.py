"""Turn snapshots into a plan, with what earlier runs say about keys that are in no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import durations, planning
from ..core.escape import plain
from ..core.findings import FREEING, Action, Doubt, Findings
from ..core.model import Going, Plan, PlannedRow, Session, Snapshot
from ..core.planning import Choices
from ..core.status import Reason, Status
from ..core.words import AUTOMATION, Kind
from ..journal import clocks, closed, history

if TYPE_CHECKING:
    from ..core.details import Details
    from ..core.policy import Rules
    from .request import Look, Request


def decide(request: Request, found: Look) -> Plan:
    """Return what is to be done with what was found."""
    plan, choices = decide_ahead(request, found)
    if request.options.with_children:
        from . import children  # few runs take them along

        plan = children.with_their_parents(found, plan, choices)
        children.warn(request, found, plan)
    # Once, and not again under the lock.
    if any(row.status is Status.NOT_FOUND for row in plan.others):
        plan = plan._replace(rows=_hinted(request, found, plan.rows))
    if request.rules is None:
        request.warn(*planning.spoken_of(plan, named=not request.wish.keep))
    if request.wish.matching is not None:
        from ..core import filters

        if going := filters.counted(plan):
            request.warn(f"by kind: {going}")
    request.runtime.going({agent: Going.of(rows) for agent, rows in plan.by_agent.items()})
    with request.runtime.one_look():
        return _finished(request, found, plan, choices)


def decide_ahead(request: Request, found: Look) -> tuple[Plan, Choices]:
    """Return what is to be closed as far as each store tells by itself, and how that was chosen."""
    plan, choices = _planned(request, found, Choices(stamp=found.stamp))
    return _without_losses(request, plan, warns=True), choices


def decide_again(request: Request, found: Look, first: Plan) -> Plan:
    """Decide again for one store: only what the first plan closed may be closed, however the store has changed."""
    [(agent, snapshot)] = found.snapshots.items()
    before = first.by_agent.get(agent, ())
    only = frozenset((row.agent, row.key) for row in before)
    plan, choices = _planned(request, found, Choices(stamp=found.stamp, only=only), first)
    plan = _without_losses(request, plan, warns=False)
    if request.options.with_children:
        from . import children

        plan = children.with_their_parents(found, plan, choices, first)
        children.warn(request, found, plan, first)
    plan = _finished(request, found, plan, choices)
    if request.wish.keep and any(row.status is Status.NOT_FOUND for row in plan.others):
        lost = "a session to keep has gone in this moment: look again"
        return plan._replace(rows=tuple(row.but(status=Status.FAILED, hint=lost, moves=()) for row in before))
    named = {row.given for row in before}
    absent = (Status.NOT_FOUND, Status.ALREADY_CLOSED)
    rows = tuple(row for row in plan.rows if row.status not in absent or row.given not in named)
    vanished = tuple(
        row.but(status=Status.ALREADY_CLOSED, moves=()) for row in before if row.key not in snapshot.sessions
    )
    told = {row.key for row in (*rows, *vanished)}
    unlike = tuple(_no_more(row) for row in before if row.key not in told)
    return plan._replace(rows=(*rows, *vanished, *unlike))


def _no_more(row: PlannedRow) -> PlannedRow:
    """Return the row of a session that a filter takes no more, or that nothing which goes has for a child any more."""
    if row.parent:
        hint = "none of what goes is its parent any more"
        return row.but(status=Status.KEPT, reason=Reason.CHILD, hint=hint, moves=(), attached=(), left=())
    return row.but(status=Status.KEPT, reason=Reason.FILTER, hint="it does not match any more", moves=())


def _finished(request: Request, found: Look, plan: Plan, choices: Choices) -> Plan:
    """Return the plan without the files that others use, and with what is attached to what goes."""
    agents = sorted({row.agent for row in plan.closing if row.moves})
    lent = {agent: request.runtime.lent(agent) for agent in agents}
    if any(lent.values()):
        plan = planning.spared(plan, found.snapshots, found.view, choices._replace(lent=lent))
    return request.runtime.attach(plan)


def _without_losses(request: Request, plan: Plan, *, warns: bool) -> Plan:
    """Return the plan without what could not be brought back whole; with each look it may be others."""
    refused = request.runtime.losses(plan)
    if not refused or request.options.lose_ignored:
        return plan
    if warns and request.rules is not None:
        request.warn(*(f"{plain(key)} stays: {said}" for (_, key), said in refused.items()))
    rows = [planning.refused_for(row, refused.get((row.agent, row.key), "")) for row in plan.rows]
    kept = plan.kept + len(refused)
    if request.rules is None:
        return plan._replace(rows=tuple(rows), kept=kept)
    from ..core import verdicts

    findings = verdicts.spared(plan.findings, dict.fromkeys(refused, str(Reason.WORKTREE)))
    left = tuple(row for row in rows if row.reason is not Reason.WORKTREE)
    return plan._replace(rows=left, kept=kept, findings=findings)


def _planned(request: Request, found: Look, choices: Choices, first: Plan | None = None) -> tuple[Plan, Choices]:
    """Return a plan, and how it was chosen; `first`: the one that it may only be less than."""
    options, wish, snapshots = request.options, request.wish, found.snapshots
    choices = choices._replace(force=options.force, via=options.via, freed=_freed(request), own=wish.own)
    if wish.rules is not None:
        return _by_policy(request, wish.rules, found, choices, first), choices
    if wish.keep:
        return _keeping(request, found, choices)
    request, kept = _filtered(request, found, choices)
    named = {agent: snapshots[agent] for agent in wish.agents() if agent in snapshots}
    targets = [target for target in request.wish.targets if target.agent in named]
    plan = planning.close(targets, named, found.view, choices)
    plan = plan._replace(rows=(*plan.rows, *kept))
    absent = [row for row in plan.others if row.status is Status.NOT_FOUND]
    absent = [row for row in absent if row.reason is not Reason.FILTER]
    wanted = [(row.agent, key) for row in absent for key in request.wish.candidates(row.given, row.agent)]
    before = closed.closed_before(request.runtime.root, wanted) if wanted else {}
    plan = plan._replace(rows=tuple(_remembered(request, row, before) for row in plan.rows))
    if options.with_children:
        from . import children

        # What stays is counted in the stores of all that were named, whatever the filters leave of them.
        plan = children.added(request._replace(wish=wish), found, plan, choices, first)
    return plan, choices


def _keeping(request: Request, found: Look, choices: Choices) -> tuple[Plan, Choices]:
    """Return the plan that keeps the named sessions, and how it was chosen."""
    wish = request.wish
    assert wish.agent is not None
    snapshot = found.snapshots[wish.agent]
    if request.options.delete:
        hidden = [one for one in snapshot.sessions.values() if one.archived]
        choices = choices._replace(freeing=frozenset(_archived_by_us(request, snapshot.agent, hidden)))
    return planning.keep_only(wish.targets, snapshot, found.view, choices), choices


def _filtered(request: Request, found: Look, choices: Choices) -> tuple[Request, tuple[PlannedRow, ...]]:
    """Return the request for what the filters leave of the named sessions, or take of all, and rows for the others."""
    wish, now = request.wish, request.clock.seconds()
    if wish.matching is None:
        return request, ()
    from ..core import filters

    snapshots = {agent: request.runtime.marked(snapshot, now) for agent, snapshot in found.snapshots.items()}
    details: dict[str, Mapping[str, Details]] = {}
    if wish.matching.label is not None:
        details = {agent: store.details(snapshots[agent].sessions) for agent, store in found.stores.items()}
    scene = filters.Scene(snapshots, details, found.view, now, choices.own, request.options.force)
    taken = filters.choose(wish, scene)
    kept = tuple(row for row in taken.rows if choices.only is None or (row.agent, row.key) in choices.only)
    return request._replace(wish=wish._replace(targets=taken.targets)), kept


def _freed(request: Request) -> frozenset[Kind] | None:
    """Return the kinds of session whose keys are freed in a database, None for all of them."""
    if request.options.delete:
        return None
    return AUTOMATION if request.rules is not None and not request.options.archive else frozenset()


def _by_policy(request: Request, rules: Rules, found: Look, choices: Choices, first: Plan | None) -> Plan:
    """Return the plan of a cleanup; what may not go is spared, and counted."""
    from ..core import verdicts  # what was named needs no policy

    rules = _unless_behind(request, rules)
    runtime = request.runtime
    snapshots = {agent: runtime.marked(snapshot, rules.now) for agent, snapshot in found.snapshots.items()}
    doubt = clocks.doubt(rules.now, history.beginnings(runtime.root)) if rules.policy.expire_archives else None
    known = first.findings if first is not None else {}
    findings: dict[str, Findings] = {}
    wanted: dict[str, list[str]] = {}
    for agent, snapshot in snapshots.items():
        ours = _certainly_ours(request, rules, snapshot, doubt, warns=agent not in known)
        taken = verdicts.findings(rules, snapshot, found.view, found.sizes.get(agent, {}), ours)
        if agent not in known:
            request.warn(
                *(
                    f"agent {agent}: {said}: the others are protected, too young, or kept by a limit"
                    for said in taken.unmet
                )
            )
        wanted[agent] = list(taken.verdicts)
        # What is decided again under the lock can only be less.
        only = {key for of, key in choices.only or () if of == agent}
        findings[agent] = known[agent].again(taken, only) if agent in known else taken
    freeing = frozenset(
        (agent, key)
        for agent, of_agent in findings.items()
        for key, verdict in of_agent.verdicts.items()
        if verdict.action in FREEING
    )
    plan = planning.chosen(wanted, snapshots, found.view, choices._replace(freeing=freeing))
    staying = {(row.agent, row.key): str(row.reason or row.status) for row in plan.others}
    return plan._replace(rows=plan.closing, findings=verdicts.spared(findings, staying, counts_all=True))


def _certainly_ours(
    request: Request, rules: Rules, snapshot: Snapshot, doubt: Doubt | None, *, warns: bool
) -> dict[str, Action]:
    """Return which archived sessions the policy frees, and why, without those that only a doubted clock calls old."""
    ours = _ours_to_free(request, rules, snapshot)
    if doubt is None:
        return ours
    certain = _ours_to_free(request, rules._replace(now=rules.now - doubt.seconds), snapshot)
    doubted = ours.keys() - certain.keys()
    if warns and doubted:
        count = "1 archived session stays" if len(doubted) == 1 else f"{len(doubted)} archived sessions stay"
        ahead = f"set ahead by {durations.shown(doubt.seconds)} since run {doubt.run}"
        request.warn(f"agent {snapshot.agent}: {count}, which nothing but the clock calls old: it was {ahead}")
    return certain


def _unless_behind(request: Request, rules: Rules) -> Rules:
    """Return the rules; by a clock that is behind an earlier run of ours all rows may seem to be from far ahead."""
    if not rules.policy.unknown_is_old:
        return rules
    latest = max((begun.at.timestamp() for begun in history.beginnings(request.runtime.root) if begun.at), default=0.0)
    if latest <= rules.now + durations.AHEAD:
        return rules
    request.warn("the clock is behind the last run: --unknown-age-is-old does not hold; set it right")
    return rules._replace(policy=rules.policy._replace(unknown_is_old=False))


def _ours_to_free(request: Request, rules: Rules, snapshot: Snapshot) -> dict[str, Action]:
    """Return which archived sessions the policy frees, and why: ours, and those that were to stay so by age alone."""
    from ..core import verdicts

    found = {session.key: (session, action) for session, action in verdicts.archived(rules, snapshot)}
    ours = _archived_by_us(request, snapshot.agent, [session for session, _ in found.values()])
    actions = {key: (found[key][1], stays) for (_, key), stays in ours.items()}
    return {key: action for key, (action, stays) in actions.items() if not (action is Action.FREE and stays)}


def _archived_by_us(request: Request, agent: str, sessions: Sequence[Session]) -> dict[tuple[str, str], bool]:
    """Return which (agent, key) we have archived, and whether to stay so: nobody else's archive is ours to free."""
    wanted = {
        (agent, session.key): (session.session_id, session.archived_at)
        for session in sessions
        if session.archived_at is not None
    }
    return closed.archived_by_us(request.runtime.root, wanted)


def _remembered(request: Request, row: PlannedRow, before: dict[tuple[str, str], str]) -> PlannedRow:
    """Return an absent row as what it is: closed by an earlier run, half closed by one that failed, or never seen."""
    if row.status is not Status.NOT_FOUND or row.reason is Reason.FILTER:
        return row
    for key in request.wish.candidates(row.given, row.agent):
        left = before.get((row.agent, key))
        if left and not request.options.dry_run:
            why = f"run {left}, which took it out of its store, was interrupted and is not finished"
            return row.but(key=key, status=Status.FAILED, hint=why)
        if left is not None:
            return row.but(key=key, status=Status.ALREADY_CLOSED)
    return row


def _hinted(request: Request, found: Look, rows: tuple[PlannedRow, ...]) -> tuple[PlannedRow, ...]:
    """Return the rows, the absent ones with what their names may have meant."""
    from ..core import hints  # as a rule each name is some session's
    from . import absent

    told: dict[int, str] = {}
    lost: dict[str, dict[int, str]] = defaultdict(dict)
    for at, row in enumerate(rows):
        if row.status is not Status.NOT_FOUND or (row.reason is Reason.FILTER and row.agent in found.stores):
            continue
        if row.agent not in found.stores:
            told[at] = hints.no_agent(row.agent, request.runtime.known_agents())
        else:
            told[at] = hints.did_you_mean(row, found.snapshots[row.agent])
            if not told[at]:
                lost[row.agent][at] = hints.tail_of(row.given, row.agent)
    for agent, tails in lost.items():
        elsewhere = request.runtime.holders(agent, set(tails.values()))
        seen = absent.put_away(found.stores[agent])
        for at, tail in tails.items():
            told[at] = absent.lacking(rows[at], elsewhere.get(tail, ()), seen, request.options)
    return tuple(row.but(hint=told[at]) if at in told else row for at, row in enumerate(rows))
