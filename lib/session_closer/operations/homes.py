"""Homes of a runtime that keeps files: whether they are ours, held against other closers, with nothing half done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.errors import Refused
from ..journal import history
from ..journal.history import damaged
from ..journal.journal import Journal, bury_unborn
from ..journal.record import HOME, PLANNED, ArtifactRecord, Damaged, RunRecord, StoreRecord, with_store
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from ..system import files, flock, owned, trust

# Where a run lays what it puts away: one folder a run.
ARCHIVES = f"{history.ROOT}/archives"
# What is deleted for good can be read there; no run frees that.
EXPORTS = f"{history.ROOT}/exports"


def archive_of(run: str) -> str:
    """Return the folder of what a run has put away of a home, by its path below it."""
    return f"{ARCHIVES}/{run}"


def check(where: Place) -> None:
    """Refuse a place that is not there, or is not ours alone."""
    if not os.path.isdir(where.state):
        raise Refused(f"there is no folder {where.state}", "--home DIR", name="no_home")
    roots = [profile.root for profile in where.profiles()]
    own = [folder for root in (where.state, *roots) for folder in _folders(root)]
    owned.check([where.state, *roots, *own])
    for folder in own:
        if os.path.islink(folder):
            raise Refused(f"{folder} is a link to {os.path.realpath(folder)}", "replace it by a folder", name="link")


def _folders(root: str) -> list[str]:
    """Return the folders of ours in a home."""
    return [*history.folders(root), f"{root}/{ARCHIVES}", f"{root}/{EXPORTS}"]


def folder_of(home: Home, run: str, kind: str, path: str) -> str:
    """Return the folder in which a home itself may lay what a run takes, by its path below the home."""
    return f"{archive_of(run) if returns(home, kind) else f'{EXPORTS}/{run}'}/{path}"


def exposure(where: Place) -> list[str]:
    """Return a line for each home that others may write to."""
    said = []
    for root in dict.fromkeys((where.state, *(profile.root for profile in where.profiles()))):
        why = trust.objection(os.stat(root))
        if why:
            said.append(f"{root}: {why}: whoever may write there decides what is put away; chmod go-w")
    return said


@contextmanager
def opened(where: Place, context: Context) -> Iterator[list[Home]]:
    """Open the homes that are meant; a run that changes them holds each, with no interrupted run left."""
    dry_run, profiles = context.options.dry_run, where.profiles()
    with ExitStack() as held:
        for profile in () if dry_run else sorted(profiles, key=lambda one: one.root):
            held.enter_context(flock.folder(profile.root, clock=context.clock))
        homes = []
        for profile in profiles:
            home = where.opened(profile, context.disk, context.clock)
            held.callback(home.close)
            homes.append(home)
        if dry_run:
            context.console.warn(*history.interrupted(where.state))
        else:
            context.console.warn(*_recovered(where, homes, context))
        yield homes


def _recovered(where: Place, homes: Sequence[Home], context: Context) -> list[str]:
    """Finish every interrupted run of these homes; return a line for each."""
    by_root = {home.root: home for home in homes}
    bury_unborn(context.disk, where.state)
    said = []
    for run in history.open_runs(where.state):
        journal = Journal(context.disk, where.state, run)
        try:
            if journal.take():
                said += _finish(where, journal, run, by_root, context)
        except Damaged as problem:
            raise damaged(where.state, run, problem) from None
        finally:
            journal.release()
    return said


def _finish(where: Place, journal: Journal, run: str, homes: Mapping[str, Home], context: Context) -> list[str]:
    """Turn a record into the receipt, once it says where all of it is."""
    found = journal.read()
    if found is None or files.exists(history.receipt_path(where.state, run)):
        journal.drop()
        return []
    if found.state == "done":
        journal.finish(found)
        return []
    if any(store.path not in homes for store in found.stores):
        # A run over another profile is for whoever works in that one.
        return []
    for store in found.stores:
        found = with_store(found, settled(homes[store.path], store, found, context))
    journal.finish(found.but(state="done", finished_at=context.clock.iso_now()))
    count = sum(one.status not in (PLANNED, "dropped") for store in found.stores for one in store.artifacts)
    left = sum(len(store.artifacts) for store in found.stores) - count
    return [f"run {run} was interrupted and is finished now: {count} done, {left} left as they were"]


def check_record(home: Home, store: StoreRecord) -> None:
    """Raise Damaged for a record of things that cannot be artifacts of a home."""
    if store.roots != {HOME: home.root} or not all(home.is_of(one.kind, one.path) for one in store.artifacts):
        raise Damaged("names what is no artifact of this home")
    if any(not returns(home, one.kind) and (store.restores or one.status == "archived") for one in store.artifacts):
        raise Damaged("brings back what nothing brings back")


def settled(home: Home, store: StoreRecord, record: RunRecord, context: Context) -> StoreRecord:
    """Return a store's part of an interrupted run with what became of each artifact, each in one place."""
    check_record(home, store)
    run = store.archive or record.id
    archive = archive_of(run)
    with Aside(context.disk, home.root, archive) as aside:
        made = tuple(_settled(home, store, one, _whereabouts(home, aside, run, one)) for one in store.artifacts)
        if store.deletes:
            for one in store.artifacts:
                if returns(home, one.kind):
                    aside.condemn(one.path)
        for old in store.removes:
            aside.remove(archive_of(old))
        aside.tidy()
    home.end()
    return store.but(artifacts=made)


def _settled(home: Home, store: StoreRecord, one: ArtifactRecord, became: Became) -> ArtifactRecord:
    if returns(home, one.kind):
        return one.but(status=_status(store, became))
    return one.but(status="deleted" if became is Became.AWAY else "dropped")


def _whereabouts(home: Home, aside: Aside, run: str, one: ArtifactRecord) -> Became:
    disposal = home.disposal(one.kind)
    if disposal is None:
        return aside.settle(one.path)
    folder = folder_of(home, run, one.kind, one.path)
    # It may have been made, and be empty yet.
    aside.ask(folder)
    return {"away": Became.AWAY, "live": Became.LIVE, "gone": Became.GONE}[
        disposal.whereabouts(one.path, f"{home.root}/{folder}")
    ]


def returns(home: Home, kind: str) -> bool:
    """Tell whether artifacts of a kind can be brought back."""
    return next((rule.returns for rule in home.rules if rule.name == kind), True)


def note(home: Home, kind: str) -> str:
    """Return what is to be known of artifacts of a kind once they are back, "": nothing."""
    return next((rule.note for rule in home.rules if rule.name == kind), "")


def _status(store: StoreRecord, became: Became) -> str:
    if store.restores:
        return "restored" if became is Became.LIVE else "dropped"
    if store.deletes:
        return "dropped" if became in (Became.LIVE, Became.TAKEN) else "deleted"
    return "archived" if became in (Became.AWAY, Became.TAKEN) else "dropped"
