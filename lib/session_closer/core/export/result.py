"""What became of an export: a row for each session (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.tuples import NamedTuple
from ..errors import CloserError, ExitCode
from ..status import Status
from .exported import Exported


class Export(NamedTuple):
    """How sessions are to be exported: into a `folder`, as a whole `bundle` each or as a page alone.

    `most` is the most bytes that one session's bundle may have, None: any number.
    """

    folder: str
    bundle: bool = True
    media: bool = False
    thinking: bool = False
    redact: bool = False
    most: int | None = None


class Unexported(NamedTuple):
    """A session that was not exported, and why: `status` is not_found, refused, came_back or failed."""

    given: str
    agent: str
    key: str
    status: Status
    error: str


class Trajectory(NamedTuple):
    """A bundle for a runtime's support that the runtime has made itself: `path` is its folder, `answer` what it says.

    It is no copy of the session, and nothing of it was compared.
    """

    agent: str
    key: str
    path: str
    answer: Mapping[str, Any]


class ExportReport(NamedTuple):
    """What an export has to say; `error` is set where the whole of it ended early. `output` is where it went.

    `trajectories` is None where those were not asked for.
    """

    output: str = ""
    exported: tuple[Exported, ...] = ()
    failed: tuple[Unexported, ...] = ()
    warnings: tuple[str, ...] = ()
    error: CloserError | None = None
    trajectories: tuple[Trajectory, ...] | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: 3 where every session was refused, 1 where any was not exported."""
        if self.error is not None:
            return self.error.code
        if not self.failed:
            return ExitCode.OK
        is_refused = all(row.status is Status.REFUSED for row in self.failed)
        refused = is_refused and not self.exported and not self.trajectories
        return ExitCode.REFUSED if refused else ExitCode.SOME_FAILED
