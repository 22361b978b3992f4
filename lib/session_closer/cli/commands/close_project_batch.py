"""close-project-batch: close many sessions, with one backup a store and at most one restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..app import Command
from ..arguments import no_words, targets
from ..program import start

if TYPE_CHECKING:
    from ...core.wish import Wish


class CloseProjectBatch(Command):
    """Close the sessions of several projects, of several agents if full keys say so.

    Each target has a result of its own: one that is refused or not found does not stop the others.
    """

    OPERATION = "close-project-batch"
    POSITIONALS = "<project id | session key>..."

    def wish(self, words: Sequence[str]) -> Wish:
        """Return all targets."""
        no_words(words, "session")
        from ...core.wish import Wish  # not loaded for --help

        return Wish(self.OPERATION, targets(words, self.agent))


def main() -> int:
    """Run the command."""
    return start(CloseProjectBatch)
