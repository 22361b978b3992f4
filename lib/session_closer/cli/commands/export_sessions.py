"""export-sessions: write what was said in sessions into a folder, to be read, kept or brought back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plumbum import cli

from ...core import late
from ...core.errors import CloserError, Ours, UsageProblem
from ...core.escape import quoted
from .. import streams
from ..app import Reader
from ..arguments import no_words, one_word, targets, word
from ..program import start

if TYPE_CHECKING:
    from ...core.export.result import Export, ExportReport
    from ...ports.artifacts import Place as Homes

BUNDLE = "bundle"
# What means nothing for a bundle that OpenClaw makes itself.
_OURS = ("--output", "--from", "--format", "--media", "--thinking", "--redact", "--max-bytes")
# What means something for a runtime that keeps files.
HOMES_OPTIONS = frozenset({"--output", "--from", "--format", "--thinking", "--redact", "--max-bytes"})
# OpenClaw refuses what leads anywhere else.
_NAME = late.pattern(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class ExportSessions(Reader):
    """Export sessions: a folder each, with the transcript byte for byte, a page to read, and hashes of all files.

    What is written is compared with the store, which is read again, before it gets its name. Nothing is closed.
    """

    OPERATION = "export-sessions"
    ACCOUNT = "what was exported is in its folder"
    POSITIONALS = (
        "<project id | session key>... | --from <receipt id | last> [session key...] | "
        "--trajectory <project id | session key>..."
    )

    output = word("--output DIR", "where the folders go; it is made, and nothing in it is replaced")
    agent = word("--agent AGENT", "agent of the project ids (project-lead)")
    closed_by = word("--from RECEIPT", "what a run has closed, from its archives: a receipt's id, or last")
    form = cli.SwitchAttr(
        "--format", one_word("--format", BUNDLE, "md"), default=BUNDLE, argname="bundle|md",
        help="a folder with everything, or the page alone (bundle)",
    )  # fmt: skip
    media = cli.Flag("--media", help="the files that people have sent into a session, too")
    thinking = cli.Flag("--thinking", help="what the model has thought is on the page, too")
    redact = cli.Flag("--redact", help="without secrets: the transcript and the page alone, not to be brought back")
    most = word("--max-bytes SIZE", "the most that one session may take: 500M, 2G (no limit)")
    trajectory = cli.Flag("--trajectory", help="OpenClaw's own bundles for its support, by its command; no copies")
    workspace = word("--workspace DIR", "where --trajectory has them written: DIR/.openclaw/trajectory-exports")
    called_there = word("--name NAME", "what the bundle of --trajectory is called there (as OpenClaw calls it)")

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        homes = self.homes()
        if homes is not None:
            return self._of_homes(homes, words)
        if self.trajectory:
            return self._trajectories(words)
        if self.workspace is not None or self.called_there is not None:
            raise UsageProblem("--workspace and --name belong to --trajectory", "--trajectory, or leave them out")
        if self.closed_by is None:
            no_words(words, "session")
        elif self.agent is not None:
            raise UsageProblem("--from and --agent contradict each other", "give one of them")
        ask = self._ask()
        named = targets(words, self.agent) if self.closed_by is None else ()
        from ...core.wish import Options  # what touches a store is not loaded for --help
        from ...operations import export, export_closed
        from ...ports.context import Console

        options = Options(see=self.here("list-sessions"), undo=self.here("restore-sessions"))
        where, console, clock = self.place(), Console(streams.tell), self.clock
        if self.closed_by is None:
            return self._show(export.execute(where, named, ask, options, console=console, clock=clock))
        which = self.closed_by
        return self._show(export_closed.execute(where, which, words, ask, options, console=console, clock=clock))

    def _of_homes(self, where: Homes, words: Sequence[str]) -> int:
        """Export sessions of a runtime that keeps files, by their ids, or what a run has put away of them."""
        self.check_options(where, HOMES_OPTIONS)
        if not all(words) or (not words and self.closed_by is None):
            raise UsageProblem("no session was given", ("see them with:", Ours("list-sessions", there=True)))
        ask = self._ask()
        from ...core.wish import Options  # what touches a home is not loaded for --help
        from ...operations import export_homes, export_put_away, runtimes
        from ...ports.context import Console

        options, console = Options(see=self.here("list-sessions")), Console(streams.tell)
        if (which := self.closed_by) is not None:
            return self._show(
                export_put_away.execute(where, which, words, ask, options, console=console, clock=self.clock)
            )
        taking = runtimes.exporting(where.runtime)
        return self._show(export_homes.execute(where, taking, words, ask, options, console=console, clock=self.clock))

    def _trajectories(self, words: Sequence[str]) -> int:
        """Have OpenClaw make its own bundles."""
        no_words(words, "session")
        workspace = self._workspace(len(words))
        named = targets(words, self.agent)
        from ...core.wish import Options  # what touches a store is not loaded for --help
        from ...operations import trajectory
        from ...ports.context import Console

        options = Options(see=self.here("list-sessions"), undo=self.here("restore-sessions"))
        console, wanted = Console(streams.tell), trajectory.Wanted(workspace, self.called_there)
        return self._show(trajectory.execute(self.place(), named, wanted, options, console=console, clock=self.clock))

    def _workspace(self, sessions: int) -> str:
        """Return the folder that bundles of so many sessions go below; UsageProblem where the words make no sense."""
        given = [word.partition("=")[0] for word in self.switches(self.given)]
        if other := [name for name in given if name in _OURS]:
            raise UsageProblem(f"{other[0]} and --trajectory contradict each other", f"leave out {other[0]}")
        workspace: str | None = self.workspace
        name: str | None = self.called_there
        if workspace is None:
            raise UsageProblem("no workspace was given", "--workspace DIR")
        if not os.path.isdir(workspace):
            raise UsageProblem(f"{quoted(workspace)} is no folder", "--workspace DIR, which is there")
        if name is not None and not _NAME.fullmatch(name):
            raise UsageProblem(f"{quoted(name)} is no name for a bundle", "--name NAME: letters, digits, and . _ -")
        if name is not None and sessions > 1:
            raise UsageProblem(f"--name is for one bundle, and {sessions} sessions were given", "leave it out")
        return workspace

    def _ask(self) -> Export:
        """Return how sessions are to be exported; UsageProblem where no folder is named."""
        if self.output is None:
            raise UsageProblem("no folder was given", "--output DIR")
        from ...core.export.result import Export
        from ...core.policy import disk_size

        most = disk_size(self.most, "--max-bytes") if self.most is not None else None
        return Export(self.output, self.form == BUNDLE, self.media, self.thinking, self.redact, most)

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return False

    def fail(self, problem: CloserError, _: Sequence[str]) -> None:
        """Print why a run ended early."""
        from ...core.export.result import ExportReport

        self._show(ExportReport(error=problem))

    def _show(self, found: ExportReport) -> int:
        from ...render import export, text

        self.put(
            lambda: export.as_json(found, self.called),
            lambda: export.lines(found, verbose=self.verbose),
            text.complaints(found.warnings, found.error, self.called),
        )
        return int(found.exit_code)


# No gateway is asked.
ExportSessions.unbind_switches("--url", "--token-file", "--gateway-state-dir")


def main() -> int:
    """Run the command."""
    return start(ExportSessions)
