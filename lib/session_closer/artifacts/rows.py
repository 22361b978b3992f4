"""Rows of a database that others write, each as a line of JSON, and those of one session; nothing writes."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..core.export.parts import Stream
from ..core.tuples import NamedTuple
from .database import File

# What indexes a text is no table of its own.
_TABLES = "select name from sqlite_master where type = 'table' and sql not like 'create virtual%' order by name"
_SESSIONS, _NAMED = "sessions", "session_id"


class Row(NamedTuple):
    """One row of a table, its values by column; what is no text and no number is bytes."""

    table: str
    values: Mapping[str, Any]

    @property
    def line(self) -> bytes:
        """The row as a line of JSON: {"table": ..., "row": {...}}, bytes as {"base64": ...}."""
        text = json.dumps({"table": self.table, "row": self.values}, default=_encoded, allow_nan=True)
        return text.encode() + b"\n"


def tables(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """Return the columns of each table, by its name; sqlite3.Error."""
    query = "select name from pragma_table_info(?)"
    names = [name for (name,) in connection.execute(_TABLES) if isinstance(name, str)]
    return {name: frozenset(column for (column,) in connection.execute(query, (name,))) for name in names}


def chosen(connection: sqlite3.Connection, table: str, rest: str = "", given: Iterable[str] = ()) -> Iterator[Row]:
    """Give rows of a table; `rest` is what stands behind its name in the query; sqlite3.Error."""
    found = connection.execute(f'select * from "{table.replace(chr(34), chr(34) * 2)}" {rest}', tuple(given))  # noqa: S608
    columns = [name for name, *_ in found.description]
    return (Row(table, dict(zip(columns, values, strict=True))) for values in found)


def of_session(file: File, connection: sqlite3.Connection, column: str, session_id: str) -> Iterator[Row]:
    """Give each row of a session, its own first, as they are at one moment; CloserError.

    `column` names a session in the table of sessions; all others that are of one have a `session_id`.
    """
    try:
        connection.execute("begin")
        there = tables(connection)
        others = [(name, _NAMED) for name, columns in there.items() if name != _SESSIONS and _NAMED in columns]
        for table, named in ((_SESSIONS, column), *others):
            ordered = "order by id" if "id" in there[table] else ""
            yield from chosen(connection, table, f"where {named} = ? {ordered}", (session_id,))
    except sqlite3.Error as problem:
        raise file.said(problem) from None
    finally:
        connection.rollback()


def stream(name: str, origin: str, read: Callable[[], Iterator[Row]]) -> tuple[bytes, Stream] | None:
    """Return the first of the rows that `read` gives as its line, and all of them as a stream; None: there are none."""
    digest, size, first = hashlib.sha256(), 0, b""
    for row in read():
        line = row.line
        first = first or line
        digest.update(line)
        size += len(line)
    if not first:
        return None
    return first, Stream(name, origin, size, lambda: (row.line for row in read()), stamp=digest.hexdigest())


def text(raw: bytes) -> str | bytes:
    """Return a text of a database as such where it is one; a `text_factory` that raises nothing."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _encoded(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)
