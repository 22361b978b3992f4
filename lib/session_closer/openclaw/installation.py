"""One OpenClaw as a run sees it: where it keeps things, its gateway, and what was read of its stores so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .files.neighbours import Neighbours

if TYPE_CHECKING:
    from ..core.model import Going, Snapshot
    from ..core.wish import Options
    from ..ports.context import Context
    from ..ports.store import Store
    from ..system.disk import Disk
    from .attached.mentions import Place
    from .attached.worktrees import Tree
    from .gateway.connection import Gateway
    from .home import Home


class Installation:
    """A state directory and its gateway, with what a run has found in them, by agent.

    `going` are the sessions that the run was to close, `trees` their worktrees, by (agent, key), `mentions` the files
    that speak of them, None until they were looked for. `deferred`: the keys of those that go last, as they are the
    caller's own. `stopped`: this run has stopped the gateway, and is to start it again.
    """

    def __init__(self, home: Home, context: Context, gateway: Gateway) -> None:
        self.home, self.context, self.gateway = home, context, gateway
        self.stores: dict[str, Store] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.trees: dict[tuple[str, str], Tree] = {}
        self.mentions: list[Place] | None = None
        self.going: Mapping[str, Going] = {}
        self.deferred: frozenset[str] = frozenset()
        self.stopped = False
        self.neighbours = Neighbours(home, self.warn, self.stores)

    @property
    def options(self) -> Options:
        """How the run was asked."""
        return self.context.options

    @property
    def disk(self) -> Disk:
        """What writes files."""
        return self.context.disk

    @property
    def warn(self) -> Callable[..., None]:
        """What keeps warnings for the report."""
        return self.context.console.warn

    @property
    def tell(self) -> Callable[[str], None]:
        """What says at once how far the run is."""
        return self.context.console.tell
