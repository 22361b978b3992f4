"""close-project: close one project's session."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.errors import Ours, UsageProblem
from ..app import Command
from ..arguments import word
from ..filtered import Filtered
from ..program import start

if TYPE_CHECKING:
    from ...core.wish import Wish
    from ...operations.request import Rehearse


class CloseProject(Filtered, Command):
    """Close the sessions of one project: back up, take the entry out, archive the transcript.

    A project id stands for agent:<agent>:<id>, agent:<agent>:project-<id> and the bare keys <id> and project-<id>:
    all of them that exist are closed. With --match, --kind, --older-than and --label without a name: all of an agent's
    sessions that match, but for those that no policy may take, unless their kind is named.
    """

    OPERATION = "close-project"
    POSITIONALS = "[project id | session key]"

    session_key = word("--session-key KEY", "the key, instead of the positional")

    def wish(self, words: Sequence[str]) -> Wish:
        """Return the one target, from the positional or --session-key."""
        given = [*words, *([self.session_key] if self.session_key is not None else [])]
        if len(given) > 1:
            several = ("several are closed with:", Ours("close-project-batch"))
            raise UsageProblem(
                f"one project id or session key was expected, {len(given)} were given",
                several if self.session_key is None else "leave out one of them",
            )
        return self.filtered(given)

    def rehearsing(self) -> Rehearse:
        """Return what does in a copy what is planned, and takes it back."""
        from ...operations import rehearse, restore  # only a rehearsal does both

        return partial(rehearse.perform, take_back=restore.of_run)


def main() -> int:
    """Run the command."""
    return start(CloseProject)
