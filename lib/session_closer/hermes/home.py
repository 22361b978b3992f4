"""One home of Hermes: the files beside its sessions, and which of them a session keeps that is in use."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..artifacts import scan
from ..core import durations
from ..core.artifacts import ROW, UNREADABLE, Artifact, Limits
from ..core.listed import OPEN, Held, SessionLine, Use
from ..ports.homes import PatternHome
from ..system.clock import Clock
from ..system.disk import Disk
from ..system.files import read
from . import kinds, names, rowstock
from .names import NOBODY
from .rowstock import RowStock
from .stowage import IN_USE, Stowage, is_project

if TYPE_CHECKING:
    from .protection import Protection

_IN_TEXT = frozenset({kinds.SNAPSHOT, kinds.DUMP})
_OF_WORK = frozenset({kinds.V1, kinds.V2, kinds.LEGACY, kinds.DELEGATION})
_MARKS = ("HEAD", "HERMES_WORKDIR")
_PATH_BYTES = 64 << 10
_PIECE = 1 << 20
_SECOND = 1.0
_FREE_PAGES = "state.db free pages"
UNSAVED = "unsaved"


class HermesHome(PatternHome):
    """One profile's home; `look` opens its database, `close` lets go of it."""

    def __init__(self, agent: str, root: str, disk: Disk, clock: Clock) -> None:
        super().__init__(agent, root, (*kinds.RULES, kinds.ROWS), kinds.PATTERNS)
        self._disk, self._clock = disk, clock
        self._stowage = Stowage(root, disk)
        self._rows = RowStock(root, disk, clock, self._protection)
        self._known: Protection | None = None
        self._limits = Limits({})
        self._old: Mapping[str, float] = {}
        # By which names sessions were asked for whose a file is, where that is not its owner alone.
        self._asked: dict[str, tuple[str, ...]] = {}
        # What keeps each artifact since it was looked at again; None: that was not needed.
        self._anew: dict[str, str] | None = None

    def _protection(self) -> Protection:
        """Return what is in use, as it was when it was first asked for."""
        if self._known is None:
            from . import protection, reasons  # sqlite3, only for a home that is looked at

            ages = self._limits.ages
            terms = reasons.Terms(
                max(ages.values(), default=reasons.PENDING), every=not ages or bool(self._limits.rows)
            )
            self._known = protection.look(self.root, self._clock, terms)
        return self._known

    def look(self, limits: Limits) -> list[Artifact]:
        """Return what lies here of the kinds that the limits name, and what keeps it; CloserError."""
        self._limits = limits
        known = self._protection()
        patterns = [pattern for pattern in kinds.PATTERNS if pattern.kind in limits.ages]
        # What was written to before these moments is old enough to go, so that it has to be looked into; rather more
        # than is decided on by differences of times.
        now, takes_young = self._clock.seconds(), limits.max_disk is not None
        self._old = {kind: math.inf if takes_young else now - age + _SECOND for kind, age in limits.ages.items()}
        with scan.opened(self.root, kinds.SESSIONS) as folder:
            found = [
                self._artifact(known, one, folder)
                for one in scan.found(self.root, patterns)
                if one.kind != kinds.V1 or self._is_one(one)
            ]
        if kinds.V2 in limits.ages:
            found += self._stowage.artifacts(known, limits.ages[kinds.V2])
        found += self._rows.artifacts(known, limits.rows) if limits.rows else []
        # Where nobody knows what is in use, checkpoints and logs stay, too.
        return [one._replace(guard=known.why("")) for one in found] if known.unreadable else found

    def doubts(self) -> list[str]:
        """Return what is to be said of what was looked at."""
        why = self._known.unreadable if self._known is not None else ""
        return [f"all of {self.root} counts as in use: {why}"] if why else [*filter(None, [self._stowage.doubt()])]

    def _is_one(self, found: Artifact) -> bool:
        if found.kind != kinds.V1:
            return True
        return all(os.path.lexists(os.path.join(self.root, found.path, mark)) for mark in _MARKS)

    def _artifact(self, known: Protection, found: Artifact, folder: int | None) -> Artifact:
        """Return what was found with whose it is, and what keeps it; `folder` is the open one of the sessions."""
        kind, name = found.kind, found.owner or ""
        if kind not in kinds.OWNED:
            guard = known.delegations.get(name, "") if kind == kinds.DELEGATION else self._held_by_work(known, found)
            return found._replace(owner=None, guard=str(guard))
        owner, why = known.owner(name), known.why(name)
        if not why and found.at < self._old[kind]:
            if kind in _IN_TEXT and (said := _others(found, folder)) is not NOBODY:
                owner, why = self._held_by_text(known, found, owner, said)
            elif kind == kinds.TRANSCRIPT and owner is not None:
                why = self._unsaved(known, found, owner)
        # Very many are just that, and a copy of each would cost as much as all that is asked.
        if owner == name and not why:
            return found
        self._asked.setdefault(found.path, (name,))
        return found._replace(owner=owner, guard=str(why))

    def _held_by_text(
        self, known: Protection, found: Artifact, owner: str | None, said: frozenset[str] | None
    ) -> tuple[str | None, str]:
        """Return whose a snapshot or a dump is, and what keeps it, by the ids in it; its name alone says `owner`."""
        if said is None:
            return owner, UNREADABLE
        self._asked[found.path] = (found.owner or "", *said)
        why = next((known.why(each) for each in sorted(said) if known.why(each)), "")
        return owner or next((each for each in sorted(said) if each in known.known), None), why

    def _held_by_work(self, known: Protection, found: Artifact) -> str:
        if found.kind == kinds.LEGACY or found.at >= self._old[kinds.V1]:
            return ""
        path = os.path.join(self.root, found.path, _MARKS[1])
        try:
            folder = os.fsdecode(read(path, _PATH_BYTES)[0]).strip()
        except OSError:
            return UNREADABLE
        return IN_USE if known.holds_folder(folder, self._limits.ages[found.kind]) else ""

    def _unsaved(self, known: Protection, found: Artifact, owner: str) -> str:
        """Return why a transcript stays that has more lines than its row has messages: up to 0.14 it is the truth."""
        messages = known.messages(owner)
        if messages is None:
            return ""
        try:
            return UNSAVED if _lines(os.path.join(self.root, found.path)) > messages else ""
        except OSError:
            return UNREADABLE

    def objection(self, artifact: Artifact) -> str:
        """Return why an artifact may not go after all, "" where it may."""
        known = self._protection()
        if artifact.kind in _OF_WORK:
            return self._objection_anew(known, artifact)
        return str(known.why_now(*self._asked.get(artifact.path, (artifact.owner or "",))))

    def _objection_anew(self, known: Protection, artifact: Artifact) -> str:
        if known.changed():
            self.close()
            self._anew = {one.path: one.guard for one in self.look(self._limits)}
        return "" if self._anew is None else self._anew.get(artifact.path, "gone")

    def is_of(self, kind: str, path: str) -> bool:
        """Tell whether a path below it could be one of a kind."""
        if kind == ROW:
            return rowstock.is_row(path)
        return is_project(path) if kind == kinds.V2 else super().is_of(kind, path)

    def disposal(self, kind: str) -> Stowage | RowStock | None:
        """Return what takes away checkpoints of the repository, or rows; None where a rename does."""
        return self._rows if kind == ROW else self.stowage(kind)

    def stowage(self, kind: str) -> Stowage | None:
        """Return what brings checkpoints of the repository back, too."""
        return self._stowage if kind == kinds.V2 else None

    def end(self) -> list[str]:
        """Free what no checkpoint needs any more, once; return what is to be said of that, and of rows."""
        return [*self._stowage.end(), *self._rows.end()]

    def sessions(self) -> Iterator[SessionLine]:
        """Return a line for each session that is known here; CloserError."""
        known = self._protection()
        for row in known.sessions:
            guard = known.reasons.get(row.id, "")
            yield SessionLine(
                self.agent,
                row.id,
                str(row.source or ""),
                str(row.title or ""),
                OPEN if row.ended_at is None else str(row.end_reason or "ended"),
                known.last(row),
                str(guard),
                guard == "running",
            )

    def holdings(self) -> Iterator[Held]:
        """Return all that sessions have left here; CloserError."""
        known = self._protection()
        for one in scan.found(self.root, kinds.PATTERNS):
            if self._is_one(one):
                owned = one.kind in kinds.OWNED
                yield Held(one.kind, self._owner(known, one) if owned else None, one.size, owned)

    def _owner(self, known: Protection, found: Artifact) -> str | None:
        owner = known.owner(found.owner or "")
        if owner is None and found.kind in _IN_TEXT:
            with contextlib.suppress(OSError):
                said = names.inside(os.path.join(self.root, found.path))
                return next((each for each in sorted(said) if each in known.known), None)
        return owner

    def usage(self) -> tuple[list[Use], list[str]]:
        """Return what the database takes, and the command that gives back what is empty in it."""
        figures = self._protection().figures()
        rows = self._stowage.use(self.agent)
        free_pages = Use(self.agent, _FREE_PAGES, 1, figures.free, within=True)
        free = durations.spelled_size(figures.free)
        note = f"{free} of {figures.path} are free pages: {figures.command} gives them back, while no Hermes runs"
        return [*rows, Use(self.agent, kinds.DATABASE, 1, figures.size), free_pages], [note] if figures.free else []

    def close(self) -> None:
        """Let go of the database."""
        if self._known is not None:
            self._known.close()
            self._known = None


def _others(found: Artifact, folder: int | None) -> frozenset[str] | None:
    """Return the sessions in the text of a snapshot or dump besides that of its name, None where it is unreadable."""
    try:
        return names.others(folder, found.path.rpartition("/")[2], found.owner or "") if folder is not None else None
    except OSError:
        return None


def _lines(path: str) -> int:
    """Return how many lines a file has; OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        count, last = 0, b"\n"
        while piece := os.read(descriptor, _PIECE):
            count += piece.count(b"\n")
            last = piece[-1:]
        return count + (last != b"\n")
    finally:
        os.close(descriptor)
