"""One run as it goes on: what was asked, what was found, and its transaction."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.model import Snapshot
from ..core.wish import Options, Wish
from ..ports.runtime import Runtime
from .transaction import Transaction

if TYPE_CHECKING:
    from ..ports.gateway import Gateway
    from ..ports.store import Store
    from ..system.clock import Clock
    from ..system.disk import Disk


@dataclass(slots=True)
class Run:
    """What the steps of a restore share."""

    runtime: Runtime
    wish: Wish
    transaction: Transaction

    @property
    def options(self) -> Options:
        """How the run was asked."""
        return self.runtime.context.options

    @property
    def disk(self) -> Disk:
        """What writes files."""
        return self.runtime.context.disk

    @property
    def clock(self) -> Clock:
        """What time it is for the run."""
        return self.runtime.context.clock

    @property
    def gateway(self) -> Gateway:
        """The gateway as it was found."""
        return self.runtime.gateway

    @property
    def stores(self) -> MutableMapping[str, Store]:
        """The stores that were read, by agent."""
        return self.runtime.stores

    @property
    def snapshots(self) -> MutableMapping[str, Snapshot]:
        """What was in them."""
        return self.runtime.snapshots

    @property
    def tell(self) -> Callable[[str], None]:
        """What says at once how far the run is."""
        return self.runtime.context.console.tell

    @property
    def progress(self) -> Callable[[int, int], None]:
        """What shows how many of how many are done."""
        return self.runtime.context.console.progress

    @property
    def warn(self) -> Callable[..., None]:
        """What keeps warnings for the report, each once."""
        return self.runtime.context.console.warn

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""
        return self.transaction.receipt

    def undo(self) -> str | None:
        """Return the command that undoes the run, None while nothing has been changed."""
        record = self.transaction.record
        return f"{self.options.undo} {record.id}" if record and self.options.undo else None


def begun(runtime: Runtime, wish: Wish) -> Run:
    """Return a run that has changed nothing yet."""
    context = runtime.context
    return Run(
        runtime, wish, Transaction(context.disk, runtime.root, wish.operation, context.options.reason, context.clock)
    )
