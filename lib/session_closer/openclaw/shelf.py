"""Which archives a restore may take: those that its own run has put away, or one after it. Nothing writes."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ..core import names
from ..core.durable import Move
from ..core.tuples import NamedTuple
from ..journal import history
from ..journal.codec import scan
from ..journal.record import Damaged, SessionRecord, StoreRecord
from ..system import files
from .home import Home


class Later(NamedTuple):
    """The run that has put a file away last, and of the session that it went with the key and the entry's sha256."""

    run: str
    key: str
    sha256: str


class Shelf(NamedTuple):
    """The archive of each live name that is to be taken, and those names by the session ids that could own them.

    `runs` says by live name which run of ours made it, where it went with a session.
    """

    latest: Mapping[str, str]
    owned: Mapping[str, Sequence[str]]
    runs: Mapping[str, Later]


def put_away_since(home: Home, agent: str, era: str, since: tuple[int, str]) -> Shelf:
    """Return what has been put away of an agent since a run, by sequence and id, and is still there.

    It is the latest of each name. An archive of anybody else is never brought back: it may be years old.
    """
    listed = frozenset(_listed(home, agent))
    latest: dict[str, str] = {}
    runs: dict[str, Later] = {}
    for raw in history.all_records(home.state):
        with contextlib.suppress(Damaged):
            record, stores = scan(raw)
            if record.state_dir == home.state and (record.sequence, record.id) >= since:
                for move, session in _archived_by(stores, agent, era):
                    if move.target in listed and move.source not in latest:
                        latest[move.source] = move.target
                        if session is not None:
                            runs[move.source] = Later(record.id, session.key, session.sha256)
    return _owned(latest, runs)


def _listed(home: Home, agent: str) -> list[str]:
    return [*files.listed(home.folder(agent)), *files.listed_whole(home.beside(agent))]


def _archived_by(stores: Iterator[StoreRecord], agent: str, era: str) -> Iterator[tuple[Move, SessionRecord | None]]:
    for store in stores:
        if (store.agent, store.era) == (agent, era) and not store.restores:
            for move in store.orphans:
                yield move, None
            for session in store.sessions:
                for move in session.moves:
                    yield move, session


def _owned(latest: Mapping[str, str], runs: Mapping[str, Later]) -> Shelf:
    owned: dict[str, list[str]] = defaultdict(list)
    for live in latest:
        for owner in names.owners(live):
            owned[owner].append(live)
    return Shelf(latest, owned, runs)


def put_away_after(home: Home, agent: str, backup: str, sequence: int) -> Shelf:
    """Return the archives that were made after a backup: by its run and those after it, else by what the names say."""
    made = names.backed_up_at(os.path.basename(backup))
    since = made or datetime.fromtimestamp(os.stat(backup).st_mtime, UTC)
    told = names.shelf(name for name in _listed(home, agent) if names.is_made_since(name, since))
    ours = put_away_since(home, agent, "files", (sequence, ""))
    return _owned({**told, **ours.latest}, ours.runs)
