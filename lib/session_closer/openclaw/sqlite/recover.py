"""One database of an interrupted run: what it has archived is deleted, what came back is told by the rows."""

from __future__ import annotations

import os
from functools import partial

from ...journal import history
from ...journal.record import StoreRecord
from ...ports.store import Interrupted
from ...system import flock
from ..attached import jobs, kept
from ..files.recover import settle_files
from ..installation import Installation
from ..recorded import check_there
from . import finish as ending
from . import importer, leftovers
from .store import SqliteStore


def finish(here: Installation, store: SqliteStore, record: StoreRecord, run: Interrupted) -> StoreRecord:
    """Return the record with what became of each session, once what a run began in this store is finished."""
    if record.sessions:
        check_there(record)
        with flock.folder(os.path.dirname(record.path), clock=here.context.clock):
            record = _settled(here, store, record, run)
    return jobs.settled(settle_files(here, record))


def _settled(here: Installation, store: SqliteStore, record: StoreRecord, run: Interrupted) -> StoreRecord:
    return _put_back(here, store, record, run) if record.restores else _closed(here, store, record, run)


def _put_back(here: Installation, store: SqliteStore, record: StoreRecord, run: Interrupted) -> StoreRecord:
    importer.await_end(here, store.agent)
    ended = importer.finish(here.disk, here.home.index(store.agent), store, record)
    back = [session.key for session in ended.sessions if session.status == "restored"]
    if record.size and back:
        leftovers.put_away(here, store, ended, back, run.started_at)
    return ended


def _closed(here: Installation, store: SqliteStore, record: StoreRecord, run: Interrupted) -> StoreRecord:
    keep = partial(kept.keep, here, run.id, store.agent)
    began = history.moment(run.started_at)
    return ending.finish(
        store, record, here.gateway, keep, clock=here.context.clock, began=began, young=run.young, frees=run.frees
    )
