"""One run as it goes on: what was asked, what was found, and its transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.model import GatewayView, Snapshot
from ..core.report import Outcome
from ..core.wish import Options, Wish
from ..ports.runtime import Runtime
from .transaction import Transaction

if TYPE_CHECKING:
    from ..core.errors import CloserError
    from ..core.verdicts import Findings
    from ..ports.gateway import Gateway
    from ..ports.store import Store
    from ..system.disk import Disk
    from .cleanup import Chores


@dataclass(slots=True)
class Run:
    """What the steps of one run share; what a cleanup adds is by agent.

    `stamp` goes into the archive names of the plan. `unread` are stores that could not be looked at, `sizes` bytes by
    key, `refused` rows that stand for files, `free_by` when to stop freeing
    keys, in seconds of the monotonic clock.
    """

    runtime: Runtime
    wish: Wish
    transaction: Transaction
    view: GatewayView = field(default_factory=GatewayView)
    stamp: str = ""
    unread: dict[str, CloserError] = field(default_factory=dict)
    findings: dict[str, Findings] = field(default_factory=dict)
    chores: dict[str, Chores] = field(default_factory=dict)
    refused: list[Outcome] = field(default_factory=list)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    free_by: float = math.inf

    @property
    def options(self) -> Options:
        """How the run was asked."""
        return self.runtime.context.options

    @property
    def disk(self) -> Disk:
        """What writes files."""
        return self.runtime.context.disk

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
    return Run(runtime, wish, Transaction(context.disk, runtime.root, wish.operation, context.options.reason))
