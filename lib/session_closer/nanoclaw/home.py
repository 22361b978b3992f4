"""The home of a NanoClaw: what its sessions and groups have left, and what of it is in use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ..artifacts import scan
from ..core.artifacts import Artifact, KindRule, Limits
from ..core.errors import CloserError
from ..core.listed import OPEN, Held, SessionLine, Use
from ..system.clock import Clock
from . import kinds
from .central import Central, Row
from .mailbox import UNREADABLE, Mail, Mailboxes

_BEATS_SECONDS = 1800.0
_PAIR = frozenset({kinds.TRANSCRIPT, kinds.RESULTS})


class NanoclawHome:
    """The folder of one NanoClaw; `look` opens its central database, `close` lets go of it."""

    def __init__(self, agent: str, root: str, clock: Clock) -> None:
        self.agent, self.root, self._clock = agent, root, clock
        self._layout = kinds.layout_of(root)
        self.rules: Sequence[KindRule] = self._layout.rules
        self._mail = Mailboxes(root)
        self._opened: Central | None = None
        # What was read for one look, by group and folder.
        self._seen: dict[str, dict[str, Mail]] = {}

    def _central(self) -> Central:
        if self._opened is None:
            self._opened = Central(self.root, self._layout, self._clock)
        self._opened.look()
        return self._opened

    def look(self, limits: Limits) -> list[Artifact]:
        """Return what lies here of the kinds that the limits name, and what keeps it; CloserError."""
        self._seen.clear()
        central = self._central()
        wanted = set(limits.ages) | (_PAIR if _PAIR & limits.ages.keys() else set())
        found = list(self._found(central, wanted))
        # A transcript and its folder are as old as the younger of the two.
        newest: dict[str, float] = {}
        for one in found:
            newest[_stem(one)] = max(one.at, newest.get(_stem(one), 0.0))
        made = []
        for one in found:
            if one.kind in limits.ages:
                at = max(newest[_stem(one)], self._last(central, one.path) if one.kind == kinds.SESSION else 0.0)
                made.append(self._artifact(central, one, at))
        return made

    def _found(self, central: Central, wanted: set[str]) -> Iterator[Artifact]:
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

    def _artifact(self, central: Central, one: Artifact, at: float) -> Artifact:
        owner, guard = self._owner(central, one.kind, one.path), self._why(central, one.kind, one.path)
        return one._replace(owner=owner, at=self._clock.seconds() if at == float("inf") else at, guard=guard)

    def _last(self, central: Central, path: str) -> float:
        row = central.sessions.get(_name(path))
        return (row.at if row is not None else None) or 0.0

    def _why(self, central: Central, kind: str, path: str) -> str:
        """Return why something is in use now, "" where it is not."""
        if kind in (kinds.LOG, kinds.ROTATED):
            return ""
        if kind == kinds.GROUP:
            return self._why_group(central, _name(path))
        if kind == kinds.SESSION:
            return self._why_session(central, path)
        named = kinds.ids(_name(path))
        if self._layout is kinds.V1:
            return "current" if any(named & kinds.ids(str(each)) for each in central.sessions) else ""
        found = self._mails(kinds.group_of(path)).values()
        if any(named & one.continued for one in found):
            return "continued"
        return UNREADABLE if any(one.trouble for one in found) else ""

    def _why_group(self, central: Central, group: str) -> str:
        if group in central.groups:
            return "group"
        rows = [row for row in central.sessions.values() if row.group == group]
        return next(filter(None, map(_why_row, rows)), "")

    def _why_session(self, central: Central, path: str) -> str:
        name = _name(path)
        row = central.sessions.get(name)
        if row is not None and (why := _why_row(row)):
            return why
        if name in central.asked:
            return "asked"
        if self._clock.seconds() - _beat(f"{self.root}/{path}") < _BEATS_SECONDS:
            return "heartbeat"
        if why := self._mail.of(path).why:
            return why
        groups = self._names(kinds.SESSIONS)
        others = [mail for group in groups for each, mail in self._mails(group).items() if each != path]
        if any(one.sources is not None and name in one.sources for one in others):
            return "awaited"
        if any(one.sources is None for one in others):
            return UNREADABLE
        try:
            return "link" if any(why == scan.LINK for _, why in scan.below(self.root, path)) else ""
        except OSError:
            return UNREADABLE

    def _mails(self, group: str) -> dict[str, Mail]:
        """Return what the databases in each folder of a group say."""
        if group not in self._seen:
            above = f"{kinds.SESSIONS}/{group}"
            folders = [f"{above}/{name}" for name in self._names(above) if self._mail.has_one(f"{above}/{name}")]
            self._seen[group] = {folder: self._mail.of(folder) for folder in folders}
        return self._seen[group]

    def _names(self, path: str) -> list[str]:
        with scan.opened(self.root, path) as folder:
            return [] if folder is None else sorted(name for name in os.listdir(folder) if not name.startswith("."))

    def doubts(self) -> list[str]:
        """Return which databases of sessions cannot be read."""
        return self._mail.troubles()

    def objection(self, artifact: Artifact) -> str:
        """Return why an artifact may not go after all, "" where it may."""
        self._seen.clear()
        try:
            central = self._central()
            if artifact.kind == kinds.SESSION and self._last(central, artifact.path) > artifact.at:
                return "active"
            return self._why(central, artifact.kind, artifact.path)
        except CloserError:
            return UNREADABLE

    def is_of(self, kind: str, path: str) -> bool:
        """Tell whether a path below it could be one of a kind."""
        # What was put away of the first version may come back beside the second.
        return scan.is_of(path, (*kinds.V1.patterns, *kinds.V2.patterns), kind)

    def disposal(self, _: str) -> None:
        """Return nothing: a rename takes away all that is left here."""

    def stowage(self, _: str) -> None:
        """Return nothing: so a rename brings it back."""

    def end(self) -> list[str]:
        """Return nothing: nothing is owed."""
        return []

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
        named = kinds.ids(_name(path))
        if self._layout is kinds.V1:
            return next((str(each) for each in central.sessions if named & kinds.ids(str(each))), None)
        mails = self._mails(kinds.group_of(path)) if named else {}
        users = (_name(each) for each, mail in mails.items() if named & mail.continued)
        return next((each for each in users if each in central.sessions), None)

    def usage(self) -> tuple[list[Use], list[str]]:
        """Return what the central database takes."""
        path = os.path.join(self.root, self._layout.database)
        sizes = [os.lstat(each).st_size for each in (path, f"{path}-wal") if os.path.lexists(each)]
        return [Use(self.agent, self._layout.database, 1, sum(sizes))], []

    def close(self) -> None:
        """Let go of the central database."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _why_row(row: Row) -> str:
    """Return why a row alone keeps what its session has, "" where it does not."""
    if row.status != "closed":
        return "active"
    return "container" if row.container != "stopped" else ""


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(found: Artifact) -> str:
    """Return what a transcript and its folder have in common; of all else its path."""
    return found.path.removesuffix(".jsonl") if found.kind in _PAIR else found.path


def _beat(folder: str) -> float:
    """Return when a container was last alive, in seconds since 1970."""
    try:
        return os.lstat(f"{folder}/.heartbeat").st_mtime
    except FileNotFoundError:
        return 0.0
