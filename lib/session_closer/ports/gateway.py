"""The process that serves a runtime's sessions while we work on them, as an operation needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.model import GatewayView
    from ..core.report import GatewayResult, RestartResult
    from ..core.status import Life


class Interlude:
    """A time in which a gateway may be stopped; `result`: how it was started again, None where it was not stopped."""

    def __init__(self) -> None:
        self.result: RestartResult | None = None


class Gateway(Protocol):
    """A gateway as it was found; a runtime without one has one whose life is DOWN."""

    @property
    def life(self) -> Life:
        """Whether it serves what we work on."""

    @property
    def pid(self) -> int | None:
        """Its process, None where that is not known."""

    @property
    def by_hand(self) -> str:
        """The command with which a person restarts it."""

    @property
    def refuses(self) -> str:
        """Why it takes nothing from us any more, "" where it does, or was not asked."""

    def result(self) -> GatewayResult:
        """Return what a report says about it."""

    def view(self, agents: Sequence[str], *, by_command: bool = False) -> GatewayView:
        """Return what it says of these agents' sessions; `by_command`: also where only a command can ask it."""

    def restart(self) -> RestartResult:
        """Restart it, and wait until it answers."""

    def start(self) -> RestartResult:
        """Start it where a run has stopped it, and wait until it answers."""

    def meet_again(self) -> None:
        """Connect to it anew, after a restart."""

    def noticed(self, closed: Mapping[str, Sequence[str]]) -> str:
        """Return whether it lists what was closed without it, keys by agent."""

    def interlude(self) -> AbstractContextManager[Interlude]:
        """Let it be stopped meanwhile, and start it again however that ends."""

    def leave(self) -> None:
        """End all connections and use none of them again."""

    def close(self) -> None:
        """End all connections."""
