"""What OpenClaw itself keeps of sessions beside their store: runs of subagents, bound conversations, cron jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core import kinds
from ..core.errors import Refused
from ..core.model import Snapshot
from ..system import files
from .home import Home

_BYTES = 64 << 20
# Beyond it no number of ms is a moment.
_MOST = 1 << 53
# When OpenClaw itself calls a run without an end stale: after two hours, or a minute after its own time limit.
_RUN_SECONDS, _GRACE_SECONDS = 7200.0, 60.0
_BINDINGS = ("bindings", "telegram", "matrix", "discord", "feishu")
_STARTED = ("createdAt", "startedAt", "sessionStartedAt")


def marked(home: Home, snapshot: Snapshot, now: float) -> Snapshot:
    """Return a snapshot whose sessions say whether their cron job is gone, and whether people are bound to them."""
    tied = bound(home, now)
    own = kinds.jobs_of(snapshot.sessions.keys())
    known = jobs(home) if own else None
    orphaned = set() if known is None else {key for key, job in own.items() if job not in known}
    instead = {
        key: snapshot.sessions[key].but(orphaned=key in orphaned, bound=key in tied)
        for key in orphaned.union(tied & snapshot.sessions.keys())
    }
    if not instead:
        return snapshot
    from ..core import lazy  # few sessions are marked

    return snapshot._replace(sessions=lazy.changed(snapshot.sessions, instead))


def running(home: Home, now: float) -> frozenset[str]:
    """Return the keys of the subagents that have a run without an end which is young; `now` in s since 1970."""
    path = os.path.join(home.state, "subagents", "runs.json")
    found = _object(path)
    runs = found.get("runs") if found else None
    written = os.stat(path).st_mtime if found else now
    listed = list(runs.values()) if isinstance(runs, dict) else []
    columns = "child_session_key, created_at, started_at, session_started_at, ended_at, run_timeout_seconds"
    names = ("childSessionKey", *_STARTED, "endedAt", "runTimeoutSeconds")
    listed += [dict(zip(names, row, strict=True)) for row in _table(home, "subagent_runs", columns)]
    return frozenset(
        str(run["childSessionKey"]).strip() for run in _objects(listed) if _runs(run, written, now) and _target(run)
    )


def _target(run: Mapping[str, Any]) -> bool:
    return isinstance(run.get("childSessionKey"), str)


def _runs(run: Mapping[str, Any], written: float, now: float) -> bool:
    """Tell whether a run has not ended and is young; where it does not say when it began, its file does."""
    if _number(run.get("endedAt")) is not None:
        return False
    # The session of a run may be much older than the run.
    began = max((moment for name in _STARTED if (moment := _number(run.get(name))) is not None), default=written * 1000)
    limit = _number(run.get("runTimeoutSeconds"))
    longest = _RUN_SECONDS if limit is None else max(_RUN_SECONDS, limit + _GRACE_SECONDS)
    return now - began / 1000 <= longest


def bound(home: Home, now: float) -> frozenset[str]:
    """Return the keys to which a conversation of people is bound, as long as the binding holds."""
    records = [record for path in _binding_files(home) for record in _records(_object(path))]
    for text, until in _table(home, "current_conversation_bindings", "record_json, expires_at"):
        record = _parsed(text)
        records += [{"expiresAt": until, **record}] if record else []
    keys = (record.get("targetSessionKey") for record in records if _holds(record, now * 1000))
    return frozenset(key.strip() for key in keys if isinstance(key, str))


def _binding_files(home: Home) -> Iterator[str]:
    for place in _BINDINGS:
        for folder, _, names in os.walk(os.path.join(home.state, place)):
            for name in sorted(names):
                if name.endswith(".json") and (place == "bindings" or name.startswith("thread-bindings")):
                    yield os.path.join(folder, name)


def _records(found: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Give the records of a file of bindings: a list, or an object by conversation."""
    listed = (found or {}).get("bindings")
    yield from _objects(listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else ())


def _holds(record: Mapping[str, Any], now: float) -> bool:
    ends = [_number(record.get("expiresAt"))]
    for limit, start in (("idleTimeoutMs", "lastActivityAt"), ("maxAgeMs", "boundAt")):
        length, since = _number(record.get(limit)), _number(record.get(start))
        ends.append(since + length if length and since is not None else None)
    return record.get("status") in (None, "active") and all(end is None or end > now for end in ends)


def jobs(home: Home) -> frozenset[str] | None:
    """Return the ids of all cron jobs in lower case, None where there is no list of them that can be read."""
    path = home.cron_jobs
    if path is None:
        return None
    there, found = files.exists(path, follow=True), _object(path)
    if there and not isinstance((found or {}).get("jobs"), list):
        return None
    rows = _table(home, "cron_jobs", "job_id", default=None)
    if not there and rows is None:
        return None
    ids = [job.get("id") for job in _objects(found["jobs"] if found else ())] + [row[0] for row in rows or ()]
    return frozenset(job.strip().lower() for job in ids if isinstance(job, str))


def _table(home: Home, name: str, columns: str, default: Any = ()) -> Any:
    """Return these columns of a table of the database that all agents share, `default` where it has none such."""
    path = home.state_database
    if not files.exists(path, follow=True):
        return default
    from .sqlite.database import reading  # most file stores have no such database

    try:
        with reading(path) as connection:
            # A view can be a query that never ends.
            query = (
                "select c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and m.name = ?"
            )
            known = {row[0] for row in connection.execute(query, (name,))}
            if not known.issuperset(columns.split(", ")):
                return default
            return connection.execute(f"select {columns} from {name}").fetchall()  # noqa: S608
    except Refused:
        return default


def _object(path: str) -> Mapping[str, Any] | None:
    """Return the JSON object in a file, None where there is none; any other error of the disk is no answer."""
    try:
        return _parsed(files.read(path, _BYTES)[0])
    except OSError as problem:
        if files.is_no_file(problem):
            return None
        raise


def _parsed(text: Any) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _objects(found: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in found if isinstance(each, dict))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _MOST else None
