"""Files that are put away, brought back, settled and expired on a disk that fails: what is there and what must hold.

Each content is there once, so where it is tells what became of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from faults.image import Image
from faults.injection import Bare, Counting, Plain, fail_at, in_child, kill_at, nothing
from faults.power import BareDying, Dying, Killed
from session_closer.artifacts.engine import Names, Root, latest
from session_closer.core import names
from session_closer.core.durable import Move
from session_closer.system.disk import Disk

# What is planned, what somebody else chose after that, and what is chosen where the planned one is taken.
PLANNED, THEIRS, OTHER = (f"2026-01-0{day}T00-00-00.000Z" for day in (1, 2, 3))
# A file's bytes, a folder's tree, or where a link leads.
Tree = Mapping[str, "bytes | str | Tree"]
FOLDER: Tree = {"HEAD": b"a checkpoint", "objects": {"one": b"of it", "out": "../../../outside/secret"}}
OUTSIDE: Tree = {"secret": b"nobody's", "kept": {"more": b"of nobody"}}
DISKS = {"renameat2": Counting, "links": Plain, "neither": Bare}


def away(live: str, stamp: str = PLANNED) -> str:
    return names.archive_name(live, stamp)


def moves(*some: str) -> list[Move]:
    return [Move(live, away(live), folder=live == "checkpoint") for live in some]


def _without_links(tree: Tree) -> Tree:
    """Return a tree with files where there are links, which the model of power cuts does not know."""
    return {
        name: _without_links(node) if isinstance(node, Mapping) else node.encode() if isinstance(node, str) else node
        for name, node in tree.items()
    }


def _build(path: str, tree: Tree) -> None:
    os.mkdir(path, 0o700)
    for name, node in tree.items():
        full = os.path.join(path, name)
        if isinstance(node, Mapping):
            _build(full, node)
        elif isinstance(node, str):
            os.symlink(node, full)
        else:
            with open(full, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(node)


def look(path: str) -> Tree:
    """Return what is in a folder; nothing is followed."""
    found: dict[str, bytes | str | Tree] = {}
    for name in sorted(os.listdir(path)):
        full = os.path.join(path, name)
        if os.path.islink(full):
            found[name] = os.readlink(full)
        elif os.path.isdir(full):
            found[name] = look(full)
        else:
            with open(full, "rb") as file:
                found[name] = file.read()
    return found


@dataclass(frozen=True)
class Job:
    """What is in a folder, what is done to it, and how that is brought to its end after a kill.

    `ends` gives by its first name where each content is in the end, and None where it is no more; the others stay.
    `first`: the same for a run that nothing disturbs, before it is settled, where that differs.
    """

    name: str
    there: Tree
    run: Callable[[Bench, Disk], None]
    settle: Callable[[Bench, Disk], None]
    ends: Mapping[str, str | None]
    used: frozenset[str] = frozenset()
    first: Mapping[str, str | None] | None = None


_PUT_AWAY = ("a.jsonl", "a.trajectory.jsonl", "shared.jsonl", "checkpoint", "link.jsonl")
_AWAY = {
    away(live): f"{live}, put away".encode() for live in ("a.jsonl", "a.trajectory.jsonl", "shared.jsonl", "d.jsonl")
}


def _put_away(bench: Bench, disk: Disk) -> None:
    with bench.root(disk, renames=True) as root:
        for move in bench.planned():
            root.put_away(move)


def _finish(bench: Bench, disk: Disk) -> None:
    with bench.root(disk, renames=True) as root:
        for move in bench.planned():
            root.settle(move, Names.ARCHIVE, begin=True)


_GROUPS = (
    moves("a.jsonl", "a.trajectory.jsonl"),
    moves("checkpoint"),
    moves("shared.jsonl"),
    moves("shared.jsonl", "d.jsonl"),
    # One that cannot be brought back, and one that is used by the time it would be put away again.
    moves("e.jsonl", "taken.jsonl"),
    moves("used.jsonl", "absent.jsonl"),
    moves("f.jsonl", "link.jsonl"),
)


_BACK = ("a", "a.trajectory", "shared", "d", "used")


def _bring_back(bench: Bench, disk: Disk) -> None:
    with bench.root(disk) as root:
        for group in _GROUPS:
            root.bring_back(group)


def _undo(bench: Bench, disk: Disk) -> None:
    with bench.root(disk) as root:
        for group in _GROUPS:
            for move in group:
                root.settle(move, Names.ARCHIVE, begin=True)


_EACH = tuple(dict.fromkeys(move for group in _GROUPS for move in group))


def _bring_back_each(bench: Bench, disk: Disk) -> None:
    with bench.root(disk) as root:
        for move in _EACH:
            root.bring_back([move])


def _go_on(bench: Bench, disk: Disk) -> None:
    with bench.root(disk) as root:
        for move in _EACH:
            root.settle(move, Names.LIVE)
            root.bring_back([move])


_ARCHIVES: Tree = {
    **_AWAY,
    away("checkpoint"): FOLDER,
    away("e.jsonl"): b"e",
    away("f.jsonl"): b"f",
    away("used.jsonl"): b"used",
    away("taken.jsonl"): b"as it was",
    "taken.jsonl": b"begun anew",
    away("link.jsonl"): b"behind a name that a link has",
    "link.jsonl": "../outside/nothing",
    "bystander.jsonl": b"bystander",
}


def _expire(bench: Bench, disk: Disk) -> None:
    with bench.root(disk) as root:
        for live in ("old.jsonl", "checkpoint", "link.jsonl", "absent.jsonl"):
            root.expire(away(live), folder=True)


JOBS = (
    Job(
        "put away",
        {
            **{live: live.encode() for live in _PUT_AWAY[:3]},
            "checkpoint": FOLDER,
            "link.jsonl": "../outside/secret",
            "used.jsonl": b"used",
            # Their archive names are taken, by a file, by a link; and one that somebody else has put away.
            "c.jsonl": b"c",
            away("c.jsonl"): b"somebody's",
            "e.jsonl": b"e",
            away("e.jsonl"): "../outside/kept",
            away("moved.jsonl", THEIRS): b"moved",
            "bystander.jsonl": b"bystander",
        },
        _put_away,
        _finish,
        {
            **{live: away(live) for live in _PUT_AWAY},
            "c.jsonl": away("c.jsonl", OTHER),
            "e.jsonl": away("e.jsonl", OTHER),
        },
        frozenset({"used.jsonl"}),
    ),
    Job(
        "bring back, then not",
        _ARCHIVES,
        _bring_back,
        _undo,
        {away("used.jsonl"): "used.jsonl"},
        frozenset({"used.jsonl"}),
        {**{away(f"{one}.jsonl"): f"{one}.jsonl" for one in _BACK}, away("checkpoint"): "checkpoint"},
    ),
    Job(
        "bring back, and go on",
        _ARCHIVES,
        _bring_back_each,
        _go_on,
        {
            away(f"{one}.jsonl"): f"{one}.jsonl" for one in (*_BACK, "e", "f")
        } | {away("checkpoint"): "checkpoint"},
        frozenset({"used.jsonl"}),
    ),
    Job(
        "expire",
        {
            away("old.jsonl"): b"old",
            away("checkpoint"): {"objects": {"deep": {"one": b"one"}, "out": "../../../outside/kept"}, "HEAD": b"two"},
            away("link.jsonl"): "../outside/kept",
            away("kept.jsonl"): b"kept",
            "old.jsonl": b"bystander",
        },
        _expire,
        _expire,
        {away(live): None for live in ("old.jsonl", "checkpoint", "link.jsonl")},
    ),
)  # fmt: skip


@dataclass
class Bench:
    """A place where a job is done again and again, each time from the same start; `links`: whether some are there."""

    job: Job
    place: str
    disk: type[Counting] = Counting
    links: bool = True
    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = os.path.join(os.path.realpath(self.place), "place")
        self.notes = self.place + ".noted"
        self.start = self.job.there if self.links else _without_links(self.job.there)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        if os.path.exists(self.notes):
            os.unlink(self.notes)
        shutil.rmtree(self.place, ignore_errors=True)
        outside = OUTSIDE if self.links else _without_links(OUTSIDE)
        _build(self.place, {"root": self.start, "outside": outside})

    def root(self, disk: Disk, *, renames: bool = False) -> Root:
        """Return the folder as a run has it; `renames`: one that puts files away by another name where it must."""
        path = os.path.join(self.place, "root")
        return Root(
            disk,
            path,
            is_used=self.job.used.__contains__,
            other_name=self._other_name if renames else None,
            latest=latest(lambda: os.listdir(path)),
        )

    def planned(self) -> list[Move]:
        """Return the moves as they are on record: one twice, and one of a file that somebody else has put away."""
        noted = self._noted()
        every = moves(*_PUT_AWAY, "shared.jsonl", "used.jsonl", "c.jsonl", "e.jsonl", "moved.jsonl", "absent.jsonl")
        return [move.but(target=noted.get(move.source, move.target)) for move in every]

    def _noted(self) -> dict[str, str]:
        if not os.path.exists(self.notes):
            return {}
        with open(self.notes) as file:
            return dict(json.load(file))

    def _other_name(self, move: Move) -> Move:
        """Return the move with a name that is free, put on record before it is used."""
        stamps = (f"2026-01-{day:02}T00-00-00.000Z" for day in range(3, 32))
        free = (away(move.source, stamp) for stamp in stamps)
        target = next(name for name in free if not os.path.lexists(os.path.join(self.place, "root", name)))
        noted = {**self._noted(), move.source: target}
        with open(self.notes, "w") as file:
            json.dump(noted, file)
        return move.but(target=target)

    def counted(self, at: Callable[[int, str, str], None] = nothing) -> Counting:
        return self.disk(at)

    def steps(self) -> int:
        """Return how many steps an undisturbed run has, and check what it does."""
        self.reset()
        disk = self.counted()
        self.job.run(self, disk)
        self._check("undisturbed", partial(self._at, self.job.ends if self.job.first is None else self.job.first))
        return disk.calls

    def finish(self, what: str) -> None:
        """Check what a run has left, settle it, and check that; once more changes nothing."""
        self.tried += 1
        self._check(what, self._halfway)
        self.settled(what)

    def settled(self, what: str) -> None:
        """Settle what there is, and check that; once more changes nothing."""
        for again in ("", " again"):
            self.job.settle(self, Disk())
            self._check(f"{what}, settled{again}", partial(self._at, self.job.ends))

    def _check(self, what: str, rule: Callable[[Tree], Iterator[str]]) -> None:
        now = look(self.place)
        root = now["root"]
        assert isinstance(root, Mapping)
        wrong = [] if now["outside"] == (OUTSIDE if self.links else _without_links(OUTSIDE)) else ["outside changed"]
        self.broken += [f"{self.job.name}: {what}: {line}" for line in [*wrong, *rule(root)]]

    def _halfway(self, now: Tree) -> Iterator[str]:
        """Each content is under its live name or one archive's, both only if they are one file's; nothing else is."""
        left = dict(now)
        for name, node in self.start.items():
            if self.job.ends.get(name, name) is None:
                if name in now and not self._is_rest(left.pop(name), node):
                    yield f"{name} is another"
                continue
            places = [other for other in now if now[other] == node and _live(other) == _live(name)]
            if not places:
                yield f"{name} is lost"
            if len({os.lstat(os.path.join(self.place, "root", other)).st_ino for other in places}) > 1:
                yield f"{name} is there twice: {places}"
            for other in places:
                left.pop(other, None)
        for name in left:
            yield f"{name} is new"

    def _is_rest(self, now: object, was: object) -> bool:
        """Tell whether a folder is what is left of one while it is removed."""
        if not (isinstance(now, Mapping) and isinstance(was, Mapping)):
            return now == was
        return all(name in was and self._is_rest(node, was[name]) for name, node in now.items())

    def _at(self, ends: Mapping[str, str | None], now: Tree) -> Iterator[str]:
        expected = {ends.get(name, name): node for name, node in self.start.items()}
        expected.pop(None, None)
        for name in sorted({*now, *filter(None, expected)}):
            if now.get(name) != expected.get(name):
                yield f"{name} is {'lost' if name not in now else 'new' if name not in expected else 'another'}"


def _live(name: str) -> str:
    return names.archived_from(name) or name


def kill(bench: Bench, point: int, when: str) -> None:
    """Kill a run before or after one step, and settle what it has left."""
    bench.reset()
    status = in_child(lambda: bench.job.run(bench, bench.counted(kill_at(point, when))))
    if not os.WIFSIGNALED(status):
        bench.broken.append(f"{bench.job.name}: step {point} was not reached")
    bench.finish(f"killed {when} step {point}")


def kill_twice(bench: Bench, point: int) -> None:
    """Kill a run after one step, and then what settles that after each of its steps."""
    for again in range(10_000):
        bench.reset()
        in_child(lambda: bench.job.run(bench, bench.counted(kill_at(point, "after"))))
        second = in_child(lambda again=again: bench.job.settle(bench, bench.counted(kill_at(again, "after"))))
        if not os.WIFSIGNALED(second):
            return
        bench.finish(f"killed after step {point}, then after step {again}")


def fail_later(bench: Bench, point: int, number: int) -> None:
    """Kill a run after one step, and let each step fail of what settles that."""
    for later in range(10_000):
        bench.reset()
        in_child(lambda: bench.job.run(bench, bench.counted(kill_at(point, "after"))))
        try:
            bench.job.settle(bench, bench.counted(fail_at(later, "before", number)))
        except OSError:
            bench.finish(f"killed after step {point}, then error {number} at step {later}")
        else:
            return


def fail(bench: Bench, point: int, when: str, number: int) -> None:
    """Let one step of a run fail: it is told, and what that leaves can be settled."""
    bench.reset()
    what = f"error {number} {when} step {point}"
    try:
        bench.job.run(bench, bench.counted(fail_at(point, when, number)))
    except OSError as problem:
        if problem.errno != number:
            bench.broken.append(f"{bench.job.name}: {what}: {problem}")
    else:
        bench.broken.append(f"{bench.job.name}: {what}: was not told")
    bench.finish(what)


def plant(bench: Bench, point: int) -> None:
    """Give every name that is free a file of somebody's before one step: none of them is overwritten."""
    bench.reset()
    root, planted = os.path.join(bench.place, "root"), list[str]()

    def at(number: int, _name: str, when: str) -> None:
        if (number, when) == (point, "before"):
            for name in _names_of(bench):
                if not os.path.lexists(os.path.join(root, name)):
                    planted.append(name)
                    with open(os.path.join(root, name), "w") as file:
                        file.write(f"planted as {name}")

    bench.job.run(bench, bench.counted(at))
    now = look(root)
    bench.tried += 1
    for name in planted:
        if f"planted as {name}".encode() not in now.values():
            bench.broken.append(f"{bench.job.name}: planted before step {point}: {name} is lost")
    for name, node in bench.start.items():
        if bench.job.ends.get(name, name) is not None and node not in now.values():
            bench.broken.append(f"{bench.job.name}: planted before step {point}: what was {name} is lost")


