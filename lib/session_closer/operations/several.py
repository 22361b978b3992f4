"""Undo several runs, newest first: each is a transaction of its own, and an error of one leaves the others be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from operator import attrgetter

from ..core.ending import Row
from ..core.errors import CloserError, Interrupted
from ..core.report import Outcome, Report, RestartResult, together
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..journal import history, named
from ..journal.named import Named
from ..system.clock import Clock

_RESTORE = "restore-sessions"
_NOT_REACHED = "not reached"
_FIRST = "a newer run brings another of this name back first"


class Way(NamedTuple):
    """How runs below one place are undone: `finish` what was interrupted, then undo `one`, given its id and names.

    `owners` gives the sessions that something is of which a run has put away.
    """

    state: str
    finish: Callable[[], list[str]]
    one: Callable[[str, tuple[str, ...]], Report]
    owners: named.Owners = named.nobodys


def is_meant(state: str, words: Sequence[str]) -> bool:
    """Tell whether words name more than one thing that says what is to come back."""
    return named.names_several(state, words)


def perform(way: Way, words: Sequence[str], since: float | None, options: Options, clock: Clock) -> Report:
    """Undo the runs that words name, or those of so many seconds; return a report of all of them."""
    # One that was interrupted may be the latest.
    is_left = not options.dry_run and (history.open_runs(way.state) or history.unborn_runs(way.state))
    said = way.finish() if is_left else []
    if since is None:
        meant = named.by_words(way.state, words, owners=way.owners)
    else:
        meant = named.since(way.state, words, since, clock.now(), owners=way.owners)
    undone = _undone(way, meant, dry_run=options.dry_run)
    together = _together(undone, options)
    return together._replace(warnings=tuple(dict.fromkeys((*said, *together.warnings))))


def _undone(way: Way, meant: Named, *, dry_run: bool) -> list[tuple[str, Report]]:
    found: list[tuple[str, Report]] = []
    ahead = _Ahead()
    unknown = meant.unknown
    for run, own in zip(meant.runs, meant.words, strict=True):
        # What no run holds is told once, by the newest.
        words, unknown = (*own, *unknown), ()
        if not words and (meant.unknown or any(meant.words)):
            found.append((run, Report(_RESTORE, dry_run)))
            continue
        is_over = bool(found) and isinstance(found[-1][1].error, Interrupted)
        report = Report(_RESTORE, dry_run, error=Interrupted(_NOT_REACHED)) if is_over else _one(way, run, words)
        found.append((run, ahead.seen_from(report) if dry_run else report))
    return found


def _one(way: Way, run: str, words: tuple[str, ...]) -> Report:
    try:
        return way.one(run, words)
    except CloserError as problem:
        return Report(_RESTORE, error=problem)
    except KeyboardInterrupt:
        return Report(_RESTORE, error=Interrupted("interrupted", "run the same command again"))


class _Ahead:
    """What the runs that a dry run has planned so far would have changed, each with its bytes as far as they are known.

    A session is known by its agent and key, a file that belongs to none by its agent and name.
    """

    def __init__(self) -> None:
        self._back: dict[tuple[str, str], tuple[str | None, int | None]] = {}
        self._away: dict[tuple[str, str], int | None] = {}

    def seen_from(self, report: Report) -> Report:
        """Return the plan of the next run as it is once the planned ones are done."""
        hides = {store.agent for store in report.stores if store.hides}
        rows = tuple(self._seen(row, hides) for row in report.results)
        files = None
        if report.artifacts is not None:
            files = tuple(self._row(one, (one.agent, one.path), None) for one in report.artifacts)
        return report._replace(results=rows, artifacts=files)

    def _seen(self, row: Outcome, hides: Collection[str]) -> Outcome:
        """Return the row of a session; `hides`: the agents whose stores archive what is closed."""
        name = row.agent, row.key or row.given
        if row.status is Status.ALREADY_CLOSED and name in self._back:
            status = Status.WOULD_ARCHIVE if row.agent in hides else Status.WOULD_CLOSE
            row = row._replace(status=status, size=self._back[name][1])
        elif row.status in (Status.WOULD_CLOSE, Status.WOULD_ARCHIVE) and name in self._away:
            return row._replace(status=Status.ALREADY_CLOSED, archives=(), left=(), effects=(), size=None)
        return self._row(row, name, row.session_id)

    def _row(self, row: Row, name: tuple[str, str], session: str | None) -> Row:
        if row.status is Status.ALREADY_RESTORED and name in self._away:
            row = row._replace(status=Status.WOULD_RESTORE, size=self._away[name])
        is_back = session is not None and name in self._back and self._back[name][0] == session
        if is_back and row.status in (Status.WOULD_RESTORE, Status.FAILED):
            # A newer run has it, whatever there is against the older one.
            return row._replace(status=Status.ALREADY_RESTORED, error=None)
        if row.status is Status.WOULD_RESTORE and name in self._back:
            return row._replace(status=Status.CONFLICT, error=_FIRST)
        if row.status is Status.WOULD_RESTORE:
            self._back[name] = session, row.size
            self._away.pop(name, None)
        elif row.status in (Status.WOULD_CLOSE, Status.WOULD_ARCHIVE):
            self._away[name] = row.size
            self._back.pop(name, None)
        return row


def _together(undone: Sequence[tuple[str, Report]], options: Options) -> Report:
    """Return one report of all; the command that undoes it names the receipts of all of them."""
    reports = [report for _, report in undone]
    files = [one._replace(run=run) for run, each in undone for one in each.artifacts or ()]
    made = [each.undo.rpartition(" ")[2] for each in reports if each.undo is not None]
    stores = {(store.agent, store.path): store._replace(backup=None) for each in reports for store in each.stores}
    return Report(
        _RESTORE,
        options.dry_run,
        stores=tuple(stores.values()),
        results=tuple(row._replace(run=run) for run, each in undone for row in each.results),
        gateway=next((each.gateway for each in reversed(reports) if each.gateway is not None), None),
        restart=next((each.restart for each in reversed(reports) if each.restart.needed), RestartResult()),
        undo=f"{options.undo} {' '.join(made)}" if made else None,
        warnings=tuple(dict.fromkeys(line for each in reports for line in each.warnings)),
        artifacts=tuple(files) if any(each.artifacts is not None for each in reports) else None,
        undone=tuple(undone),
        untold=together(chain.from_iterable(map(attrgetter("untold"), reports))),
    )
