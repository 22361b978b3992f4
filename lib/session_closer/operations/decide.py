"""Turn snapshots into a plan, with what earlier runs say about keys that are in no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core import durations, planning
from ..core import verdicts as cleaning
from ..core.escape import plain
from ..core.hints import did_you_mean, not_here, tail_of
from ..core.kinds import AUTOMATION, Kind
from ..core.model import Life, Plan, PlannedRow, Reason, Session, Snapshot, Status
from ..core.planning import Choices
from ..core.policy import Rules
from ..core.report import RestartResult
from ..journal import clocks, history
from .run import Run


def decide(
    run: Run, snapshots: Mapping[str, Snapshot], stamp: str, only: frozenset[tuple[str, str]] | None = None
) -> Plan:
    """Return what is to be done with these stores; `only` restricts what may be closed."""
    plan, choices = _planned(run, snapshots, stamp, only)
    plan = _without_losses(run, plan, warns=only is None)
    if only is None:
        # Once, and not again under the lock.
        plan = replace(plan, rows=_hinted(run, plan.rows))
        if run.wish.rules is None:
            run.warn(*planning.spoken_of(plan, named=not run.wish.keep))
        run.runtime.going([(row.agent, row.key) for row in plan.closing])
    lent = {agent: run.runtime.lent(agent) for agent in sorted({row.agent for row in plan.closing if row.moves})}
    if any(lent.values()):
        plan = planning.spared(plan, snapshots, run.view, choices._replace(lent=lent))
    return run.runtime.attach(plan)


def _without_losses(run: Run, plan: Plan, *, warns: bool) -> Plan:
    """Return the plan without what could not be brought back whole; with each look it may be others."""
    refused = run.runtime.losses(plan)
    if not refused or run.options.lose_ignored:
        return plan
    if warns and run.wish.rules is not None:
        run.warn(*(f"{plain(key)} stays: {said}" for (_, key), said in refused.items()))
    return _without(run, plan, refused)


def _without(run: Run, plan: Plan, refused: Mapping[tuple[str, str], str]) -> Plan:
    """Return the plan with rows refused for what their worktrees hold; a policy spares and counts them."""
    if not refused:
        return plan
    rows = [planning.refused_for(row, refused.get((row.agent, row.key), "")) for row in plan.rows]
    kept = plan.kept + len(refused)
    if run.wish.rules is None:
        return replace(plan, rows=tuple(rows), kept=kept)
    for agent, key in refused:
        found = run.findings[agent]
        if found.verdicts.pop(key, None) is not None:
            found.spared[str(Reason.WORKTREE)] += 1
    return replace(plan, rows=tuple(row for row in rows if row.reason is not Reason.WORKTREE), kept=kept)


def _planned(
    run: Run, snapshots: Mapping[str, Snapshot], stamp: str, only: frozenset[tuple[str, str]] | None
) -> tuple[Plan, Choices]:
    own = frozenset(key for target in run.options.own for key in target.candidates)
    choices = Choices(run.options.force, run.options.via, stamp, only, _freed(run), own=own)
    if run.wish.rules is not None:
        return _by_policy(run, run.wish.rules, snapshots, choices), choices
    if run.wish.keep:
        assert run.wish.agent is not None
        snapshot = snapshots[run.wish.agent]
        if run.options.delete:
            hidden = [one for one in snapshot.sessions.values() if one.archived]
            choices = choices._replace(freeing=frozenset(_archived_by_us(run, snapshot.agent, hidden)))
        plan = planning.keep_only(run.wish.targets, snapshot, run.view, choices)
        return plan, choices
    targets = [target for target in run.wish.targets if target.agent in snapshots]
    plan = planning.close(targets, snapshots, run.view, choices)
    absent = [row for row in plan.rows if row.status is Status.NOT_FOUND]
    wanted = [(row.agent, key) for row in absent for key in run.wish.candidates(row.given, row.agent)]
    before = history.closed_before(run.runtime.root, wanted) if wanted else {}
    return replace(plan, rows=tuple(_remembered(run, row, before) for row in plan.rows)), choices


def _freed(run: Run) -> frozenset[Kind] | None:
    """Return the kinds of session whose keys are freed in a database, None for all of them."""
    if run.options.delete:
        return None
    return AUTOMATION if run.wish.rules is not None and not run.options.archive else frozenset()


def _by_policy(run: Run, rules: Rules, snapshots: Mapping[str, Snapshot], choices: Choices) -> Plan:
    """Return the plan of a cleanup; what may not go is spared, and counted."""
    wanted: dict[tuple[str, str], str] = {}
    rules = _unless_behind(run, rules)
    snapshots = {agent: run.runtime.marked(snapshot, rules.now) for agent, snapshot in snapshots.items()}
    doubt = clocks.doubt(rules.now, history.beginnings(run.runtime.root)) if rules.policy.expire_archives else None
    for agent, snapshot in snapshots.items():
        ours = _ours_to_free(run, rules, snapshot)
        if doubt is not None:
            certain = _ours_to_free(run, rules._replace(now=rules.now - doubt.seconds), snapshot)
            if agent not in run.findings and (doubted := ours.keys() - certain.keys()):
                count = "1 archived session stays" if len(doubted) == 1 else f"{len(doubted)} archived sessions stay"
                ahead = f"set ahead by {durations.shown(doubt.seconds)} since run {doubt.run}"
                run.warn(f"agent {agent}: {count}, which nothing but the clock calls old: it was {ahead}")
            ours = certain
        found = cleaning.findings(rules, snapshot, run.view, run.sizes.get(agent, {}), ours)
        if agent not in run.findings:
            run.warn(*(f"agent {agent}: {said}: the others are protected, or too young" for said in found.unmet))
        # What is decided again under the lock can only be less.
        run.findings.setdefault(agent, found)
        wanted.update(((agent, key), key) for key in found.verdicts)
    verdicts = {(agent, key): run.findings[agent].verdicts.get(key) for agent, key in wanted}
    freeing = frozenset(pair for pair, verdict in verdicts.items() if verdict and verdict.action in cleaning.FREEING)
    plan = planning.chosen(wanted, snapshots, run.view, choices._replace(freeing=freeing))
    for row in plan.rows:
        if row.status is not Status.WOULD_CLOSE:
            found = run.findings[row.agent]
            found.verdicts.pop(row.key, None)
            found.spared[str(row.reason or row.status)] += 1
    return replace(plan, rows=plan.closing)


def _unless_behind(run: Run, rules: Rules) -> Rules:
    """Return the rules; by a clock that is behind an earlier run of ours all rows may seem to be from far ahead."""
    if not rules.policy.unknown_is_old:
        return rules
    latest = max((begun.at.timestamp() for begun in history.beginnings(run.runtime.root) if begun.at), default=0.0)
    if latest <= rules.now + durations.AHEAD:
        return rules
    run.warn("the clock is behind the last run: --unknown-age-is-old does not hold; set it right")
    return rules._replace(policy=rules.policy._replace(unknown_is_old=False))


def _ours_to_free(run: Run, rules: Rules, snapshot: Snapshot) -> dict[str, cleaning.Action]:
    """Return which archived sessions the policy frees, and why: ours, and those that were to stay so by age alone."""
    found = {session.key: (session, action) for session, action in cleaning.archived(rules, snapshot)}
    ours = _archived_by_us(run, snapshot.agent, [session for session, _ in found.values()])
    actions = {key: (found[key][1], stays) for (_, key), stays in ours.items()}
    return {key: action for key, (action, stays) in actions.items() if not (action is cleaning.Action.FREE and stays)}


def _archived_by_us(run: Run, agent: str, sessions: Sequence[Session]) -> dict[tuple[str, str], bool]:
    """Return which (agent, key) we have archived, and whether to stay so: nobody else's archive is ours to free."""
    wanted = {
        (agent, session.key): (session.session_id, session.archived_at)
        for session in sessions
        if session.archived_at is not None
    }
    return history.archived_by_us(run.runtime.root, wanted)


