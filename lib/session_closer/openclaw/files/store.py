"""The file store: `sessions.json` and the transcripts beside it (OpenClaw up to 2026.7)."""

from __future__ import annotations

import errno
import functools
import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, filterfalse
from typing import Any, TypeVar

from ...artifacts import measuring
from ...artifacts.measuring import Hash
from ...core import names, transcripts
from ...core.details import Details
from ...core.errors import CorruptStore, Refused
from ...core.escape import shell_word
from ...core.model import Session, Snapshot, Traits
from ...core.tuples import NamedTuple
from ...system import files
from .. import lockfile
from ..home import Home
from . import document
from .entries import FIELDS, session
from .folder import add_beside, listing
from .members import Document, Member

Row = TypeVar("Row")
REMEDY = "look at it with: openclaw doctor"
TRAITS = Traits()


class FileStore:
    """One agent's `sessions.json` and transcripts folder.

    `document` is what the last `read` saw, `made` the hash of its text, if there is one. Folded, it has no text.
    `locks` are the names of locks beside the index, as the last `read` saw them; None where it did not look there.
    """

    era = "files"
    traits = TRAITS

    def __init__(self, home: Home, agent: str) -> None:
        self.agent = agent
        self.index = home.index(agent)
        self.folder = home.folder(agent)
        self.beside = home.beside(agent)
        self.own_index = home.has_own_indexes()
        self.document: Document[Session] | None = None
        self.made: Hash | None = None
        self.locks: list[str] | None = None
        self._rows: Mapping[str, Session] = {}
        self._rows_of: Document[Session] | None = None
        self._folded = ""
        self._spans = array("I")
        self._odd: dict[str, str] | None = None
        self._owned: tuple[frozenset[str], dict[str, tuple[str, ...]]] = (frozenset(), {})

    @property
    def place(self) -> str:
        """The folder of the index, where backup, lock and temporary files go."""
        return os.path.dirname(self.index)

    def listed(self) -> list[str]:
        """Return the names in the folder of transcripts, and the whole paths of what is beside an index elsewhere."""
        return [*files.listed(self.folder), *files.listed_whole(self.beside)]

    def is_large(self) -> bool:
        """Tell whether the index has so many bytes that a list looks at it first."""
        try:
            return os.stat(self.index).st_size >= document.LARGE
        except OSError:
            # Whoever reads it says why it cannot be read.
            return False

    def begin_with(self, other: FileStore) -> None:
        """Begin with what another has read of the same index."""
        self.document = other.document

    def read(self) -> Snapshot:
        """Return the store as it is now; raise CorruptStore, or Refused for a link or a special file."""
        self.document = self._now()
        # Under the lock it is mostly the text of before, and so are its rows.
        if self._rows_of is not self.document:
            self._rows_of = self.document
            self._rows = {key: member.row for key, member in self.document.members.items()}
        sessions = self._rows
        live, odd = self.lying()
        if odd != self._odd or self._owned[0] != set(live):
            ids = {session.session_id: session.session_id for session in sessions.values() if session.session_id}
            self._odd, self._owned = odd, (frozenset(live), by_owner([*live, *odd], ids))
        there, owned = self._owned
        folder = os.path.realpath(self.folder)
        locks = [name for name in live if ".lock" in name]
        self.locks = None if self.beside else locks
        return Snapshot(
            agent=self.agent,
            path=self.index,
            folder=folder,
            sessions=sessions,
            files=there,
            odd=odd,
            locked=self.locked(locks),
            by_owner=owned,
            own_index=self.own_index,
            beside=self.beside,
            outside=outside(sessions.values(), folder, self.beside),
        )

    def lying(self) -> tuple[list[str], dict[str, str]]:
        """Return the files in the folder of transcripts, and beside an index elsewhere; the other names are `odd`."""
        live, odd = listing(self.folder)
        if self.beside:
            add_beside(live, odd, self.beside, os.path.basename(self.index))
        return live, odd

    def locked(self, live: Iterable[str]) -> frozenset[str]:
        """Return those of the transcripts whose lock a living process holds."""
        return frozenset(
            name.removesuffix(".lock")
            for name in live
            if name.endswith(".jsonl.lock") and lockfile.run_in_flight(os.path.join(self.folder, name))
        )

    def sessions(self) -> Collection[Session]:
        """Return the sessions that the last `read` saw."""
        return self._rows.values()

    def fold(self) -> None:
        """Keep no more of the text that was read than its hash, and where each entry is."""
        if self.document is not None and self.document.raw:
            self._folded = Hash(self.document.raw).hexdigest()
            spans = ((member.start, member.value, member.end) for member in self.document.members.values())
            self._spans = array("I", chain.from_iterable(spans))
            self.document, self.made, self._rows_of = self.document._replace(raw=b"", members={}), None, None

    def _unfolded(self, known: Document[Session], raw: bytes) -> Document[Session]:
        """Return the index that was folded, its text being that again."""
        spans = iter(self._spans)
        at = zip(self._rows.items(), spans, spans, spans, strict=True)
        members = {key: Member(start, value, end, row) for (key, row), start, value, end in at}
        return known._replace(raw=raw, members=members)

    def forget(self) -> None:
        """Keep nothing of what was read: the store is done."""
        self.document, self.made, self._rows, self._spans = None, None, {}, array("I")
        self._rows_of = None
        self._odd, self._owned = None, (frozenset(), {})

    def value_bytes(self, key: str) -> bytes | None:
        """Return an entry as the last `read` saw it, as it is now where that text is folded; None where there is none.

        Raises Refused for an index that cannot be read.
        """
        if self.document is not None and not self.document.raw:
            self.document = self._now()
        return None if self.document is None else self.document.value_bytes(key)

    def _now(self) -> Document[Session]:
        """Return the index as it is now: under the lock it is mostly as it was, and needs no second scan."""
        known = self.document
        if known is not None and known.raw and measuring.holds(self.index, known.raw):
            return known
        raw = read_index(self.index)[0]
        if known is not None and not known.raw:
            self.made = Hash(raw)
            if self.made.hexdigest() == self._folded:
                return self._unfolded(known, raw)
        return parse(raw, self.index, self.agent)

    def sizes(self, sessions: Sequence[Session], snapshot: Snapshot) -> dict[str, int | None]:
        """Return the bytes of the sessions' live files by key, None where their names cannot be told."""
        return {session.key: _size(session, snapshot) if session.id_usable else None for session in sessions}

    def details(self, keys: Iterable[str]) -> Mapping[str, Details]:
        """Return what these sessions are called and have used, by key, as of the last `read`.

        As it is now where that text is folded; raises Refused for an index that cannot be read.
        """
        from .. import details  # only a list asks

        assert self.document is not None
        document = self.document if self.document.raw else self._now()
        raw, members, wanted = document.raw, document.members, list(keys)
        spans = ((key, members[key]) for key in wanted if key in members)
        return details.read(((key, raw[one.value : one.end]) for key, one in spans), len(wanted))


