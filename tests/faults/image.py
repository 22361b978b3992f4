"""A directory tree held in memory, to be put back between two injections."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable


class Image:
    """A directory tree held in memory: by relative path its mode and bytes, None for a folder.

    `links` names what has the same inode as another path.
    """

    def __init__(self, nodes: dict[str, tuple[int, bytes | None]], links: dict[str, str] | None = None) -> None:
        self.nodes = nodes
        self.links = links or {}

    @classmethod
    def of(cls, path: str) -> Image:
        nodes: dict[str, tuple[int, bytes | None]] = {"": (stat.S_IMODE(os.lstat(path).st_mode), None)}
        links: dict[str, str] = {}
        seen: dict[int, str] = {}
        for place, folders, names in os.walk(path):
            for name in (*folders, *names):
                full = os.path.join(place, name)
                relative, found = os.path.relpath(full, path), os.lstat(full)
                nodes[relative] = (stat.S_IMODE(found.st_mode), None if name in folders else file_bytes(full))
                if name not in folders and seen.setdefault(found.st_ino, relative) != relative:
                    links[relative] = seen[found.st_ino]
        return cls(nodes, links)

    @property
    def mark(self) -> str:
        """What tells this tree from others."""
        return hashlib.sha256(repr((sorted(self.nodes.items()), sorted(self.links.items()))).encode()).hexdigest()

    def only(self, of: Callable[[str], bool]) -> Image:
        """Return what has these paths of it."""
        nodes = {path: node for path, node in self.nodes.items() if of(path)}
        return Image(nodes, {path: other for path, other in self.links.items() if of(path)})

    def content(self, root: str, path: str) -> bytes | None:
        """Return the bytes of a file below the tree's root."""
        return self.nodes[os.path.relpath(path, root)][1]

    def put(self, path: str) -> None:
        """Make the tree at `path` this one."""
        shutil.rmtree(path, ignore_errors=True)
        for relative, (mode, content) in sorted(self.nodes.items()):
            full = os.path.join(path, relative) if relative else path
            if content is None:
                os.mkdir(full, 0o700)
            elif relative not in self.links:
                descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(descriptor, content)
                os.close(descriptor)
            else:
                continue
            os.chmod(full, mode)
        for relative, other in self.links.items():
            os.link(os.path.join(path, other), os.path.join(path, relative))


def file_bytes(path: str) -> bytes:
    """Return what a file holds."""
    with open(path, "rb") as file:
        return file.read()
