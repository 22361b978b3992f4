"""What is given to a run and never changes: how it was asked, who writes files, who hears of it, what time it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..core.wish import Options
from ..system.clock import REAL, Clock
from ..system.disk import Disk


def _nothing(*_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Console:
    """Who hears of a run while it goes on, and the warnings that are kept for its report, each once.

    `progress` hears how far slow work is, `watch` how far any work is: for whoever looks on at a terminal. `stores`
    hears how many stores are done, of how many.
    """

    tell: Callable[[str], None] = _nothing
    progress: Callable[[int, int], None] = _nothing
    watch: Callable[[int, int], None] = _nothing
    stores: Callable[[int, int], None] = _nothing
    warnings: dict[str, None] = field(default_factory=dict)

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the report."""
        self.warnings.update(dict.fromkeys(warnings))


@dataclass(frozen=True, slots=True)
class Context:
    """How a run was asked, what writes its files, who hears of it, and what time it is for it."""

    options: Options
    disk: Disk = field(default_factory=Disk)
    console: Console = field(default_factory=Console)
    clock: Clock = REAL
