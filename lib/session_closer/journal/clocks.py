"""Whether the clock can be right: how long the machine has been up follows no setting of its clock (Linux only)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..core.findings import Doubt
from ..core.tuples import NamedTuple
from .history import Beginning

# A clock that is corrected by no more than that, in seconds, was not wrong.
_TOLERANCE = 60.0


class Uptime(NamedTuple):
    """A moment in one run of the machine: seconds since the start `boot`; "" where that cannot be told."""

    boot: str = ""
    seconds: float = 0.0


def uptime() -> Uptime:
    """Return this moment by the machine itself."""
    # Where a program is shown another date, the clocks of the C library follow that date; these files do not.
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot, open("/proc/uptime", "rb") as up:
            return Uptime(boot.read().strip(), float(up.read().split()[0]))
    except (OSError, ValueError, IndexError):
        return Uptime()


def doubt(now: float, runs: Iterable[Beginning]) -> Doubt | None:
    """Return the run that shows most of all that it can be earlier than `now` (s since 1970), None where none does."""
    boot, up = uptime()
    found = [
        Doubt(begun.run, now - begun.at.timestamp() - (up - begun.uptime))
        for begun in runs
        if boot and begun.boot == boot and begun.at is not None and begun.uptime <= up
    ]
    most = max(found, key=lambda one: one.seconds, default=None)
    return most if most is not None and most.seconds > _TOLERANCE else None


def latest_before(runs: Iterable[Beginning], now: float) -> dict[str, datetime]:
    """Return, for each run that the clock was set back for, the latest time at which one before it began."""
    found: dict[str, datetime] = {}
    latest: datetime | None = None
    for begun in runs:
        if begun.at is None or begun.at.timestamp() > now:
            continue
        if latest is not None and begun.sequence and begun.at < latest:
            found[begun.run] = latest
        latest = begun.at if latest is None else max(latest, begun.at)
    return found
