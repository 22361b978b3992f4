"""How long artifacts stay: from a command line, a policy file, or by default (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from . import durations
from .artifacts import ROW, KindRule, Limits, named
from .errors import UsageProblem
from .escape import plain, quoted
from .policy import archive_age, disk_size
from .tuples import NamedTuple

# What is younger may still be written to.
LEAST = 600.0
_SETTINGS = ("max-disk", "keep-last", "expire-archives")


class Asked(NamedTuple):
    """What a command line says of artifacts, ages in seconds; `path` is the name of the policy `file`, TOML."""

    path: str | None = None
    file: str | None = None
    stale: tuple[str, ...] = ()
    older_than: str | None = None
    kinds: tuple[str, ...] = ()
    max_disk: str | None = None
    keep_last: int | None = None
    expire: str | None = None
    rows: tuple[str, ...] = ()


class _File(NamedTuple):
    ages: Mapping[str, float] = MappingProxyType({})
    settings: Mapping[str, Any] = MappingProxyType({})


def age(text: str, option: str) -> float:
    """Return the seconds of an age; UsageProblem where it is none, or leaves no time to finish what is written."""
    found = durations.age(text, option)
    if found < LEAST:
        raise UsageProblem(f"{quoted(text)} is too short an age for {option}", f"{option} with 10m or more, as in 30d")
    return found


def limits(asked: Asked, rules: Sequence[KindRule]) -> Limits:
    """Return what holds; UsageProblem where something is no age, no kind, or contradicts the rest."""
    file = _File() if asked.file is None else _read(asked.file, asked.path or "", rules)
    stale = {kind: found for rule in asked.stale for kind, found in _stale(rule, rules)}
    only = _kinds(asked.kinds, rules)
    ages = _base(asked, file, rules, only)
    if stale:
        beyond = [kind for kind in stale if only and kind not in only]
        if beyond:
            raise UsageProblem(f"--stale {beyond[0]} is not among --kind {','.join(only)}", "leave out one of them")
        ages = {**({} if asked.file is None and not only and asked.older_than is None else ages), **stale}
    disk, expire, rows = asked.max_disk, asked.expire, _sources(asked.rows)
    return Limits(
        ages | ({ROW: 0.0} if rows else {}),
        file.settings.get("max_disk") if disk is None else disk_size(disk),
        file.settings.get("keep_last") if asked.keep_last is None else asked.keep_last,
        file.settings.get("expire") if expire is None else archive_age(expire),
        rows,
    )


def _sources(given: Sequence[str]) -> dict[str, float]:
    """Return the ages of rows by the source of their session; UsageProblem."""
    found = {}
    for rule in (rule for rules in given for rule in rules.split(",")):
        source, equals, of = rule.partition("=")
        if not equals or not source.strip():
            raise UsageProblem(f"{quoted(rule)} is no rule", "--rows SOURCE=AGE, as in --rows cron=7d,cli=30d")
        found[source.strip()] = age(of.strip(), "--rows SOURCE=AGE")
    return found


def _base(asked: Asked, file: _File, rules: Sequence[KindRule], only: Sequence[str]) -> dict[str, float]:
    """Return the ages that hold ahead of --stale."""
    usual = {rule.name: rule.age for rule in rules if rule.on or rule.name in only}
    ages = dict(file.ages) if asked.file is not None else usual
    if only:
        ages = {kind: ages.get(kind, usual[kind]) for kind in only}
    if asked.older_than is not None:
        ages = dict.fromkeys(ages or usual, age(asked.older_than, "--older-than"))
    return ages


def _kinds(words: Sequence[str], rules: Sequence[KindRule]) -> list[str]:
    return [kind for given in words for word in given.split(",") for kind in _kind(word.strip(), rules)]


def _kind(word: str, rules: Sequence[KindRule]) -> list[str]:
    try:
        return named([word], rules)
    except KeyError:
        known = dict.fromkeys(name for rule in rules for name in (rule.name, rule.family) if name)
        raise UsageProblem(f"{quoted(word)} is no kind of artifact", f"one of {', '.join(known)}") from None


def _stale(text: str, rules: Sequence[KindRule]) -> list[tuple[str, float]]:
    found = []
    for rule in text.split(","):
        name, equals, given = rule.partition("=")
        if not equals:
            raise UsageProblem(f"{quoted(rule)} is no rule", f"--stale KIND=AGE, as in --stale {rules[0].name}=30d")
        of = age(given.strip(), "--stale KIND=AGE")
        found += [(kind, of) for kind in _kind(name.strip(), rules)]
    return found


def _read(text: str, path: str, rules: Sequence[KindRule]) -> _File:
    import tomllib  # only a policy file needs it

    try:
        data = tomllib.loads(text)
        stale = data.pop("stale", {})
        if not isinstance(stale, dict):
            raise UsageProblem("stale is no table", "[stale]")
        ages = {kind: of for name, given in stale.items() for kind, of in _stale(f"{name}={given}", rules)}
        settings = dict(_setting(name, value) for name, value in data.items())
    except (ValueError, RecursionError, UsageProblem) as problem:
        what = problem.message if isinstance(problem, UsageProblem) else f"is no TOML: {problem}"
        remedy = problem.remedy if isinstance(problem, UsageProblem) else 'such as: [stale] session_json = "30d"'
        raise UsageProblem(f"{path}: {what}", remedy) from None
    return _File(ages, settings)


def _setting(name: str, value: Any) -> tuple[str, Any]:
    if name == "max-disk":
        return "max_disk", disk_size(value)
    if name == "expire-archives":
        return "expire", archive_age(str(value))
    if name == "keep-last":
        if type(value) is not int or value < 1:
            raise UsageProblem(f"keep-last is {quoted(str(value))}", "a number from 1 on")
        return "keep_last", value
    raise UsageProblem(f"{quoted(name)} is no setting", f"[stale], {', '.join(_SETTINGS)}")


def told(asked: Asked, holding: Limits) -> str:
    """Return one line: where the rules come from, and which they are."""
    origins = [f"policy file {plain(asked.path)}" if asked.path is not None else ""]
    named_options = {"--older-than": asked.older_than, "--stale": asked.stale, "--kind": asked.kinds}
    named_options["--rows"] = asked.rows
    origins += [name for name, value in named_options.items() if value]
    rules = [f"{kind} {durations.exact(of)}" for kind, of in holding.ages.items() if kind != ROW]
    rules += [f"rows of {plain(source)} {durations.exact(of)}" for source, of in holding.rows.items()]
    more = {
        "keep-last": holding.keep_last,
        "max-disk": None if holding.max_disk is None else durations.shown_size(holding.max_disk),
        "expire-archives": None if holding.expire is None else durations.exact(holding.expire),
    }
    rules += [f"{name} {value}" for name, value in more.items() if value is not None]
    return f"{', '.join(filter(None, origins)) or 'default policy'}: {', '.join(rules) or 'nothing'}"
