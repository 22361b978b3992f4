"""Which sessions a list shows, in which order, and how: rows for people and for programs (pure)."""

from __future__ import annotations

import heapq
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..core import durations, keys
from ..core.errors import CloserError, ExitCode
from ..core.escape import plain
from ..core.kinds import Kind, kind
from ..core.model import Session
from ..core.protection import protection
from ..core.report import GatewayResult, Report, StoreResult
from . import report

OPERATION = "list-sessions"
LIMIT = 100
_SHARED_MEMBERS = ("ok", "exitCode", "operation", "dryRun", "gateway", "warnings", "error")
_MOST_COLUMNS = 40
# The number of its store, a session, and its kind where that was asked for already.
_Match = tuple[int, Session, Kind | None]


class Wanted(NamedTuple):
    """What a list is to show: no `kinds` is any kind; ages in seconds, of the last update; no `limit` is all.

    `store`: the path of the only one that is shown.
    """

    agent: str | None = None
    store: str | None = None
    kinds: frozenset[Kind] = frozenset()
    active: float | None = None
    older_than: float | None = None
    limit: int | None = LIMIT


class Chosen(NamedTuple):
    """A session that is shown, `place` the number of the store that it is in, `age` in seconds."""

    place: int
    session: Session
    kind: Kind
    age: float | None


class Row(NamedTuple):
    """A session as it is shown; `agent` is None for a bare key of a store for all agents, `size` in bytes."""

    agent: str | None
    session: Session
    kind: Kind
    age: float | None
    size: int | None
    running: bool

    @property
    def protected(self) -> str | None:
        """Why no policy may remove it."""
        return protection(self.kind, self.session, running=self.running)


class Listing(NamedTuple):
    """What a list says; `total` counts the sessions that match, `error` is set where there is no list."""

    stores: tuple[StoreResult, ...] = ()
    rows: tuple[Row, ...] = ()
    total: int = 0
    limit: int | None = None
    gateway: GatewayResult | None = None
    warnings: tuple[str, ...] = ()
    error: CloserError | None = None


def select(found: Iterable[tuple[int, Session]], wanted: Wanted, now: int) -> tuple[list[Chosen], int]:
    """Return the sessions to show, newest first, and how many match; `found` are places and sessions, `now` in ms."""
    matching: list[_Match] = [(place, session, None) for place, session in found if _is_of_age(session, wanted, now)]
    if wanted.kinds:
        matching = [
            (place, session, what)
            for place, session, _ in matching
            if (what := kind(session.key, session.chat_type, orphaned=session.orphaned)) in wanted.kinds
        ]
    limit = len(matching) if wanted.limit is None else wanted.limit
    shown = heapq.nsmallest(limit, matching, key=lambda one: _order(one, now))
    return [
        Chosen(
            place,
            session,
            what or kind(session.key, session.chat_type, orphaned=session.orphaned),
            durations.since(session.updated_at, now / 1000),
        )
        for place, session, what in shown
    ], len(matching)


def _is_of_age(session: Session, wanted: Wanted, now: int) -> bool:
    if wanted.active is None and wanted.older_than is None:
        return True
    age = durations.since(session.updated_at, now / 1000)
    if age is None or (wanted.active is not None and age > wanted.active):
        return False
    return wanted.older_than is None or age > wanted.older_than


def _order(one: _Match, now: int) -> tuple[bool, int, str, int]:
    place, session, _ = one
    known = durations.since(session.updated_at, now / 1000) is not None
    return not known, -(session.updated_at or 0) if known else 0, session.key, place


def exit_code(listing: Listing) -> ExitCode:
    """Return the exit code: an empty list is a list, too."""
    return ExitCode.OK if listing.error is None else listing.error.code


