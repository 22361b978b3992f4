"""What is in homes of files: sessions in columns, what takes the disk, and both as members of JSON (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core import durations
from ..core.escape import plain
from ..core.report import Report
from .grid import Block, Grid, GridRow
from .json import LIST, shared

if TYPE_CHECKING:
    from ..core.errors import Ours
    from ..core.listed import Inventory, SessionLine, Use

_HEADS = ("AGE", "STATE", "FILES", "SIZE", "PROTECTED", "PROFILE", "SOURCE", "ID", "TITLE")
_USAGE = ("AGENT", "KIND", "COUNT", "SIZE")


def listed(found: Inventory) -> list[Block]:
    """Return what a person reads on stdout."""
    if found.error is not None:
        return []
    if found.usage is not None:
        return _usage(found)
    out: list[Block] = [_counted(found)]
    if found.rows:
        table = _table(_HEADS, [_cells(found, line) for line in found.rows], frozenset({0, 2, 3}))
        out.append(table._replace(wraps=True))
    if found.has_more:
        out.append(f"{found.total - len(found.rows):,} more: --limit all shows them, a word finds some")
    for use in found.orphans:
        many = f"{use.number:,} file{'' if use.number == 1 else 's'}"
        out.append(f"orphans  {many} of {plain(use.agent)}, {durations.spelled_size(use.size)}: no session has them")
    return out


def _counted(found: Inventory) -> str:
    total = found.total
    if not total:
        return "no sessions"
    every = f"{total:,} session{'' if total == 1 else 's'}"
    return f"{every}, {len(found.rows):,} of them shown" if found.has_more else every


def _cells(found: Inventory, line: SessionLine) -> tuple[str, ...]:
    age = found.age(line)
    return (
        "?" if age is None else durations.shown(age),
        plain(line.state),
        str(line.number),
        durations.shown_size(line.size),
        line.guard or "-",
        plain(line.agent),
        plain(line.source) if line.source else "-",
        plain(line.id),
        plain(line.title) if line.title else "-",
    )


def _usage(found: Inventory) -> list[Block]:
    rows = sorted(found.usage or (), key=lambda use: (-use.size, use.agent, use.kind))
    cells = [_use_cells(use) for use in rows]
    total = durations.spelled_size(sum(use.size for use in rows if not use.within))
    notes = [f"free     {note}" for note in found.notes]
    if not cells:
        return ["nothing takes any room"]
    most = max(use.size for use in rows) or 1
    table = _table(_USAGE, cells, frozenset({2, 3}))._replace(shares=tuple(use.size / most for use in rows))
    return [table, f"total    {total}", *notes]


def _use_cells(use: Use) -> tuple[str, ...]:
    return plain(use.agent) if use.agent else "-", use.kind, f"{use.number:,}", durations.shown_size(use.size)


def _table(heads: Sequence[str], cells: Sequence[tuple[str, ...]], right: frozenset[int]) -> Grid:
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = []
    for line in (heads, *cells):
        padded = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return Grid(tuple(map(GridRow, cells)), tuple(lines), tuple(heads), right)


def as_json(found: Inventory, called: Callable[[Ours], str] = str, page: str | None = None) -> str:
    """Return the envelope (docs/json.md) as one line of JSON: what is missing of the list comes first."""
    envelope = shared(Report(LIST, warnings=found.warnings, error=found.error), found.exit_code, called)
    stores = [{"agent": home.agent, "path": home.path, "era": home.era} for home in found.homes]
    if page is not None:
        envelope["report"] = page
    if found.usage is not None:
        usage = [_use(use) for use in found.usage]
        return json.dumps({**envelope, "stores": stores, "usage": usage, "notes": list(found.notes)})
    return json.dumps(
        {
            "hasMore": found.has_more,
            "count": len(found.rows),
            "totalCount": found.total,
            "limitApplied": found.sought.limit,
            **envelope,
            "stores": stores,
            "sessions": [_session(found, line) for line in found.rows],
            "orphans": [_use(use) for use in found.orphans],
        }
    )


def _session(found: Inventory, line: SessionLine) -> dict[str, Any]:
    age = found.age(line)
    return {
        "sessionId": line.id,
        "agent": line.agent,
        "source": line.source or None,
        "title": line.title or None,
        "state": line.state,
        "updatedAt": line.last_ms,
        "ageSeconds": None if age is None else int(age),
        "artifacts": line.number,
        "artifactBytes": line.size,
        "running": line.running,
        "protected": line.guard or None,
    }


def _use(use: Use) -> dict[str, Any]:
    return {"agent": use.agent or None, "kind": use.kind, "count": use.number, "bytes": use.size}
