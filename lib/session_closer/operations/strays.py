"""What a policy finds among files: transcripts that no row refers to, and archives that no receipt needs any more."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter

from ..core import chores, names
from ..core.escape import quoted
from ..core.findings import Chores, Doubt
from ..core.model import Snapshot
from ..core.policy import DAY, Rules
from ..journal import clocks, history
from ..journal.codec import scan
from ..journal.record import Damaged, RunRecord, StoreRecord
from ..ports.readable import Readable
from ..system.files import listed, listed_whole
from .request import Request

_SHOWN = 3


def look(request: Request, store: Readable, snapshot: Snapshot, before: Mapping[str, Chores]) -> Chores:
    """Return what a policy finds among an agent's files; `before`: what it found of other agents, by agent."""
    rules = request.rules
    assert rules is not None
    found: dict[str, os.stat_result] = {}
    orphans: list[str] = []
    expired: list[str] = []
    doubted: list[str] = []
    doubt: Doubt | None = None
    made: dict[str, float] = {}
    strays = 0
    if rules.policy.orphans is not None and snapshot.traits.loose_files:
        found = _strays(request, store, snapshot, before)
        orphans = list(found)
        made = {name: status.st_mtime for name, status in found.items()}
        _say_unknown(request, store.agent, chores.unknown(snapshot))
    elif rules.policy.orphans is not None:
        strays = sum(map(len, chores.orphan_groups(snapshot)))
    if rules.policy.expire_archives is not None:
        shelf, moments = _shelf(store)
        found.update(shelf)
        made.update(moments)
        expired = _expired(request, store, moments, before, rules)
        doubt = clocks.doubt(rules.now, history.beginnings(request.runtime.root))
        if doubt is not None:
            certain = _expired(request, store, moments, before, rules._replace(now=rules.now - doubt.seconds))
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


def _strays(
    request: Request, store: Readable, snapshot: Snapshot, before: Mapping[str, Chores]
) -> dict[str, os.stat_result]:
    """Return the files without a session that are old enough, with their stat."""
    rules = request.rules
    assert rules is not None
    groups = chores.orphan_groups(snapshot, request.runtime.lent(store.agent).values())
    found = dict(_stats(store.folder, (name for group in groups for name in group)))
    orphans = chores.old_groups(groups, {name: status.st_mtime for name, status in found.items()}, rules)
    orphans = _certain(request, store.agent, orphans)
    left = dict(_stats(store.folder, chores.temporary(snapshot)))
    # A write that takes longer than a day is none.
    assert rules.policy.orphans is not None
    until = rules.now - max(rules.policy.orphans, DAY)
    orphans += [name for name, status in left.items() if status.st_mtime < until]
    told, whole = _told_of(request, store, store.place, before, attrgetter("orphans")), found | left
    return {name: whole[name] for name in orphans if name not in told}


def _say_unknown(request: Request, agent: str, unknown: list[str]) -> None:
    if unknown:
        shown = ", ".join(map(quoted, unknown[:_SHOWN])) + (", …" if len(unknown) > _SHOWN else "")
        count = "1 file" if len(unknown) == 1 else f"{len(unknown)} files"
        request.warn(f"{count} of agent {agent} left where they are, as nothing tells whose: {shown}")


def _certain(request: Request, agent: str, orphans: list[str]) -> list[str]:
    """Return the orphans, none where another agent may use them whose store is not whole."""
    damaged = request.runtime.damaged(agent) if orphans else []
    for other in damaged:
        what = f"the store of agent {other} cannot be read, so what it uses is not known"
        request.warn(f"{what}: files without a session of agent {agent} are left where they are")
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
    place, first = backups(store)
    kept = [name for name in listed(place) if name.startswith(first)]
    found = dict(_stats(place, kept)) | dict(_stats(store.folder, archives))
    made = {}
    for name, status in found.items():
        moment = names.archived_at(name) or names.backed_up_at(name)
        # A rename keeps a file's time, a backup is written anew.
        made[name] = moment.timestamp() if moment is not None else status.st_mtime
    return found, made


def _was_temporary(store: Readable, name: str) -> bool:
    return names.is_temporary(names.archived_from(name) or "", os.path.basename(store.index))


def backups(store: Readable) -> tuple[str, str]:
    """Return the folder of an agent's backups and what their names begin with: a database has those from before it."""
    in_files = store.traits.loose_files
    index = os.path.basename(store.index) if in_files else names.INDEX
    return store.place if in_files else store.folder, names.backup_name(index, "")


def _expired(
    request: Request, store: Readable, moments: dict[str, float], before: Mapping[str, Chores], rules: Rules
) -> list[str]:
    needed = _needed(request, rules) | _told_of(request, store, backups(store)[0], before, attrgetter("expired"))
    # What a session that lives on said a moment ago stays at least for a day.
    young = {name for name, made in moments.items() if names.is_old_window(name) and made >= rules.now - DAY}
    return chores.expired(moments, needed | young, rules)


def _needed(request: Request, rules: Rules) -> frozenset[str]:
    """Return every name that an interrupted run, or a receipt younger than the age, speaks of."""
    assert rules.policy.expire_archives is not None
    until = rules.now - rules.policy.expire_archives
    later = clocks.latest_before(history.beginnings(request.runtime.root), rules.now)
    wanted: set[str] = set()
    for raw in history.all_records(request.runtime.root):
        try:
            record, stores = scan(raw)
            began = later.get(record.id)
            moment = _moment(record) if began is None else max(_moment(record), began.timestamp())
            if record.state == "open" or moment >= until:
                wanted.update(_names(stores))
        except Damaged:
            # Perhaps of a later version: whatever it names stays.
            wanted.update(raw.decode("utf-8", "replace").split('"'))
    return frozenset(wanted)


def _told_of(
    request: Request,
    store: Readable,
    place: str,
    before: Mapping[str, Chores],
    of: Callable[[Chores], tuple[str, ...]],
) -> frozenset[str]:
    """Return what is done for agents before this one that have the same folder: what is there is theirs together."""
    stores = request.runtime.stores
    others = [agent for agent in before if agent < store.agent and place in (stores[agent].place, stores[agent].folder)]
    return frozenset(name for agent in others for name in of(before[agent]))


def _moment(record: RunRecord) -> float:
    found = history.moment(record.finished_at or record.started_at)
    if found is None:
        raise Damaged("says no time")
    return found.timestamp()


def _names(stores: Iterator[StoreRecord]) -> Iterator[str]:
    for store in stores:
        yield from (store.backup or "", store.entries_in, *store.displaced, *(move.target for move in store.orphans))
        for session in store.sessions:
            yield from (move.target for move in session.moves)
