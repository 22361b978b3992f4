"""Ages and sizes as people write them (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from .errors import UsageProblem
from .escape import quoted

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_MOST_BYTES = 1 << 60
_DURATION = r"(?i)(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?"
# As OpenClaw reads 1d12h: each part has a unit, and nothing stands between them.
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)"
_SIZE = r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)?"
_LONGEST = 100 * 365 * SECONDS["d"]
# 1973 and 9999, in ms: what is before is in seconds or in nothing, and a later time is no time.
_EVER, _NEVER = 100_000_000_000, 253_402_214_400_000
# By so much two clocks may differ, a wrong time zone included.
AHEAD = SECONDS["d"]


def moment(value: object) -> int | None:
    """Return a time of an entry in ms since 1970, None where it cannot be one."""
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return int(value) if _EVER <= value < _NEVER else None
    return None


def moments(values: Sequence[object]) -> Sequence[int | None]:
    """Return what `moment` does of each of many."""
    times = [value for value in values if type(value) is int]
    if times and len(times) == len(values) and min(times) >= _EVER and max(times) < _NEVER:
        return times
    return list(map(moment, values))


def since(at: int | None, now: float) -> float | None:
    """Return the seconds from a moment (ms since 1970) to `now` (s), 0 for one a little ahead; None: not known.

    What is far ahead of the clock would be fresh for ever: it says nothing.
    """
    if at is None:
        return None
    age = now - at / 1000
    if age >= 0.0:
        return age
    return 0.0 if age >= -AHEAD else None


def finite(value: object) -> float | None:
    """Return a number that can be reckoned with, None for what is none: JSON has some that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def seconds(value: object, *, unit: str | None = None, longest: float = _LONGEST) -> float | None:
    """Return a duration in seconds, None where it is none; `unit` is the one of a bare number, None: it needs one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    found = re.fullmatch(_DURATION, text)
    if found is not None and (found[2] or unit):
        parts = [(found[1], found[2] or unit or "")]
    else:
        parts = re.findall(_PART, text, re.IGNORECASE) if re.fullmatch(f"(?:{_PART})+", text, re.IGNORECASE) else []
    length = sum(float(count) * SECONDS[name.lower()] for count, name in parts)
    return length if parts and length <= longest else None


def age(value: str, name: str, meant: str = "") -> float:
    """Return the seconds of an age on a command line; UsageProblem names the option, and says how it is `meant`."""
    found = seconds(value)
    if found is None:
        raise UsageProblem(
            f"{quoted(value)} is no age for {name}", f"{meant or f'{name} 24h'}, with one of s, m, h, d, w"
        )
    return found


def size(value: object) -> int | None:
    """Return the bytes of a size such as 500mb, None where it is none; the units are powers of 1024."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    found = re.fullmatch(_SIZE, str(value).strip())
    if found is None:
        return None
    unit = (found[2] or "").lower().replace("i", "")
    count = float(found[1]) * _BYTES[unit if unit in _BYTES else unit + "b"]
    return int(count) if count < _MOST_BYTES else None


def shown(length: float) -> str:
    """Return a duration for a table: 45s, 12m, 5h, 3d."""
    for unit, least in (("d", 2 * SECONDS["d"]), ("h", 2 * SECONDS["h"]), ("m", 2 * SECONDS["m"])):
        if length >= least:
            return f"{int(length // SECONDS[unit])}{unit}"
    return f"{max(0, int(length))}s"


def about(length: float) -> str:
    """Return how long something takes, off by a twentieth or half a second at most: 40 s, 12 min, 5.2 h."""
    for unit, name, least in ((SECONDS["h"], "h", 2 * SECONDS["h"]), (SECONDS["m"], "min", 10 * SECONDS["m"])):
        if length >= least:
            return f"{length / unit:.{int(name == 'h')}f} {name}"
    return f"{length:.0f} s"


def exact(length: float) -> str:
    """Return a duration as it can be read again: the largest unit that divides it."""
    for unit in ("w", "d", "h", "m", "s"):
        if length >= SECONDS[unit] and length % SECONDS[unit] == 0:
            return f"{int(length // SECONDS[unit])}{unit}"
    return f"{length!r}s" if length >= 0.001 else "0s"


def shown_size(count: int) -> str:
    """Return a size for a table: 812B, 4.1K, 12M."""
    amount = float(count)
    for unit in ("B", "K", "M", "G"):
        if amount < 1024 or unit == "G":
            return f"{amount:.0f}{unit}" if unit == "B" or amount >= 10 else f"{amount:.1f}{unit}"
        amount /= 1024
    raise AssertionError("the loop ends with the last unit")


def spelled_size(count: int) -> str:
    """Return a size in words: 812 B, 4.1 KB, 1.9 GB; the units are powers of 1024."""
    shown = shown_size(count)
    return f"{shown[:-1]} {shown[-1]}" if shown.endswith("B") else f"{shown[:-1]} {shown[-1]}B"
