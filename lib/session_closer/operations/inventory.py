"""Look at homes of files for a list: their sessions, what is nobody's, what takes the disk; nothing is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..artifacts import scan
from ..core import listed
from ..core.errors import CloserError
from ..core.listed import Held, Inventory, SessionLine, Sought, Use
from ..core.report import StoreResult
from ..core.wish import Options
from ..journal import history
from ..journal.stopped import storage
from ..ports.context import Context
from ..system.clock import REAL, Clock
from . import homes

if TYPE_CHECKING:
    from ..ports.artifacts import Home, Place

ORPHANS, ARCHIVES, EXPORTS, RECEIPTS = "orphans", "archives", "exports", "receipts"


def look(where: Place, sought: Sought, clock: Clock = REAL) -> Inventory:
    """Return what is sought; CloserError where there is no list."""
    homes.check(where)
    context = Context(Options(dry_run=True), clock=clock)
    context.console.warn(*homes.exposure(where))
    now = clock.seconds()
    try:
        with homes.opened(where, context) as found:
            read = _all_read(found, context, usage=sought.usage)
    except OSError as problem:
        raise storage(problem, where.state) from None
    lines = listed.matching((line for part in read for line in part.lines), sought, now)
    used = [use for part in read for use in part.usage]
    return Inventory(
        tuple(StoreResult(part.home.agent, part.home.root, where.runtime) for part in read),
        tuple(lines if sought.limit is None else lines[: sought.limit]),
        len(lines),
        tuple(part.orphans for part in read if part.orphans.number),
        sought,
        now,
        (*used, *_receipts(where)) if sought.usage else None,
        tuple(note for part in read for note in part.notes),
        tuple(context.console.warnings),
    )


class _Part:
    """What one home has."""

    def __init__(self, home: Home, *, usage: bool) -> None:
        self.home = home
        held = list(home.holdings())
        by_owner: dict[str | None, list[Held]] = defaultdict(list)
        for one in held:
            by_owner[one.owner].append(one)
        self.lines = [_with_files(line, by_owner[line.id]) for line in home.sessions()]
        lone = [one for one in by_owner[None] if one.owned]
        self.orphans = Use(home.agent, ORPHANS, len(lone), sum(one.size for one in lone))
        self.usage: list[Use] = []
        self.notes: Sequence[str] = ()
        if usage:
            more, self.notes = home.usage()
            self.usage = [*_by_kind(home.agent, held), *more, *_archives(home)]


def _all_read(found: Sequence[Home], context: Context, *, usage: bool) -> list[_Part]:
    """Return what all homes have that can be read; CloserError where none can."""
    read = []
    problems = []
    for home in found:
        try:
            read.append(_Part(home, usage=usage))
        except (CloserError, OSError) as error:
            problem = error if isinstance(error, CloserError) else storage(error, home.root)
            problems.append(problem)
            context.console.warn(f"{home.root} cannot be looked at: {problem.message}")
    if problems and not read:
        raise problems[0]
    return read


def _with_files(line: SessionLine, held: Sequence[Held]) -> SessionLine:
    return line._replace(number=len(held), size=sum(one.size for one in held))


def _by_kind(agent: str, held: Iterable[Held]) -> Iterator[Use]:
    kinds: dict[str, list[int]] = defaultdict(list)
    for one in held:
        kinds[one.kind].append(one.size)
    return (Use(agent, kind, len(sizes), sum(sizes)) for kind, sizes in kinds.items())


def _archives(home: Home) -> Iterator[Use]:
    """Give what runs of ours have put away of a home, and what they have kept of what they have deleted."""
    for kind, place in ((ARCHIVES, history.ARCHIVES), (EXPORTS, history.EXPORTS)):
        with scan.opened(home.root, place) as folder:
            names = os.listdir(folder) if folder is not None else []
            if folder is not None and names:
                yield Use(home.agent, kind, len(names), sum(scan.weighed(folder, name).size for name in names))


def _receipts(where: Place) -> Iterator[Use]:
    """Give our own receipts."""
    with scan.opened(where.state, f"{history.ROOT}/{history.RECEIPTS}") as folder:
        if folder is not None:
            names = os.listdir(folder)
            if names:
                sizes = (os.stat(name, dir_fd=folder, follow_symlinks=False).st_size for name in names)
                yield Use("", RECEIPTS, len(names), sum(sizes))
