"""close-project: close one project's session."""

from __future__ import annotations

from collections.abc import Sequence

from plumbum import cli

from ..cli import Command, start, targets, word
from ..errors import UsageProblem
from ..model import Wish


class CloseProject(Command):
    """Close the sessions of one project: back up, take the entry out, archive the transcript.

    A project id stands for agent:<agent>:<id> and agent:<agent>:project-<id>; both are closed if both exist.
    """

    OPERATION = "close-project"
    POSITIONALS = "<project id | session key>"

    session_key = cli.SwitchAttr("--session-key", word("KEY"), argname="KEY", help="the key, instead of the positional")

    def wish(self, words: Sequence[str]) -> Wish:
        """Return the one target, from the positional or --session-key."""
        given = [*words, *([self.session_key] if self.session_key is not None else [])]
        if len(given) != 1:
            raise UsageProblem(
                f"exactly one project id or session key was expected, {len(given)} were given",
                "close-project-batch closes several",
            )
        return Wish(self.OPERATION, targets(given, self.agent))


def main() -> int:
    """Run the command."""
    return start(CloseProject)
