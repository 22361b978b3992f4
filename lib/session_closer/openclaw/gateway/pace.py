"""How many sessions one call may name: a gateway serves nobody else meanwhile, so its own answers say."""

from __future__ import annotations

# What a call of OpenClaw's takes at most.
PATCH_MANY = 100
# 2026.9 takes about 9 ms for each, and 25 ms for a call: docs/measurements.md.
_FIRST, _LEAST = 10, 5
# Another client's list may come behind the call that it arrives in and the next one.
_CALL_SECONDS = 0.15


class Pace:
    """The number of sessions that the next call may name, so that it is answered in about 0.15 s."""

    def __init__(self) -> None:
        self.sessions = _FIRST

    def took(self, sessions: int, seconds: float) -> None:
        """Note how long a call for so many sessions took; the next one is at most twice as large."""
        fitting = int(sessions * _CALL_SECONDS / seconds) if seconds > 0 else PATCH_MANY
        self.sessions = max(_LEAST, min(fitting, 2 * self.sessions, PATCH_MANY))
