"""What a run is to do, and to which runtime; what it found before anything was decided: both never change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..core.model import GatewayView, Plan, Snapshot
from ..core.tuples import NamedTuple

if TYPE_CHECKING:
    from ..core.errors import CloserError
    from ..core.policy import Rules
    from ..core.shown import Rehearsal
    from ..core.wish import Options, Wish
    from ..ports.gateway import Gateway
    from ..ports.runtime import Runtime
    from ..ports.store import Store
    from ..system.clock import Clock


class Request(NamedTuple):
    """What was asked of one runtime."""

    runtime: Runtime
    wish: Wish

    @property
    def options(self) -> Options:
        """How it was asked."""
        return self.runtime.context.options

    @property
    def rules(self) -> Rules | None:
        """What a policy takes, None where sessions were named."""
        return self.wish.rules

    @property
    def clock(self) -> Clock:
        """What time it is."""
        return self.runtime.context.clock

    @property
    def gateway(self) -> Gateway:
        """The gateway as it was found."""
        return self.runtime.gateway

    @property
    def warn(self) -> Callable[..., None]:
        """What keeps warnings for the report, each once."""
        return self.runtime.context.console.warn

    def in_turn(self, agents: Sequence[str]) -> Iterator[str]:
        """Give agents one after the other; who looks on hears how many of several are done."""
        console, total = self.runtime.context.console, len(agents)
        for done, agent in enumerate(agents):
            if total > 1:
                console.stores(done, total)
            yield agent
        if total > 1:
            console.stores(total, total)


class Look(NamedTuple):
    """What was found, by agent: stores, what was in them, bytes by key, and why a store could not be read.

    `stamp` is free for archive names in all of their folders.
    """

    stores: Mapping[str, Store]
    snapshots: Mapping[str, Snapshot]
    view: GatewayView = GatewayView()
    sizes: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    unread: Mapping[str, CloserError] = MappingProxyType({})
    stamp: str = ""


# Does in a copy what is planned, and takes it back.
Rehearse = Callable[[Request, "Plan"], "Rehearsal"]
