"""close-project-batch: close many sessions, with one backup a store and at most one restart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..app import Command
from ..filtered import Filtered
from ..program import start

if TYPE_CHECKING:
    from ...core.wish import Wish
    from ...operations.request import Rehearse


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

    def rehearsing(self) -> Rehearse:
        """Return what does in a copy what is planned, and takes it back."""
        from ...operations import rehearse, restore  # only a rehearsal does both

        return partial(rehearse.perform, take_back=restore.of_run)


def main() -> int:
    """Run the command."""
    return start(CloseProjectBatch)
