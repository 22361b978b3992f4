"""Which rows of an OpenClaw database speak of sessions, in whatever table: found by what is in them. Read only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...core import late
from ...core.tuples import NamedTuple
from .database import reading

if TYPE_CHECKING:
    from sqlite3 import Connection

# A table of more rows is looked through only by columns that it has an index for.
_SMALL_ROWS = 20_000
# Of a table with more rows, texts that may hold a key among other things are not taken apart.
_TEXT_ROWS, _TEXT_CHARACTERS = 2_000, 1 << 20
_QUOTED = late.pattern(r'"([^"\\]{1,512})"')
_TEXT_TYPES = frozenset({"TEXT", ""})
# The session itself: its row, its windows and its transcript, which an undo brings back whole.
SESSION = frozenset({"session_nodes", "session_entries", "session_windows", "transcript_events"})
_ITSELF = (
    r"session_nodes|session_entries|session_windows|session_transcript_.*|transcript_.*|"
    r"session_canonical_validation_pending|memory_.*|.*_fts(_.*)?|sqlite_.*"
)
# What only tells what has happened: no close changes it, and nothing is done by it.
_LOGS = r"audit_events|capture_.*|diagnostic_events|skill_usage|message_tool_run_outcomes|.*_tombstones"
# Rows that go with a session although no foreign key says so (docs/measurements.md).
_GO_ALONG = frozenset(
    {
        "current_conversation_bindings", "session_state_events", "session_state_heads", "session_watch_cursors",
        "worker_session_placements", "session_upstream_links", "conversation_deliveries",
    }
)  # fmt: skip


class Table(NamedTuple):
    """One table: the columns that may name a session, those with texts, and whether its rows go with a session."""

    name: str
    columns: tuple[str, ...]
    texts: tuple[str, ...]
    destroyed: bool


class Hit(NamedTuple):
    """One row that speaks of a session: the `word` (a key or a session id) by which, and its columns."""

    table: Table
    word: str
    row: Mapping[str, Any]


@contextmanager
def looking(path: str, words: Mapping[str, str]) -> Iterator[Connection]:
    """Give a read-only connection that knows the words which are looked for."""
    with reading(path) as connection:
        connection.execute("pragma temp_store = memory")
        connection.execute("create temp table words (word text primary key) without rowid")
        connection.executemany("insert or ignore into words values (?)", ((word,) for word in words))
        yield connection


def tables(connection: Connection) -> list[Table]:
    """Return the tables that may speak of sessions, those that hold none left out."""
    # A view, or a table of a module that is not here, may be anything.
    plain = "select name from sqlite_master where type = 'table' and sql not like 'create virtual%'"
    names = [str(name) for (name,) in connection.execute(plain)]
    cascades = _cascades(connection, names)
    found = []
    for name in names:
        if re.fullmatch(_ITSELF, name) or re.fullmatch(_LOGS, name):
            continue
        rows = _bounded_count(connection, name)
        if not rows:
            continue
        columns = [
            str(column) for column, kind in connection.execute(
                "select name, type from pragma_table_info(?)", (name,)
            ) if str(kind).upper() in _TEXT_TYPES
        ]  # fmt: skip
        texts = tuple(columns) if rows <= _TEXT_ROWS else ()
        if rows > _SMALL_ROWS:
            indexed = _indexed(connection, name)
            columns = [column for column in columns if column in indexed]
        if columns:
            found.append(Table(name, tuple(columns), texts, name in cascades))
    return found


def columns(connection: Connection, table: str) -> set[str]:
    """Return the names of a table's columns, none where there is no such table."""
    return {str(name) for (name,) in connection.execute("select name from pragma_table_info(?)", (table,))}


def counts(connection: Connection, table: Table, only: str = "") -> dict[str, int]:
    """Return how many rows of a table (`only`: of these) have each word in a column of its own, each counted once."""
    chosen, anywhere = _matching(table)
    anywhere = f"({anywhere}) and {only}" if only else anywhere
    query = f"select {chosen} as word, count(*) from {_name(table.name)} where {anywhere} group by word"  # noqa: S608
    return {str(word): int(count) for word, count in connection.execute(query)}


def hits(connection: Connection, table: Table) -> Iterator[Hit]:
    """Give the rows of a table with one of the words in a column of its own, each once."""
    chosen, anywhere = _matching(table)
    found = connection.execute(f"select {chosen}, * from {_name(table.name)} where {anywhere}")  # noqa: S608
    names = [column[0] for column in found.description][1:]
    for word, *row in found:
        yield Hit(table, str(word), dict(zip(names, row, strict=True)))


def mentions(connection: Connection, table: Table, words: Mapping[str, str]) -> Iterator[Hit]:
    """Give the rows of a small table with one of the words in quotes, within a text."""
    if not table.texts:
        return
    anywhere = " or ".join(f"{_name(column)} in words" for column in table.columns)
    found = connection.execute(f"select * from {_name(table.name)} where not coalesce({anywhere}, 0)")  # noqa: S608
    names = [column[0] for column in found.description]
    for row in found:
        known = dict(zip(names, row, strict=True))
        texts = [known[column] for column in table.texts]
        quoted = (
            word
            for text in texts
            if isinstance(text, str) and '"' in text and len(text) <= _TEXT_CHARACTERS
            for word in _QUOTED.findall(text)
        )
        word = next((word for word in quoted if word in words), None)
        if word is not None:
            yield Hit(table, word, known)


def _matching(table: Table) -> tuple[str, str]:
    """Return the expression for a row's word, and the condition that it has one."""
    chosen = " ".join(f"when {_name(column)} in words then {_name(column)}" for column in table.columns)
    return f"case {chosen} end", " or ".join(f"{_name(column)} in words" for column in table.columns)


def _cascades(connection: Connection, names: list[str]) -> frozenset[str]:
    """Return the tables whose rows go when a session's do."""
    parents = {
        name: {
            str(parent)
            for parent, action in connection.execute(
                'select "table", on_delete from pragma_foreign_key_list(?)', (name,)
            )
            if str(action).upper() == "CASCADE"
        }
        for name in names
    }
    gone = set(SESSION) | _GO_ALONG
    while more := {name for name, of in parents.items() if name not in gone and of & gone}:
        gone |= more
    return frozenset(gone)


def _bounded_count(connection: Connection, table: str) -> int:
    query = f"select count(*) from (select 1 from {_name(table)} limit {_SMALL_ROWS + 1})"  # noqa: S608
    return int(connection.execute(query).fetchone()[0])


def _indexed(connection: Connection, table: str) -> set[str]:
    """Return the columns by which rows are found without a look at all of them."""
    first = (
        "select i.name from pragma_index_list(?) l, pragma_index_info(l.name) i where i.seqno = 0"
        " union select name from pragma_table_info(?) where pk = 1"
    )
    return {str(name) for (name,) in connection.execute(first, (table, table))}


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
