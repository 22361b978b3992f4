"""Give files their archive names, or their live ones again, finish renames that a kill cut short, remove archives.

A file has two names in one folder, a live one and an archive's, and is under one of them. Nothing is overwritten, no
link is followed, and what was asked of a folder is durable once the `with` that it was asked in has ended.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, Flag
from functools import cache
from types import TracebackType

from ..core import names
from ..core.durable import Move
from ..core.tuples import NamedTuple
from ..system import files
from ..system.disk import Disk


class Names(Flag):
    """Which of the two names of a file are there."""

    NEITHER = 0
    LIVE = 1
    ARCHIVE = 2
    BOTH = 3


class Became(Enum):
    """What became of a file: where it is, or why it is not where it was to be."""

    AWAY = "it has got its archive name"
    ALREADY = "somebody had given it an archive name before"
    LIVE = "it has its live name"
    GONE = "it has neither name"
    TAKEN = "another file has the name that it was to get"
    STUCK = "the system lets nobody rename it"
    ELSEWHERE = "it is on another file system"


class Result(NamedTuple):
    """What became of one file; the move names the archive that it has, or was to have."""

    became: Became
    move: Move


_NO_NAMES = frozenset(("", ".", ".."))
# A file that is immutable, another user's in a sticky folder, or mounted there by itself.
IMMOVABLE = frozenset((errno.EPERM, errno.EBUSY))
_THERE = {
    Names.NEITHER: Became.GONE,
    Names.LIVE: Became.LIVE,
    Names.ARCHIVE: Became.ALREADY,
    Names.BOTH: Became.TAKEN,
}


def wanted(there: Names, going: Names, *, is_used: bool, begin: bool) -> Names:
    """Return the names that a file is to have by those that it has; the same ones where nothing is to be done.

    `going`: the name that a run was giving it; `begin`: it gets that even where the rename had not begun. A file that
    is used gets its live name, whatever the run was about to do.
    """
    if is_used:
        going, begin = Names.LIVE, True
    return going if there is Names.BOTH or (there and begin) else there


def latest(listed: Callable[[], Iterable[str]]) -> Callable[[Move], str | None]:
    """Return what tells the name of an archive that was made of a file after its move was planned, None: there is none.

    `listed` gives all names there are; it is called once, and only if somebody asks.
    """
    shelf = cache(lambda: names.shelf(listed()))

    def tell(move: Move) -> str | None:
        name = shelf().get(move.source)
        return name if name is not None and names.is_made_since(name, names.archived_at(move.target)) else None

    return tell


def _nobody(_name: str) -> bool:
    return False


def _unknown(_move: Move) -> str | None:
    return None


class Root:
    """A folder whose files are put away and brought back; names are plain, or whole paths of files beside an index.

    `is_used` tells of a live name whether a session uses that file now; `other_name` returns a move with a free archive
    name where the planned one is taken, once that is on record; `latest` tells the archive that somebody else has made.
    `stuck` says by live name why the system lets nobody rename a file, by its own of one that nobody may remove.
    """

    def __init__(
        self,
        disk: Disk,
        path: str,
        *,
        is_used: Callable[[str], bool] = _nobody,
        other_name: Callable[[Move], Move] | None = None,
        latest: Callable[[Move], str | None] = _unknown,
    ) -> None:
        self._disk, self._path = disk, path
        self._is_used, self._other_name, self._latest = is_used, other_name, latest
        self._away: dict[str, Result] = {}
        self._touched: set[str] = set()
        self.stuck: dict[str, str] = {}

    def __enter__(self) -> Root:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Where an error ends the run, the next one settles what this one has renamed.
        if kind is None:
            files.sync_folders(self._disk, self._path, self._touched)

    def put_away(self, move: Move) -> Result:
        """Give a file its archive name unless it is used; sessions that share one get the same answer."""
        if self._is_used(move.source):
            return Result(Became.LIVE, move)
        return self._away.get(move.source) or self._rename_away(move, self._other_name)

    def bring_back(self, moves: Sequence[Move]) -> Result | None:
        """Give files their live names again; where one cannot get it none does, and what became of that is returned.

        One that has its live name already is no conflict: sessions may share it.
        """
        renamed: list[Move] = []
        for move in moves:
            became = self._rename_back(move, renamed)
            if became is not Became.LIVE:
                for each in renamed:
                    self.put_away(each)
                return Result(became, move)
        return None

    def settle(self, move: Move, going: Names, *, begin: bool = False) -> Result:
        """Leave a file whose rename a kill may have cut short one name: see `wanted`."""
        if (known := self._away.get(move.source)) is not None:
            return known
        found, there = self._look(move)
        aim = wanted(there, going, is_used=self._is_used(move.source), begin=begin)
        self._touched.add(move.source)
        if aim is there:
            return Result(_THERE[there], found)
        if aim is Names.ARCHIVE:
            return self._rename_away(move, self._other_name) if begin else self._rename_away(found, None)
        self._rename_back(found, [])
        found, there = self._look(move)
        return Result(_THERE[there], found)

    def expire(self, name: str, *, folder: bool = False) -> None:
        """Remove an archive, with all that is in it where it is a folder; one that is gone is no error."""
        path = self._at(name)
        try:
            if folder and stat.S_ISDIR(os.lstat(path).st_mode):
                self._remove_folder(path)
            else:
                self._disk.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as problem:
            self._note_stuck(name, problem)
        self._touched.add(name)

    def _look(self, move: Move) -> tuple[Move, Names]:
        """Return the move with the archive that there is, and which of its names are there."""
        archive = self._archive_of(move)
        there = Names.LIVE if files.exists(self._at(move.source)) else Names.NEITHER
        return (move, there) if archive is None else (move.but(target=archive), there | Names.ARCHIVE)

    def _archive_of(self, move: Move) -> str | None:
        """Return the name that a file was archived under: ours, or what somebody else has chosen."""
        for name in (move.target, self._latest(move)):
            if name is not None and files.exists(self._at(name)):
                return name
        return None

    def _rename_away(self, move: Move, other_name: Callable[[Move], Move] | None) -> Result:
        self._touched.add(move.source)
        while True:
            try:
                self._rename(move.source, move.target)
            except FileNotFoundError:
                move, there = self._look(move)
                became = Became.ALREADY if Names.ARCHIVE in there else Became.GONE
            except FileExistsError:
                if other_name is not None:
                    move = other_name(move)
                    continue
                became = Became.TAKEN
            except OSError as problem:
                self._note_stuck(move.source, problem)
                became = Became.LIVE
            else:
                became = Became.AWAY
            return self._kept(Result(became, move))

    def _kept(self, result: Result) -> Result:
        """Remember where a file is that has been put away, for the sessions that share it."""
        if result.became in (Became.AWAY, Became.ALREADY):
            self._away[result.move.source] = result
        return result

    def _rename_back(self, move: Move, renamed: list[Move]) -> Became:
        self._touched.add(move.source)
        self._away.pop(move.source, None)
        try:
            self._rename(move.target, move.source)
        except FileNotFoundError:
            return Became.LIVE if files.exists(self._at(move.source)) else Became.GONE
        except FileExistsError:
            return Became.TAKEN
        except OSError as problem:
            self._note_stuck(move.source, problem)
            return Became.STUCK
        renamed.append(move)
        return Became.LIVE

    def _note_stuck(self, name: str, problem: OSError) -> None:
        """Note by what a file is known why it keeps the name that it has; any other error of the disk is raised."""
        if problem.errno not in IMMOVABLE:
            raise problem
        self.stuck[name] = os.strerror(problem.errno)

    def _rename(self, source: str, target: str) -> None:
        # Two plain names, as of ten thousands of files nearly all have.
        if "/" not in source and "/" not in target and source not in _NO_NAMES and target not in _NO_NAMES:
            self._disk.rename_new(f"{self._path}/{source}", f"{self._path}/{target}")
            return
        if os.path.dirname(source) != os.path.dirname(target):
            raise ValueError(f"{source} would leave its folder as {target}")
        self._disk.rename_new(self._at(source), self._at(target))

    def _at(self, name: str) -> str:
        """Return the path of a name, which may not lead anywhere else."""
        is_whole = "/" in name
        if (name.rpartition("/")[2] if is_whole else name) in _NO_NAMES or (is_whole and not os.path.isabs(name)):
            raise ValueError(f"{name} is no name in {self._path}")
        return name if is_whole else f"{self._path}/{name}"

    def _remove_folder(self, path: str) -> None:
        for entry in _entries(path):
            if entry.is_dir(follow_symlinks=False):
                self._remove_folder(entry.path)
            else:
                self._disk.unlink(entry.path)
        self._disk.remove_folder(path)


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as found:
        yield from sorted(found, key=lambda entry: entry.name)
