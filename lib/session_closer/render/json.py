"""What happened as one JSON document, member by member as docs/json.md has it (pure)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..core import durations
from ..core.ending import exit_code, is_fine, shown_rows
from ..core.errors import CloserError, ExitCode, Ours
from ..core.report import GatewayResult, Outcome, Report, RestartResult, StoreResult, Why
from . import amounts, artifacts, effects, excerpt, rehearsal, runs

if TYPE_CHECKING:
    from ..core.export.exported import Exported
    from ..core.report import ArtifactRow
    from ..core.selection import Listing, Row
    from ..core.shown import Found

LIST = "list-sessions"
_SHARED_MEMBERS = ("ok", "exitCode", "operation", "dryRun", "gateway", "warnings", "error")


def as_json(report: Report, called: Callable[[Ours], str] = str, *, whole: bool = False) -> str:
    """Return the envelope (docs/json.md) as one line of JSON; `called` tells how a command of ours is called.

    Unless `whole`, rows that would make it long are left out.
    """
    counts = _counts(report, report.results if report.artifacts is None else report.artifacts)
    told = shown_rows(report.results, report.most_rows)
    # A copy that is left out with the last row that it is of has to see them all.
    members = envelope(report, called, told if whole or report.exported is not None else excerpt.perhaps_told(told))
    if report.receipts is not None:
        members = {"hasMore": len(report.receipts) < report.receipts_total, **members}
    return excerpt.encoded(members, counts, whole=whole)


def envelope(report: Report, called: Callable[[Ours], str], rows: Iterable[Outcome]) -> dict[str, Any]:
    """Return the members of the envelope (docs/json.md); `rows` are those of its results that are in it."""
    code = exit_code(report)
    members: dict[str, Any] = {
        "ok": code is ExitCode.OK,
        "exitCode": int(code),
        "operation": report.operation,
        "dryRun": report.dry_run,
        "stores": [_store(store) for store in report.stores],
        "results": [result(row, missing_ok=report.missing_ok) for row in rows],
        "kept": report.kept,
        **amounts.members(report),
        "children": report.children,
        "gateway": _gateway(report.gateway),
        "restart": _restart(report.restart),
        "receipt": report.receipt,
        "undo": report.undo,
        "free": report.free,
        "warnings": list(report.warnings),
        "error": _error(report.error, called),
    }
    if report.artifacts is not None:
        members |= artifacts.members(report, shown_rows(report.artifacts, report.most_rows))
    if report.most_rows is not None and report.found is None:
        told = len(report.results if report.artifacts is None else report.artifacts)
        members["resultsTotal"] = told + sum(more.number for more in report.untold)
    if report.rules is not None:
        members["rules"] = report.rules
    if report.page is not None:
        members["report"] = report.page
    if report.rehearsal is not None:
        members["rehearsal"] = rehearsal.members(report.rehearsal)
    if report.exported is not None:
        members["exported"] = [exported(row) for row in report.exported]
    members |= runs.members(report)
    if report.undone is not None:
        members["runs"] = [_undone(run, each, called) for run, each in report.undone]
    if report.found is not None:
        members["found"] = [_found(row) for row in report.found[: report.most_rows]]
        members["foundTotal"] = len(report.found)
    return members


def _counts(report: Report, rows: Sequence[Outcome | ArtifactRow]) -> Counter[str]:
    """Return how many there are of each status, those that are told by their number alone among them."""
    counted = Counter(str(row.status) for row in rows)
    counted.update({str(more.status): more.number for more in report.untold})
    return counted


def _undone(run: str, report: Report, called: Callable[[Ours], str]) -> dict[str, Any]:
    """Return what became of one of the runs that were undone together."""
    code = exit_code(report)
    return {
        "id": run,
        "ok": code is ExitCode.OK,
        "exitCode": int(code),
        "counts": _counts(report, [*report.results, *(report.artifacts or ())]),
        "restart": _restart(report.restart),
        "receipt": report.receipt,
        "undo": report.undo,
        "error": _error(report.error, called),
    }


def _store(store: StoreResult) -> dict[str, Any]:
    return {
        "agent": store.agent,
        "path": store.path,
        "era": store.era,
        "backup": store.backup,
        **({"kept": list(store.kept)} if store.kept else {}),
        **(store.summary or {}),
    }


def exported(row: Exported) -> dict[str, Any]:
    """Return one row of `exported` (docs/json.md)."""
    return {
        "agent": row.agent,
        "key": row.key,
        "path": row.path,
        "files": row.files,
        "bytes": row.size,
        "sha256": row.sha256,
        "events": row.events,
    }


def result(row: Outcome, *, missing_ok: bool) -> dict[str, Any]:
    """Return one row of `results` (docs/json.md)."""
    return {
        "input": row.given,
        "agent": row.agent,
        "key": row.key or None,
        "ok": is_fine(row, missing_ok=missing_ok),
        "status": str(row.status),
        "reason": str(row.reason) if row.reason else None,
        "sessionId": row.session_id,
        "route": str(row.route) if row.route else None,
        "archives": list(row.archives),
        "left": list(row.left),
        "keyFree": row.key_free,
        "message": effects.MESSAGE if row.key_free is False else None,
        "effects": effects.as_json(row.effects) if row.effects else [],
        "error": row.error,
        **({"run": row.run} if row.run is not None else {}),
        **({"notRestored": effects.as_json(row.not_restored)} if row.not_restored else {}),
        **({"parentKey": row.parent} if row.parent else {}),
        **({"until": row.until} if row.until is not None else {}),
        **(_why(row.why) if row.why is not None else {}),
    }


def _why(why: Why) -> dict[str, Any]:
    age = None if why.age is None else int(why.age)
    return {"action": why.action, "kind": why.kind, "ageSeconds": age, "bytes": why.size, "openclaw": why.openclaw}


def _gateway(gateway: GatewayResult | None) -> dict[str, Any] | None:
    if gateway is None:
        return None
    return {
        "state": str(gateway.life),
        "pid": gateway.pid,
        "port": gateway.port,
        "version": gateway.version,
        "evidence": list(gateway.evidence),
    }


def _restart(restart: RestartResult) -> dict[str, Any]:
    return {
        "needed": restart.needed,
        "ok": restart.ok,
        "result": restart.result,
        "detail": restart.detail or None,
    }


def _error(error: CloserError | None, called: Callable[[Ours], str]) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "code": int(error.code),
        "name": error.name,
        "message": error.message,
        "remedy": error.next_step(called) or None,
    }


def shared(report: Report, code: ExitCode, called: Callable[[Ours], str]) -> dict[str, Any]:
    """Return the members that all documents have; `code` is the exit code."""
    members = envelope(report, called, ())
    found = {name: members[name] for name in _SHARED_MEMBERS}
    return {**found, "ok": code is ExitCode.OK, "exitCode": int(code)}


def list_as_json(listing: Listing, called: Callable[[Ours], str] = str, page: str | None = None) -> str:
    """Return the envelope (docs/json.md) as one line of JSON: what is missing of the list comes first.

    `path`, `allAgents`, `count` and `activeMinutes` are those of `openclaw sessions --json`.
    """
    report = Report(LIST, gateway=listing.gateway, warnings=listing.warnings, error=listing.error)
    wanted = listing.wanted
    is_one = wanted.agent is not None or wanted.store is not None
    return json.dumps(
        {
            "hasMore": listing.has_more,
            "count": len(listing.rows),
            "totalCount": listing.total,
            "limitApplied": wanted.limit,
            "activeMinutes": None if wanted.active is None else int(wanted.active // durations.SECONDS["m"]),
            "allAgents": not is_one,
            "path": listing.stores[0].path if is_one and len(listing.stores) == 1 else None,
            **shared(report, listing.exit_code, called),
            **({"report": page} if page is not None else {}),
            "stores": [
                {"agent": each.agent, "agentId": each.agent, "path": each.path, "era": each.era}
                for each in listing.stores
            ],
            "sessions": [_session(row) for row in listing.rows],
        }
    )


def _session(row: Row) -> dict[str, Any]:
    session, details = row.session, row.details
    members = {
        "key": session.key,
        "agent": row.agent,
        "agentId": row.agent,
        "kind": str(row.kind),
        "label": details.label,
        "displayName": details.display_name,
        "title": details.title,
        "channel": details.channel,
        "sessionId": session.session_id,
        "updatedAt": session.updated_at,
        "ageSeconds": None if row.age is None else int(row.age),
        "createdAt": details.created_at,
        "status": session.status,
        "model": session.model,
        "modelProvider": details.model_provider,
        "inputTokens": details.input_tokens,
        "outputTokens": details.output_tokens,
        "totalTokens": details.total_tokens,
        "contextTokens": details.context_tokens,
        "parentKey": details.parent_key,
        "spawnedBy": details.spawned_by,
        "transcriptBytes": row.size,
        "archived": session.archived,
        "pinned": session.pinned,
        "running": row.running,
        "protected": row.protected,
    }
    return {name: value for name, value in members.items() if value is not None}


def _found(row: Found) -> dict[str, Any]:
    """Return a row of `found` (docs/json.md)."""
    return {
        "id": row.id,
        "agent": row.agent,
        "key": row.key,
        "sessionId": row.session_id,
        "reason": row.reason,
        "at": row.at,
        "bytes": row.size,
        "settings": row.settings,
        "receipt": row.receipt,
        "archive": row.archive,
    }
