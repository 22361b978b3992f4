"""The record of a run, as whoever changes a store writes it: ahead of each change of it."""

from __future__ import annotations

from typing import Protocol

from ..core.budget import HashBudget
from ..journal.record import RestartRecord, StoreRecord
from .share import Share


class Ledger(Protocol):
    """What one run does to which stores: its record while it lasts, its receipt afterwards."""

    @property
    def id(self) -> str:
        """The run's id; there is one once something has been noted."""

    @property
    def started_at(self) -> str:
        """When the run began, ISO 8601, UTC."""

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""

    @property
    def shares(self) -> list[Share]:
        """The shares of the stores that were changed, in the order in which they were begun."""

    @property
    def hashes(self) -> HashBudget:
        """How much of what is renamed may still be hashed."""

    def note(self, store: StoreRecord) -> None:
        """Write what is known of a store: durable before it returns."""

    def note_first(self, store: StoreRecord) -> None:
        """Write it ahead of the first change of a store; where that fails, its backup goes again."""

    def owe(self, restart: RestartRecord) -> None:
        """Write what the run owes its gateway."""
