"""cleanup-sessions: close what is stale by a policy, put stray files away, free old archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from plumbum import cli

from ...core.errors import UsageProblem
from ...core.escape import quoted
from ...core.keys import target
from ..app import Closing
from ..arguments import count, word
from ..program import start

if TYPE_CHECKING:
    from ...core.report import Report
    from ...core.wish import Options
    from ...operations.request import Rehearse
    from ...ports.artifacts import Place as Homes

OPERATION = "cleanup-sessions"
SHOWN, ALL = 100, 10**9
FREE_FOR, FREE_AFTER = "5m", "30d"
_POLICY_BYTES = 1 << 20
# What means something for a runtime that keeps files.
HOMES_OPTIONS = frozenset({
    "--dry-run", "--reason", "--yes", "--max", "--delete", "--stale", "--older-than", "--kind", "--keep-last",
    "--max-disk", "--expire-archives", "--policy", "--quiet", "--rows", "--rehearse", "--rehearse-max", "--report",
    "--export",
})  # fmt: skip


class CleanupSessions(Closing):
    """Close stale sessions by a policy: by default cron runs and subagents that were idle for 24 h, of all agents.

    Never: main, direct, group, channel, thread, chat, cron, heartbeat, memory, pinned, bound and running sessions.
    --stale and --older-than say what is stale in place of the default; every other rule is added, unless --only
    restricts the run.
    """

    OPERATION = OPERATION
    POSITIONALS = ""

    agent = word("--agent AGENT", "only this agent")
    all_agents = cli.Flag("--all-agents", help="all agents (that is the default, too)")
    store = word("--store PATH", "only the agent with this store")
    stale = word("--stale KIND=AGE", "sessions of a kind that were idle for longer: cron-run=24h,hook=7d", many=True)
    keep_last = cli.SwitchAttr(
        "--keep-last", count("--keep-last N", 5), argname="N", help="the newest N of each cron job, or parent, stay"
    )
    older_than = word("--older-than AGE", "every kind that may be stale, idle for longer than this")
    only = word("--only RULE[,RULE...]", "no rule but these: stale, orphans, fix-missing, ...", many=True)
    maintenance = cli.Flag("--maintenance", help="what openclaw.json sets in session.maintenance holds, too")
    unknown_age = cli.Flag("--unknown-age-is-old", help="a row without a usable time counts as old")
    orphans = word("--orphans [AGE]", "archive transcript files that no row refers to (24h)")
    fix_missing = cli.Flag("--fix-missing", help="rows whose transcript is gone")
    fix_dm_scope = cli.Flag("--fix-dm-scope", help="rows of direct messages that session.dmScope main has left behind")
    max_entries = cli.SwitchAttr(
        "--max-entries", count("--max-entries N", 500), argname="N", help="the oldest rows above N"
    )
    max_disk = word("--max-disk SIZE", "the oldest rows until transcripts take no more than SIZE")
    delete = cli.Flag(
        "--delete", help="sessions in SQLite: free the keys of all that goes; files of Hermes and NanoClaw: for good"
    )
    expire_archives = word("--expire-archives AGE", "delete archives and backups older than AGE for good")
    policy_file = word("--policy FILE", "a policy in TOML")
    print_policy = cli.Flag("--print-policy", help="print the policy as TOML and do nothing")
    enforce = cli.Flag("--enforce", help="--maintenance, also where its mode is warn")
    free_for = word("--free-for AGE", "the longest that a run frees what it has archived (5m)")
    active_key = word("--active-key KEY", "a session that stays, whatever the policy says", many=True)
    kinds = word("--kind KIND[,KIND...]", "of a runtime that keeps files: only these kinds of file", many=True)
    rows = word("--rows SOURCE=AGE", "of Hermes: delete the rows of sessions that are over for longer", many=True)
    quiet = cli.Flag("--quiet", help="print nothing where nothing was to be done")

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        if words:
            raise UsageProblem(f"{quoted(words[0])} is one word too many", "--agent AGENT, --active-key KEY or --help")
        if (homes := self.homes()) is not None:
            return self._clean(homes)
        if self.kinds or self.rows:
            given = "--kind says which files" if self.kinds else "--rows says which rows"
            raise UsageProblem(f"{given} of another runtime go", "--stale KIND=AGE names sessions")
        where = self.place_of(self.store)
        if self.print_policy and self.as_json:
            raise UsageProblem("--print-policy prints TOML, not JSON", "leave out --json")
        from ...operations import by_policy  # what touches a store is not loaded for --help

        holding = by_policy.holding(where, self._asked())
        self.rules = holding.told
        if self.print_policy:
            from ...core.policy import as_toml

            self.say(*as_toml(holding.policy).splitlines())
            return 0
        if sum((self.agent is not None, self.all_agents, self.store is not None)) > 1:
            raise UsageProblem("--agent, --all-agents and --store contradict each other", "give one of them")
        scope = by_policy.Scope(self.agent, self.store, tuple(target(key, self.agent) for key in self.active_key))
        found = by_policy.perform(
            where,
            scope,
            holding,
            self.options(),
            enforce=self.enforce,
            console=self.console(),
            clock=self.clock,
            rehearse=self.rehearsing() if self.rehearse else None,
        )
        return self.show(found)

    def _clean(self, where: Homes) -> int:
        """Clean up homes of files."""
        self.check_options(where, HOMES_OPTIONS)
        from ...core import retention
        from ...operations import prune  # what touches a home is not loaded for --help

        asked = retention.Asked(
            self.policy_file,
            _text(self.policy_file) if self.policy_file is not None else None,
            tuple(self.stale),
            self.older_than,
            tuple(self.kinds),
            self.max_disk,
            self.keep_last,
            self.expire_archives,
            tuple(self.rows),
        )
        limits = retention.limits(asked, where.rules)
        # One that is not there is a slip of the words, and no run has begun.
        where.profiles()
        # A page shows what stays, too.
        options = self.options()._replace(most_rows=None if self.verbose or self.page else SHOWN)
        self.rules = retention.told(asked, limits)
        perform = prune.perform
        if options.rehearse is not None:
            from ...operations import rehearse_homes  # only a rehearsal works in a copy

            perform = rehearse_homes.perform
        found = perform(where, limits, options, told=self.rules, console=self.console(), clock=self.clock)
        return self.show(found)

    def show(self, found: Report) -> int:
        """Print a report, unless nothing was to be done and nobody wants to hear that; return its exit code."""
        if self.quiet and not self.as_json and found.is_idle:
            self.paged(found, self.place)
            return 0
        return super().show(found)

    def rehearsing(self) -> Rehearse:
        """Return what does in a copy what is planned, and takes it back."""
        from ...operations import rehearse, restore  # only a rehearsal does both

        return partial(rehearse.perform, take_back=restore.of_run)

    def _asked(self) -> Any:
        from ...core import durations, policy
        from ...operations import sources

        values = {
            "unknown_is_old": self.unknown_age or None,
            "keep_last": self.keep_last,
            "orphans": durations.age(self.orphans, "--orphans") if self.orphans is not None else None,
            "fix_missing": self.fix_missing or None,
            "fix_dm_scope": self.fix_dm_scope or None,
            "max_entries": self.max_entries,
            "max_disk": policy.disk_size(self.max_disk) if self.max_disk is not None else None,
            "expire_archives": policy.archive_age(self.expire_archives) if self.expire_archives is not None else None,
        }
        return sources.Asked(
            self.policy_file,
            policy.from_toml(_text(self.policy_file), self.policy_file) if self.policy_file is not None else None,
            dict(policy.stale_rule(rule) for given in self.stale for rule in given.split(",")),
            durations.age(self.older_than, "--older-than") if self.older_than is not None else None,
            {name: value for name, value in values.items() if value is not None},
            self.maintenance or self.enforce,
            sources.only(self.only),
        )

    def options(self) -> Options:
        """Return the switches as data."""
        from ...core import durations

        free_for = durations.age(self.free_for or FREE_FOR, "--free-for")
        shown = ALL if self.verbose else SHOWN
        free = f"{self.here(OPERATION)} --only expire-archives --expire-archives {FREE_AFTER}"
        return super().options()._replace(most_rows=shown, free_for=free_for, free=free)

    def in_full(self, argv: Sequence[str]) -> Sequence[str]:
        """Give `--orphans` its usual age where none follows: plumbum knows no option with an optional value."""
        from ...core.durations import exact
        from ...core.policy import ORPHANS

        out = []
        for at, given in enumerate(argv):
            bare = given == "--orphans" and (at + 1 == len(argv) or argv[at + 1].startswith("-"))
            out.append(f"--orphans={exact(ORPHANS)}" if bare else given)
        return out


def _text(path: str) -> str:
    from ...system import files

    try:
        return files.read(os.path.realpath(path), _POLICY_BYTES)[0].decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "is not UTF-8"
        raise UsageProblem(f"{quoted(path)} cannot be read: {reason}", "--policy FILE, see --print-policy") from None


def main() -> int:
    """Run the command."""
    return start(CleanupSessions)
