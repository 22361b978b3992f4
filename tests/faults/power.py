"""Power cuts by enumeration: record what a run asks of its disk, then build every directory a cut could leave.

The model is a file system that keeps no promise but the ones of fsync:

- a file that was not synced is empty, torn in half, full of NUL bytes, or whole;
- a folder that was not synced shows the changes of its names up to any point, or without any one of them;
- a rename within a folder happens or does not; between two folders the new name of a file may be there with the old
  one, but the old one never goes before the new one comes; a folder has one name.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from faults.image import Image
from faults.injection import Bare
from faults.sweep import Bench
from session_closer.system.disk import PRIVATE_FILE, PRIVATE_FOLDER, Disk

Sets = tuple[tuple[str, "Node | None"], ...]


@dataclass(eq=False)
class Change:
    """One change of the names in a folder; `first`: a change of another folder that must have happened before."""

    sets: Sets
    first: Change | None = None


@dataclass(eq=False)
class Node:
    """A file or folder: as it is, and as much of it as is durable."""

    mode: int
    content: bytes | None = b""
    durable: bytes | None = None
    durable_mode: int = PRIVATE_FILE
    names: dict[str, Node] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        return self.content is None

    def now(self) -> dict[str, Node]:
        return _applied(self.names, self.pending)


def _applied(names: dict[str, Node], changes: list[Change]) -> dict[str, Node]:
    found = dict(names)
    for change in changes:
        for name, node in change.sets:
            if node is None:
                found.pop(name, None)
            else:
                found[name] = node
    return found


class Recorder(Disk):
    """A disk that works, and models what of it would survive a power cut; `moment` is called after each step."""

    def __init__(self, root: str, start: Image) -> None:
        self.root = root
        self.tree = Node(PRIVATE_FOLDER, None)
        self.open: dict[int, Node] = {}
        self.steps = 0
        self.seen: dict[str, tuple[str, Image]] = {}
        nodes: dict[str, Node] = {}
        for relative, (mode, content) in sorted(start.nodes.items()):
            same = start.links.get(relative, relative)
            node = nodes.setdefault(same, Node(mode, content, content, mode))
            if relative:
                parent, _, name = relative.rpartition("/")
                self._find(parent).names[name] = node
            else:
                self.tree = node

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        self._change(path, Node(PRIVATE_FOLDER, None))
        self._moment("make_folder", path)

    def remove_folder(self, path: str) -> None:
        super().remove_folder(path)
        self._change(path, None)
        self._moment("remove_folder", path)

    def create(self, path: str) -> int:
        descriptor = super().create(path)
        self.open[descriptor] = node = Node(PRIVATE_FILE)
        self._change(path, node)
        self._moment("create", path)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        written = super().write(descriptor, data)
        node = self.open[descriptor]
        assert node.content is not None
        node.content += bytes(data[:written])
        self._moment("write", "")
        return written

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        node = self.open.get(descriptor)
        if node is None:
            # A folder, or a file that somebody else has written: found by its name.
            node = self._find(os.path.relpath(os.path.realpath(f"/proc/self/fd/{descriptor}"), self.root))
        if node.is_folder:
            self._settle(node)
        node.durable, node.durable_mode = node.content, node.mode
        self._moment("sync", "")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        del self.open[descriptor]

    def set_mode(self, descriptor: int, mode: int) -> None:
        super().set_mode(descriptor, mode)
        self.open[descriptor].mode = mode

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self._renamed(source, target)
        self._moment("rename", target)

    def rename_exclusive(self, source: str, target: str) -> bool:
        done = super().rename_exclusive(source, target)
        if done:
            self._renamed(source, target)
            self._moment("rename_exclusive", target)
        return done

    def exchange(self, one: str, other: str) -> bool:
        assert os.path.dirname(one) == os.path.dirname(other)
        done = super().exchange(one, other)
        if done:
            first, second = self._node(one), self._node(other)
            sets = ((os.path.basename(one), second), (os.path.basename(other), first))
            self._parent(one).pending.append(Change(sets))
            self._moment("exchange", other)
        return done

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self._change(path, None)
        self._moment("unlink", path)

    def link(self, source: str, target: str) -> bool:
        done = super().link(source, target)
        if done:
            self._change(target, self._node(source))
            self._moment("link", target)
        return done

    def make_folder_in(self, folder: int, name: str) -> None:
        super().make_folder_in(folder, name)
        self._change(_below(folder, name), Node(PRIVATE_FOLDER, None))
        self._moment("make_folder_in", name)

    def remove_folder_in(self, folder: int, name: str) -> None:
        super().remove_folder_in(folder, name)
        self._change(_below(folder, name), None)
        self._moment("remove_folder_in", name)

    def unlink_in(self, folder: int, name: str) -> None:
        super().unlink_in(folder, name)
        self._change(_below(folder, name), None)
        self._moment("unlink_in", name)

    def move_exclusive(self, folder: int, source: str, target: int, name: str) -> bool:
        done = super().move_exclusive(folder, source, target, name)
        if done:
            self._renamed(_below(folder, source), _below(target, name))
            self._moment("move_exclusive", name)
        return done

    def move(self, folder: int, source: str, target: int, name: str) -> None:
        super().move(folder, source, target, name)
        self._renamed(_below(folder, source), _below(target, name))
        self._moment("move", name)

    def sync_folder(self, path: str) -> None:
        super().sync_folder(path)
        folder = self._find(os.path.relpath(os.path.realpath(path), self.root))
        self._settle(folder)
        self._moment("sync_folder", path)

    def _settle(self, folder: Node) -> None:
        """Make the changes of a folder durable, and with the new name of a folder that the old one is gone."""
        kept = {change.first for change in folder.pending}
        folder.names, folder.pending = folder.now(), []
        for other in self._all_folders() if kept - {None} else ():
            moved = [change for change in other.pending if change in kept]
            other.names = _applied(other.names, moved)
            other.pending = [change for change in other.pending if change not in kept]

    def _renamed(self, source: str, target: str) -> None:
        node, old, new = self._node(source), os.path.basename(source), os.path.basename(target)
        if os.path.dirname(source) == os.path.dirname(target):
            self._parent(source).pending.append(Change(((old, None), (new, node))))
            return
        added = Change(((new, node),))
        gone = Change(((old, None),), first=added)
        if node.is_folder:
            # No file system gives a folder two names.
            added.first = gone
        self._parent(target).pending.append(added)
        self._parent(source).pending.append(gone)

    def _change(self, path: str, node: Node | None) -> None:
        self._parent(path).pending.append(Change(((os.path.basename(path), node),)))

    def _parent(self, path: str) -> Node:
        return self._find(os.path.relpath(os.path.realpath(os.path.dirname(path)), self.root))

    def _node(self, path: str) -> Node:
        return self._parent(path).now()[os.path.basename(path)]

    def _find(self, relative: str) -> Node:
        node = self.tree
        for name in relative.split("/") if relative not in ("", ".") else ():
            node = node.now()[name]
        return node

    def _moment(self, step: str, path: str) -> None:
        """Keep every state that a cut at this moment could leave and that was not seen before."""
        self.steps += 1
        what = f"cut after step {self.steps} ({step} {os.path.basename(path)})"
        for image in self._states():
            self.seen.setdefault(image.mark, (what, image))

    def is_durable(self, of: Callable[[str], bool] = lambda _path: True) -> bool:
        """Tell whether a power cut would leave what has these paths as it is on the disk."""
        there = Image.of(self.root).only(of).mark
        return all(image.only(of).mark == there for image in self._states())

    def _states(self) -> Iterator[Image]:
        pending = [node for node in self._all_folders() if node.pending]
        everything = {node: node.pending for node in pending}
        nothing: dict[Node, list[Change]] = {node: [] for node in pending}
        seen: set[tuple[tuple[int, ...], ...]] = set()
        choices = [everything, nothing]
        for node in pending:
            for kept in _subsets(node.pending):
                choices += [{**everything, node: kept}, {**nothing, node: kept}]
        for choice in choices:
            mark = tuple(tuple(id(change) for change in choice[node]) for node in pending)
            if mark not in seen and _is_possible(pending, choice):
                seen.add(mark)
                yield from self._with_files(choice)

    def _all_folders(self) -> list[Node]:
        found, todo = [], [self.tree]
        while todo:
            node = todo.pop()
            found.append(node)
            # What has gone from a folder may still be there after the cut.
            names = [*node.names.values(), *(n for c in node.pending for _, n in c.sets if n is not None)]
            todo += [n for n in names if n.is_folder and n not in found and n not in todo]
        return found

    def _with_files(self, choice: dict[Node, list[Change]]) -> Iterator[Image]:
        files: dict[str, Node] = {}
        nodes: dict[str, tuple[int, bytes | None]] = {}
        todo = [("", self.tree)]
        while todo:
            relative, node = todo.pop()
            if not node.is_folder:
                files[relative] = node
                nodes[relative] = (node.mode, node.content)
                continue
            nodes[relative] = (node.mode, None)
            names = _applied(node.names, choice.get(node, []))
            todo += [(f"{relative}/{name}".lstrip("/"), child) for name, child in names.items()]
        first: dict[Node, str] = {}
        for relative, node in sorted(files.items()):
            first.setdefault(node, relative)
        links = {relative: first[node] for relative, node in files.items() if first[node] != relative}
        unsynced = {node for node in files.values() if node.durable is None or node.durable != node.content}
        yield Image(nodes, links)
        for node in unsynced:
            for content in _torn(node):
                changed = {relative: (node.durable_mode, content) for relative, each in files.items() if each is node}
                yield Image({**nodes, **changed}, links)
        if len(unsynced) > 1:
            lost = {r: (each.durable_mode, each.durable or b"") for r, each in files.items() if each in unsynced}
            yield Image({**nodes, **lost}, links)


def _below(folder: int, name: str) -> str:
    return os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), name)


def _torn(node: Node) -> list[bytes]:
    assert node.content is not None
    return [node.durable or b"", node.content[: len(node.content) // 2], b"\0" * len(node.content)]


def _subsets(changes: list[Change]) -> Iterator[list[Change]]:
    for count in range(len(changes) + 1):
        yield changes[:count]
    for dropped in range(len(changes) - 1):
        yield changes[:dropped] + changes[dropped + 1 :]


def _is_possible(pending: list[Node], choice: dict[Node, list[Change]]) -> bool:
    lost = set(itertools.chain.from_iterable(node.pending for node in pending))
    lost -= set(itertools.chain.from_iterable(choice.values()))
    return not any(change.first in lost for kept in choice.values() for change in kept)


class BareRecorder(Recorder):
    """One without links, and without a rename that exchanges or never replaces."""

    def rename_exclusive(self, source: str, target: str) -> bool:
        return False

    def move_exclusive(self, folder: int, source: str, target: int, name: str) -> bool:
        return False

    def exchange(self, one: str, other: str) -> bool:
        return False

    def link(self, source: str, target: str) -> bool:
        return False


class Killed(BaseException):
    """A process that ends where nothing catches it; its disk goes on to be modelled."""


class Dying(Recorder):
    """A model of a disk whose user is killed after a step; where it `looks`, all that a cut could leave is kept."""

    point = -1
    looks = True

    def _moment(self, step: str, path: str) -> None:
        if self.looks:
            super()._moment(step, path)
        else:
            self.steps += 1
        if self.steps == self.point:
            raise Killed


class BareDying(Dying, BareRecorder):
    """One without links, and without a rename that never replaces."""


def states(bench: Bench, image: Image | None = None) -> list[tuple[str, Image]]:
    """Return every different state that a power cut during a run could leave, with the step it came after."""
    bench.reset(image)
    recorder = (BareRecorder if bench.scenario.disk is Bare else Recorder)(bench.state, image or bench.start)
    bench.scenario.run(bench.state, recorder)
    return list(recorder.seen.values())


def cut(bench: Bench, what: str, image: Image) -> None:
    """Put a state on disk and check it, then what the next run makes of it."""
    bench.reset(image)
    bench.finish(what)
