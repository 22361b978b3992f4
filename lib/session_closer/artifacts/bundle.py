"""A folder in the making: written below a name of its own, durable, and only then called what it is to be called.

A run that is killed leaves the folder under the name that it has meanwhile, `.session-closer-...`, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator

from ..core.errors import Refused
from ..core.export import manifest
from ..core.export.manifest import File, Manifest
from ..core.export.parts import ENTRY, Stream
from ..system import files
from ..system.disk import Disk
from ..system.pieces import PIECE, chunks, opened
from ..system.trust import objection

BEFORE = ".session-closer-"


class Bundle:
    """A folder that nobody sees under its final name until all of it is there; `files` are what is in it so far."""

    def __init__(self, disk: Disk, folder: str, *, most: int | None = None) -> None:
        self._disk, self._folder, self._left = disk, folder, most
        self.files: dict[str, File] = {}
        self._made: list[str] = []
        self._begun: set[str] = set()
        self._is_published = False
        self.path = os.path.join(folder, f"{BEFORE}{secrets.token_hex(6)}")
        disk.make_folder(self.path)

    def add(self, name: str, pieces: Iterable[bytes], *, source: str = "", events: int | None = None) -> File:
        """Write one file, durable; TooLarge where the bundle would have more bytes than it may."""
        *above, _ = name.split("/")
        for at in range(len(above)):
            self._make("/".join(above[: at + 1]))
        digest, size = hashlib.sha256(), 0
        self._begun.add(name)

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in _gathered(pieces):
                size += len(piece)
                if self._left is not None and size > self._left:
                    raise TooLarge(name)
                digest.update(piece)
                yield piece

        files.put(self._disk, self._within(name), counted())
        if self._left is not None:
            self._left -= size
        self.files[name] = File(name, size, digest.hexdigest(), source, events)
        return self.files[name]

    def lines(self, name: str) -> Iterator[bytes]:
        """Give the lines of a file that was written, each with its newline."""
        with opened(self._within(name)) as file:
            yield from file

    def holds(self, stream: Stream) -> bool:
        """Tell whether a file that was written is what its source is now, byte for byte: both are read again."""
        with opened(self._within(stream.name)) as copy:
            return all(copy.read(len(piece)) == piece for piece in stream.chunks()) and not copy.read(1)

    def publish(self, name: str) -> str:
        """Give the folder its name, durable; return its path. FileExistsError where there is something already."""
        for folder in [*self._made, ""]:
            self._disk.sync_folder(self._within(folder))
        path = self._publish(self.path, name)
        self._is_published = True
        return path

    def publish_file(self, file: str, name: str) -> str:
        """Give one of its files a name beside the folder instead, durable; return its path."""
        return self._publish(self._within(file), name)

    def _publish(self, path: str, name: str) -> str:
        final = os.path.join(self._folder, name)
        self._disk.rename_new(path, final)
        self._disk.sync_folder(self._folder)
        return final

    def remove(self) -> None:
        """Remove the folder unless it was published, as far as it can be: what is left of it is under no final name."""
        if self._is_published:
            return
        with contextlib.suppress(OSError):
            files.remove(self._disk, map(self._within, self._begun))
            for folder in [*reversed(self._made), ""]:
                self._disk.remove_folder(self._within(folder))

    def _make(self, folder: str) -> None:
        if folder not in self._made:
            self._disk.make_folder(self._within(folder))
            self._made.append(folder)

    def _within(self, name: str) -> str:
        return os.path.join(self.path, name) if name else self.path


def checked(folder: str) -> Manifest:
    """Return the manifest of a bundle that is whole and can be brought back; Refused where it is not.

    Every file that it lists is read, and has the hash in its SHA256SUMS; folder and files are ours or root's alone.
    """
    try:
        above = os.stat(folder)
        if all(_lacks(folder, name) for name in (manifest.SUMS, manifest.MANIFEST)):
            what = f"{folder} has neither {manifest.SUMS} nor {manifest.MANIFEST}, as an exported session has"
            raise Refused(what, "the folder of one session, as export-sessions names it", name="damaged_bundle")
        if why := objection(above):
            raise _damaged(f"{folder}: {why}")
        sums = manifest.summed(b"".join(chunks(os.path.join(folder, manifest.SUMS))))
        for name, wanted in sums.items():
            if _hash(os.path.join(folder, name)) != wanted:
                raise _damaged(f"{os.path.join(folder, name)} is not what was exported")
        found = manifest.decoded(b"".join(chunks(os.path.join(folder, manifest.MANIFEST))))
    except OSError as problem:
        raise _damaged(f"{problem.filename or folder} cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        raise _damaged(f"{folder}: {problem}") from None
    listed = {file.path: file.sha256 for file in found.files}
    if {**listed, manifest.MANIFEST: sums.get(manifest.MANIFEST)} != sums:
        raise _damaged(f"{folder}: {manifest.SUMS} and {manifest.MANIFEST} do not list the same files")
    if not found.importable and not found.redacted:
        what = f"{folder} is of {found.runtime}, which takes no session back"
        raise Refused(what, "read it where it is", name="no_copy")
    if not found.importable or ENTRY not in listed:
        raise Refused(f"{folder} has no secrets any more, nor all else", "a bundle without --redact", name="no_copy")
    return found


def _lacks(folder: str, name: str) -> bool:
    """Tell whether a folder certainly has no such file."""
    try:
        os.lstat(os.path.join(folder, name))
    except OSError as problem:
        return isinstance(problem, FileNotFoundError | NotADirectoryError)
    return False


def _hash(path: str) -> str:
    digest = hashlib.sha256()
    for piece in chunks(path):
        digest.update(piece)
    return digest.hexdigest()


def _damaged(why: str) -> Refused:
    return Refused(why, "another copy of the bundle", name="damaged_bundle")


class TooLarge(Exception):
    """A bundle would have more bytes than it may; which file it was about."""


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the same bytes in fewer pieces: each is a write."""
    some: list[bytes] = []
    size = 0
    for piece in pieces:
        some.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield some[0] if len(some) == 1 else b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)
