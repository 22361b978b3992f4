"""What a person asked for, and how: the words of a command line as values (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tuples import NamedTuple

if TYPE_CHECKING:
    from .keys import Target
    from .policy import Rules
    from .wanted import Wanted


class Wish(NamedTuple):
    """What was asked: `keep` turns the targets into the ones that stay; with `rules` a policy chooses in `among`.

    `matching` chooses among the targets, or, where there are none, among all sessions of `agent`. `own`: the keys that
    the caller's own session may have, once the stores were looked at.
    """

    operation: str
    targets: tuple[Target, ...]
    keep: bool = False
    agent: str | None = None
    rules: Rules | None = None
    among: tuple[str, ...] = ()
    matching: Wanted | None = None
    own: frozenset[str] = frozenset()

    def agents(self) -> list[str]:
        """Return the agents concerned, in order."""
        named = {target.agent for target in self.targets} | ({self.agent} if self.agent else set())
        return sorted(named | set(self.among))

    def only_warns(self) -> bool:
        """Tell whether a policy was asked what it would do, and nothing is changed."""
        return self.rules is not None and self.rules.mode == "warn"

    def candidates(self, given: str, agent: str) -> tuple[str, ...]:
        """Return the keys that one of the names may stand for."""
        return next(t.candidates for t in self.targets if (t.given, t.agent) == (given, agent))


class Options(NamedTuple):
    """How it was asked.

    `archive`: keep what a cleanup would free; `delete`: free each key, where archiving does not. `lose_ignored`: close
    what has files in its worktree that git ignores; `with_jobs`: switch off the cron jobs that are bound to it;
    `with_children`: close what it has spawned, too. `rehearse`: close and restore in a copy of so many bytes at most.
    `free_for`: seconds that a cleanup may free. `export`: a folder for copies of what is closed, made first. `own`: the
    caller's own session. `most_rows`: how many rows that went well are shown; `most_told`: how many of a status may be.
    `again` is the same command line with --yes, `free` one that frees what this one archives, None where there is
    none, `undo` the command that takes a receipt's id, `see` the one that lists, all for a shell. `late`: by the
    process that outlives the caller, whose turn has ended a moment ago.
    """

    dry_run: bool = False
    force: bool = False
    yes: bool = False
    limit: int = 100
    via: str = "auto"
    restart: str = "auto"
    reason: str | None = None
    missing_ok: bool = False
    archive: bool = False
    delete: bool = False
    lose_ignored: bool = False
    with_jobs: bool = False
    free_for: float | None = None
    export: str | None = None
    own: tuple[Target, ...] = ()
    most_rows: int | None = None
    most_told: int | None = None
    again: str = "--yes"
    free: str | None = None
    undo: str = "restore-sessions"
    see: str = "list-sessions"
    late: bool = False
    with_children: bool = False
    rehearse: int | None = None