def _names_of(bench: Bench) -> list[str]:
    lives = sorted({_live(name) for name in bench.start})
    # Only a rename that never replaces closes the instant before a folder's.
    lives = [live for live in lives if live != "checkpoint" or bench.disk is Counting]
    return [*lives, *map(away, lives)]


def cut(bench: Bench) -> None:
    """Cut the power at every step of a run: what is left can be settled; when it has ended, all of it is durable."""
    bench.reset()
    recorder = _recorder(bench)
    bench.job.run(bench, recorder)
    _check_durable(bench, recorder, "the run has ended")
    for what, image in list(recorder.seen.values()):
        image.put(bench.place)
        bench.finish(what)


def cut_later(bench: Bench, point: int) -> None:
    """Kill a run after a step, have it settled, then cut the power: what was settled is durable."""
    bench.reset()
    recorder = _recorder(bench)
    recorder.point = point
    with contextlib.suppress(Killed):
        bench.job.run(bench, recorder)
    recorder.point = -1
    bench.job.settle(bench, recorder)
    bench.tried += 1
    _check_durable(bench, recorder, f"killed after step {point}, and settled")


def _recorder(bench: Bench) -> Dying:
    return (BareDying if bench.disk is Bare else Dying)(bench.place, Image.of(bench.place))


def _check_durable(bench: Bench, recorder: Dying, what: str) -> None:
    if not recorder.is_durable():
        bench.broken.append(f"{bench.job.name}: {what}, and a power cut takes some of it back")
