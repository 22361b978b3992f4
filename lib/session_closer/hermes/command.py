"""The `hermes` command: whether it is the one that a home belongs to, and what only it may do with rows."""

from __future__ import annotations

import os
import tempfile

from ..core.errors import Refused
from ..core.escape import quoted
from ..system import programs
from ..system.clock import Clock
from ..system.disk import Disk
from .database import Database

_SECONDS = 120.0
_MOST_BYTES = 16 << 20
_PROFILES = "profiles"
# Its own settings would lead it to another home, those of our Python to other packages.
_LEFT_OUT = ("HERMES_", "PYTHON")


class Hermes:
    """The command on PATH, for one home. What it changes goes through the disk, a step each."""

    def __init__(self, home: str, disk: Disk, clock: Clock) -> None:
        self._home = home
        self._disk = disk
        self._clock = clock

    def check_schema(self, schema: int | None) -> None:
        """Refuse a command that would migrate a database of this schema; it is not started in the home for that."""
        with tempfile.TemporaryDirectory(prefix="session-closer-") as place:
            own = self._own_schema(os.path.realpath(place))
        if schema is None or own != schema:
            raise Refused(
                f"the hermes on PATH keeps its rows by schema {own}, {self._home} by {schema}: it would migrate them",
                "put the hermes of this home on PATH, or let the one that is there start in it once",
                name="other_schema",
            )

    def check_home(self) -> None:
        """Refuse a command that would work in another home."""
        try:
            said = os.fsdecode(self._run(self._home, "config", "path").out).strip()
        except programs.Untold as problem:
            raise _refusal(problem) from None
        if os.path.realpath(os.path.dirname(said)) != os.path.realpath(self._home):
            what = f"the hermes on PATH works in {quoted(os.path.dirname(said))}, and not in {self._home}"
            raise Refused(what, "name that home: --home DIR", name="other_home")

    def export(self, session_id: str, path: str) -> None:
        """Write what Hermes gives of a session into a new file; Untold."""
        self._change("sessions", "export", path, f"--session-id={session_id}")

    def delete(self, session_id: str) -> None:
        """Delete the rows of a session for good; Untold. Whether they are gone is to be read: errors end with 0."""
        self._change("sessions", "delete", session_id, "--yes")

    def _own_schema(self, scratch: str) -> int | None:
        """Return the schema of a database that the command makes itself."""
        try:
            self._run(scratch, "sessions", "stats")
        except programs.Untold as problem:
            raise _refusal(problem) from None
        database = Database(scratch, self._clock)
        try:
            return database.schema()
        finally:
            database.close()

    def _change(self, *words: str) -> None:
        self._disk.let(lambda: self._run(self._home, *words))

    def _run(self, home: str, *words: str) -> programs.Ended:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
        environ |= {"HERMES_HOME": home, "NO_COLOR": "1"}
        # A root names the profile that is to be taken for it; a profile is taken as it is.
        is_profile = os.path.basename(os.path.dirname(home)) == _PROFILES
        named = () if is_profile else ("--profile", "default")
        asked = (*named, *words)
        ended = programs.run(programs.find("hermes"), asked, environ, seconds=_SECONDS, most=_MOST_BYTES)
        if ended.code:
            raise programs.Untold(ended.complaint("hermes"))
        return ended


def _refusal(why: object) -> Refused:
    return Refused(f"rows are deleted by hermes alone: {why}", "put the hermes of this home on PATH", name="no_hermes")
