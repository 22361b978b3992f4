"""What is left to a process that outlives a command, as the one hands it to the other."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from ..core.wish import Options


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run below `root` to be finished once the process `caller` has ended, and how that one was asked.

    `place` is what its runtime is found by; the flock on its record goes along as `descriptor`.
    """

    root: str
    place: Mapping[str, str]
    run: str
    descriptor: int
    caller: int
    via: str
    restart: str
    reason: str | None
    archive: bool
    delete: bool
    lose_ignored: bool
    with_jobs: bool
    export: str | None = None

    def encoded(self) -> str:
        """Return the task as text for a command line."""
        # A path or a reason may hold what is no text, which JSON can only hold escaped.
        return json.dumps(msgspec.to_builtins(self))

    @property
    def may_restart(self) -> bool:
        """Tell whether the gateway may be restarted."""
        return self.restart != "never"

    def options(self) -> Options:
        """Return how to close what is left: as the caller was asked to, and nothing else."""
        return Options(
            via=self.via,
            restart="auto" if self.may_restart else "never",
            reason=self.reason,
            archive=self.archive,
            delete=self.delete,
            lose_ignored=self.lose_ignored,
            with_jobs=self.with_jobs,
            export=self.export,
            missing_ok=True,
            late=True,
        )


def decoded(text: str) -> Task:
    """Return the task of a text; ValueError where it is none."""
    return msgspec.convert(json.loads(text), Task)
