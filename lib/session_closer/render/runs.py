"""Earlier runs: a list of them, and one in full, as lines for people and as members of JSON (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core import durations
from ..core.escape import plain, quoted
from .grid import Block, Grid, GridRow, Tone

if TYPE_CHECKING:
    from ..core.report import Report
    from ..core.shown import ReceiptRow, RunPart, RunShown

_HEADS = ("RUN", "AGE", "COMMAND", "DID", "AGENT", "REASON")
_PARTS = ("THEN", "NOW", "SIZE", "WHAT")
# How the state of a run is shown; any other is wrong with it.
_STATES: dict[str, Tone] = {"done": "good", "open": "busy"}
_WRONG = frozenset({"failed", "conflict", "came_back"})


def listed(rows: Sequence[ReceiptRow], total: int) -> list[Block]:
    """Return the table that a person reads, and ahead of it how many runs there are."""
    if not total:
        return ["no receipts"]
    every = f"{total:,} run{'' if total == 1 else 's'}"
    ahead = f"{every}, {len(rows):,} of them shown" if len(rows) < total else every
    cells = [(_cells(row), _STATES.get(row.state, "bad")) for row in rows]
    out: list[Block] = [ahead, _grid(_HEADS, cells, frozenset({1}), 3)]
    if len(rows) < total:
        out.append(f"{total - len(rows):,} more: --limit all shows them")
    return out


def _cells(row: ReceiptRow) -> tuple[str, ...]:
    return (
        row.id,
        "?" if row.age is None else durations.shown(row.age),
        row.operation or "-",
        did(row),
        ", ".join(map(plain, row.agents)) or "-",
        quoted(row.reason) if row.reason else "",
    )


def did(row: ReceiptRow) -> str:
    """Return what a run came to: how many it closed, and what has become of them, or how many it brought back."""
    if row.state != "done":
        return "has not ended" if row.state == "open" else row.state
    freed = [f"{row.freed} archive{'' if row.freed == 1 else 's'} freed"] if row.freed else []
    if row.verb == "restored":
        said = [f"{row.restored} restored"]
    elif not row.sessions and freed:
        said = []
    else:
        said = [f"{row.closed} of {row.sessions} {row.verb}"]
        said += [f"{row.restored} back"] if row.restored else []
        said += [f"{row.expired} expired"] if row.expired else []
    return ", ".join([*said, *freed])


def in_full(run: RunShown, *, verbose: bool, most: int) -> list[Block]:
    """Return one run as a person reads it, at most so many of its parts unless `verbose`."""
    row = run.row
    size = sum(part.size or 0 for part in run.parts)
    when = "?" if row.age is None else durations.shown(row.age)
    number = f"{len(run.parts):,} part{'' if len(run.parts) == 1 else 's'}"
    out: list[Block] = [f"{row.operation or '?'}, {when} ago: {did(row)}; {number}, {durations.spelled_size(size)}"]
    out.append(f"run      {row.id}")
    out.append(f"when     {row.started_at or '?'} to {run.finished_at or '?'}")
    if run.tool:
        out.append(f"by       session-closer {plain(run.tool)}, uid {run.uid}, process {run.pid} on {plain(run.host)}")
    if row.reason:
        out.append(f"reason   {quoted(row.reason)}")
    shown = run.parts if verbose else run.parts[:most]
    if shown:
        cells = [(_part(part), _tone(part)) for part in shown]
        out.append(_grid(_PARTS, cells, frozenset({2}), 1))
    if len(run.parts) > len(shown):
        out.append(f"… and {len(run.parts) - len(shown)} more (--verbose shows all)")
    now = Counter(part.now for part in run.parts if part.now)
    if now:
        said = (f"{count} {name.replace('_', ' ')}" for name, count in now.items())
        out.append(f"now      {', '.join(said)}")
    if run.why is not None:
        out.append(f"now      {plain(run.why)}")
    out.append(f"receipt  {row.path}")
    return out


def _part(part: RunPart) -> tuple[str, ...]:
    what = plain(part.key or part.path or "?")
    kind = f"  {part.kind}" if part.kind and part.kind != "file" else ""
    return (
        part.status,
        part.now or "-",
        "-" if part.size is None else durations.shown_size(part.size),
        f"{what}{kind}{f'  {plain(part.error)}' if part.error else ''}",
    )


def _tone(part: RunPart) -> Tone:
    if part.now in _WRONG or part.status in _WRONG:
        return "bad"
    return "quiet" if part.now == "already_restored" else "good"


def _grid(
    heads: tuple[str, ...], cells: Sequence[tuple[tuple[str, ...], Tone]], right: frozenset[int], toned: int
) -> Grid:
    lines = [heads, *(line for line, _ in cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = tuple(
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line[:-1], widths[:-1], strict=True))
        )
        + f"  {line[-1]}".rstrip()
        for line in lines
    )
    rows = tuple(GridRow(line, tone=tone) for line, tone in cells)
    return Grid(rows, tuple(text.rstrip() for text in texts), heads, right, toned, wraps=True)


def members(report: Report) -> dict[str, Any]:
    """Return what a document has of earlier runs (docs/json.md)."""
    found: dict[str, Any] = {}
    if report.run is not None:
        found["run"] = _run(report.run)
    if report.receipts is not None:
        found["receipts"] = [_receipt(row) for row in report.receipts]
        found["receiptsTotal"] = report.receipts_total
    return found


def _receipt(row: ReceiptRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "operation": row.operation,
        "state": row.state,
        "startedAt": row.started_at,
        "ageSeconds": None if row.age is None else int(row.age),
        "reason": row.reason,
        "agents": list(row.agents),
        "sessions": row.sessions,
        "names": list(row.names),
        "closed": row.closed,
        "restored": row.restored,
        "expired": row.expired,
        "freed": row.freed,
        "path": row.path,
    }


def _run(run: RunShown) -> dict[str, Any]:
    return {
        **_receipt(run.row),
        "finishedAt": run.finished_at,
        "tool": run.tool or None,
        "by": {"uid": run.uid, "pid": run.pid, "host": run.host} if run.tool else None,
        "unknown": run.why,
        "parts": [_part_member(part) for part in run.parts],
    }


def _part_member(part: RunPart) -> dict[str, Any]:
    return {
        "agent": part.agent,
        "key": part.key,
        "path": part.path,
        "kind": part.kind,
        "sessionId": part.session_id,
        "status": part.status,
        "now": part.now,
        "bytes": part.size,
        "archives": list(part.archives),
        "error": part.error,
    }
