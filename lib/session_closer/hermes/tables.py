"""The rows that we read of Hermes' tables, and by which columns."""

from __future__ import annotations

from typing import Any

from ..core.tuples import NamedTuple


class Session(NamedTuple):
    """One row of `sessions`; what its version has no column for is None. Times are seconds since 1970."""

    id: str
    source: Any
    title: Any
    started_at: Any
    ended_at: Any
    end_reason: Any
    parent: Any
    archived: Any
    pinned: Any
    handoff: Any
    session_key: Any
    chat_id: Any
    cwd: Any
    root: Any
    last_activity: Any


class Delegation(NamedTuple):
    """One row of `async_delegations`: work that was handed to another agent, and who waits for it."""

    id: Any
    parent: Any
    origin: Any
    origin_ui: Any
    state: Any
    delivery: Any
    pid: Any
    started: Any
    times: tuple[Any, ...]


SESSION = (
    "id", "source", "title", "started_at", "ended_at", "end_reason", "parent_session_id", "archived", "pinned",
    "handoff_state", "session_key", "chat_id", "cwd", "git_repo_root", "last_activity_at",
)  # fmt: skip
DELEGATION = (
    "delegation_id", "parent_session_id", "origin_session", "origin_ui_session_id", "state", "delivery_state",
    "owner_pid", "owner_started_at", "dispatched_at", "updated_at", "completed_at",
)  # fmt: skip
