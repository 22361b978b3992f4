"""Move what lies below a home into an archive of ours within it, bring it back, remove it: by open folders only.

Each keeps its path: `sessions/x.json` lies in the archive as `sessions/x.json`. No link is followed, on no component of
a path, nothing is overwritten, nothing is copied, and all is durable once the `with` has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType

from ..system.disk import Disk
from ..system.files import is_no_file, open_within
from . import scan
from .engine import Became

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Aside:
    """A home and one archive in it; paths are below the home, with / between names, `archive` itself is one."""

    def __init__(self, disk: Disk, root: str, archive: str) -> None:
        self._disk, self._root, self._archive = disk, root, archive
        self._open: dict[str, int] = {}
        # The folders that have got a name, and those that have lost one.
        self._gained: set[str] = set()
        # Folders of the archive that may be empty by now: a run that was killed may have made or emptied them.
        self._asked: set[str] = set()
        self._lost: set[str] = set()

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            # Where an error ends the run, the next one settles what this one has moved.
            if kind is None:
                # A power cut may then leave two names, and never none.
                for folder in (*sorted(self._gained), *sorted(self._lost - self._gained)):
                    if folder in self._open:
                        self._disk.sync(self._open[folder])
        finally:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def stat(self, path: str) -> os.stat_result | None:
        """Return what is there now, None where nothing is, or a link stands on the way."""
        folder, _, name = path.rpartition("/")
        self._asked.add(folder)
        try:
            return os.stat(name, dir_fd=self._folder(folder), follow_symlinks=False)
        except OSError as problem:
            if not is_no_file(problem):
                raise
            return None

    def weighed(self, path: str) -> tuple[int, float]:
        """Return the bytes of all files in a folder, and the time of the newest, in seconds since 1970."""
        folder, _, name = path.rpartition("/")
        return scan.weighed(self._folder(folder), name)

    def put_away(self, path: str) -> Became:
        """Move a file or folder into the archive; ELSEWHERE, and nothing done, where that would be a copy."""
        return self._moved(path, f"{self._archive}/{path}", Became.AWAY)

    def bring_back(self, path: str) -> Became:
        """Move it back to where it was; TAKEN where something else is there by now."""
        return self._moved(f"{self._archive}/{path}", path, Became.LIVE)

    def place_of(self, path: str) -> Became:
        """Tell where a file or folder is: a move is one step, so it has one place, TAKEN: two of them have one each."""
        live, away = self.stat(path) is not None, self.stat(f"{self._archive}/{path}") is not None
        if live:
            return Became.TAKEN if away else Became.LIVE
        return Became.AWAY if away else Became.GONE

    def remove(self, path: str) -> Became:
        """Remove a file, or a folder with all that is in it, for good; no link is followed, one is removed."""
        if self.stat(path) is None:
            return Became.GONE
        self._removed(path)
        return Became.AWAY

    def tidy(self) -> None:
        """Remove the folders of the archive that have become empty, the archive itself included."""
        folders = {above for each in (*self._open, *self._asked) for above in self._from_archive(each)}
        for folder in sorted(folders, reverse=True):
            above, _, name = folder.rpartition("/")
            try:
                self._disk.remove_folder_in(self._folder(above), name)
            except OSError as problem:
                if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise
                continue
            if (descriptor := self._open.pop(folder, None)) is not None:
                os.close(descriptor)
            self._lost.add(above)

    def _from_archive(self, folder: str) -> Iterator[str]:
        """Give a folder of the archive and those between it and the archive, the archive included."""
        while f"{folder}/".startswith(f"{self._archive}/"):
            yield folder
            folder = folder.rpartition("/")[0]

    def make(self, folder: str) -> str:
        """Make a folder below the home unless it is there, and those above it; return its whole path."""
        self._folder(folder, make=True)
        return f"{self._root}/{folder}"

    def _moved(self, source: str, target: str, done: Became) -> Became:
        old, _, was = source.rpartition("/")
        new, _, name = target.rpartition("/")
        try:
            self._disk.move_new(self._folder(old), was, self._folder(new, make=True), name)
        except FileExistsError:
            return Became.TAKEN
        except OSError as problem:
            if problem.errno == errno.EXDEV:
                return Became.ELSEWHERE
            if not is_no_file(problem):
                raise
            return Became.GONE
        self._lost.add(old)
        self._gained.add(new)
        return done

    def _removed(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._empty(self._folder(folder), name)
        self._lost.add(folder)

    def _empty(self, folder: int, name: str) -> None:
        """Remove what has a name in an open folder."""
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            self._disk.unlink_in(folder, name)
            return
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            for inner in sorted(os.listdir(descriptor)):
                with contextlib.suppress(FileNotFoundError):
                    self._empty(descriptor, inner)
        finally:
            os.close(descriptor)
        self._disk.remove_folder_in(folder, name)

    def _folder(self, folder: str, *, make: bool = False) -> int:
        """Return a descriptor of a folder below the home; what is missing of it is made where `make` says so."""
        if (known := self._open.get(folder)) is not None:
            return known
        if not folder:
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif make:
            descriptor = self._made(folder)
        else:
            descriptor = open_within(self._root, folder)
        self._open[folder] = descriptor
        return descriptor

    def _made(self, folder: str) -> int:
        above, _, name = folder.rpartition("/")
        parent = self._folder(above, make=True)
        with contextlib.suppress(FileExistsError):
            self._disk.make_folder_in(parent, name)
            self._gained.add(above)
        return os.open(name, _FOLDER, dir_fd=parent)