def decide_again(run: Run, agent: str, snapshot: Snapshot, stamp: str, first: Plan) -> Plan:
    """Decide again for one store: only what the first plan closed may be closed, however the store has changed."""
    before = [row for row in first.closing if row.agent == agent]
    plan = decide(run, {agent: snapshot}, stamp, frozenset((row.agent, row.key) for row in before))
    if run.wish.keep and any(row.status is Status.NOT_FOUND for row in plan.rows):
        lost = "a session to keep has gone in this moment: look again"
        return replace(plan, rows=tuple(row._replace(status=Status.FAILED, hint=lost, moves=()) for row in before))
    named = {row.given for row in before}
    absent = (Status.NOT_FOUND, Status.ALREADY_CLOSED)
    rows = tuple(row for row in plan.rows if row.status not in absent or row.given not in named)
    vanished = tuple(
        row._replace(status=Status.ALREADY_CLOSED, moves=()) for row in before if row.key not in snapshot.sessions
    )
    return replace(plan, rows=(*rows, *vanished))


def _remembered(run: Run, row: PlannedRow, before: dict[tuple[str, str], str]) -> PlannedRow:
    """Return an absent row as what it is: closed by an earlier run, half closed by one that failed, or never seen."""
    if row.status is not Status.NOT_FOUND:
        return row
    for key in run.wish.candidates(row.given, row.agent):
        left = before.get((row.agent, key))
        if left and not run.options.dry_run:
            why = f"run {left}, which took it out of its store, was interrupted and is not finished"
            return row._replace(key=key, status=Status.FAILED, hint=why)
        if left is not None:
            return row._replace(key=key, status=Status.ALREADY_CLOSED)
    return row


def _hinted(run: Run, rows: Sequence[PlannedRow]) -> tuple[PlannedRow, ...]:
    """Return the rows, the absent ones with what their names may have meant."""
    hints: dict[int, str] = {}
    lost: dict[str, dict[int, str]] = defaultdict(dict)
    for at, row in enumerate(rows):
        if row.status is not Status.NOT_FOUND:
            continue
        if row.agent not in run.stores:
            there = ", ".join(run.runtime.agents()) or "none"
            hints[at] = f"agent {row.agent} has no sessions here; agents: {there}; name one with --agent"
        else:
            hints[at] = did_you_mean(row, run.snapshots[row.agent])
            if not hints[at]:
                lost[row.agent][at] = tail_of(row.given, row.agent)
    for agent, tails in lost.items():
        elsewhere = run.runtime.holders(agent, set(tails.values()))
        for at, tail in tails.items():
            hints[at] = not_here(rows[at], elsewhere.get(tail, ()), run.options.see)
    return tuple(row._replace(hint=hints[at]) if at in hints else row for at, row in enumerate(rows))


def nothing_to_restart(run: Run) -> RestartResult:
    """Return the restart of a run that needs none."""
    down = run.gateway.life is Life.DOWN
    return RestartResult(result="nothing-to-restart" if down else "not-needed")
