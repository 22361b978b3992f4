"""Where the rules of a cleanup come from: the default, a policy file, openclaw.json, the command line (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..core import durations
from ..core.errors import UsageProblem
from ..core.escape import plain
from ..core.policy import DEFAULT, ORPHANS, Maintenance, Policy
from ..core.tuples import NamedTuple
from ..core.words import STALE_KINDS, Kind

# What --only names, with the value of a rule that it switches on; None: that rule needs a value of its own.
RULES: Mapping[str, Any] = MappingProxyType(
    {
        "stale": {},
        "orphans": ORPHANS,
        "fix-missing": True,
        "fix-dm-scope": True,
        "max-entries": None,
        "max-disk": None,
        "expire-archives": None,
    }
)

_OPTIONS = {"unknown_is_old": "--unknown-age-is-old"}


class Asked(NamedTuple):
    """What a command line says: `file` is the policy of --policy and `path` its name, ages are in seconds.

    `added` are fields of a policy with their values. `maintenance`: openclaw.json is to be used. `only`: the rules to
    which the run is restricted, none: not at all.
    """

    path: str | None = None
    file: Policy | None = None
    stale: Mapping[Kind, float] = MappingProxyType({})
    older_than: float | None = None
    added: Mapping[str, Any] = MappingProxyType({})
    maintenance: bool = False
    only: tuple[str, ...] = ()

    def uses_maintenance(self) -> bool:
        """Tell whether what openclaw.json says holds."""
        return self.maintenance or (self.file is not None and self.file.maintenance)

    def names_kinds(self) -> bool:
        """Tell whether the command line says what is stale."""
        return bool(self.stale) or self.older_than is not None


def resolved(asked: Asked, settings: Maintenance) -> Policy:
    """Return the policy that holds; UsageProblem where --only and the rest contradict each other."""
    uses = asked.uses_maintenance()
    policy = asked.file or Policy(DEFAULT.stale)
    stale = dict(policy.stale)
    if uses and settings.prune_after is not None:
        theirs = dict.fromkeys(STALE_KINDS, settings.prune_after)
        stale = theirs if asked.file is None else theirs | stale
    elif asked.file is None and asked.names_kinds():
        stale = {}
    if uses:
        most = settings.max_entries if policy.max_entries is None else policy.max_entries
        policy = policy._replace(maintenance=True, max_entries=most)
    if asked.older_than is not None:
        stale = dict.fromkeys(STALE_KINDS, asked.older_than)
    policy = policy._replace(stale={**stale, **asked.stale})._replace(**asked.added)
    return _restricted(policy, asked) if asked.only else policy


def _restricted(policy: Policy, asked: Asked) -> Policy:
    named = ["stale"] if asked.names_kinds() else []
    named += [name.replace("_", "-") for name in asked.added]
    for name in named:
        if name in RULES and name not in asked.only:
            raise UsageProblem(f"--{name} is not among --only {','.join(asked.only)}", f"add {name}, or leave it out")
    for name, usual in RULES.items():
        field = name.replace("-", "_")
        if name not in asked.only:
            policy = policy._replace(**{field: getattr(Policy(), field)})
        elif not getattr(policy, field):
            if usual is None:
                raise UsageProblem(f"--only {name} does not say how much", f"--{name} with its value, too")
            policy = policy._replace(**{field: usual})
    return policy


def only(given: Sequence[str]) -> tuple[str, ...]:
    """Return the rules that --only names; UsageProblem for a word that is none."""
    words = tuple(dict.fromkeys(word.strip() for each in given for word in each.split(",")))
    for word in words:
        if word not in RULES:
            raise UsageProblem(f"--only {plain(word)} is no rule", f"some of {', '.join(RULES)}, with commas")
    return words


def told(asked: Asked, policy: Policy, settings: Maintenance) -> str:
    """Return one line: where the rules come from, which they are, and what of openclaw.json is not used."""
    uses = asked.uses_maintenance()
    line = f"{', '.join(_origins(asked, settings))}: {', '.join(_rules(policy)) or 'nothing'}"
    if settings.is_set and not uses:
        return f"{line}; openclaw.json: session.maintenance not used, see --maintenance"
    if uses and settings.unused:
        return f"{line}; openclaw.json: not used of session.maintenance: {', '.join(settings.unused)}"
    return f"{line}; openclaw.json sets no session.maintenance" if uses and not settings.is_set else line


def _origins(asked: Asked, settings: Maintenance) -> list[str]:
    """Return where the rules come from."""
    uses = asked.uses_maintenance()
    from_openclaw = uses and (settings.prune_after is not None or settings.max_entries is not None)
    names = [
        f"policy file {plain(asked.path)}" if asked.path is not None else "",
        "session.maintenance of openclaw.json" if from_openclaw else "",
        "--older-than" if asked.older_than is not None else "",
        "--stale" if asked.stale else "",
    ]
    found = [name for name in names if name]
    by_default = asked.path is None and not asked.names_kinds() and not (uses and settings.prune_after is not None)
    if by_default and (not asked.only or "stale" in asked.only):
        found.insert(0, "default policy")
    found += [_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in asked.added]
    return [*found, "--only"] if asked.only else found


def _rules(policy: Policy) -> list[str]:
    ages = set(policy.stale.values())
    if len(ages) == 1 and len(policy.stale) == len(STALE_KINDS):
        rules = [f"every kind that may be stale {_age(ages.pop())}"]
    else:
        rules = [f"{kind} {_age(policy.stale[kind])}" for kind in STALE_KINDS if kind in policy.stale]
    more = {
        "keep-last": policy.keep_last,
        "orphans": None if policy.orphans is None else _age(policy.orphans),
        "fix-missing": "" if policy.fix_missing else None,
        "fix-dm-scope": "" if policy.fix_dm_scope else None,
        "max-entries": policy.max_entries,
        "max-disk": None if policy.max_disk is None else durations.shown_size(policy.max_disk),
        "expire-archives": None if policy.expire_archives is None else _age(policy.expire_archives),
    }
    return rules + [f"{name} {value}".rstrip() for name, value in more.items() if value is not None]


def _age(length: float) -> str:
    shown = durations.shown(length)
    return shown if durations.seconds(shown) == length else durations.exact(length)
