"""An interrupted run, as whoever finishes one of its stores knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..journal.record import Damaged, StoreRecord


class StoreGone(Damaged):
    """There is no store to finish a run in, as after a migration: what else the agent has is not held up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A run by its id and its beginning, ISO 8601, UTC; `note` writes what is known of a store, durable.

    `young`: its last call may be under way still. Not `frees`: what it archived stays so.
    """

    id: str
    started_at: str
    young: bool
    frees: bool
    note: Callable[[StoreRecord], None]
