"""Bring back what a cleanup has put away of homes of files, as its receipt says; nothing is overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.errors import CloserError, Ours, Refused
from ..core.report import ArtifactRow, Report, StoreResult
from ..core.status import Status
from ..core.wish import Options
from ..journal import receipts as journal
from ..journal.record import HOME, PLANNED, ArtifactRecord, Damaged, StoreRecord
from ..journal.source import Source
from ..journal.stopped import STOPPING, stopped, storage
from ..ports.artifacts import Home, Place
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import home_folders, homes, recover_homes, runs, several
from .transaction import Transaction

RESTORE = "restore-sessions"
_US = Ours(RESTORE, there=True)
_ENDS = {
    Became.LIVE: (Status.RESTORED, None),
    Became.TAKEN: (Status.CONFLICT, "something else is there by now"),
    Became.GONE: (Status.FAILED, "its archive is gone"),
    Became.ELSEWHERE: (Status.FAILED, "its archive is on another file system by now"),
    Became.STUCK: (Status.FAILED, "nobody may move its archive"),
}
_LOOKS = {
    Became.AWAY: (Status.WOULD_RESTORE, None),
    Became.LIVE: (Status.ALREADY_RESTORED, None),
    Became.TAKEN: _ENDS[Became.TAKEN],
    Became.GONE: _ENDS[Became.GONE],
}
_STOWED = {"away": Became.AWAY, "live": Became.LIVE, "taken": Became.TAKEN, "gone": Became.GONE}


class _Part(NamedTuple):
    """What is to be brought back of one home, and of which run."""

    home: Home
    wanted: tuple[ArtifactRecord, ...]
    run: str

    @property
    def archive(self) -> str:
        """The archive that has it, by its path below the home."""
        return home_folders.archive_of(self.run)


def perform(
    where: Place, which: str, words: Sequence[str], options: Options, *, console: Console, clock: Clock = REAL,
    disk: Disk | None = None,
) -> Report:  # fmt: skip
    """Return the report of a restore; `words` are session ids, kinds or paths, none: all of it."""
    homes.check(where)
    context = Context(options, disk or Disk(), console, clock)
    transaction = Transaction(context.disk, where.state, RESTORE, options.reason, clock)
    console.warn(*homes.exposure(where))
    try:
        with homes.opened(where, context) as found:
            source = chosen(where, which, looking=options.dry_run)
            if source.restores:
                what = f"run {source.run} brought things back: what is old enough the next cleanup puts away again"
                raise Refused(what, "name a run that put something away", name="no_receipt")
            parts, missing = _meant(where, source, found, words)
            report = _performed(where, context, transaction, parts, missing)
            statuses = {row.status for row in report.artifacts or ()}
            if which == journal.LAST and not words and statuses == {Status.ALREADY_RESTORED}:
                said = runs.before(where.state, source.run, options)
                report = report._replace(warnings=(*report.warnings, said))
            return report
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        transaction.release()


def chosen(where: Place, which: str, *, looking: bool) -> Source:
    """Return what a run has put away; Refused, with the command that lists the runs of this place."""
    return journal.choose(where.state, which, _of_home, looking=looking)


def receipts(where: Place, report: Report, most: int | None, clock: Clock) -> Report:
    """Return a report with the first `most` receipts of a place, None: all of them."""
    homes.check(where)
    return runs.listed(where.state, report, most, clock)


def way(where: Place, options: Options, *, console: Console, clock: Clock) -> several.Way:
    """Return how one of several runs that put files away is undone."""
    homes.check(where)

    def finish() -> list[str]:
        # What was interrupted is finished when the homes are open.
        own = console.apart()
        with homes.opened(where, Context(options, Disk(), own, clock)):
            return list(own.warnings)

    def one(run: str, words: tuple[str, ...]) -> Report:
        return perform(where, run, words, options, console=console.apart(), clock=clock)

    return several.Way(where.state, finish, one, partial(_sessions, where))


def shown(where: Place, which: str, report: Report, clock: Clock) -> Report:
    """Return a report with one run in full."""
    homes.check(where)
    return runs.shown(
        where.state, which, report, lambda run: perform(where, run, (), Options(dry_run=True), console=Console()), clock
    )


def _of_home(store: StoreRecord) -> tuple[str, Mapping[str, str]]:
    """Return what a receipt has to say of a home: of which there are more than are meant, it may speak, too."""
    return store.path, {HOME: store.path}


def _meant(
    where: Place, source: Source, found: Sequence[Home], words: Sequence[str]
) -> tuple[list[_Part], list[ArtifactRow]]:
    """Return what is meant, by home, and a row for each word that means nothing."""
    own = {home.root: home for home in found}
    parts: list[_Part] = []
    used: set[str] = set()
    meant = [store for store in source.stores if store.path in own]
    if not meant:
        raise Refused(f"run {source.run} put nothing away of what is meant", (_US, "--list"), name="no_receipt")
    for store in meant:
        home = own[store.path]
        try:
            recover_homes.check_record(home, store)
        except Damaged as problem:
            raise Refused(f"the receipt of run {source.run} {problem}", "", name="no_receipt") from None
        run = store.archive or source.run
        away = [one for one in store.artifacts if one.status == "archived"]
        if words:
            meant_by = [_words(where, store, run, one).intersection(words) for one in away]
            away = [one for one, own in zip(away, meant_by, strict=True) if own]
            used.update(*meant_by)
        parts.append(_Part(home, tuple(away), run))
    why = "the receipt put nothing of this name away"
    return parts, [ArtifactRow("", word, "", Status.NOT_FOUND, error=why) for word in words if word not in used]


def _words(where: Place, store: StoreRecord, run: str, one: ArtifactRecord) -> set[str]:
    """Return the words that mean an artifact."""
    return {
        *_sessions(where, store, run, one),
        one.session_id or one.path,
        one.kind,
        one.path,
        f"{store.path}/{one.path}",
    }


def _sessions(where: Place, store: StoreRecord, run: str, one: ArtifactRecord) -> Sequence[str]:
    """Return the sessions that an artifact is of, by its name alone where no row knows of any."""
    from . import runtimes  # only where something is named

    return home_folders.sessions_of(runtimes.exporting(where.runtime), store.path, store.archive or run, one)


def _performed(
    where: Place, context: Context, transaction: Transaction, parts: Sequence[_Part], missing: Sequence[ArtifactRow]
) -> Report:
    rows: list[ArtifactRow] = []
    error = None
    if context.options.dry_run:
        rows += [row for part in parts for row in _looked_at(context, part)]
    else:
        error = _change(where, context, transaction, parts, rows)
    notes = {home_folders.note(part.home, one.kind) for part in parts for one in part.wanted}
    context.console.warn(*sorted(notes - {""}))
    unfinished = transaction.journal if error is not None else None
    return Report(
        RESTORE,
        context.options.dry_run,
        stores=tuple(StoreResult(part.home.agent, part.home.root, where.runtime) for part in parts),
        receipt=unfinished.path if unfinished is not None else transaction.receipt,
        warnings=tuple(context.console.warnings),
        error=error,
        artifacts=(*rows, *missing),
    )


def _is_back(context: Context, part: _Part) -> bool:
    with Aside(context.disk, part.home.root, part.archive) as aside:
        return all(_place_of(part, aside, one) is Became.LIVE for one in part.wanted)


def _looked_at(context: Context, part: _Part) -> Iterator[ArtifactRow]:
    with Aside(context.disk, part.home.root, part.archive) as aside:
        for one in part.wanted:
            status, why = _LOOKS[_place_of(part, aside, one)]
            yield _row(part.home, one, status, why)


def _row(home: Home, one: ArtifactRecord, status: Status, why: str | None = None) -> ArtifactRow:
    return ArtifactRow(
        home.agent, f"{home.root}/{one.path}", one.kind, status, one.session_id, size=one.size, error=why
    )


def _change(
    where: Place, context: Context, transaction: Transaction, parts: Sequence[_Part], rows: list[ArtifactRow]
) -> CloserError | None:
    """Bring it all back, home by home; return what ended the run early."""
    stores: list[StoreRecord] = []
    try:
        for part in parts:
            if _is_back(context, part):
                rows += _looked_at(context, part)
            else:
                stores.append(_brought_back(where, context, transaction, part, rows))
        # A run that changes nothing has no receipt.
        if not any(row.status is Status.RESTORED for row in rows):
            transaction.drop()
    except STOPPING as problem:
        return stopped(problem, where.state, has_changed=bool(rows))
    if transaction.journal is None or transaction.record is None:
        return None
    ended = transaction.record.but(stores=tuple(stores), state="done", finished_at=context.clock.iso_now())
    transaction.journal.finish(ended)
    return None


def _brought_one(part: _Part, aside: Aside, one: ArtifactRecord) -> tuple[Status, str | None]:
    """Bring one back; return what became of it, and why."""
    stowage = part.home.stowage(one.kind)
    if (_place_of(part, aside, one) if stowage is not None else aside.settle(one.path)) is Became.LIVE:
        return _LOOKS[Became.LIVE]
    if stowage is None:
        return _ENDS[aside.bring_back(one.path)]
    try:
        return _ENDS[_STOWED[stowage.restow(one.path, aside.make(f"{part.archive}/{one.path}"))]]
    except Refused as problem:
        return Status.FAILED, problem.message


def _place_of(part: _Part, aside: Aside, one: ArtifactRecord) -> Became:
    """Tell where it is: TAKEN in two places."""
    stowage = part.home.stowage(one.kind)
    if stowage is None:
        return aside.place_of(one.path)
    live, away = stowage.is_live(one.path), aside.stat(f"{part.archive}/{one.path}") is not None
    if live:
        return Became.TAKEN if away else Became.LIVE
    return Became.AWAY if away else Became.GONE


def _brought_back(
    where: Place, context: Context, transaction: Transaction, part: _Part, rows: list[ArtifactRow]
) -> StoreRecord:
    home = part.home
    record = StoreRecord(
        agent=home.agent,
        era=where.runtime,
        path=home.root,
        roots={HOME: home.root},
        artifacts=tuple(one.but(status=PLANNED) for one in part.wanted),
        archive=part.run,
        restores=True,
    )
    transaction.note_first(record)
    made = []
    with Aside(context.disk, home.root, part.archive) as aside:
        for one in part.wanted:
            status, why = _brought_one(part, aside, one)
            rows.append(_row(home, one, status, why))
            made.append(one.but(status="restored" if status is Status.RESTORED else "dropped"))
            context.console.watch(len(made), len(part.wanted))
        aside.tidy()
    return record.but(artifacts=tuple(made))
