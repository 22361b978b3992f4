"""What time it is."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_now() -> str:
    """Return the time as JavaScript writes it: 2026-11-21T00:41:24.769Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
