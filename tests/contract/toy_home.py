"""The shortest runtime that keeps files: notes, which a rename moves, and boxes, which it puts away itself."""

from __future__ import annotations

import os
import re

from session_closer.artifacts import scan
from session_closer.core.artifacts import Artifact, KindRule, Limits
from session_closer.core.errors import Refused
from session_closer.core.listed import OPEN, Held, SessionLine, Use
from session_closer.core.patterns import Pattern
from session_closer.ports.artifacts import Home, Profile, Stowage
from session_closer.ports.homes import OneHome, PatternHome
from session_closer.system.clock import Clock
from session_closer.system.disk import Disk

DAY = 86400.0
RULES = (KindRule("note", 30 * DAY), KindRule("page", 30 * DAY), KindRule("box", 30 * DAY))
_ID = re.compile(r"(?P<id>[a-z]+)\.note")
PATTERNS = (
    Pattern("note", "notes", _ID),
    Pattern("page", "pages/*", re.compile(r"(?P<id>[a-z]+)"), is_folder=True),
    Pattern("box", "boxes", re.compile(r"(?P<id>[a-z]+)\.box")),
)
# Whoever is named there, one a line, is in use.
BUSY = "busy"


def place(state: str) -> OneHome:
    """Return one home, in one folder."""
    return OneHome("toy", state, RULES, _opened)


def _opened(profile: Profile, disk: Disk, _: Clock) -> Home:
    return ToyHome(profile, disk)


class ToyHome(PatternHome):
    """What lies there, and who is busy."""

    def __init__(self, profile: Profile, disk: Disk) -> None:
        super().__init__(profile.agent, profile.root, RULES, PATTERNS)
        self._boxes = Boxes(profile.root, disk)

    def _busy(self) -> set[str]:
        try:
            with open(f"{self.root}/{BUSY}") as file:
                return set(file.read().split())
        except FileNotFoundError:
            raise Refused("nobody knows who is busy", name="no_database") from None

    def look(self, limits: Limits) -> list[Artifact]:
        busy = self._busy()
        found = [one for one in scan.found(self.root, PATTERNS) if one.kind in limits.ages]
        return [one._replace(guard="busy" if one.owner in busy else "") for one in found]

    def objection(self, artifact: Artifact) -> str:
        return "busy" if artifact.owner in self._busy() else ""

    def stowage(self, kind: str) -> Stowage | None:
        return self._boxes if kind == "box" else None

    def sessions(self) -> list[SessionLine]:
        return [SessionLine(self.agent, name, "", "", OPEN, None, "busy") for name in sorted(self._busy())]

    def holdings(self) -> list[Held]:
        return [Held(one.kind, one.owner, one.size) for one in scan.found(self.root, PATTERNS)]

    def usage(self) -> tuple[list[Use], list[str]]:
        return [], []

    def close(self) -> None:
        pass


class Boxes:
    """What puts boxes away, and brings them back."""

    def __init__(self, root: str, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def stow(self, artifact: Artifact, folder: str) -> bool:
        source = f"{self._root}/{artifact.path}"
        if not os.path.exists(source) or scan.stamp_of(os.lstat(source)) != artifact.stamp:
            return False
        self._disk.rename(source, f"{folder}/it")
        self._disk.sync_folder(folder)
        return True

    def restow(self, path: str, folder: str) -> str:
        there = self.whereabouts(path, folder)
        if there == "away":
            if self.is_live(path):
                return "taken"
            self._disk.rename(f"{folder}/it", f"{self._root}/{path}")
            return "live"
        return there

    def whereabouts(self, path: str, folder: str) -> str:
        if os.path.exists(f"{folder}/it"):
            return "away"
        return "live" if self.is_live(path) else "gone"

    def obstacle(self, path: str, folder: str) -> str:
        """Return why one could not be brought back now: nothing is ever in the way."""
        del path, folder
        return ""

    def is_live(self, path: str) -> bool:
        return os.path.lexists(f"{self._root}/{path}")

    def discard(self, artifact: Artifact) -> bool:
        source = f"{self._root}/{artifact.path}"
        if not os.path.exists(source) or scan.stamp_of(os.lstat(source)) != artifact.stamp:
            return False
        self._disk.unlink(source)
        return True
