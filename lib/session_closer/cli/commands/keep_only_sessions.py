"""keep-only-sessions: close everything of one agent but what is named."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.errors import UsageProblem
from ...core.escape import quoted
from ...core.keys import DEFAULT_AGENT
from ..app import Command
from ..arguments import no_words, targets
from ..program import start

if TYPE_CHECKING:
    from ...core.wish import Wish
    from ...operations.request import Rehearse


class KeepOnlySessions(Command):
    """Close all sessions of one agent but the named ones, its main session and rows that are not its own.

    A name that is not found changes nothing at all.
    """

    OPERATION = "keep-only-sessions"
    POSITIONALS = "<project id | session key>..."

    def wish(self, words: Sequence[str]) -> Wish:
        """Return the targets that stay, all of one agent."""
        no_words(words, "session to keep")
        agent = self.agent or DEFAULT_AGENT
        found = targets(words, self.agent)
        for target in found:
            if target.agent != agent:
                raise UsageProblem(
                    f"{quoted(target.given)} belongs to agent {target.agent}, this run is about {agent}",
                    f"say --agent {target.agent}",
                )
        from ...core.wish import Wish  # not loaded for --help

        return Wish(self.OPERATION, found, keep=True, agent=agent)

    def rehearsing(self) -> Rehearse:
        """Return what does in a copy what is planned, and takes it back."""
        from ...operations import rehearse, restore  # only a rehearsal does both

        return partial(rehearse.perform, take_back=restore.of_run)


# Each name must be there; and all sessions of the agent go, whoever has spawned them.
KeepOnlySessions.unbind_switches("--missing-ok", "--with-children")


def main() -> int:
    """Run the command."""
    return start(KeepOnlySessions)
