"""What is given to a run and never changes: how it was asked, who writes files, who hears of it, what time it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..system.clock import REAL, Clock
from ..system.disk import Disk

if TYPE_CHECKING:
    from ..core.wish import Options


def silent(*_: object) -> None:
    """Say nothing."""


class Console:
    """Who hears of a run while it goes on, and the warnings that are kept for its report, each once.

    `progress` hears how far slow work is, `watch` how far any work is: for whoever looks on at a terminal. `stores`
    hears how many stores are done, of how many.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = silent,
        progress: Callable[[int, int], None] = silent,
        watch: Callable[[int, int], None] = silent,
        stores: Callable[[int, int], None] = silent,
    ) -> None:
        self.tell: Final = tell
        self.progress: Final = progress
        self.watch: Final = watch
        self.stores: Final = stores
        self.warnings: Final[dict[str, None]] = {}

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the report."""
        self.warnings.update(dict.fromkeys(warnings))

    def apart(self) -> Console:
        """Return the same listeners, and no warnings kept yet."""
        return Console(self.tell, self.progress, self.watch, self.stores)


class Context:
    """How a run was asked, what writes its files, who hears of it, and what time it is for it."""

    def __init__(
        self, options: Options, disk: Disk | None = None, console: Console | None = None, clock: Clock = REAL
    ) -> None:
        self.options: Final = options
        self.disk: Final = disk or Disk()
        self.console: Final = console or Console()
        self.clock: Final = clock
