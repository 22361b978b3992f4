"""What a page says of a list, of what takes the disk, of what a dry run has planned and of what stays (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import durations
from ..core.ending import is_fine
from ..core.status import CHANGED, Status
from ..core.tuples import NamedTuple
from .page import Bar, Cell, Chart, Column, Line, Page
from .rehearsal import lines as rehearsed

if TYPE_CHECKING:
    from ..core.listed import Inventory, Use
    from ..core.report import ArtifactRow, Outcome, Report
    from ..core.selection import Listing, Row

_DAY = 24 * 60 * 60
_AGES = (("under a day", 1), ("1 to 7 days", 7), ("7 to 30 days", 30), ("30 to 90 days", 90))
_OLDEST, _UNKNOWN = "over 90 days", "unknown"
_MOST_BARS = 12
_NOT_MEANT = "not meant"


_NUMBERS = frozenset({"Age", "Size", "Tokens", "Files", "Count"})
_LONG = frozenset({"Label", "Key", "Title", "Why", "Which"})


class Thing(NamedTuple):
    """A session or file as bars count it: age in seconds and bytes, None where they are not known."""

    agent: str
    kind: str
    age: float | None
    size: int | None
    goes: bool = False


def _columns(*heads: str) -> tuple[Column, ...]:
    return tuple(Column(head, head in _NUMBERS, head in _LONG) for head in heads)


def _charts(things: Sequence[Thing]) -> tuple[Chart, ...]:
    return (
        Chart("By agent", _bars(things, lambda one: one.agent or "-")),
        Chart("By kind", _bars(things, lambda one: one.kind or "-")),
        Chart("By age", _by_age(things)),
    )


def _bars(things: Iterable[Thing], name_of: Callable[[Thing], str]) -> tuple[Bar, ...]:
    bars = _counted(things, name_of)
    largest = sorted(bars.values(), key=lambda bar: (-bar.size, -bar.number, bar.name))
    if len(largest) <= _MOST_BARS:
        return tuple(largest)
    rest = largest[_MOST_BARS - 1 :]
    others = Bar(
        f"{len(rest)} others", sum(bar.number for bar in rest), sum(bar.size for bar in rest),
        sum(bar.going for bar in rest),
    )  # fmt: skip
    return (*largest[: _MOST_BARS - 1], others)


def _by_age(things: Iterable[Thing]) -> tuple[Bar, ...]:
    bars = _counted(things, lambda one: _age_group(one.age))
    return tuple(bars[name] for name in (*(name for name, _ in _AGES), _OLDEST, _UNKNOWN) if name in bars)


def _counted(things: Iterable[Thing], name_of: Callable[[Thing], str]) -> dict[str, Bar]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in things:
        counts = found[name_of(one)]
        counts[0] += 1
        counts[1] += one.size or 0
        counts[2] += (one.size or 0) * one.goes
    return {name: Bar(name, *counts) for name, counts in found.items()}


def _age_group(age: float | None) -> str:
    if age is None:
        return _UNKNOWN
    return next((name for name, days in _AGES if age < days * _DAY), _OLDEST)


def _age(age: float | None) -> Cell:
    return Cell("?") if age is None else Cell(durations.shown(age), age)


def _size(size: int | None) -> Cell:
    return Cell("?") if size is None else Cell(durations.shown_size(size), size)


def _number(count: int | None) -> Cell:
    return Cell("-") if count is None else Cell(f"{count:,}", count)


def _many(count: int, thing: str = "session") -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _bytes(things: Iterable[Thing]) -> str:
    return durations.spelled_size(sum(one.size or 0 for one in things))


def of_list(listing: Listing, made: str) -> Page:
    """Return the page of a list; `made` is when, in words."""
    things = [_thing(row) for row in listing.rows]
    protected = sum(row.protected is not None for row in listing.rows)
    running = sum(row.running for row in listing.rows)
    columns = _columns("Agent", "Kind", "Age", "Size", "Tokens", "Status", "Protected", "Model", "Label", "Key")
    return Page(
        _many(listing.total),
        (made, *([f"{len(listing.rows):,} of them shown"] if listing.has_more else [])),
        (("Transcripts", _bytes(things)), ("Protected", f"{protected:,}"), ("Running", f"{running:,}")),
        _charts(things),
        columns,
        tuple(_listed(row) for row in listing.rows),
        listing.warnings,
    )


def _thing(row: Row, *, goes: bool = False) -> Thing:
    return Thing(row.agent or "-", str(row.kind), row.age, row.size, goes)


def _listed(row: Row) -> Line:
    session, details = row.session, row.details
    status = "archived" if session.archived else session.status or "-"
    return Line(
        (
            Cell(row.agent or "-"),
            Cell(str(row.kind)),
            _age(row.age),
            _size(row.size),
            _number(details.total_tokens),
            Cell(status),
            Cell(row.protected or "-"),
            Cell(session.model or "-"),
            Cell(details.label or details.display_name or details.title or "-"),
            Cell(session.key),
        )
    )


def of_inventory(found: Inventory, made: str) -> Page:
    """Return the page of a list of homes, or of what takes the disk."""
    if found.usage is not None:
        return _of_usage(found.usage, (*found.notes, *found.warnings), made)
    things = [Thing(line.agent, line.state, found.age(line), line.size) for line in found.rows]
    things += [Thing(use.agent, "no session's", None, use.size) for use in found.orphans]
    columns = _columns("Profile", "State", "Age", "Files", "Size", "Protected", "Source", "Title", "Id")
    lines = tuple(
        Line(
            (
                Cell(line.agent),
                Cell(line.state),
                _age(found.age(line)),
                _number(line.number),
                _size(line.size),
                Cell(line.guard or "-"),
                Cell(line.source or "-"),
                Cell(line.title or "-"),
                Cell(line.id),
            )
        )
        for line in found.rows
    )
    said = (made, *([f"{len(found.rows):,} of them shown"] if found.has_more else []))
    figures = (("Left behind", _bytes(things)), ("Protected", f"{sum(bool(line.guard) for line in found.rows):,}"))
    return Page(_many(found.total), said, figures, _charts(things), columns, lines, found.warnings)


def _of_usage(usage: Sequence[Use], notes: Sequence[str], made: str) -> Page:
    things = [(use, Thing(use.agent, use.kind, None, use.size)) for use in usage]
    outer = [thing for use, thing in things if not use.within]
    charts = tuple(
        Chart(chart.name, tuple(bar._replace(number=counts[bar.name]) for bar in chart.bars if bar.name in counts))
        for chart, counts in zip(_charts(outer)[:2], _numbers(usage), strict=True)
    )
    lines = tuple(
        Line((Cell(use.agent or "-"), Cell(use.kind), _number(use.number), _size(use.size)))
        for use in sorted(usage, key=lambda use: (-use.size, use.agent, use.kind))
    )
    columns = _columns("Agent", "Kind", "Count", "Size")
    return Page("What takes the disk", (made,), (("All of it", _bytes(outer)),), charts, columns, lines, tuple(notes))


def _numbers(usage: Sequence[Use]) -> tuple[Counter[str], Counter[str]]:
    by_agent: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    for use in usage:
        by_agent[use.agent or "-"] += use.number
        by_kind[use.kind] += use.number
    return by_agent, by_kind


def of_plan(report: Report, listing: Listing, made: str) -> Page:
    """Return the page of a dry run: what would go, and of all other sessions of its stores why they stay."""
    listed = {(row.agent, row.session.key): row for row in listing.rows}
    told = {(row.agent, row.key) for row in report.results}
    lines, things = [], []
    for outcome in report.results:
        row = listed.get((outcome.agent, outcome.key))
        goes = outcome.status in CHANGED
        things.append(_thing(row, goes=goes) if row is not None else _of_file(outcome))
        lines.append(_planned(outcome, row))
    for pair, row in listed.items():
        if pair not in told:
            things.append(_thing(row))
            why = "archived" if row.session.archived else row.protected or _NOT_MEANT
            lines.append(_row(row, "stays", why, goes=False))
    return _plan_page(report, things, lines, listing.warnings, made)


def _of_file(row: Outcome) -> Thing:
    why = row.why
    kind = (why.kind if why is not None else None) or "file"
    age, size = (why.age, why.size) if why is not None else (None, None)
    return Thing(row.agent, kind, age, size, goes=row.status in CHANGED)


def _planned(outcome: Outcome, row: Row | None) -> Line:
    goes = outcome.status in CHANGED
    words = [outcome.why.action] if outcome.why is not None else []
    words += [f"child of {outcome.parent}"] if outcome.parent else []
    words += [str(outcome.reason)] if outcome.reason is not None else []
    words += [outcome.error] if outcome.error else []
    why = ", ".join(words) or ("named" if goes else "-")
    status = str(outcome.status).replace("_", " ")
    if row is not None:
        return _row(row, status, why, goes=goes)
    thing = _of_file(outcome)
    cells = (Cell(status), Cell(outcome.agent), Cell(thing.kind), _age(thing.age), _size(thing.size), Cell(why))
    return Line((*cells, Cell(outcome.key or outcome.given)), "goes" if goes else "stays")


def _row(row: Row, status: str, why: str, *, goes: bool) -> Line:
    cells = (Cell(status), Cell(row.agent or "-"), Cell(str(row.kind)), _age(row.age), _size(row.size), Cell(why))
    return Line((*cells, Cell(row.session.key)), "goes" if goes else "stays")


def of_artifacts(report: Report, made: str) -> Page:
    """Return the page of a dry run of a cleanup of homes; its rows are all that was looked at."""
    rows = report.artifacts or ()
    things = [Thing(row.agent, row.kind, row.age, row.size, row.status in CHANGED) for row in rows]
    return _plan_page(report, things, [_artifact(row) for row in rows], (), made)


def _artifact(row: ArtifactRow) -> Line:
    goes = row.status in CHANGED
    status = "stays" if row.status is Status.KEPT else str(row.status).replace("_", " ")
    said = ", ".join(filter(None, (row.why, row.error))) or "-"
    cells = (Cell(status), Cell(row.agent), Cell(row.kind), _age(row.age), _size(row.size), Cell(said))
    return Line((*cells, Cell(row.path)), "goes" if goes else "stays")


def _plan_page(
    report: Report, things: Sequence[Thing], lines: Sequence[Line], warnings: Sequence[str], made: str
) -> Page:
    going = [one for one in things if one.goes]
    staying = [one for one in things if not one.goes]
    columns = _columns("What", "Agent", "Kind", "Age", "Size", "Why", "Which")
    wrong = [row for row in report.results if not is_fine(row, missing_ok=report.missing_ok)]
    said = [made, f"{report.operation}, a dry run: nothing was changed"]
    said += [str(line) for line in rehearsed(report.rehearsal, verbose=False)]
    said += [f"rules: {report.rules}"] if report.rules is not None else []
    said += [f"refused as a whole: {report.error.message}"] if report.error is not None else []
    figures = [("Goes", f"{len(going):,}, {_bytes(going)}"), ("Stays", f"{len(staying):,}, {_bytes(staying)}")]
    figures += [("Refused, or not found", f"{len(wrong):,}")] if wrong else []
    notes = (*dict.fromkeys((*_spared(report), *report.warnings, *warnings)),)
    heading = f"{len(going):,} would go, {len(staying):,} would stay"
    ordered = sorted(lines, key=lambda line: line.tone != "goes")
    return Page(heading, tuple(said), tuple(figures), _charts(things), columns, tuple(ordered), notes, planned=True)


def _spared(report: Report) -> list[str]:
    """Return a line for each store that a policy has spared something of."""
    counts: list[tuple[str, Mapping[str, int]]] = [
        (store.agent, store.summary["spared"]) for store in report.stores if store.summary is not None
    ]
    return [
        f"{agent}: spared {', '.join(f'{count:,} {why}' for why, count in found.items())}"
        for agent, found in counts
        if found
    ]
