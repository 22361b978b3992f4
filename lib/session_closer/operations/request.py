"""What a run is to do, and to which runtime: given, and never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.policy import Rules
from ..core.wish import Options, Wish
from ..ports.gateway import Gateway
from ..ports.runtime import Runtime
from ..system.clock import Clock


@dataclass(frozen=True, slots=True)
class Request:
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
