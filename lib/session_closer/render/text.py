"""What happened as lines for people, and what is said of it on stderr (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core import durations
from ..core.actions import CHILD, KEPT
from ..core.ending import is_fine
from ..core.escape import plain
from ..core.status import Life, Status
from . import amounts, artifacts, effects, rehearsal, runs, table
from .grid import Block, Grid, GridRow, Tone

if TYPE_CHECKING:
    from ..core.errors import CloserError, Ours
    from ..core.report import ArtifactRow, Outcome, Report, Why

SHOWN_ROWS = 20
_SHOWN_EFFECTS = 5
# So wide a column gets for a key, which may be of any length; the name of an archive has two ids and a time in it.
_WIDEST_KEY, _WIDEST_FILE = 64, 128
_TAKING_CHILDREN = ("close-project", "close-project-batch")
_VERBS = {"restore-sessions": "restore", "cleanup-sessions": "clean up"}


def blocks(report: Report, *, verbose: bool = False, called: Callable[[Ours], str] = str) -> list[Block]:
    """Return what a person reads on stdout; bounded unless `verbose`. `called` tells how our commands are called."""
    out = _blocks(report, verbose=verbose, called=called)
    return out if report.page is None else [*out, f"report   {plain(report.page)}"]


def _blocks(report: Report, *, verbose: bool, called: Callable[[Ours], str]) -> list[Block]:
    if report.undone is not None and report.error is None:
        return _undone(report, report.undone, verbose=verbose, called=called)
    if report.artifacts is not None and report.receipts is None:
        return [*rehearsal.lines(report.rehearsal, verbose=verbose), *artifacts.blocks(report, verbose=verbose)]
    out: list[Block] = rehearsal.lines(report.rehearsal, verbose=verbose)
    out += [f"rules    {report.rules}"] if report.rules is not None else []
    if report.receipts is not None and report.error is None:
        return runs.listed(report.receipts, report.receipts_total)
    if report.run is not None:
        return runs.in_full(report.run, verbose=verbose, most=SHOWN_ROWS)
    if report.found is not None and report.error is None:
        return table.found(report.found, SHOWN_ROWS, report.back, verbose=verbose)
    if report.results or report.untold:
        out.append(_headline(report))
        out += _rows(report, verbose=verbose) if report.results else []
        out += _summaries(report)
    elif report.error is None:
        out.append(f"nothing to {_VERBS.get(report.operation, 'close')}")
        out += _summaries(report)
    if report.results and report.error is None:
        out += _footer(report, verbose=verbose)
    return out


def _undone(
    report: Report, undone: Sequence[tuple[str, Report]], *, verbose: bool, called: Callable[[Ours], str]
) -> list[Block]:
    """Return what became of each of the runs that were undone together, and ahead of it all of that in one line."""
    if not undone:
        return ["nothing to restore: no run of that time has put away what is not back"]
    rows: list[Outcome | ArtifactRow] = [*report.results, *(report.artifacts or ())]
    count = _counts(report, rows)
    words = [f"{count[status]:,} {status.replace('_', ' ')}" for status in Status if count[status]]
    failed = sum(each.error is not None for _, each in undone)
    words += [f"{failed} run{'' if failed == 1 else 's'} failed"] if failed else []
    runs_undone = f"{len(undone)} run{'' if len(undone) == 1 else 's'}"
    said = f"{', '.join(words) or 'nothing'}{amounts.said(report, rows)}"
    out: list[Block] = [f"{amounts.ahead(report, rows)}{runs_undone}: {said}"]
    for run, each in undone:
        out += ["", f"run      {run}"]
        if each.error is not None and not each.results:
            out.append(error_line(each.error, called))
        else:
            out += blocks(each, verbose=verbose, called=called)
    return [*out, "", f"undo     {report.undo}"] if report.undo is not None else out


def _headline(report: Report) -> str:
    count = _counts(report, report.results)
    # All that is kept is counted below, also what no row is about.
    said = [status for status in Status if count[status] and status is not Status.KEPT]
    words = [f"{count[status]} {status.replace('_', ' ')}" for status in said]
    words += [f"{report.kept} kept"] if report.kept is not None else []
    return amounts.ahead(report, report.results) + ", ".join(words) + amounts.said(report, report.results)


def _counts(report: Report, rows: Sequence[Outcome | ArtifactRow]) -> Counter[Status]:
    counted = Counter(row.status for row in rows)
    counted.update({more.status: more.number for more in report.untold})
    return counted


def _rows(report: Report, *, verbose: bool) -> list[Block]:
    rows = sorted(report.results, key=lambda row: is_fine(row, missing_ok=False))
    shown = rows if verbose else rows[:SHOWN_ROWS]
    hiding = {store.agent for store in report.stores if store.hides}
    details = [_detail(row, in_files=row.agent not in hiding) for row in shown]
    by_rule = any(row.why is not None for row in shown)
    heads = ("STATUS", "KEY", (_RULED if by_rule else "NOTE") if any(details) else "")
    status = max(len(heads[0]), *(len(row.status) for row in shown))
    width = max(len(heads[1]), *(min(len(_name(row)), _widest(row)) for row in shown))
    lines, grid = [f"  {heads[0]:<{status}}  {heads[1]:<{width}}  {heads[2]}".rstrip()], []
    for row, detail in zip(shown, details, strict=True):
        below = _attached(row, verbose=verbose)
        lines.append(f"  {row.status:<{status}}  {_name(row):<{width}}  {detail}".rstrip())
        lines += [f"  {'':<{status}}    {line}" for line in below]
        grid.append(GridRow((row.status, _name(row), detail), tuple(below), _tone(row)))
    out: list[Block] = [Grid(tuple(grid), tuple(lines), heads, wraps=True, indent=2)]
    more = len(rows) - len(shown) + sum(each.number for each in report.untold)
    if more:
        out.append(f"  … and {more} more (--verbose shows all)")
    return out


def _tone(row: Outcome) -> Tone:
    if not is_fine(row, missing_ok=False):
        return "bad"
    if row.status.startswith("would_"):
        return "ahead"
    return "quiet" if row.status.startswith("already_") else "good"


def _attached(row: Outcome, *, verbose: bool) -> list[str]:
    """Return the lines below a row: what else its close changes, or what an undo has left out."""
    lines = [effects.line(one) for one in effects.spoken_of(row.effects)]
    for left in row.not_restored:
        # What a person has to see to stands in the row.
        why = "" if row.error and left.why in row.error else f": {left.why}"
        lines.append(f"not restored: {effects.named(left.kind, left.count)}{why}")
    if verbose or len(lines) <= _SHOWN_EFFECTS:
        return lines
    return [*lines[:_SHOWN_EFFECTS], f"… and {len(lines) - _SHOWN_EFFECTS} more (--verbose shows all)"]


def _summaries(report: Report) -> list[str]:
    """Return a line for each store of a cleanup: how many rows, how many were spared and why."""
    out = []
    for store in report.stores:
        if store.summary is not None:
            spared = ", ".join(f"{count} {why}" for why, count in store.summary["spared"].items())
            counts = f"{store.summary['beforeCount']} -> {store.summary['afterCount']} sessions"
            theirs = store.summary["openclawArchives"]
            more = f"; OpenClaw's own cleanup would archive {theirs} of them" if theirs else ""
            out.append(f"agent    {store.agent}: {counts}{f'; spared: {spared}' if spared else ''}{more}")
    return out


def _name(row: Outcome) -> str:
    return plain(row.given if row.status is Status.NOT_FOUND or not row.key else row.key)


def _widest(row: Outcome) -> int:
    return _WIDEST_KEY if row.key or row.why is None else _WIDEST_FILE


def _detail(row: Outcome, *, in_files: bool) -> str:
    whose = f"child of {plain(row.parent)}" if row.parent else ""
    return ", ".join(filter(None, (_became(row, in_files=in_files), whose)))


def _became(row: Outcome, *, in_files: bool) -> str:
    if row.error:
        return f"{row.reason}: {row.error}" if row.status is Status.REFUSED and row.reason else row.error
    if row.why is not None:
        return _reason(row.why)
    if row.status in (Status.DEFERRED, Status.WOULD_DEFER):
        return "your own session: closed when its turn has ended; the receipt shows how"
    if row.until:
        return f"until {row.until}"
    if row.status in (Status.CLOSED, Status.WOULD_CLOSE):
        number = len(row.archives)
        if not number and not in_files:
            return ""
        word = "archived" if row.status is Status.CLOSED else "to archive"
        said = [f"{_files(number)} {word}"] if number else []
        said += [f"{_files(len(row.left))} left"] if row.left else []
        return ", ".join(said) or "no transcript"
    return ""


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"


def _reason(why: Why) -> str:
    """Return why a policy took a row: the action, the kind, the age, the size."""
    age = "age unknown" if why.age is None else durations.shown(why.age)
    size = None if why.size is None else durations.shown_size(why.size)
    return "  ".join(part for part in (f"{why.action:<15}", f"{why.kind or 'file':<8}", f"{age:>4}", size) if part)


# As wide as what stands below each of them.
_RULED = f"{'RULE':<15}  {'KIND':<8}  {'AGE':>4}  SIZE"


def _footer(report: Report, *, verbose: bool) -> list[str]:
    out = []
    if report.gateway is not None:
        out.append(f"gateway  {_gateway_line(report)}")
        if verbose:
            out += [f"         {line}" for line in report.gateway.evidence]
    taking = report.operation in _TAKING_CHILDREN
    out += _also(report.results, but=(CHILD, KEPT) if taking else None)
    if report.children and taking:
        why = "their rows say why" if report.with_children else "--with-children closes what is spawned, too"
        out.append(f"children {report.children} kept: {why}")
    out += _memory(report.results)
    out += [f"exported {plain(copy.path)}" for copy in report.exported or ()]
    out += [f"backup   {store.backup}" for store in report.stores if store.backup]
    out += [f"kept     {path}" for store in report.stores for path in store.kept]
    if report.receipt:
        out.append(f"receipt  {report.receipt}")
    if report.undo:
        out.append(f"undo     {report.undo}")
    if report.free:
        out += [f"key      not free: a message to it is {effects.MESSAGE}", f"free     {report.free}"]
    return out


def _also(results: Sequence[Outcome], *, but: tuple[str, str] | None) -> list[str]:
    """Return a line with what a run changes besides sessions and files, or has left out of an undo, counted.

    `but`: the kind of effect, and its action, that has a line of its own.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for row in results:
        for one in effects.spoken_of(row.effects):
            counted[one.kind, one.action] += one.count
        for left in row.not_restored:
            counted[left.kind, "not restored"] += left.count
    if but is not None:
        del counted[but]
    words = [f"{effects.named(kind, count)} {action}" for (kind, action), count in sorted(counted.items())]
    return [f"also     {', '.join(words)}"] if words else []