def by_owner(listed: Sequence[str], ids: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the names in a folder by the session ids that could call them their own; `ids` are those in the index."""
    usual = list(filter(names.USUAL.fullmatch, listed))
    owners = [name.removesuffix(".jsonl") for name in usual]
    # A second text of each would be felt where there are many.
    found: dict[str, tuple[str, ...]] = dict(
        zip(map(ids.get, owners, owners), zip(usual, strict=True), strict=True),
    )
    more: dict[str, list[str]] = defaultdict(list)
    for name in filterfalse(set(usual).__contains__, listed) if len(usual) < len(listed) else ():
        for owner in names.owners(name):
            more[ids.get(owner, owner)].append(name)
    found |= {owner: (*found.get(owner, ()), *own) for owner, own in more.items()}
    return found


def _size(session: Session, snapshot: Snapshot) -> int | None:
    total, found = 0, False
    for name in transcripts.of(session, snapshot):
        if name in snapshot.files:
            found = found or not names.is_companion(name)
            try:
                total += os.lstat(name if name.startswith("/") else f"{snapshot.folder}/{name}").st_size
            except FileNotFoundError:
                # One that has gone since the folder was listed has no size any more.
                continue
    if session.session_file in snapshot.outside:
        return None
    return total if found or not session.session_file or transcripts.is_in_folder(session, snapshot) else None


def outside(sessions: Iterable[Session], folder: str, beside: str) -> dict[str, str]:
    """Return by `sessionFile` the whole paths of those that lead to something in neither of our folders."""
    found = {}
    own = [folder, *filter(None, [beside])]
    named = {path for session in sessions if (path := session.session_file) and path.rpartition("/")[0] not in own}
    for path in named:
        folder, name = names.parted(path)
        if folder in own or (not folder and names.is_transcript(name)):
            continue
        # OpenClaw begins at the folder of the index.
        wholes = (os.path.join(place, path) for place in reversed(own))
        there = next(filter(files.is_reached, wholes), None)
        if there is not None and os.path.realpath(os.path.dirname(there)) not in own:
            found[path] = os.path.normpath(there)
    return found


def read_index(path: str) -> tuple[bytes, os.stat_result]:
    """Return the bytes and stat of a `sessions.json`; Refused for anything but a plain file."""
    if os.path.islink(path):
        real = os.path.realpath(path)
        # OpenClaw's next write puts a file in the place of the link, and leaves the real one behind.
        remedy = f"with no gateway running: mv {shell_word(real)} {shell_word(path)}"
        raise Refused(f"{path} is a link to {real}", remedy, name="link")
    try:
        return files.read(path, document.MAX_BYTES)
    except OSError as problem:
        if problem.errno == errno.EFBIG:
            limit = document.MAX_BYTES >> 20
            raise CorruptStore(f"{path} is larger than {limit} MiB, more than OpenClaw can read", REMEDY) from None
        raise Refused(f"{path} cannot be read: {problem.strerror}", "check the file", name="unreadable") from None


def parse(raw: bytes, path: str, agent: str) -> Document[Session]:
    """Return the members of an index with their sessions; CorruptStore names the file."""
    real = functools.cache(files.real)
    return _scan(raw, path, functools.partial(session, agent, real), FIELDS)


class Seen(NamedTuple):
    """The sessions that an index held when it had this stamp."""

    stamp: measuring.Stamp | None
    sessions: Mapping[str, Session]


def see(path: str, agent: str, before: Seen | None) -> Seen:
    """Return the sessions of an index as it is now; one that has not changed since is not read again."""
    stamp = measuring.stamp(path)
    if before is not None and before.stamp == stamp:
        return before
    members = parse(read_index(path)[0], path, agent).members
    return Seen(stamp, {key: member.row for key, member in members.items()})


def check(raw: bytes, path: str) -> Document[None]:
    """Return the members of an index, nothing but their spans; CorruptStore names the file."""
    return _scan(raw, path, document.nothing)


def _scan(raw: bytes, path: str, pick: Callable[[str, Any], Row], fields: tuple[str, ...] = ()) -> Document[Row]:
    try:
        return document.scan(raw, pick, fields)
    except CorruptStore as problem:
        raise CorruptStore(f"{path} {problem.message}", REMEDY) from None
