"""Move what lies below a home into an archive of ours within it, bring it back, remove it: by open folders only.

Each keeps its path: `sessions/x.json` lies in the archive as `sessions/x.json`. No link is followed, on no component of
a path, nothing is overwritten, nothing is copied, and all is durable once the `with` has ended. Until then a power cut
may undo any of it, or leave a file with both of its names, and never with none: a folder is durable before anything is
moved into it, and what was moved out of one before that is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType

from ..core.artifacts import Weight
from ..system import mounts
from ..system.disk import Disk
from ..system.files import is_no_file, open_within
from . import removal, scan
from .engine import IMMOVABLE, Became

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Aside:
    """A home and one archive in it; paths are below the home, with / between names, `archive` itself is one.

    `left` says by its path why a folder is not removed, or not whole.
    """

    def __init__(self, disk: Disk, root: str, archive: str) -> None:
        self._disk, self._root, self._archive = disk, root, archive
        self._open: dict[str, int] = {}
        # The folders that have got a name, and those that have lost one.
        self._gained: set[str] = set()
        # Folders of the archive that may be empty by now: a run that was killed may have made or emptied them.
        self._asked: set[str] = set()
        self._lost: set[str] = set()
        # What is removed once nothing can bring it back into the home.
        self._condemned: list[str] = []
        self.left: dict[str, str] = {}

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            # Where an error ends the run, the next one settles what this one has moved.
            if kind is None:
                self.secure()
        finally:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def secure(self) -> None:
        """Make all moves so far durable, the new names before the old ones go."""
        for folder in (*sorted(self._gained), *sorted(self._lost - self._gained)):
            if folder in self._open:
                self._disk.sync(self._open[folder])
        self._gained.clear()
        self._lost.clear()

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

    def weighed(self, path: str) -> Weight:
        """Return what is in a folder."""
        return scan.looked_into(self._root, path, self._folder(path.rpartition("/")[0]))

    def put_away(self, path: str) -> Became:
        """Move a file or folder into the archive; ELSEWHERE where that would be a copy, STUCK where nobody may."""
        folder, _, name = path.rpartition("/")
        return self._moved(name, folder, self._archived(folder), Became.AWAY)

    def bring_back(self, path: str) -> Became:
        """Move it back to where it was; TAKEN where something else is there by now."""
        folder, _, name = path.rpartition("/")
        return self._moved(name, self._archived(folder), folder, Became.LIVE)

    def place_of(self, path: str) -> Became:
        """Tell where a file or folder is: with both names it is LIVE, TAKEN where each is another's."""
        live, away = self.stat(path), self.stat(f"{self._archive}/{path}")
        if live is None:
            return Became.AWAY if away is not None else Became.GONE
        return Became.TAKEN if away is not None and not os.path.samestat(live, away) else Became.LIVE

    def is_of(self, path: str, size: int, *, is_folder: bool) -> bool:
        """Tell whether there is a file of so many bytes, or a folder whose files have so many together."""
        found = self.stat(path)
        if found is None or not (stat.S_ISDIR if is_folder else stat.S_ISREG)(found.st_mode):
            return False
        return size == (self.weighed(path).size if is_folder else found.st_size)

    def is_barred(self, path: str) -> bool:
        """Tell whether a link, or what is no folder, stands where a folder of the home is to be that has this path."""
        above = ""
        for name in path.split("/")[:-1]:
            above = f"{above}/{name}" if above else name
            found = self.stat(above)
            if found is None:
                return False
            if not stat.S_ISDIR(found.st_mode):
                return True
        return False

    def settle(self, path: str) -> Became:
        """Tell where it is, and make that durable; a file that has both names keeps the one in the home."""
        became, archived = self.place_of(path), f"{self._archive}/{path}"
        self._gained.add(archived.rpartition("/")[0])
        self._lost.add(path.rpartition("/")[0])
        double = self.stat(archived) if became is Became.LIVE else None
        if double is not None and not stat.S_ISDIR(double.st_mode):
            self._removed(archived)
        return became

    def discard(self, path: str) -> Became:
        """Move it into the archive, from where `tidy` removes it for good; ELSEWHERE where that would be a copy.

        A folder that is half removed is none that its runtime knows what to do with.
        """
        became = self.put_away(path)
        if became is Became.AWAY:
            self.condemn(path)
        return became

    def condemn(self, path: str) -> None:
        """Have `tidy` remove what an archive has of it, for good."""
        self._condemned.append(f"{self._archive}/{path}")

    def remove(self, path: str) -> Became:
        """Remove a file, or a folder with all that is in it, for good; no link is followed, one is removed.

        STUCK where nobody may remove a file, or something in a folder, of which the rest is removed.
        """
        there = self.stat(path)
        if there is None:
            # A run that was killed may have removed it.
            self._lost.add(path.rpartition("/")[0])
            return Became.GONE
        if stat.S_ISDIR(there.st_mode):
            return self._folder_removed(path)
        try:
            self._removed(path)
        except OSError as problem:
            if problem.errno not in IMMOVABLE:
                raise
            return Became.STUCK
        return Became.AWAY

    def _folder_removed(self, path: str) -> Became:
        whole = os.path.join(self._root, path)
        # What is mounted there is somebody else's.
        if mounted := mounts.below(whole):
            self.left[path] = f"{mounted[0]}: {os.strerror(errno.EBUSY)}"
            return Became.STUCK
        folder, _, name = path.rpartition("/")
        stays = removal.removed(self._disk, self._folder(folder), name, whole)
        self._lost.add(folder)
        if stays is None:
            return Became.AWAY
        self.left[path] = f"{stays.filename}: {stays.strerror}"
        return Became.STUCK

    def tidy(self) -> None:
        """Remove what is condemned, and the folders of the archive that have become empty, itself included."""
        self.secure()
        for path in self._condemned:
            self.remove(path)
        folders = {above for each in (*self._open, *self._asked) for above in self._from_archive(each)}
        for folder in sorted(folders, reverse=True):
            above, _, name = folder.rpartition("/")
            try:
                self._disk.remove_folder_in(self._folder(above), name)
            except FileNotFoundError:
                # A run that was killed may have removed it, and a power cut may still bring it back.
                pass
            except OSError as problem:
                if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
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

    def ask(self, folder: str) -> None:
        """Have `tidy` remove a folder of the archive, too, if it is there and empty."""
        self._asked.add(folder)

    def make(self, folder: str) -> str:
        """Make a folder below the home unless it is there, and those above it; return its whole path."""
        self._folder(folder, make=True)
        return f"{self._root}/{folder}"

    def _archived(self, folder: str) -> str:
        """Return where a folder of the home lies in the archive."""
        return f"{self._archive}/{folder}" if folder else self._archive

    def _moved(self, name: str, old: str, new: str, done: Became) -> Became:
        """Move what has a name in an old folder into a new one."""
        try:
            self._disk.move_new(self._folder(old), name, self._folder(new, make=True), name)
        except FileExistsError:
            return Became.TAKEN
        except OSError as problem:
            if problem.errno == errno.EXDEV:
                return Became.ELSEWHERE
            if problem.errno in IMMOVABLE:
                return Became.STUCK
            if not is_no_file(problem):
                problem.filename = os.path.join(self._root, old, name)
                raise
            return Became.GONE
        self._lost.add(old)
        self._gained.add(new)
        return done

    def _removed(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._disk.unlink_in(self._folder(folder), name)
        self._lost.add(folder)

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
        # It may be there since a run that was killed, and no longer be after a power cut.
        self._disk.sync(parent)
        return os.open(name, _FOLDER, dir_fd=parent)
