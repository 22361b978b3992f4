"""The record of the run that is under way, on disk; everything through Disk."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from ..core.errors import Busy, Refused, StorageFailed
from ..system import flock, trust
from ..system.disk import Disk
from ..system.files import exists, is_no_file, put, read, remove
from .codec import agents_named, check, decode, pieces, read_back, store_pieces
from .history import OPEN, UNBORN, receipt_path, root, unborn_runs
from .record import Damaged, RunRecord, StoreRecord
from .written import LIMIT, RECORD, part_name, parts, read_record

_TEMP = "record.json.tmp"
# What a receipt is called until all of it is there, where it has to be copied.
_COPY = ".tmp"
# So many stores are beside the record, each in a file of its own.
_SEVERAL = 2
_FEWER = "name fewer sessions at once"
_ATTEMPTS, _PAUSE = 100, 0.01


def new_id(moment: datetime) -> str:
    """Return an id that sorts by time: 20261121T004124.769Z-1a2b3c4d."""
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{os.urandom(4).hex()}"


class Journal:
    """The record of a run that is under way; its folder's flock tells others that the run is alive."""

    def __init__(self, disk: Disk, state: str, run: str) -> None:
        self._disk = disk
        self._state = state
        self._run = run
        self._folder = os.path.join(root(state), OPEN, run)
        # What the disk has where the stores are beside the record: the run without them, and each of them.
        self._head: RunRecord | None = None
        self._stores: list[StoreRecord] = []
        # Those of which the memory holds no more than it has to, by number.
        self._rested: dict[int, StoreRecord] = {}
        self._size = 0
        self.descriptor = -1

    @property
    def path(self) -> str:
        """Where the record is while the run lasts."""
        return os.path.join(self._folder, RECORD)

    def check(self, record: RunRecord) -> None:
        """Refuse a record that could not be read again, ahead of the change of the store that it ends with."""
        try:
            size = check(record.but(stores=record.stores[-1:]))
        except Damaged as problem:
            raise Refused(
                f"what is to be undone later cannot be recorded: it {problem}", _FEWER, name="record"
            ) from None
        # What becomes of each session is longer than what is planned.
        if self._size + size > LIMIT // 2:
            raise Refused("this is too much for one record", _FEWER, name="record")
        self._size += size

    def begin(self, first: RunRecord) -> None:
        """Write the record and take its flock, then make the run known, durable before anything else changes.

        The folder gets its name last: nobody can find a run that is not yet held and written.
        """
        for folder in (root(self._state), os.path.join(root(self._state), OPEN)):
            with contextlib.suppress(FileExistsError):
                self._disk.make_folder(folder)
                self._disk.sync_folder(os.path.dirname(folder))
        known, self._folder = self._folder, os.path.join(os.path.dirname(self._folder), UNBORN + self._run)
        self._make()
        self.write(first)
        self._disk.rename(self._folder, known)
        self._folder = known
        self._disk.sync_folder(os.path.dirname(known))

    def withdraw(self) -> bool:
        """Remove what a `begin` that failed has left; False where the run may be known, and the next one ends it."""
        try:
            if exists(os.path.join(root(self._state), OPEN, self._run)):
                return False
            # What cannot be removed is buried by the next run.
            with contextlib.suppress(OSError):
                self.drop()
        except OSError:
            return False
        finally:
            self.release()
        return True

    def _make(self) -> None:
        """Make the run's folder and hold it; another run buries one that nobody holds."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileExistsError):
                self._disk.make_folder(self._folder)
            if self.take():
                return
            self.release()
            time.sleep(_PAUSE)
        raise Busy(f"{self._folder} cannot be held", "run the same command again")

    def take(self) -> bool:
        """Take the flock on the record's folder; False where another process is at it or has finished it."""
        try:
            if self.descriptor < 0:
                self.descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if not flock.try_flock(self.descriptor, self._folder):
                return False
            # Look again: it may have been finished between the look and the lock.
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self._folder, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def write(self, now: RunRecord) -> None:
        """Write what the disk does not have of the record yet, durable before it returns."""
        if self._head is None and len(now.stores) < _SEVERAL:
            self._replace(RECORD, pieces(now))
            return
        for number, store in enumerate(now.stores):
            if number >= len(self._stores) or self._stores[number] is not store:
                self._replace(part_name(number), store_pieces(store))
                self._stores[number:] = [store, *self._stores[number + 1 :]]
        # Behind the stores: until it says so, what is beside it does not count.
        head = now.but(stores=())
        if head != self._head:
            self._replace(RECORD, pieces(head))
            self._head = head

    def _replace(self, name: str, text: Iterable[bytes]) -> None:
        """Replace a file of the record, durable before it returns."""
        temp = os.path.join(self._folder, _TEMP)
        remove(self._disk, [temp])
        put(self._disk, temp, text)
        self._disk.rename(temp, os.path.join(self._folder, name))
        self._disk.sync_folder(self._folder)

    def reserve(self, more: int) -> None:
        """Take the room that the record will need at its end, and so many bytes more; StorageFailed: there is none."""
        size = os.stat(self.path).st_size + more
        try:
            # What `_replace` removes before it writes.
            put(self._disk, os.path.join(self._folder, _TEMP), bytes(size))
        except OSError as problem:
            self.drop()
            what = f"nothing was changed: {self._folder}: the record needs {size} bytes: {problem.strerror}"
            raise StorageFailed(what, "free so much, then run the same command again") from None

    def read(self) -> RunRecord | None:
        """Return the record, None where the run died before it wrote one; raise Damaged, or OSError: not read."""
        try:
            written = read_record(self.path)
        except FileNotFoundError:
            return None
        except OSError as problem:
            # An error of the disk says nothing of the record: the next read may find it whole.
            if not is_no_file(problem):
                raise
            raise Damaged(str(problem)) from None
        try:
            if strangers := [uid for uid in written.owners if not trust.is_trusted(uid)]:
                raise Damaged(f"belongs to uid {strangers[0]}")
            found = decode(written.raw)
            self._know(found, written.parts)
            if found.id != self._run or found.state_dir != self._state:
                raise Damaged("belongs to another run")
        except Damaged as problem:
            raise Damaged(str(problem), agents_named(written.raw)) from None
        return found

    def _know(self, found: RunRecord, beside: Sequence[str]) -> None:
        """Keep what the disk has of a record whose stores are beside it; raise Damaged where one of them is missing."""
        if list(beside) != [part_name(number) for number in range(len(beside))]:
            raise Damaged("has lost what it said of a store")
        if not found.stores and parts(self._folder):
            raise Damaged("does not say where its stores are")
        self._head, self._stores = (found.but(stores=()), [*found.stores]) if beside else (None, [])

    def written_at(self) -> float:
        """Return when the record was written last, in seconds since 1970; raise OSError."""
        return max(os.stat(os.path.join(self._folder, name)).st_mtime for name in (RECORD, *parts(self._folder)))

    def rest(self, store: StoreRecord) -> StoreRecord:
        """Return what is enough in memory of a store whose part the disk has as it is: `whole` reads it again."""
        for number, known in enumerate(self._stores):
            if known is store:
                self._stores[number] = store = store.but(sessions=())
                self._rested[number] = store
        return store

    def whole(self, store: StoreRecord) -> StoreRecord:
        """Return all of a store's part of the record; raise OSError, or StorageFailed where it is not as it was."""
        number = next((number for number, known in self._rested.items() if known is store), None)
        if number is None:
            return store
        path = os.path.join(self._folder, part_name(number))
        try:
            return read_back(read(path, LIMIT)[0])
        except Damaged as problem:
            raise StorageFailed(f"{path} {problem}", "look at the disk, then run the same command again") from None

    def finish(self, last: RunRecord, stores: Iterable[StoreRecord] | None = None) -> str:
        """Turn the record into the receipt, in one rename; return the receipt's path.

        `stores`: what it says of them, made one at a time, in place of what stands in the record.
        """
        target = receipt_path(self._state, self._run)
        folder = os.path.dirname(target)
        with contextlib.suppress(FileExistsError):
            self._disk.make_folder(folder)
            self._disk.sync_folder(root(self._state))
        self._replace(RECORD, pieces(last, stores))
        self._publish(target)
        self._disk.sync_folder(folder)
        self.drop()
        return target

    def _publish(self, target: str) -> None:
        """Give the record that says all the name of a receipt; a copy where those are on another file system."""
        try:
            self._disk.rename(self.path, target)
        except OSError as problem:
            if problem.errno != errno.EXDEV:
                raise
            temp = target + _COPY
            remove(self._disk, [temp])
            put(self._disk, temp, read(self.path, LIMIT)[0])
            self._disk.rename(temp, target)

    def drop(self) -> None:
        """Remove the run's folder: nothing is left in it that anybody needs."""
        remove(self._disk, [os.path.join(self._folder, name) for name in (_TEMP, RECORD, *parts(self._folder))])
        try:
            self._disk.remove_folder(self._folder)
        except OSError as problem:
            # Somebody else's file in it is left; an empty run is dropped again each time.
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
        self.release()

    def release(self) -> None:
        """Let go of the flock; the folder stays for whoever finishes the run."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def bury_unborn(disk: Disk, state: str) -> None:
    """Remove what a run left that was killed before it was known: it has changed nothing."""
    place = os.path.join(root(state), OPEN)
    for name in unborn_runs(state):
        run = Journal(disk, state, name.removeprefix(UNBORN))
        run._folder = os.path.join(place, name)  # noqa: SLF001
        try:
            if run.take():
                run.drop()
        finally:
            run.release()