def as_json(listing: Listing) -> str:
    """Return the envelope (docs/json.md) as one line of JSON."""
    shared = report.envelope(_report(listing))
    return json.dumps(
        {
            **{name: shared[name] for name in _SHARED_MEMBERS},
            "stores": [{"agent": each.agent, "path": each.path, "era": each.era} for each in listing.stores],
            "sessions": [_row(row) for row in listing.rows],
            "totalCount": listing.total,
            "limitApplied": listing.limit,
            "hasMore": listing.total > len(listing.rows),
        }
    )


def complaints(listing: Listing) -> list[str]:
    """Return the lines for stderr: warnings, then the error with what to do next."""
    return report.complaints(_report(listing))


def _report(listing: Listing) -> Report:
    return Report(OPERATION, gateway=listing.gateway, warnings=listing.warnings, error=listing.error)


def _row(row: Row) -> dict[str, Any]:
    session = row.session
    return {
        "key": session.key,
        "agent": row.agent,
        "kind": str(row.kind),
        "sessionId": session.session_id,
        "updatedAt": session.updated_at,
        "ageSeconds": None if row.age is None else int(row.age),
        "status": session.status,
        "model": session.model,
        "transcriptBytes": row.size,
        "archived": session.archived,
        "pinned": session.pinned,
        "running": row.running,
        "protected": row.protected,
    }


def lines(listing: Listing, *, verbose: bool = False, width: int | None = None) -> list[str]:
    """Return the table that a person reads, cut to `width` columns; the model where it fits, or with `verbose`."""
    if listing.error is not None:
        return []
    out = []
    if listing.rows:
        out = _table(listing.rows, model=verbose)
        if not verbose and width is not None:
            wider = _table(listing.rows, model=True)
            out = wider if max(map(_columns, wider)) <= width else out
    shown, total = len(listing.rows), listing.total
    if total > shown:
        last = f"{shown:,} of {total:,} sessions; --limit all shows the rest"
    else:
        last = f"{total:,} session{'' if total == 1 else 's'}" if total else "no sessions"
    return [*(out if width is None else (_cut(line, width) for line in out)), last]


def _table(rows: Sequence[Row], *, model: bool) -> list[str]:
    """Return a line for the heads and one for each session: all columns aligned, the key last."""
    heads = ["AGE", "KIND", "STATUS", "SIZE", "PROTECTED", *(["MODEL"] if model else []), "KEY"]
    cells = [heads, *(_cells(row, model=model) for row in rows)]
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    right = [name in ("AGE", "SIZE") for name in heads]
    # Nothing follows the key, and a long one would make every line as long.
    return ["  ".join([*map(_padded, line[:-1], widths, right), line[-1]]) for line in cells]


def _cells(row: Row, *, model: bool) -> list[str]:
    session = row.session
    whose = "" if keys.agent_of(session.key) == row.agent or row.agent is None else f" (agent {plain(row.agent)})"
    return [
        "?" if row.age is None else durations.shown(row.age),
        str(row.kind),
        _cut(_status(row), _MOST_COLUMNS),
        "?" if row.size is None else durations.shown_size(row.size),
        row.protected or "-",
        *([_cut(_word(session.model), _MOST_COLUMNS)] if model else []),
        plain(session.key) + whose,
    ]


def _status(row: Row) -> str:
    if row.session.archived:
        return "archived"
    # Left over from a crash, as a rule: nothing runs, so it protects from nothing.
    return "running?" if row.session.status == "running" and not row.running else _word(row.session.status)


def _word(text: str | None) -> str:
    return plain(text) if text else "-"


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_column, text))


def _column(character: str) -> int:
    # A combining mark takes none, and a line that is too short does no harm.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, width: int, right: bool) -> str:  # noqa: FBT001
    blank = " " * (width - _columns(text))
    return blank + text if right else text + blank


def _cut(text: str, width: int) -> str:
    """Return a text in at most `width` columns, with … where something is missing."""
    if _columns(text) <= width:
        return text
    room, kept = max(0, width - 1), []
    for character in text:
        room -= _column(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"
