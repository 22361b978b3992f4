"""A document of JSON that stays short: of rows that went as wanted some are left out, and counted ahead (pure)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.report import Outcome
from ..core.status import FINE, Status

# Of a whole document, encoded, with the end of its line.
MOST_BYTES = 32 * 1024
# Somebody has to see to these, whatever they are to who called.
_ALWAYS = frozenset({Status.REFUSED, Status.FAILED, Status.CAME_BACK, Status.CONFLICT})
_BETWEEN = len(", ")
# No row of a session is as short as that part of a document.
MOST_ALIKE = 200


def perhaps_told(rows: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return rows of sessions without those that `encoded` leaves out whatever the others are.

    So many of one status are more than a document has room for, and the first of them are told.
    """
    if len(rows) <= MOST_ALIKE:
        return rows
    seen: Counter[Status] = Counter()
    some = []
    for row in rows:
        if row.error is None and row.status in FINE:
            seen[row.status] += 1
            if seen[row.status] > MOST_ALIKE:
                continue
        some.append(row)
    return some


def encoded(members: Mapping[str, Any], counts: Mapping[str, int], *, whole: bool) -> str:
    """Return an envelope as one line of JSON: unless `whole`, so many of its rows that it stays below MOST_BYTES.

    `counts`: how many rows of each status the run had. Rows of the commonest status are left out first; never one that
    is not as it was wanted, nor the first of its status.
    """
    total = sum(counts.values())
    if whole or (len(members["results"]) == total and not _is_long(members)):
        return json.dumps(members)
    if not members.get("exported") and (some := _fitting(members, counts)) is not None:
        return json.dumps({"counts": dict(counts), "resultsOmitted": total - len(some), **members, "results": some})
    told = {"counts": dict(counts), "resultsOmitted": total, **members}
    over = len(json.dumps(told)) + 1 - MOST_BYTES
    is_more = True
    # A copy that several rows are of goes with the last of them alone.
    while is_more:
        rows = _without(told["results"], told.get("exported", ()), over)
        is_more = len(rows) < len(told["results"])
        told |= {"results": rows, "resultsOmitted": total - len(rows)}
        if "exported" in members:
            told["exported"] = _of(rows, members["results"], members["exported"])
        over = len(json.dumps(told)) + 1 - MOST_BYTES
        is_more = is_more and over > 0
    return json.dumps(told if told["resultsOmitted"] else members)


def _is_long(members: Mapping[str, Any]) -> bool:
    """Tell whether a document has MOST_BYTES; of many rows no more are encoded than it takes to see that."""
    size = len(json.dumps({**members, "results": []})) - (_BETWEEN if members["results"] else 0)
    rows = iter(members["results"])
    while size < MOST_BYTES and (row := next(rows, None)) is not None:
        size += _size(row)
    return size >= MOST_BYTES


def _fitting(members: Mapping[str, Any], counts: Mapping[str, int]) -> list[Any] | None:
    """Return the rows that stay of many of which no copies are told, None where all of them may.

    What `_without` comes to, by the rows that stay: of ten thousand no more are encoded than those.
    """
    rows = members["results"]
    told = {"counts": dict(counts), "resultsOmitted": sum(counts.values()), **members, "results": []}
    spare = _spare(rows)
    out = set(spare)
    size = len(json.dumps(told)) + 1 - _BETWEEN + sum(_size(row) for at, row in enumerate(rows) if at not in out)
    for at in reversed(spare):
        size += _size(rows[at])
        if size > MOST_BYTES:
            return [row for at, row in enumerate(rows) if at not in out]
        out.remove(at)
    return None


def _size(row: Mapping[str, Any]) -> int:
    return len(json.dumps(row)) + _BETWEEN


def _spare(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of the rows that could be left out, in that order; the first of each status stays."""
    by_status: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        if row["ok"] and row["status"] not in _ALWAYS:
            by_status[row["status"]].append(at)
    order = []
    while (commonest := max(by_status.values(), key=len, default=[])) and len(commonest) > 1:
        order.append(commonest.pop())
    return order


def _without(rows: Sequence[Mapping[str, Any]], copies: Sequence[Mapping[str, Any]], over: int) -> list[Any]:
    """Return rows without so many that their text, and that of the `copies` of them, is shorter by `over` bytes."""
    sizes = {_session(copy): len(json.dumps(copy)) + _BETWEEN for copy in copies}
    left_out: set[int] = set()
    for at in _spare(rows):
        if over <= 0:
            break
        left_out.add(at)
        over -= _size(rows[at]) + sizes.get(_session(rows[at]), 0)
    return [row for at, row in enumerate(rows) if at not in left_out]


def _of(rows: Sequence[Mapping[str, Any]], every: Sequence[Mapping[str, Any]], copies: Sequence[Any]) -> list[Any]:
    """Return the copies of sessions whose rows are told, and of a store also those that no row is about."""
    told = set(map(_session, rows))
    if every and not any("key" in row for row in every):
        return [copy for copy in copies if _session(copy) in told]
    gone = set(map(_session, every)) - told
    return [copy for copy in copies if _session(copy) not in gone]


def _session(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("agent"), row["key"] if "key" in row else row.get("sessionId")
