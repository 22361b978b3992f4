"""Finish interrupted runs over homes of files: each thing is in one place, so where it is tells what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.artifacts import ROW
from ..journal import history
from ..journal.history import damaged
from ..journal.journal import Journal, bury_unborn
from ..journal.record import HOME, PLANNED, ArtifactRecord, Damaged, RunRecord, StoreRecord, with_store
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from ..system import files
from . import held_homes, home_folders


def recovered(where: Place, opened: Sequence[Home], context: Context) -> list[str]:
    """Finish every interrupted run of these homes; return a line for each."""
    found = {home.root: home for home in opened}
    bury_unborn(context.disk, where.state)
    said = []
    for run in history.open_runs(where.state):
        journal = Journal(context.disk, where.state, run)
        try:
            if journal.take():
                said += _finish(where, journal, run, found, context)
        except Damaged as problem:
            raise damaged(where.state, run, problem) from None
        finally:
            journal.release()
    return said


def _finish(where: Place, journal: Journal, run: str, opened: Mapping[str, Home], context: Context) -> list[str]:
    """Turn a record into the receipt, once it says where all of it is."""
    found = journal.read()
    if found is None or files.exists(history.receipt_path(where.state, run)):
        journal.drop()
        return []
    if found.state == "done":
        journal.finish(found)
        return []
    with ExitStack() as held:
        # It may have been over homes that this command is not about.
        left = [store.path for store in found.stores if store.path not in opened]
        there, gone = {**opened, **{home.root: home for home in held_homes.others(where, left, context, held)}}, []
        for store in found.stores:
            home = there.get(store.path)
            if home is None:
                gone.append(store.but(artifacts=tuple(_unknown(where, store, one) for one in store.artifacts)))
            found = with_store(found, gone[-1] if home is None else settled(home, store, found, context))
        journal.finish(found.but(state="done", finished_at=context.clock.iso_now()))
    known = [one for store in found.stores if store not in gone for one in store.artifacts]
    count = sum(one.status not in (PLANNED, "dropped") for one in known)
    said = f"run {run} was interrupted and is finished now: {count} done, {len(known) - count} left as they were"
    return [said, *(_lost(run, store) for store in gone)]


def _unknown(where: Place, store: StoreRecord, one: ArtifactRecord) -> ArtifactRecord:
    """Return what is on record of something in a home that is not there.

    Once the home is back an undo finds what lies in its archive, and what was never put there.
    """
    lost = {rule.name for rule in where.rules if not rule.returns} | {ROW}
    comes_back = not (store.restores or store.deletes or one.kind in lost)
    return one.but(status="archived" if comes_back else "dropped")


def _lost(run: str, store: StoreRecord) -> str:
    count = len(store.artifacts)
    number = "1 file or folder" if count == 1 else f"{count:,} files and folders"
    what = f"what run {run} did to {number} of {store.path} is not known"
    return f"{what}: no such home is there now; what it put away there lies in {home_folders.archive_of(run)} of it"


def check_record(home: Home, store: StoreRecord) -> None:
    """Raise Damaged for a record of things that cannot be artifacts of a home."""
    if store.roots != {HOME: home.root} or not all(home.is_of(one.kind, one.path) for one in store.artifacts):
        raise Damaged("names what is no artifact of this home")
    back = [one.kind for one in store.artifacts if store.restores or one.status == "archived"]
    if not all(home_folders.returns(home, kind) for kind in back):
        raise Damaged("brings back what nothing brings back")


def settled(home: Home, store: StoreRecord, record: RunRecord, context: Context) -> StoreRecord:
    """Return a store's part of an interrupted run with what became of each artifact, each in one place."""
    check_record(home, store)
    run = store.archive or record.id
    archive = home_folders.archive_of(run)
    with Aside(context.disk, home.root, archive) as aside:
        made = tuple(_settled(home, store, one, _whereabouts(home, aside, run, one)) for one in store.artifacts)
        if store.deletes:
            for one in store.artifacts:
                if home_folders.returns(home, one.kind):
                    aside.condemn(one.path)
        for old in store.removes:
            aside.remove(home_folders.archive_of(old))
        aside.tidy()
    context.console.warn(*map(home_folders.left_over, aside.left.values()))
    home.end()
    return store.but(artifacts=made)


def _settled(home: Home, store: StoreRecord, one: ArtifactRecord, became: Became) -> ArtifactRecord:
    if home_folders.returns(home, one.kind):
        return one.but(status=_status(store, became))
    return one.but(status="deleted" if became is Became.AWAY else "dropped")


def _whereabouts(home: Home, aside: Aside, run: str, one: ArtifactRecord) -> Became:
    disposal = home.disposal(one.kind)
    if disposal is None:
        return aside.settle(one.path)
    folder = home_folders.folder_of(home, run, one.kind, one.path)
    # It may have been made, and be empty yet.
    aside.ask(folder)
    return {"away": Became.AWAY, "live": Became.LIVE, "gone": Became.GONE}[
        disposal.whereabouts(one.path, f"{home.root}/{folder}")
    ]


def _status(store: StoreRecord, became: Became) -> str:
    if store.restores:
        return "restored" if became is Became.LIVE else "dropped"
    if store.deletes:
        return "dropped" if became in (Became.LIVE, Became.TAKEN) else "deleted"
    return "archived" if became in (Became.AWAY, Became.TAKEN) else "dropped"
