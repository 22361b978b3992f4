"""What counts as stale: one small table of kinds and ages that a user may write down as TOML (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import durations
from .durations import SECONDS
from .errors import Ours, UsageProblem
from .escape import quoted
from .tuples import NamedTuple
from .words import STALE_KINDS, Kind

if TYPE_CHECKING:
    from .keys import Target

DAY = SECONDS["d"]
ORPHANS = DAY
LEAST_ARCHIVE_AGE = SECONDS["h"]
_UNKNOWN_AGE = {"keep": False, "old": True}
_CLEANUP = Ours("cleanup-sessions")


class Policy(NamedTuple):
    """What a cleanup does; ages in seconds, sizes in bytes, None: not done at all.

    `unknown_is_old`: a row without a usable time counts as old. `maintenance`: what openclaw.json sets in
    `session.maintenance` holds where nothing else is said. `keep_last`: so many of each job or parent stay.
    """

    stale: Mapping[Kind, float] = MappingProxyType({})
    unknown_is_old: bool = False
    orphans: float | None = None
    fix_missing: bool = False
    fix_dm_scope: bool = False
    max_entries: int | None = None
    max_disk: int | None = None
    expire_archives: float | None = None
    maintenance: bool = False
    keep_last: int | None = None


class Maintenance(NamedTuple):
    """What a runtime's own configuration sets explicitly for a cleanup.

    `prune_after` in seconds, `unused` the names that no cleanup of ours goes by.
    """

    is_set: bool = False
    prune_after: float | None = None
    max_entries: int | None = None
    mode: str = "enforce"
    unused: tuple[str, ...] = ()


class Rules(NamedTuple):
    """A policy at one moment: `now` in seconds since 1970, `active` sessions that stay.

    `dm_scope` and `mode` are OpenClaw's `session.dmScope` and `session.maintenance.mode`. `archive`: what was archived
    stays, except for what `expire_archives` takes.
    """

    policy: Policy
    now: float
    active: tuple[Target, ...] = ()
    dm_scope: str = "main"
    mode: str = "enforce"
    archive: bool = False


DEFAULT = Policy(MappingProxyType({Kind.CRON_RUN: DAY, Kind.SUBAGENT: DAY}))


def stale_rule(text: str) -> tuple[Kind, float]:
    """Return the kind and the seconds of `KIND=AGE`; UsageProblem."""
    name, equals, age = text.partition("=")
    if not equals:
        raise UsageProblem(f"{quoted(text)} is no rule", "--stale KIND=AGE, as in --stale cron-run=24h")
    return _stale_kind(name.strip()), durations.age(age.strip(), "--stale KIND=AGE", "--stale KIND=24h")


def _stale_kind(name: str) -> Kind:
    if name in STALE_KINDS:
        return Kind(name)
    known = ", ".join(STALE_KINDS)
    if name in set(Kind):
        raise UsageProblem(f"{name} sessions are never stale", f"one of {known}")
    raise UsageProblem(f"{quoted(name)} is no kind of session", f"one of {known}")


def archive_age(text: str) -> float:
    """Return the seconds of --expire-archives; UsageProblem for an age that leaves no time for an undo."""
    found = durations.age(text, "--expire-archives")
    if found < LEAST_ARCHIVE_AGE:
        raise UsageProblem(f"--expire-archives {text} leaves no time for an undo", "an age of 1h or more")
    return found


def from_toml(text: str, path: str) -> Policy:
    """Return the policy that a TOML file describes; UsageProblem names the file."""
    import tomllib  # only a policy file needs it

    try:
        data = tomllib.loads(text)
        stale = data.pop("stale", {})
        if not isinstance(stale, dict):
            raise UsageProblem("stale is no table", "[stale]")
        rules = {_stale_kind(name): _age(age, f"stale.{name}") for name, age in stale.items()}
        found = {_field(name): _value(name, value) for name, value in data.items()}
    except (ValueError, RecursionError, UsageProblem) as problem:
        what = problem.message if isinstance(problem, UsageProblem) else f"is no TOML: {problem}"
        next_step = problem.remedy if isinstance(problem, UsageProblem) else (_CLEANUP, "--print-policy shows one")
        raise UsageProblem(f"{path}: {what}", next_step) from None
    return Policy(rules, **found)


def _field(name: str) -> str:
    field = "unknown_is_old" if name == "unknown-age" else name.replace("-", "_")
    if "_" in name or field not in Policy._fields or name == "unknown-is-old":
        raise UsageProblem(f"{quoted(name)} is no setting", (_CLEANUP, "--print-policy shows all"))
    return field


def _as_written(value: Any) -> str:
    """Return a value of the wrong kind as it may stand in the file."""
    return quoted(str(value).lower() if isinstance(value, bool) else str(value))


def _value(name: str, value: Any) -> Any:
    if name == "unknown-age":
        if not isinstance(value, str) or value not in _UNKNOWN_AGE:
            raise UsageProblem(f"unknown-age is {_as_written(value)}", '"keep" or "old"')
        return _UNKNOWN_AGE[value]
    if name in ("maintenance", "fix-missing", "fix-dm-scope"):
        if not isinstance(value, bool):
            raise UsageProblem(f"{name} is {_as_written(value)}", "true or false")
        return value
    if name in ("max-entries", "keep-last"):
        if type(value) is not int or value < 1:
            raise UsageProblem(f"{name} is {_as_written(value)}", "a number from 1 on")
        return value
    if name == "max-disk":
        return disk_size(value)
    return archive_age(str(value)) if name == "expire-archives" else _age(value, name)


def disk_size(value: object, name: str = "max-disk") -> int:
    """Return the bytes of --max-disk, or of another option; UsageProblem."""
    try:
        found = durations.size(value)
    except OverflowError:
        found = None
    if not found:
        # To OpenClaw a maxDiskBytes of 0 is no limit.
        raise UsageProblem(f"{name} is {_as_written(value)}", "a size above 0, such as 500mb or 2gb")
    return found


def _age(value: object, name: str) -> float:
    found = durations.seconds(value)
    if found is None:
        raise UsageProblem(f"{name} is {_as_written(value)}", 'an age such as "24h"')
    return found


def as_toml(policy: Policy) -> str:
    """Return the policy as the TOML file that says it; what is not done is a comment."""
    ages = {"orphans": (policy.orphans, ORPHANS), "expire-archives": (policy.expire_archives, 30 * DAY)}
    lines = [
        "# What cleanup-sessions takes for stale. Never: main, direct, group, channel, thread, chat, cron, heartbeat,",
        "# memory, pinned, bound and running sessions. Ages: s, m, h, d, w.",
        f'unknown-age = "{"old" if policy.unknown_is_old else "keep"}"  # rows without a usable time',
        _line("maintenance", "true", is_set=policy.maintenance),
        *(
            _line(name, _quoted_age(usual if age is None else age), is_set=age is not None)
            for name, (age, usual) in ages.items()
        ),
        _line("fix-missing", "true", is_set=policy.fix_missing),
        _line("fix-dm-scope", "true", is_set=policy.fix_dm_scope),
        _line("max-entries", str(policy.max_entries or 500), is_set=policy.max_entries is not None),
        _line("max-disk", f'"{_size(policy.max_disk)}"', is_set=policy.max_disk is not None),
        _line("keep-last", str(policy.keep_last or 5), is_set=policy.keep_last is not None),
        "",
        "[stale]",
        *(_line(kind, _quoted_age(policy.stale.get(kind, DAY)), is_set=kind in policy.stale) for kind in STALE_KINDS),
    ]
    return "\n".join(lines) + "\n"


def _quoted_age(age: float) -> str:
    text = durations.exact(age)
    if durations.seconds(text) != age:
        text = f"{age:.20f}".rstrip("0") + "0s"
    return f'"{text}"'


def _line(name: str, value: str, *, is_set: bool) -> str:
    return f"{'' if is_set else '# '}{name} = {value}"


def _size(count: int | None) -> str:
    return "2gb" if count is None else f"{count}b"
