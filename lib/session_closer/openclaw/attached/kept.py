"""What a deletion takes along, kept beside the receipt: one JSON line for each row, packed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from ...journal import history
from ...journal.record import Kept
from ...system import files
from ..home import Home
from ..installation import Installation
from ..sqlite import tables
from . import mentions
from .words import databases, words

_GZIP = 16 + zlib.MAX_WBITS
# What is kept of a store's bindings is read again as a whole.
_READ_BYTES = 64 << 20


def path_of(home: Home, name: str) -> str:
    """Return where a file with kept rows is."""
    return os.path.join(history.root(home.state), history.RECEIPTS, name)


def keep(here: Installation, run: str, agent: str, sessions: Iterable[tuple[str, str | None]]) -> Kept | None:
    """Write the rows that go with sessions (key, session id), durable before it returns; None where there are none.

    A line is `{"database", "table", "key", "row"}`; bytes in a row are `{"base64": …}`. Raises Refused where a database
    cannot be read.
    """
    disk, home = here.disk, here.home
    packed, rows = zlib.compressobj(1, wbits=_GZIP), 0
    pieces: list[bytes] = []
    for line in _lines(home, agent, words(sessions)):
        pieces.append(packed.compress(line))
        rows += 1
    if not rows:
        return None
    pieces.append(packed.flush())
    data = [piece for piece in pieces if piece]
    whole = hashlib.sha256()
    for piece in data:
        whole.update(piece)
    folder = os.path.dirname(path_of(home, ""))
    if not files.is_folder(folder):
        disk.make_folder(folder)
        disk.sync_folder(os.path.dirname(folder))
    taken = set(files.listed(folder))
    # A killed run may have left one that its record does not name: what is in it may be gone from the database.
    name = next(name for at in count(1) if (name := f"{run}.{agent}.{at}.jsonl.gz") not in taken)
    files.put(disk, path_of(home, name), data)
    disk.sync_folder(folder)
    return Kept(name, rows, sum(map(len, data)), whole.hexdigest())


def _lines(home: Home, agent: str, owners: Mapping[str, str]) -> Iterator[bytes]:
    for path in databases(home, agent):
        with tables.looking(path, owners) as connection:
            for table in tables.tables(connection):
                if table.destroyed:
                    for hit in tables.hits(connection, table):
                        yield _line(os.path.relpath(path, home.state), hit.table.name, owners[hit.word], hit.row)
    for record in mentions.bindings(home):
        target = record.get("targetSessionKey")
        if isinstance(target, str) and target in owners:
            yield _line(mentions.BINDINGS, "bindings", owners[target], record)


def _line(database: str, table: str, key: str, row: Mapping[str, Any]) -> bytes:
    line = {"database": database, "table": table, "key": key, "row": dict(row)}
    return json.dumps(line, default=_bytes).encode() + b"\n"


def bindings(home: Home, kept: Iterable[Kept], keys: Container[str]) -> list[dict[str, Any]]:
    """Return the chat bindings of these sessions that were kept of a file; ValueError where a file is not what it was.

    OSError where one cannot be read.
    """
    found = []
    for one in kept:
        raw, _ = files.read(path_of(home, one.name), one.size)
        if hashlib.sha256(raw).hexdigest() != one.sha256:
            raise ValueError(f"{path_of(home, one.name)} is not what it was")
        unpacking = zlib.decompressobj(_GZIP)
        for line in unpacking.decompress(raw, _READ_BYTES).splitlines():
            row = json.loads(line)
            if row["database"] == mentions.BINDINGS and row["key"] in keys:
                found.append(row["row"])
    return found


def _bytes(value: Any) -> dict[str, str]:
    assert isinstance(value, bytes)
    return {"base64": base64.b64encode(value).decode()}
