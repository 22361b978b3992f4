"""Archive the transcript files that no row refers to, and free archives that no receipt needs any more."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from ..artifacts import engine
from ..artifacts.engine import Became
from ..artifacts.measuring import Measure
from ..core import chores, durations, fileplan, names
from ..core.claims import user_of
from ..core.durable import Move
from ..core.escape import quoted
from ..core.model import Reason, Snapshot, Status
from ..core.policy import DAY, Rules
from ..core.report import Outcome, Why
from ..core.verdicts import Action
from ..journal import clocks, history
from ..journal.codec import decode
from ..journal.record import Damaged, RunRecord, StoreRecord
from ..ports.readable import Readable
from ..ports.share import Share
from ..system.files import listed, listed_whole
from .hold import locked
from .run import Run

_SHOWN = 3


class Chores(NamedTuple):
    """What is to be done to one agent's files: names in its folders, sizes in bytes and ages in seconds of all.

    `doubted`: old by a clock that was set ahead, and by nothing else.
    """

    orphans: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    doubt: clocks.Doubt | None = None
    sizes: dict[str, int] = {}  # noqa: RUF012
    ages: dict[str, float] = {}  # noqa: RUF012
    history: int = 0


def look(run: Run, store: Readable, snapshot: Snapshot) -> Chores:
    """Return what a policy finds among an agent's files; nothing is changed."""
    rules = run.wish.rules
    assert rules is not None
    found: dict[str, os.stat_result] = {}
    orphans: list[str] = []
    expired: list[str] = []
    doubted: list[str] = []
    doubt: clocks.Doubt | None = None
    made: dict[str, float] = {}
    strays = 0
    if rules.policy.orphans is not None and snapshot.traits.loose_files:
        found = _strays(run, store, snapshot, rules.policy.orphans)
        orphans = list(found)
        made = {name: status.st_mtime for name, status in found.items()}
        _say_unknown(run, store.agent, chores.unknown(snapshot))
    elif rules.policy.orphans is not None:
        strays = sum(map(len, chores.orphan_groups(snapshot)))
    if rules.policy.expire_archives is not None:
        shelf, moments = _shelf(store)
        found.update(shelf)
        made.update(moments)
        expired = _expired(run, store, moments, rules)
        doubt = clocks.doubt(rules.now, history.beginnings(run.runtime.root))
        if doubt is not None:
            certain = _expired(run, store, moments, rules._replace(now=rules.now - doubt.seconds))
            doubted = sorted(set(expired) - set(certain))
            expired = certain
    wanted = (*orphans, *expired)
    return Chores(
        tuple(orphans),
        tuple(expired),
        tuple(doubted),
        doubt,
        {name: found[name].st_size for name in wanted},
        {name: max(0.0, rules.now - made[name]) for name in wanted},
        strays,
    )


def _strays(run: Run, store: Readable, snapshot: Snapshot, age: float) -> dict[str, os.stat_result]:
    """Return the files without a session that are old enough, with their stat."""
    rules = run.wish.rules
    assert rules is not None
    groups = chores.orphan_groups(snapshot, run.runtime.lent(store.agent).values())
    found = dict(_stats(store.folder, (name for group in groups for name in group)))
    orphans = chores.old_groups(groups, {name: status.st_mtime for name, status in found.items()}, rules)
    orphans = _certain(run, store.agent, orphans)
    left = dict(_stats(store.folder, chores.temporary(snapshot)))
    # A write that takes longer than a day is none.
    until = rules.now - max(age, DAY)
    orphans += [name for name, status in left.items() if status.st_mtime < until]
    told, whole = _told_of(run, store, store.place, lambda chores: chores.orphans), found | left
    return {name: whole[name] for name in orphans if name not in told}


def _say_unknown(run: Run, agent: str, unknown: list[str]) -> None:
    if unknown:
        shown = ", ".join(map(quoted, unknown[:_SHOWN])) + (", …" if len(unknown) > _SHOWN else "")
        count = "1 file" if len(unknown) == 1 else f"{len(unknown)} files"
        run.warn(f"{count} of agent {agent} left where they are, as nothing tells whose: {shown}")


def _certain(run: Run, agent: str, orphans: list[str]) -> list[str]:
    """Return the orphans, none where another agent may use them whose store is not whole."""
    damaged = run.runtime.damaged(agent) if orphans else []
    for other in damaged:
        what = f"the store of agent {other} cannot be read, so what it uses is not known"
        run.warn(f"{what}: files without a session of agent {agent} are left where they are")
    return [] if damaged else orphans


