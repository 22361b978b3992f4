"""The options of a rehearsal, for commands that close."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from plumbum import cli

from ..core.errors import UsageProblem
from .arguments import word

if TYPE_CHECKING:
    from ..core.wish import Options
    from ..operations.request import Rehearse

# What a rehearsal copies at most.
_MAX = "2gb"


class Rehearsed(cli.Application):
    """What the commands share that can be rehearsed."""

    rehearse = cli.Flag("--rehearse", help="do it in a copy and undo it there, compare, and remove the copy")
    rehearse_max = word("--rehearse-max SIZE", f"most that a rehearsal copies ({_MAX})")
    export: Any

    @abstractmethod
    def rehearsing(self) -> Rehearse:
        """Return what does in a copy what is planned, and takes it back."""

    def rehearsed(self, found: Options) -> Options:
        """Return options with what holds for a rehearsal, which changes nothing but a copy."""
        if not self.rehearse:
            if self.rehearse_max is not None:
                raise UsageProblem("--rehearse-max belongs to --rehearse", "--rehearse")
            return found
        if self.export is not None:
            raise UsageProblem("--rehearse exports nothing", "leave out --export")
        from ..core.policy import disk_size  # what touches a store is not loaded for --help

        most = disk_size(self.rehearse_max or _MAX, "--rehearse-max")
        return found._replace(dry_run=True, rehearse=most)
