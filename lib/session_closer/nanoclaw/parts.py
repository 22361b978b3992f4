"""One session of NanoClaw as an export takes it: rows, messages, transcript, files that are its own. Nothing writes.

Containers write most of this, so each file is opened without following a link on the way, and any may be odd.
"""

from __future__ import annotations

import heapq
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from ..artifacts import rows, scan
from ..artifacts.streams import unreadable, within
from ..core import claude_folder, late
from ..core.artifacts import Artifact
from ..core.errors import Refused
from ..core.export import claude_code
from ..core.export.parts import BESIDE, TRANSCRIPT, UNLISTED, LeftOut, Parts, Stream, is_listed, is_text, safe
from ..core.patterns import Pattern, is_of, owner_of
from ..core.tuples import NamedTuple
from ..ports.artifacts import Away
from ..system import images
from ..system.clock import Clock
from . import kinds, said
from .central import Central
from .mailbox import INBOUND, OUTBOUND, Mailboxes

SETTINGS = (".env", "data/env/env")
ROWS, MESSAGES, FILES = "rows.jsonl", "conversation.jsonl", "files"
_HEART = ".heartbeat"
_FOLDER = late.pattern(r"(?P<id>[^.].*)", re.DOTALL)
_OTHER = "it is of another group"


class _Own(NamedTuple):
    """Where a session is: its folder, "": it has none, and where Claude Code's transcripts and the rest of it are."""

    folder: str
    found: tuple[Artifact, ...]
    left_out: tuple[LeftOut, ...]


def parts(home: str, session_id: str, clock: Clock, away: Away | None = None) -> Parts | None:
    """Return one session as a home has it now, None where it has neither rows nor files of it; CloserError.

    It is named as the central database does, or as Claude Code does. `away`: its files are those that a run has put
    away.
    """
    if not is_text(session_id):
        return None
    layout = kinds.layout_of(home)

    def read() -> Iterator[rows.Row]:
        with closing(Central(home, layout, clock)) as central:
            yield from central.belongings(session_id)

    path = os.path.join(home, layout.database)
    found = rows.stream(ROWS, path, read)
    lying = home if away is None else away.archive
    try:
        own = _own(home, lying, layout, session_id, clock)
        files = list(chain(_in_folder(lying, own.folder), _of_claude(lying, own.found)))
    except OSError as problem:
        raise unreadable(problem.filename or lying, problem) from None
    streams = [one for one in (found[1] if found else None, _messages(lying, own.folder), *files) if one is not None]
    listed = [one for one in streams if isinstance(one, Stream)]
    if not listed:
        return None
    left_out = [*own.left_out, *(one for one in files if isinstance(one, LeftOut))]
    is_whole = any(one.name == TRANSCRIPT for one in listed)
    left_out += [] if found else [LeftOut(ROWS, "there are none")]
    left_out += [] if is_whole else [LeftOut(TRANSCRIPT, "there is none")]
    return Parts(
        found[0] if found else b"", listed, left_out, said_in=TRANSCRIPT if is_whole else MESSAGES,
        events=claude_code.events if is_whole else said.events, importable=False,
    )  # fmt: skip


def named(root: str, path: str) -> Sequence[str]:
    """Return the sessions that something below a folder is of by its name: of a group's folder those in it."""
    every = (*kinds.V1.patterns, *kinds.V2.patterns)
    if is_of(path, every, kinds.GROUP):
        inside, mailboxes = Pattern(kinds.SESSION, path, _FOLDER, is_folder=True), Mailboxes(root)
        return [one.owner for one in scan.found(root, [inside]) if one.owner and mailboxes.has_one(one.path)]
    found = owner_of(path, [one for one in every if one.kind in (*kinds.CLAUDES, kinds.SESSION)])
    return [found] if found is not None else []


