"""The home of a NanoClaw: what its sessions and groups have left, and what of it is in use."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator

from ..artifacts import scan
from ..artifacts.tables import taken
from ..core import claude_folder
from ..core.artifacts import UNREADABLE, Artifact, Limits
from ..core.errors import CloserError
from ..core.listed import OPEN, Held, SessionLine, Use
from ..ports.homes import PatternHome
from ..system.clock import Clock
from ..system.files import is_no_file
from . import kinds
from .central import Central
from .mailbox import Mailboxes

_BEATS_SECONDS = 1800.0


class NanoclawHome(PatternHome):
    """The folder of one NanoClaw; `look` opens its central database, `close` lets go of it."""

    def __init__(self, agent: str, root: str, clock: Clock) -> None:
        self._layout, self._clock = kinds.layout_of(root), clock
        # What was put away of the first version may come back beside the second.
        super().__init__(agent, root, self._layout.rules, (*kinds.V1.patterns, *kinds.V2.patterns))
        self._mail = Mailboxes(root)
        self._opened: Central | None = None

    def _central(self) -> Central:
        """Return the central database as it is now; what its sessions' databases say is looked at again, too."""
        self._mail.look_again()
        if self._opened is None:
            self._opened = Central(self.root, self._layout, self._clock)
        self._opened.look()
        return self._opened

    def look(self, limits: Limits) -> list[Artifact]:
        """Return what lies here of the kinds that the limits name, and what keeps it; CloserError."""
        central = self._central()
        found = claude_folder.aged_in_pairs(self._found(central, claude_folder.with_pairs(limits.ages)))
        return [self._artifact(central, one) for one in found if one.kind in limits.ages]

    def _found(self, central: Central, wanted: Collection[str]) -> Iterator[Artifact]:
        """Give what lies here; what is in the folder of no group goes with that alone."""
        patterns = [
            each._replace(name=kinds.but_for(central.groups)) if each.kind == kinds.GROUP else each
            for each in self._layout.patterns
            if each.kind in wanted
        ]
        for one in scan.found(self.root, patterns):
            is_inside = self._layout is kinds.V2 and one.kind != kinds.GROUP
            if is_inside and kinds.group_of(one.path) not in central.groups:
                continue
            if one.kind != kinds.SESSION or self._mail.has_one(one.path):
                yield one

    def _artifact(self, central: Central, one: Artifact) -> Artifact:
        at = max(one.at, _last(central, one.path)) if one.kind == kinds.SESSION else one.at
        owner, guard = self._owner(central, one.kind, one.path), self._why(central, one.kind, one.path)
        return one._replace(owner=owner, at=self._clock.seconds() if at == float("inf") else at, guard=guard)

    def _why(self, central: Central, kind: str, path: str) -> str:
        """Return why something is in use now, "" where it is not."""
        if kind in (kinds.LOG, kinds.ROTATED):
            return ""
        if kind == kinds.GROUP:
            return _why_group(central, _name(path))
        if kind == kinds.SESSION:
            return self._why_session(central, path)
        named = claude_folder.ids(_name(path))
        if self._layout is kinds.V1:
            return "current" if any(named & claude_folder.ids(str(each)) for each in central.sessions) else ""
        found = self._mail.of_group(kinds.group_of(path)).values()
        if any(named & one.continued for one in found):
            return "continued"
        return UNREADABLE if any(one.trouble for one in found) else ""

    def _why_session(self, central: Central, path: str) -> str:
        name = _name(path)
        row = central.sessions.get(name)
        if row is not None and row.why:
            return row.why
        if name in central.asked:
            return "asked"
        if self._clock.seconds() - _beat(f"{self.root}/{path}") < _BEATS_SECONDS:
            return "heartbeat"
        if why := self._mail.of(path).why:
            return why
        others = self._mail.but_for(path)
        if any(one.sources is not None and name in one.sources for one in others):
            return "awaited"
        if any(one.sources is None for one in others):
            return UNREADABLE
        try:
            return "link" if any(why == scan.LINK for _, why in scan.below(self.root, path)) else ""
        except OSError:
            return UNREADABLE

    def doubts(self) -> list[str]:
        """Return which databases of sessions cannot be read."""
        return self._mail.troubles()

    def objection(self, artifact: Artifact) -> str:
        """Return why an artifact may not go after all, "" where it may."""
        try:
            central = self._central()
            if artifact.kind == kinds.SESSION and _last(central, artifact.path) > artifact.at:
                return "active"
            return self._why(central, artifact.kind, artifact.path)
        except CloserError:
            return UNREADABLE

    def sessions(self) -> Iterator[SessionLine]:
        """Return a line for each session of the central database; CloserError."""
        central = self._central()
        for name, row in central.sessions.items():
            group = str(central.groups.get(row.group, row.group))
            folder = f"{kinds.SESSIONS}/{row.group}/{name}"
            why = "current" if self._layout is kinds.V1 else self._why_session(central, folder)
            state = OPEN if row.status == "active" else str(row.status)
            last = row.at if row.at != float("inf") else None
            yield SessionLine(self.agent, str(name), group, "", state, last, why, row.container != "stopped")

    def holdings(self) -> Iterator[Held]:
        """Return all that sessions have left here; CloserError."""
        central = self._central()
        for one in self._found(central, {rule.name for rule in self.rules}):
            owned = one.kind not in (kinds.LOG, kinds.GROUP)
            yield Held(one.kind, self._owner(central, one.kind, one.path), one.size, owned)

    def _owner(self, central: Central, kind: str, path: str) -> str | None:
        """Return the session that something is of, None where no row has it."""
        if kind == kinds.SESSION:
            return _name(path) if _name(path) in central.sessions else None
        named = claude_folder.ids(_name(path))
        if self._layout is kinds.V1:
            return next((str(each) for each in central.sessions if named & claude_folder.ids(str(each))), None)
        mails = self._mail.of_group(kinds.group_of(path)) if named else {}
        users = (_name(each) for each, mail in mails.items() if named & mail.continued)
        return next((each for each in users if each in central.sessions), None)

    def usage(self) -> tuple[list[Use], list[str]]:
        """Return what the central database takes."""
        name = self._layout.database
        return [Use(self.agent, name, 1, taken(os.path.join(self.root, name)))], []

    def close(self) -> None:
        """Let go of the central database."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _why_group(central: Central, group: str) -> str:
    if group in central.groups:
        return "group"
    return next((row.why for row in central.sessions.values() if row.group == group and row.why), "")


def _last(central: Central, path: str) -> float:
    """Return when the session of a folder was last active, in seconds since 1970; 0.0: nothing says so."""
    row = central.sessions.get(_name(path))
    return (row.at if row is not None else None) or 0.0


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _beat(folder: str) -> float:
    """Return when a container was last alive, in seconds since 1970."""
    try:
        return os.lstat(f"{folder}/.heartbeat").st_mtime
    except OSError as problem:
        # No folder of a session can have a name that is too long.
        if not is_no_file(problem) and problem.errno != errno.ENAMETOOLONG:
            raise
        return 0.0
