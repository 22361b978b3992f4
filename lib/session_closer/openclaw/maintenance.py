"""`session.maintenance` of openclaw.json: what of it a cleanup can go by (pure)."""

from __future__ import annotations

from ..core import durations
from ..core.errors import Refused
from ..core.escape import plain, quoted
from ..core.policy import Maintenance

_PLACE = "session.maintenance"
_USED = frozenset({"mode", "pruneAfter", "pruneDays", "maxEntries"})
# What OpenClaw takes: a number of milliseconds that JavaScript can count.
_LONGEST = 2**53 / 1000
_UNITS = "OpenClaw knows ms, s, m, h, d"


def read(found: object) -> Maintenance:
    """Return the settings; Refused where one is wrong, whether it is going to be used or not."""
    if found is None or found == {}:
        return Maintenance()
    if not isinstance(found, dict):
        raise _wrong(_PLACE, found, "an object")
    mode = found.get("mode")
    if mode not in (None, "enforce", "warn"):
        raise _wrong("mode", mode, "enforce or warn")
    after, days = found.get("pruneAfter"), _number(found, "pruneDays")
    if after is not None:
        age: float | None = _age(after)
    else:
        age = None if days is None else days * durations.SECONDS["d"]
    unused = tuple(sorted(plain(str(name)) for name in found if name not in _USED))
    return Maintenance(True, age, _number(found, "maxEntries"), mode or "enforce", unused)


def _age(after: object) -> float:
    found = durations.seconds(after, unit="d", longest=_LONGEST)
    if found is None:
        raise _wrong("pruneAfter", after, "an age such as 30d")
    if round(found * 1000) < 1:
        # Every session is older than that: also the one that was used a moment ago.
        raise _wrong("pruneAfter", after, "an age above 0, such as 30d: OpenClaw refuses it, or takes every session")
    if "w" in str(after).lower():
        raise _wrong("pruneAfter", after, f"an age such as 14d: {_UNITS}, and refuses w")
    return found


def _number(found: dict[str, object], name: str) -> int | None:
    number = found.get(name)
    if number is None:
        return None
    if type(number) is not int or number < 1:
        raise _wrong(name, number, "a number from 1 on")
    return number


def _wrong(name: str, value: object, expected: str) -> Refused:
    where = name if name == _PLACE else f"{_PLACE}.{name}"
    return Refused(f"{where} of openclaw.json is {quoted(str(value))}", expected, name="config")
