"""The gateway of an installation as an operation needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..ports.gateway import Interlude
from .gateway import client, connection

if TYPE_CHECKING:
    from ..core.model import GatewayView
    from ..core.report import GatewayResult, RestartResult
    from ..core.status import Life
    from .installation import Installation


class Served:
    """The gateway of an installation, as an operation needs it."""

    def __init__(self, here: Installation) -> None:
        self._here = here

    @property
    def by_hand(self) -> str:
        """The command with which a person restarts it."""
        return f"{self._here.home.openclaw} gateway restart"

    @property
    def life(self) -> Life:
        """Whether it serves the state directory."""
        return self._here.gateway.found.life

    @property
    def pid(self) -> int | None:
        """Its process, None where that is not known."""
        return self._here.gateway.found.pid

    @property
    def refuses(self) -> str:
        """Why it takes nothing from us any more, "" where it does, or was not asked."""
        gateway = self._here.gateway
        return "" if gateway.links or not gateway.notes else gateway.notes[-1]

    def result(self) -> GatewayResult:
        """Return what a report says about it."""
        return self._here.gateway.result()

    def view(self, agents: Sequence[str], *, by_command: bool = False) -> GatewayView:
        """Return what it says of these agents' sessions."""
        return client.view(self._here.gateway, list(agents), by_command=by_command)

    def restart(self) -> RestartResult:
        """Restart it, and wait until it answers."""
        from .gateway import restart

        return restart.restart(self._here.home, self._here.gateway.found, self._here.context.clock)

    def start(self) -> RestartResult:
        """Start it where a run has stopped it, and wait until it answers."""
        from .gateway import service

        return service.start(self._here)

    def meet_again(self) -> None:
        """Connect to it anew, after a restart."""
        self._here.gateway = connection.meet(self._here.home, looking_only=False, clock=self._here.context.clock)

    def noticed(self, closed: Mapping[str, Sequence[str]]) -> str:
        """Return whether it lists what was closed without it, keys by agent."""
        from .gateway import restart

        return restart.noticed(
            self._here.home, {agent: list(keys) for agent, keys in closed.items()}, self._here.context.clock
        )

    @contextmanager
    def interlude(self) -> Iterator[Interlude]:
        """Let it be stopped meanwhile, and start it again however that ends."""
        made = Interlude()
        try:
            yield made
        finally:
            if self._here.stopped:
                made.result = self.start()

    def leave(self) -> None:
        """End all connections and use none of them again."""
        self._here.gateway.leave()

    def close(self) -> None:
        """End all connections."""
        self._here.gateway.close()