def _stats(folder: str, wanted: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    for name in wanted:
        with suppress(FileNotFoundError):
            status = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(status.st_mode):
                yield name, status


def _shelf(store: Readable) -> tuple[dict[str, os.stat_result], dict[str, float]]:
    """Return the archives and backups of an agent with their stat and the moment they were made, in s since 1970."""
    there = (*listed(store.folder), *listed_whole(store.beside))
    # Those of a database are listed in it.
    windows = [name for name in there if names.is_old_window(name)] if store.traits.loose_files else []
    archives = [*windows, *(name for name in there if names.is_put_away(name) or _was_temporary(store, name))]
    place, first = _backups(store)
    backups = [name for name in listed(place) if name.startswith(first)]
    found = dict(_stats(place, backups)) | dict(_stats(store.folder, archives))
    made = {}
    for name, status in found.items():
        moment = names.archived_at(name) or names.backed_up_at(name)
        # A rename keeps a file's time, a backup is written anew.
        made[name] = moment.timestamp() if moment is not None else status.st_mtime
    return found, made


def _was_temporary(store: Readable, name: str) -> bool:
    return names.is_temporary(names.archived_from(name) or "", os.path.basename(store.index))


def _backups(store: Readable) -> tuple[str, str]:
    """Return the folder of an agent's backups and what their names begin with: a database has those from before it."""
    in_files = store.traits.loose_files
    index = os.path.basename(store.index) if in_files else names.INDEX
    return store.place if in_files else store.folder, names.backup_name(index, "")


def _expired(run: Run, store: Readable, moments: dict[str, float], rules: Rules) -> list[str]:
    needed = _needed(run, rules) | _told(run, store)
    # What a session that lives on said a moment ago stays at least for a day.
    young = {name for name, made in moments.items() if names.is_old_window(name) and made >= rules.now - DAY}
    return chores.expired(moments, needed | young, rules)


def _needed(run: Run, rules: Rules) -> frozenset[str]:
    """Return every name that an interrupted run, or a receipt younger than the age, speaks of."""
    assert rules.policy.expire_archives is not None
    until = rules.now - rules.policy.expire_archives
    later = clocks.latest_before(history.beginnings(run.runtime.root), rules.now)
    wanted: set[str] = set()
    for raw in history.all_records(run.runtime.root):
        try:
            record = decode(raw)
            began = later.get(record.id)
            moment = _moment(record) if began is None else max(_moment(record), began.timestamp())
            if record.state == "open" or moment >= until:
                wanted.update(_names(record))
        except Damaged:
            # Perhaps of a later version: whatever it names stays.
            wanted.update(raw.decode("utf-8", "replace").split('"'))
    return frozenset(wanted)


def _told(run: Run, store: Readable) -> frozenset[str]:
    """Return what is done for agents before this one that have the same folder: what is there is theirs together."""
    return _told_of(run, store, _backups(store)[0], lambda chores: chores.expired)


def _told_of(run: Run, store: Readable, place: str, of: Callable[[Chores], tuple[str, ...]]) -> frozenset[str]:
    before = [each for agent, each in run.stores.items() if agent < store.agent and place in (each.place, each.folder)]
    return frozenset(name for each in before for name in of(run.chores.get(each.agent, Chores())))


def _moment(record: RunRecord) -> float:
    found = history.moment(record.finished_at or record.started_at)
    if found is None:
        raise Damaged("says no time")
    return found.timestamp()


def _names(record: RunRecord) -> Iterator[str]:
    for store in record.stores:
        yield from (store.backup or "", *store.displaced, *(move.target for move in store.orphans))
        for session in store.sessions:
            yield from (move.target for move in session.moves)


def refused(agent: str, chores: Chores) -> Outcome:
    """Return the row of archives that stay, as nothing but the clock calls them old."""
    assert chores.doubt is not None
    count, ahead = len(chores.doubted), durations.shown(chores.doubt.seconds)
    files = "1 archive stays" if count == 1 else f"{count} archives stay"
    what = f"the clock was set ahead by {ahead} since run {chores.doubt.run}, without a restart of the machine"
    why = f"{files}, which only that makes old enough: {what}; set it right, then run the same command again"
    return Outcome(agent, agent, "", Status.REFUSED, Reason.CLOCK, error=why)


def preview(agent: str, chores: Chores) -> list[Outcome]:
    """Return the rows of a dry run for an agent's files."""
    return [
        *(_outcome(agent, chores, name, Status.WOULD_ARCHIVE) for name in chores.orphans),
        *(_outcome(agent, chores, name, Status.WOULD_EXPIRE) for name in chores.expired),
    ]


def _outcome(agent: str, chores: Chores, name: str, status: Status, archive: str | None = None) -> Outcome:
    action = Action.ARCHIVE_ORPHAN if status in (Status.ARCHIVED, Status.WOULD_ARCHIVE) else Action.EXPIRE_ARCHIVE
    why = Why(str(action), None, chores.ages.get(name), chores.sizes.get(name))
    return Outcome(name, agent, "", status, archives=(archive,) if archive is not None else (), why=why)


def tidy(run: Run, agent: str, planned: Chores) -> None:
    """Do what was planned for an agent's files, as far as it still holds under the lock."""
    with locked(run.runtime, run.stores[agent]):
        store = run.stores[agent]
        snapshot = store.read()
        now = look(run, store, snapshot)
        seen = {*planned.orphans, *planned.expired}
        orphans = [name for name in now.orphans if name in seen]
        expired = [name for name in now.expired if name in seen]
        if not (orphans or expired):
            del run.chores[agent]
            return
        measure = Measure()
        stamp = names.free_stamp(history.now(), snapshot.taken)
        moves = tuple(measure.live(store.folder, Move(name, names.archive_name(name, stamp))) for name in orphans)
        work = _work(run, store)
        work.record = work.record.but(orphans=moves, removes=tuple(expired))
        work.note(work.record)
        _archive(run, work, now, moves)
        _expire(run, work, now, expired)
        work.finished = True
        del run.chores[agent]


def _work(run: Run, store: Readable) -> Share:
    """Return this agent's share of the run, a new one where no session of it was closed."""
    for work in run.transaction.shares:
        if work.store is store:
            work.finished = False
            return work
    record = StoreRecord(agent=store.agent, era=store.era, path=store.index, transcripts=store.folder)
    work = Share(store=store, rows=[], record=record, note=run.transaction.note)
    run.transaction.shares.append(work)
    return work


def _archive(run: Run, work: Share, chores: Chores, moves: tuple[Move, ...]) -> None:
    """Rename orphans to their archive names; one that a row refers to by now goes back (I6)."""
    folder = work.store.folder
    with engine.Root(run.disk, folder) as root:
        # Gone, or its archive name taken in this moment: it stays for the next run.
        done = tuple(move for move in moves if root.put_away(move).became is Became.AWAY)
    if not done:
        return
    work.record = work.record.but(orphans=done)
    work.tidied += [
        _outcome(work.store.agent, chores, move.source, Status.ARCHIVED, os.path.join(folder, move.target))
        for move in done
    ]
    _put_back(run, work, _borrowed(run, work))


def look_again(run: Run, work: Share) -> None:
    """Bring back the orphans that a session has taken into use since they were put away (I6, I9)."""
    if _borrowed(run, work):
        with locked(run.runtime, work.store):
            _put_back(run, work, _borrowed(run, work))


def _borrowed(run: Run, work: Share) -> dict[str, str]:
    """Return by live name the agents whose sessions use an orphan that was put away."""
    claims = run.runtime.users(work.store.agent)
    users = {move.source: user_of(move.source, claims) for move in work.record.orphans}
    return {source: user for source, user in users.items() if user is not None}


def _put_back(run: Run, work: Share, users: dict[str, str]) -> None:
    back = set[str]()
    with engine.Root(run.disk, work.store.folder) as root:
        for move in work.record.orphans:
            if move.source not in users:
                continue
            if root.bring_back([move]) is None:
                back.add(move.source)
                user = users[move.source]
                run.warn(fileplan.kept_for(move.source, None if user == work.store.agent else user))
            else:
                run.warn(fileplan.begun_anew(move.source, move.target))
    if back:
        work.record = work.record.but(orphans=tuple(m for m in work.record.orphans if m.source not in back))
        work.tidied = [row for row in work.tidied if row.status is not Status.ARCHIVED or row.given not in back]


def _expire(run: Run, work: Share, chores: Chores, expired: list[str]) -> None:
    store = work.store
    with engine.Root(run.disk, store.folder) as root:
        for name in expired:
            root.expire(os.path.join(store.folder if names.is_archive(name) else _backups(store)[0], name))
            work.tidied.append(_outcome(store.agent, chores, name, Status.EXPIRED))
