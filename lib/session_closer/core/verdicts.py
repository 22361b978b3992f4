"""Which sessions a policy takes, and why: decided from snapshots alone (pure)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import durations, keys, kinds, names, transcripts
from .findings import Action, Findings, Verdict, weight
from .kinds import is_peer_direct
from .protection import BOUND, PINNED, RUNNING, protection
from .transcripts import is_idle, is_running
from .value import Value
from .words import AUTOMATION, Kind

if TYPE_CHECKING:
    from .model import GatewayView, Session, Snapshot
    from .policy import Policy, Rules

# A session that was just made has no transcript yet.
MISSING_SECONDS = 600.0
# No limit takes what was used so short a time ago: it may be about to be used.
CAP_SECONDS = 600.0
UNKNOWN, ACTIVE, NEWEST = "unknown-age", "active", "newest"


# Also a row without a transcript may have been made a moment ago.
_BY_AGE = (Action.PRUNE_STALE, Action.PRUNE_MISSING)


def spared(
    findings: Mapping[str, Findings], staying: Mapping[tuple[str, str], str], *, counts_all: bool = False
) -> dict[str, Findings]:
    """Return findings without rows, by (agent, key), that stay for a reason after all, each counted by its reason.

    `counts_all`: also those for which there is no verdict any more.
    """
    made = dict(findings)
    for agent in {agent for agent, _ in staying}:
        found = made[agent]
        left = {key: verdict for key, verdict in found.verdicts.items() if (agent, key) not in staying}
        counted = Counter(
            why for (of, key), why in staying.items() if of == agent and (counts_all or key in found.verdicts)
        )
        made[agent] = found.but(left, found.spared + counted)
    return made


class _Row(Value, frozen=True):
    session: Session
    kind: Kind
    age: float | None
    guard: str | None


def findings(
    rules: Rules,
    snapshot: Snapshot,
    view: GatewayView,
    sizes: Mapping[str, int],
    ours: Mapping[str, Action] = MappingProxyType({}),
) -> Findings:
    """Return what the policy takes of one store; `sizes`: the bytes of each session, needed for `max_disk` only.

    `ours` are the keys that we have archived and that are to be freed, and why.
    """
    staying = {key for name in rules.active for key in keys.fitting(name, snapshot.agent).candidates}
    rows = _rows(rules, snapshot, view, staying)
    shared = {row.session.key: _transcript(row.session) for row in rows} if rules.policy.max_disk is not None else {}
    found = Findings(len(rows), shared)
    verdicts, by_age = found.verdicts, _goes_by_age(rules)
    for row in rows:
        action = _stale(rules, row) if by_age else _named(rules, row, snapshot)
        if action is None:
            continue
        if (why := _spared(row, action, rules.policy)) is not None:
            found.spared[why] += 1
        else:
            verdicts[row.session.key] = Verdict(action, row.kind, row.age)
    _limit(found, rows, sizes, rules.policy)
    for key, action in ours.items():
        if key not in staying:
            session = snapshot.sessions[key]
            found.verdicts[key] = Verdict(action, kinds.of(session), durations.since(session.archived_at, rules.now))
    return found


def _spared(row: _Row, action: Action, policy: Policy) -> str | None:
    """Return why a row stays though the policy names it, None where it goes."""
    if row.guard is None and row.age is not None:
        return None
    # A direct message that dmScope has left behind is the one kind of durable row that may go.
    retired = action is Action.RETIRE_DM_SCOPE and row.guard == Kind.DIRECT
    # Of what has lost its transcript nothing is left that could be the newest.
    lost = action is Action.PRUNE_MISSING and row.guard == NEWEST
    if row.guard is not None and not retired and not lost:
        return row.guard
    return UNKNOWN if row.age is None and action in _BY_AGE and not policy.unknown_is_old else None


def _limit(found: Findings, rows: Sequence[_Row], sizes: Mapping[str, int], policy: Policy) -> None:
    """Take the oldest of the rows that stay until the store keeps to the policy's limits, as far as it can."""
    if policy.max_entries is policy.max_disk is None:
        return
    left = [row for row in rows if row.session.key not in found.verdicts]
    if policy.max_entries is not None:
        left = _cap(found, left, len(left) - policy.max_entries, policy)
        if len(left) > policy.max_entries:
            found.unmet.append(f"{len(left)} sessions stay, more than --max-entries {policy.max_entries}")
    if policy.max_disk is not None:
        _evict(found, left, sizes, policy)


def archived(rules: Rules, snapshot: Snapshot) -> Iterator[tuple[Session, Action]]:
    """Give the archived sessions that the policy would free, whoever archived them, and why."""
    policy = rules.policy
    for session in snapshot.sessions.values():
        age = durations.since(session.archived_at, rules.now)
        if age is None or session.pinned:
            continue
        of_kind = kinds.of(session)
        if policy.expire_archives is not None and age > policy.expire_archives:
            yield session, Action.EXPIRE_ARCHIVE
        elif of_kind in AUTOMATION and of_kind in policy.stale and not rules.archive:
            yield session, Action.FREE


def _own(snapshot: Snapshot) -> Iterator[Session]:
    """Give the agent's own rows: in a file for all agents the others are not its business."""
    first = f"agent:{snapshot.agent}:"
    for key, session in snapshot.sessions.items():
        if not session.archived and (key.startswith(first) or (snapshot.own_index and keys.agent_of(key) is None)):
            yield session