def _memory(results: Sequence[Outcome]) -> list[str]:
    """Return a line where memory search goes on finding what was said in sessions that are closed."""
    notes = [one.note for row in results for one in row.effects if one.kind == "memory"]
    more = f"; {len(notes) - 1} more: see effects in --json" if len(notes) > 1 else ""
    return [f"memory   {notes[0]}{more}"] if notes else []


def _gateway_line(report: Report) -> str:
    assert report.gateway is not None
    restart, life = report.restart, report.gateway.life
    if restart.ok is not None or restart.result == "handed-off":
        word = "restarted" if restart.ok else "restart handed off" if restart.ok is None else "NOT restarted"
        return f"{word} ({restart.result}): {restart.detail}"
    if life is Life.DOWN:
        return "not running: nothing to restart"
    if life is Life.UNKNOWN:
        return "unknown: see the warnings"
    pid, port = report.gateway.pid, report.gateway.port
    where = f"running{f', process {pid}' if pid is not None else f' at port {port}' if port is not None else ''}"
    if restart.result == "would-restart":
        return f"{where}: would be restarted once{f', {restart.detail}' if restart.detail else ''}"
    return f"{where}: not restarted" if restart.needed else f"{where}: no restart needed"


def failures(report: Report, called: Callable[[Ours], str] = str) -> list[str]:
    """Return a line for stderr for each of the runs undone together that ended early."""
    undone = [(run, each.error) for run, each in report.undone or () if each.error is not None]
    return [f"run {run}: {error_line(problem, called)}" for run, problem in undone]


def complaints(warnings: Sequence[str], error: CloserError | None, called: Callable[[Ours], str] = str) -> list[str]:
    """Return the lines for stderr: warnings, then the error; `called` tells how a command of ours is called."""
    out = [f"warning: {warning}" for warning in warnings[:SHOWN_ROWS]]
    if len(warnings) > SHOWN_ROWS:
        out.append(f"warning: … and {len(warnings) - SHOWN_ROWS} more warnings (--json has all)")
    if error is not None:
        out.append(error_line(error, called))
    return out


def error_line(error: CloserError, called: Callable[[Ours], str] = str) -> str:
    """Return what went wrong, and what to do next, in one line; `called` tells how a command of ours is called."""
    following = error.next_step(called)
    return f"error: {error.message}" + (f"; next: {following}" if following else "")
