"""A runtime's database that has the tables and columns that we go by: read at one moment, asked whether it changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self, TypeVar

from ..core.errors import Refused
from ..core.tuples import NamedTuple
from ..system.files import open_within
from . import rows
from .database import File

Answer = TypeVar("Answer")


class Needs(NamedTuple):
    """What a database has to have: columns by table. `whose` it is and the `next` step stand in what is said else.

    Of tables that are `optional` none need be there; one that is has to have these columns, too.
    """

    whose: str
    next: str
    columns: Mapping[str, frozenset[str]]
    optional: Mapping[str, frozenset[str]] = MappingProxyType({})


class Tables:
    """A database, opened to read only while others write to it; it is to be closed.

    CloserError, in one line, where it is not there, not readable, somebody else's, or lacks what is needed.
    """

    def __init__(self, file: File, needs: Needs, find: Callable[[], os.stat_result] | None = None) -> None:
        self.path = file.path
        self._file = file
        file.check(find or (lambda: os.stat(file.path)))
        self._connection: sqlite3.Connection = file.asked(file.connected)
        try:
            self._columns = file.asked(lambda: rows.tables(self._connection))
            self._check(needs)
        except BaseException:
            self.close()
            raise

    def _check(self, needs: Needs) -> None:
        there = {name: needed for name, needed in needs.optional.items() if name in self._columns}
        for table, needed in {**needs.columns, **there}.items():
            if missing := needed - self._columns.get(table, frozenset()):
                what = f"{self.path} is no database of {needs.whose} that we know: {table} without"
                raise Refused(f"{what} {', '.join(sorted(missing))}", needs.next, name="foreign_database")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()

    def at_once(self, work: Callable[[], Answer]) -> Answer:
        """Return what a look finds, all of it as it was at one moment; CloserError where it cannot be read."""

        def look() -> Answer:
            self._connection.execute("begin")
            try:
                return work()
            finally:
                self._connection.rollback()

        return self._file.asked(look)

    def version(self) -> int:
        """Return a number that is another one after each change that anybody has made since it was opened."""
        return self._file.asked(self._version)

    def _version(self) -> int:
        [found] = self._connection.execute("pragma data_version").fetchone()
        return int(found)

    def has(self, table: str, *columns: str) -> bool:
        """Tell whether there is a table with these columns."""
        return self._columns.get(table, frozenset()).issuperset(columns)

    def read(self, table: str, columns: Iterable[str], rest: str = "", given: Iterable[Any] = ()) -> list[Any]:
        """Return rows of a table by these columns, None for one that it lacks; none where there is no table.

        `rest` is what stands behind the table in the query.
        """
        if table not in self._columns:
            return []
        query = f"select {self.picked(table, columns)} from {table} {rest}"  # noqa: S608
        return self._connection.execute(query, tuple(given)).fetchall()

    def picked(self, table: str, columns: Iterable[str]) -> str:
        """Return columns of a table for a query, null for one that it lacks."""
        there = self._columns[table]
        return ", ".join(name if name in there else f"null as {name}" for name in columns)

    def of_session(self, column: str, session_id: str) -> Iterator[rows.Row]:
        """Give each row of a session, its own first, as they are at one moment; a column of `sessions` names it.

        CloserError where the database cannot be read.
        """
        return rows.of_session(self._file, self._connection, column, session_id)


def within(root: str, path: str) -> os.stat_result:
    """Return the stat of a file below a folder; OSError, also for a link on the way: it may be somebody else's."""
    descriptor = open_within(root, path)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def taken(path: str) -> int:
    """Return the bytes that a database takes on disk, with what waits beside it to be written into it."""
    return sum(os.stat(each).st_size for each in (path, f"{path}-wal") if os.path.exists(each))
