"""Rows of sessions as artifacts of a home: they go one by one, through Hermes, are kept to be read, never return."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..core import late
from ..core.artifacts import ROW, Artifact
from ..core.errors import Refused
from ..system import files
from ..system.clock import Clock
from ..system.disk import Disk

if TYPE_CHECKING:
    from .protection import Protection
    from .removal import Removal

_PATH = late.pattern(r"state\.db/(?P<id>\w[\w.@:+=-]{0,199})")


def is_row(path: str) -> bool:
    """Tell whether a path below a home stands for a row."""
    return _PATH.fullmatch(path) is not None


class RowStock:
    """The rows of one home, `known` what is in use there; nothing of it is loaded before rows are asked for."""

    def __init__(self, root: str, disk: Disk, clock: Clock, known: Callable[[], Protection]) -> None:
        self._root, self._disk, self._clock, self._known = root, disk, clock, known
        self._refused: Refused | None = None
        self._is_checked = False
        self._kept: list[str] = []
        self._tried: set[str] = set()
        self._others: set[str] = set()

    def artifacts(self, known: Protection, ages: Mapping[str, float]) -> list[Artifact]:
        """Return the rows of these sources in the order in which they are to go, and what keeps them; CloserError."""
        from .removal import Removal

        with Removal(self._root, known, self._disk, self._clock) as removal:
            plan = removal.plan(ages)
            if plan.going:
                removal.check(looking=True)
        now = self._clock.seconds()
        rows = [*((row, "") for row in plan.going), *plan.kept]
        return [Artifact(ROW, f"state.db/{row.id}", row.id, known.last(row) or now, 0, guard=why) for row, why in rows]

    def stow(self, artifact: Artifact, folder: str) -> bool:
        """Keep all of a session in a folder, and have Hermes delete its rows; Refused where they stay."""
        from .removal import Removal

        self._tried.add(folder)
        known = self._known()
        session = known.rows.get(_id(artifact.path))
        if session is None:
            return False
        with Removal(self._root, known, self._disk, self._clock) as removal:
            self._check(removal)
            done = removal.remove(session, folder)
        if not done.is_gone:
            said = f": {done.said}" if done.said else ""
            raise Refused(f"the rows of {session.id} stay, {done.why}{said}", name=done.why)
        self._kept.append(folder)
        self._others.update(done.others)
        return True

    def whereabouts(self, path: str, folder: str) -> str:
        """Tell after a kill whether rows are gone ("away"), or there, and nothing is kept of them ("live")."""
        from .removal import settle

        self._tried.add(folder)
        return "away" if settle(self._root, _id(path), folder, self._disk, self._clock) else "live"

    def end(self) -> list[str]:
        """Return what is to be said of rows that are gone."""
        said = []
        if self._kept:
            count = "1 session" if len(self._kept) == 1 else f"{len(self._kept):,} sessions"
            what = f"the rows of {count} are deleted, and restore-sessions does not bring them back"
            said.append(f"{what}: Hermes has no import; they can be read in {os.path.dirname(self._kept[0])}")
        if self._others:
            said.append(f"rows that went at the same moment, and not by us: {', '.join(sorted(self._others))}")
        self._tidy()
        self._kept, self._others, self._tried = [], set(), set()
        return said

    def _tidy(self) -> None:
        """Remove the folders in which nothing is kept after all."""
        above = {os.path.dirname(folder) for folder in self._tried}
        for folder in (*self._tried, *above, *map(os.path.dirname, above)):
            if files.is_folder(folder) and not files.listed(folder):
                self._disk.remove_folder(folder)

    def _check(self, removal: Removal) -> None:
        """Ask once which home Hermes works in."""
        if not self._is_checked:
            self._is_checked = True
            try:
                removal.check(looking=False)
            except Refused as problem:
                self._refused = problem
        if self._refused is not None:
            raise self._refused


def _id(path: str) -> str:
    match = _PATH.fullmatch(path)
    assert match is not None
    return match["id"]