def _newest(rows: Iterable[_Row], policy: Policy) -> set[str]:
    """Return the keys that stay because they are among the newest of their cron job, or of their parent."""
    groups: dict[tuple[Kind, str], list[_Row]] = defaultdict(list)
    for row in rows if policy.keep_last is not None else ():
        if (owner := _owner(row)) is not None:
            groups[row.kind, owner].append(row)
    ordered = (sorted(group, key=lambda row: math.inf if row.age is None else row.age) for group in groups.values())
    return {row.session.key for group in ordered for row in group[: policy.keep_last]}


def _owner(row: _Row) -> str | None:
    """Return the job of a run, or the parent of another session; None where there is neither."""
    key = row.session.key.lower().strip()
    if row.kind is Kind.CRON_RUN:
        return key.rpartition(":run:")[0]
    parent = next(filter(None, row.session.parents), None)
    if parent is not None or row.kind is not Kind.SUBAGENT:
        return parent
    # Of a subagent's own subagent the key says whose it is.
    return key.rpartition(":subagent:")[0]


def _rows(rules: Rules, snapshot: Snapshot, view: GatewayView, staying: set[str]) -> list[_Row]:
    may_run = not is_idle(snapshot, view)
    rows = [
        _row(rules, session, staying, running=may_run and is_running(session, snapshot, view))
        for session in _own(snapshot)
    ]
    newest = _newest(rows, rules.policy)
    if not newest:
        return rows
    return [row.but(guard=NEWEST) if not row.guard and row.session.key in newest else row for row in rows]


def _row(rules: Rules, session: Session, staying: set[str], *, running: bool) -> _Row:
    of_kind = kinds.of(session)
    guard = protection(of_kind, session, running=running)
    if guard == Kind.DIRECT:
        # What else keeps a session holds for those that `fix_dm_scope` may take, too.
        guard = PINNED if session.pinned else BOUND if session.bound else RUNNING if running else guard
    return _Row(
        session, of_kind, durations.since(session.updated_at, rules.now), ACTIVE if session.key in staying else guard
    )


def _transcript(session: Session) -> str:
    return session.session_id or session.session_file or session.key


def _named(rules: Rules, row: _Row, snapshot: Snapshot) -> Action | None:
    """Return what the policy has in mind for a row, protected or not."""
    policy = rules.policy
    if policy.fix_dm_scope and rules.dm_scope == "main" and row.kind is Kind.DIRECT and is_peer_direct(row.session.key):
        return Action.RETIRE_DM_SCOPE
    if policy.fix_missing and _lacks_transcript(row, snapshot):
        return Action.PRUNE_MISSING
    return _stale(rules, row)


def _goes_by_age(rules: Rules) -> bool:
    """Tell whether the policy has nothing in mind for any row but how old its kind may be."""
    policy = rules.policy
    return not policy.fix_missing and not (policy.fix_dm_scope and rules.dm_scope == "main")


def _stale(rules: Rules, row: _Row) -> Action | None:
    limit = rules.policy.stale.get(row.kind)
    return Action.PRUNE_STALE if limit is not None and (row.age is None or row.age > limit) else None


def _lacks_transcript(row: _Row, snapshot: Snapshot) -> bool:
    """Tell whether a row names a transcript that is gone; in a database none can be."""
    session = row.session
    if not snapshot.traits.loose_files or not session.id_usable or (row.age is not None and row.age < MISSING_SECONDS):
        return False
    if session.session_file and not transcripts.is_in_folder(session, snapshot):
        return False
    there = (name for name in transcripts.of(session, snapshot) if name in snapshot.files or name in snapshot.odd)
    return all(names.is_companion(name) for name in there)


def _cap(found: Findings, rows: Sequence[_Row], surplus: int, policy: Policy) -> list[_Row]:
    """Take the oldest rows until the store has no more than so many; return the rows that are left."""
    if surplus <= 0:
        return list(rows)
    for row in _oldest(rows, policy)[:surplus]:
        found.verdicts[row.session.key] = Verdict(Action.CAP_OVERFLOW, row.kind, row.age)
    return [row for row in rows if row.session.key not in found.verdicts]


def _evict(found: Findings, rows: Sequence[_Row], sizes: Mapping[str, int], policy: Policy) -> None:
    assert policy.max_disk is not None
    sharing = Counter(found.transcripts[row.session.key] for row in rows)
    total = weight(found, {row.session.key for row in rows}, sizes)
    # A transcript that several rows share is free when the last of them goes: they go together, or stay.
    waiting: dict[str, list[_Row]] = defaultdict(list)
    for row in _oldest(rows, policy):
        if total <= policy.max_disk:
            break
        name, size = found.transcripts[row.session.key], sizes.get(row.session.key, 0)
        waiting[name].append(row)
        if size and len(waiting[name]) == sharing[name]:
            total -= size
            for other in waiting[name]:
                found.verdicts[other.session.key] = Verdict(Action.EVICT_BUDGET, other.kind, other.age)
    if total > policy.max_disk:
        held, most = durations.shown_size(total), durations.shown_size(policy.max_disk)
        found.unmet.append(f"the transcripts that stay take {held}, more than --max-disk {most}")


def _oldest(rows: Iterable[_Row], policy: Policy) -> list[_Row]:
    """Return the rows that a limit may take, oldest first."""
    free = [
        row
        for row in rows
        if row.guard is None and (policy.unknown_is_old if row.age is None else row.age >= CAP_SECONDS)
    ]
    return sorted(free, key=lambda row: math.inf if row.age is None else row.age, reverse=True)