def _own(home: str, lying: str, layout: kinds.Layout, session_id: str, clock: Clock) -> _Own:
    """Return where a session of a home is, below the folder that has its files; CloserError, OSError."""
    folders = _folders(lying, session_id) if layout is kinds.V2 else []
    with closing(Central(home, layout, clock)) as central:
        central.look()
        row = central.sessions.get(session_id)
    meant = [one for one in folders if row is None or kinds.group_of(one) == str(row.group)]
    folder = meant[0] if meant else ""
    others = tuple(LeftOut(one, _OTHER) for one in folders if one != folder)
    named = claude_folder.ids(session_id) if session_id.lower() in claude_folder.ids(session_id) else frozenset()
    if folder:
        mail = Mailboxes(lying).of(folder)
        if mail.trouble:
            raise Refused(mail.trouble, "try again when it rests", name="unreadable")
        named |= mail.continued
    patterns = [one for one in layout.patterns if one.kind in kinds.CLAUDES] if named else []
    found = [one for one in scan.found(lying, patterns) if (one.owner or "").lower() in named]
    group = kinds.group_of(folder) if folder else None
    return _Own(folder, tuple(one for one in found if group in (None, kinds.group_of(one.path))), others)


def _folders(home: str, session_id: str) -> list[str]:
    """Return the folders that have a session's name, by their paths."""
    mailboxes = Mailboxes(home)
    name = re.compile(rf"(?!\.){re.escape(session_id)}")
    pattern = Pattern(kinds.SESSION, f"{kinds.SESSIONS}/*", name, is_folder=True)
    return [one.path for one in scan.found(home, [pattern]) if mailboxes.has_one(one.path)]


def _messages(home: str, folder: str) -> Stream | None:
    """Return what the two databases of a session say, None where there is nothing; Refused where that is not known."""

    def read() -> Iterator[rows.Row]:
        try:
            yield from _said(home, folder)
        except (OSError, sqlite3.Error) as problem:
            what = f"a database in {home}/{folder} cannot be read: {problem}"
            raise Refused(what, "try again when it rests", name="unreadable") from None

    found = rows.stream(MESSAGES, f"{home}/{folder}", read) if folder else None
    return found[1] if found else None


def _said(home: str, folder: str) -> Iterator[rows.Row]:
    """Give all rows of the two databases, messages first, in the order in which they were sent; sqlite3.Error."""
    inbound, outbound = (images.opened(home, f"{folder}/{name}") for name in (INBOUND, OUTBOUND))
    with inbound as received, outbound as sent:
        both = [one for one in (received, sent) if one is not None]
        for one in both:
            one.text_factory = rows.text
        tables = [(one, name, columns) for one in both for name, columns in rows.tables(one).items()]
        messages = [
            rows.chosen(one, name, "order by replace(timestamp, ' ', 'T')" if "timestamp" in columns else "")
            for one, name, columns in tables
            if name in (said.RECEIVED, said.SENT)
        ]
        yield from heapq.merge(*messages, key=_when)
        for one, name, _ in tables:
            if name not in (said.RECEIVED, said.SENT):
                yield from rows.chosen(one, name)


def _when(row: rows.Row) -> str:
    return str(row.values.get("timestamp") or "").replace(" ", "T")


def _in_folder(home: str, folder: str) -> Iterator[Stream | LeftOut]:
    """Give what people and the session have put into its folder."""
    for name, why in scan.below(home, folder) if folder else ():
        if name in (INBOUND, OUTBOUND):
            yield LeftOut(f"{folder}/{name}", f"its rows are in {MESSAGES}")
        elif name != _HEART:
            yield _file(home, f"{folder}/{name}", f"{FILES}/{name}", why)


def _of_claude(home: str, found: Iterable[Artifact]) -> Iterator[Stream | LeftOut]:
    """Give what Claude Code has left of a session: the transcript that was written last, and all else beside it."""
    transcripts = [one for one in found if one.kind == claude_folder.TRANSCRIPT]
    newest = max(transcripts, key=lambda one: (one.at, one.path), default=None)
    for one in found:
        group = kinds.group_of(one.path)
        inner = scan.below(home, one.path) if one.folder else (("", ""),)
        for name, why in inner:
            path = f"{one.path}/{name}".rstrip("/")
            place = "/".join(path.split("/")[4:])
            yield _file(home, path, TRANSCRIPT if one is newest else f"{BESIDE}/{group}/{place}", why)


def _file(home: str, path: str, name: str, why: str) -> Stream | LeftOut:
    if why or not is_listed(name):
        return LeftOut("/".join(map(safe, path.split("/"))), why or UNLISTED, why in ("", scan.DEEP))
    return within(name, home, path)
