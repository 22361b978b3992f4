"""One run as it goes on: what was asked, what was found, and its journal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.model import GatewayView, Snapshot
from ..core.report import Outcome
from ..core.wish import Options, Wish
from ..journal import history

if TYPE_CHECKING:
    from ..artifacts.measuring import Hash
    from ..core.claims import Claims
    from ..core.errors import CloserError
    from ..core.verdicts import Findings
    from ..journal.journal import Journal
    from ..journal.record import RunRecord
    from ..openclaw.attached.mentions import Place
    from ..openclaw.attached.worktrees import Tree
    from ..openclaw.files.neighbours import Look
    from ..openclaw.files.store import Seen
    from ..openclaw.gateway.client import Gateway
    from ..openclaw.home import Home
    from ..openclaw.stores import Store
    from ..system.files import Disk
    from .cleanup import Chores
    from .work import Work


@dataclass(slots=True)
class Run:
    """What the steps of one run share; what a cleanup adds is by agent.

    `stamp` goes into the archive names of the plan. `unread` are stores that could not be looked at, `sizes` bytes by
    key, `hashes` of what the backups will hold, `refused` rows that stand for files, `looks` and `lent` what other
    agents' stores say and use of an agent's, `seen` what an index held at the last look, `going` the (agent, key) pairs
    that are still to be closed, `trees` the worktrees of such pairs, `mentions` the files that speak of them, `free_by`
    when to stop freeing keys, in seconds of the monotonic clock.
    """

    home: Home
    wish: Wish
    options: Options
    disk: Disk
    tell: Callable[[str], None]
    progress: Callable[[int, int], None]
    gateway: Gateway
    view: GatewayView = field(default_factory=GatewayView)
    stores: dict[str, Store] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    stamp: str = ""
    warnings: list[str] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    unread: dict[str, CloserError] = field(default_factory=dict)
    findings: dict[str, Findings] = field(default_factory=dict)
    chores: dict[str, Chores] = field(default_factory=dict)
    refused: list[Outcome] = field(default_factory=list)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    hashes: dict[str, Hash] = field(default_factory=dict)
    looks: dict[tuple[str, frozenset[str]], Look] = field(default_factory=dict)
    lent: dict[str, dict[str, Claims]] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    going: frozenset[tuple[str, str]] = frozenset()
    trees: dict[tuple[str, str], Tree] = field(default_factory=dict)
    mentions: list[Place] | None = None
    record: RunRecord | None = None
    journal: Journal | None = None
    free_by: float = math.inf

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""
        return history.receipt_path(self.home.state, self.record.id) if self.record else None

    def undo(self) -> str | None:
        """Return the command that undoes the run, None while nothing has been changed."""
        return f"{self.options.undo} {self.record.id}" if self.record and self.options.undo else None

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the report, each once."""
        seen = set(self.warnings)
        self.warnings += [warning for warning in dict.fromkeys(warnings) if warning not in seen]
