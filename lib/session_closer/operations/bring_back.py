"""Bring back what a cleanup has put away of homes of files, as its receipt says; nothing is overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.errors import CloserError, Ours, Refused
from ..core.report import ArtifactRow, Report, StoreResult
from ..core.status import Status
from ..core.wish import Options
from ..journal import history
from ..journal import receipts as journal
from ..journal.record import HOME, PLANNED, ArtifactRecord, Damaged, StoreRecord
from ..journal.source import Source
from ..journal.stopped import STOPPING, stopped, storage
from ..ports.artifacts import Home, Place
from ..ports.context import Console, Context
from ..system import files
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import held_homes, home_folders, homes, recover_homes, runs, several
from .home_returns import Part, brought, is_back, looked_at, place_of, row
from .transaction import Transaction

RESTORE = "restore-sessions"
_US = Ours(RESTORE, there=True)
_NOT_REACHED = "not reached"


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
        with homes.opened(where, context) as found, ExitStack() as held:
            source = chosen(where, which)
            if source.restores:
                what = f"run {source.run} brought things back: what is old enough the next cleanup puts away again"
                raise Refused(what, "name a run that put something away", name="no_receipt")
            # Of a home in which nothing else is left there may be archives still.
            opened = {home.root for home in found}
            left = [store.path for store in source.stores if store.path not in opened and where.is_meant(store.agent)]
            all_homes = [*found, *held_homes.others(where, left, context, held)]
            parts, missing = _meant(where, source, all_homes, words)
            report = _performed(where, context, transaction, parts, missing)
            statuses = {each.status for each in report.artifacts or ()}
            if which == journal.LAST and not words and statuses == {Status.ALREADY_RESTORED}:
                said = runs.before(where.state, source.run, options)
                report = report._replace(warnings=(*report.warnings, said))
            return report
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        transaction.release()


def chosen(where: Place, which: str) -> Source:
    """Return what a run has put away; Refused, with the command that lists the runs of this place."""
    return journal.choose(where.state, which, _of_home)


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
) -> tuple[list[Part], list[ArtifactRow]]:
    """Return what is meant, by home, and a row for each word that means nothing, and for what has no home any more."""
    own = {home.root: home for home in found}
    parts: list[Part] = []
    lost: list[ArtifactRow] = []
    used: set[str] = set()
    meant = [store for store in source.stores if store.path in own or where.is_meant(store.agent)]
    if not meant:
        raise Refused(f"run {source.run} put nothing away of what is meant", (_US, "--list"), name="no_receipt")
    for store in meant:
        home = own.get(store.path)
        try:
            if home is not None:
                recover_homes.check_record(home, store)
        except Damaged as problem:
            raise Refused(f"the receipt of run {source.run} {problem}", "", name="no_receipt") from None
        run = store.archive or source.run
        away = [one for one in store.artifacts if one.status == "archived"]
        if words:
            meant_by = [_words(where, store, run, one).intersection(words) for one in away]
            away = [one for one, own in zip(away, meant_by, strict=True) if own]
            used.update(*meant_by)
        if home is None:
            gone = f"there is no home {store.path} any more"
            lost += [row(store.agent, store.path, one, Status.FAILED, gone) for one in away]
        else:
            parts.append(Part(home, tuple(away), run))
    why = "the receipt put nothing of this name away"
    return parts, [
        *lost,
        *(ArtifactRow("", word, "", Status.NOT_FOUND, error=why) for word in words if word not in used),
    ]


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
    where: Place, context: Context, transaction: Transaction, parts: Sequence[Part], missing: Sequence[ArtifactRow]
) -> Report:
    rows: list[ArtifactRow] = []
    left = [part for part in parts if not is_back(context, part)]
    error = _unwritable(where, left) if left else None
    if error is not None or context.options.dry_run:
        rows += [each for part in parts for each in looked_at(context, part)]
    else:
        error = _change(where, context, transaction, parts, rows, left=left)
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


def _unwritable(where: Place, parts: Sequence[Part]) -> CloserError | None:
    """Return why things could not be moved back, None where they could."""
    from ..journal import writable  # only where something comes back

    folders: dict[str, None] = {}
    for part in parts:
        moved = [one.path for one in part.wanted if part.home.stowage(one.kind) is None]
        above = dict.fromkeys(path.rpartition("/")[0] for path in moved)
        # An archive that is empty by then goes, too.
        places = (history.ARCHIVES, part.archive, *above, *(f"{part.archive}/{folder}" for folder in above))
        folders.update(dict.fromkeys(f"{part.home.root}/{place}" for place in places))
    # What stands in the place of a folder is in the way of what comes back, and no reason to bring nothing back.
    return writable.refusal(where.state, [each for each in folders if os.path.isdir(each) or not files.exists(each)])


def _change(
    where: Place,
    context: Context,
    transaction: Transaction,
    parts: Sequence[Part],
    rows: list[ArtifactRow],
    *,
    left: Sequence[Part],
) -> CloserError | None:
    """Bring back, home by home, what is `left` of these parts; return what ended the run early."""
    stores: list[StoreRecord] = []
    try:
        for part in parts:
            if any(part is one for one in left):
                stores.append(_brought_back(where, context, transaction, part, rows))
            else:
                rows += looked_at(context, part)
        # A run that changes nothing has no receipt.
        if not any(each.status is Status.RESTORED for each in rows):
            transaction.drop()
        if transaction.journal is not None and transaction.record is not None:
            ended = transaction.record.but(stores=tuple(stores), state="done", finished_at=context.clock.iso_now())
            transaction.journal.finish(ended)
    except STOPPING as problem:
        error = stopped(problem, where.state, has_changed=bool(rows))
        rows += list(_not_reached(context, parts, len(rows)))
        return error
    return None


def _not_reached(context: Context, parts: Sequence[Part], count: int) -> Iterator[ArtifactRow]:
    """Give the rows of all behind the first `count` things of a run that was stopped."""
    for number, (part, one) in enumerate([(each, one) for each in parts for one in each.wanted]):
        if number == count and _came_back(context, part, one):
            yield part.row(one, Status.RESTORED, None)
        elif number >= count:
            yield part.row(one, Status.FAILED, _NOT_REACHED)


def _came_back(context: Context, part: Part, one: ArtifactRecord) -> bool:
    """Tell whether a thing came back in the moment in which the run was stopped."""
    if part.home.stowage(one.kind) is not None:
        return False
    try:
        with Aside(context.disk, part.home.root, part.archive) as aside:
            return place_of(part, aside, one) is Became.LIVE
    except OSError:
        # A disk that has failed may go on failing, and what is known already is to be told.
        return False


def _brought_back(
    where: Place, context: Context, transaction: Transaction, part: Part, rows: list[ArtifactRow]
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
            status, why = brought(part, aside, one)
            rows.append(part.row(one, status, why))
            made.append(one.but(status="restored" if status is Status.RESTORED else "dropped"))
            context.console.watch(len(made), len(part.wanted))
        aside.tidy()
    return record.but(artifacts=tuple(made))
