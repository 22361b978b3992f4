"""close-project-batch: close many sessions, with one backup a store and at most one restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..app import Command
from ..filtered import Filtered
from ..program import start

if TYPE_CHECKING:
    from ...core.wish import Wish


class CloseProjectBatch(Filtered, Command):
    """Close the sessions of several projects, of several agents if full keys say so.

    Each target has a result of its own: one that is refused or not found does not stop the others.
    With --match, --kind, --older-than and --label without a name: all of an agent's sessions that match, but for those
    that no policy may take, unless their kind is named.
    """

    OPERATION = "close-project-batch"
    POSITIONALS = "[project id | session key]..."

    def wish(self, words: Sequence[str]) -> Wish:
        """Return all targets."""
        return self.filtered(list(words))


def main() -> int:
    """Run the command."""
    return start(CloseProjectBatch)
