"""What a cleanup took, in numbers: one summary per store in OpenClaw's field names, and why each row went (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from .findings import FREEING, Action, Findings, Verdict, weight
from .kinds import openclaw_deletes
from .model import Traits
from .report import Outcome, Why
from .status import Status

if TYPE_CHECKING:
    from .policy import Policy

_GONE = frozenset({Status.CLOSED, Status.ARCHIVED, Status.WOULD_CLOSE, Status.WOULD_ARCHIVE})
_FREED = frozenset({Status.EXPIRED, Status.WOULD_EXPIRE})


# The rules that OpenClaw's own cleanup has, too.
_SHARED = frozenset({Action.PRUNE_STALE, Action.CAP_OVERFLOW})


def explained(row: Outcome, findings: Findings | None, size: int | None, traits: Traits) -> Outcome:
    """Return a session's row with why the policy took it; `size` are its bytes."""
    verdict = findings.verdicts.get(row.key) if findings is not None and row.key else None
    if verdict is None:
        return row
    theirs = _openclaw(row.key, verdict) if traits.own_cleanup else None
    return row._replace(why=Why(str(verdict.action), str(verdict.kind), verdict.age, size, theirs))


def _openclaw(key: str, verdict: Verdict) -> str | None:
    if verdict.action not in _SHARED:
        return None
    return "delete" if openclaw_deletes(key, verdict.kind) else "archive"


def summary(
    findings: Findings,
    rows: Sequence[Outcome],
    sizes: Mapping[str, int],
    policy: Policy,
    traits: Traits,
    *,
    closed: Set[str] | None = frozenset(),
) -> dict[str, Any]:
    """Return what became of one store: `rows` are results of its agent, `sizes` bytes by session key.

    `closed` are the keys of closed sessions which free their keys, of which not all have a row, None: all there were.
    """
    gone, actions = _gone(findings, rows, closed)
    count = Counter([action for action in actions if action not in FREEING])
    number = count.total()
    keys: Collection[str] = ()
    if traits.own_cleanup or policy.max_disk is not None:
        taken = findings.verdicts.keys() & (findings.verdicts.keys() if closed is None else closed)
        keys = [key for key in (*gone, *taken) if findings.verdicts[key].action not in FREEING]
    files = [row for row in rows if row.why is not None and row.why.action == Action.ARCHIVE_ORPHAN]
    freed = [row for row in rows if row.status in _FREED]
    after = findings.count - number
    return {
        "beforeCount": findings.count,
        "afterCount": after,
        "missing": count[Action.PRUNE_MISSING],
        "dmScopeRetired": count[Action.RETIRE_DM_SCOPE],
        "pruned": count[Action.PRUNE_STALE],
        "capped": count[Action.CAP_OVERFLOW],
        "diskBudget": _budget(findings, keys, sizes, policy),
        "unreferencedArtifacts": {"removedFiles": len(files), "bytes": _bytes(files)},
        "openclawArchives": sum(_openclaw(key, findings.verdicts[key]) == "archive" for key in keys)
        if traits.own_cleanup
        else None,
        "freedSessions": len(actions) - sum(not frees for frees in gone.values()),
        "expiredArchives": {"removedFiles": len(freed), "freedBytes": _bytes(freed)},
        "spared": dict(sorted(findings.spared.items())),
        "wouldMutate": bool(actions or files or freed),
    }


def _gone(findings: Findings, rows: Sequence[Outcome], closed: Set[str] | None) -> tuple[dict[str, bool], list[Action]]:
    """Return which other rows than the closed ones go, each with whether that frees its key, and why all of them go."""
    if closed is None:
        return {}, findings.actions()
    verdicts = findings.verdicts
    others = verdicts.keys() - closed
    gone = {row.key: row.key_free is True for row in rows if row.status in _GONE and row.key in others}
    return gone, [verdicts[key].action for key in (*gone, *(verdicts.keys() & closed))]


def _budget(
    findings: Findings, sessions: Collection[str], sizes: Mapping[str, int], policy: Policy
) -> dict[str, Any] | None:
    if policy.max_disk is None:
        return None
    before = weight(findings, findings.transcripts, sizes)
    after = weight(findings, set(findings.transcripts).difference(sessions), sizes)
    evicted = sum(findings.verdicts[key].action is Action.EVICT_BUDGET for key in sessions)
    return {
        "totalBytesBefore": before,
        "totalBytesAfter": after,
        "removedEntries": evicted,
        "maxBytes": policy.max_disk,
        "overBudget": after > policy.max_disk,
    }


def _bytes(rows: Sequence[Outcome]) -> int:
    return sum(row.why.size or 0 for row in rows if row.why is not None)
