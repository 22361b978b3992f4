"""A cleanup as it is asked for: which rules hold, which agents are meant, and what is said of both."""

from __future__ import annotations

from ..core.keys import Target, check_agent
from ..core.policy import Maintenance, Policy, Rules
from ..core.report import Report
from ..core.tuples import NamedTuple
from ..core.wish import Options, Wish
from ..ports.context import Console
from ..ports.runtime import Place
from ..system.clock import Clock
from . import sources
from .close import execute
from .request import Rehearse

OPERATION = "cleanup-sessions"


class Scope(NamedTuple):
    """What a cleanup is about: one agent, or the agents with one store, or all where neither is given.

    `spared` are the sessions that stay whatever the policy says.
    """

    agent: str | None
    store: str | None
    spared: tuple[Target, ...]

    def agents(self, where: Place) -> tuple[list[str], list[str]]:
        """Return the agents that are meant, and a note on each that is passed over."""
        if self.agent is not None:
            return [check_agent(self.agent)], []
        if self.store is not None:
            return where.agents_with(self.store), []
        return where.known_agents()


class Holding(NamedTuple):
    """The policy that holds, what the configuration says of a cleanup, and where the rules come from in one line."""

    policy: Policy
    settings: Maintenance
    told: str

    def only_warns(self, *, enforce: bool) -> bool:
        """Tell whether nothing is to be changed, since the configuration says so."""
        return self.policy.maintenance and self.settings.mode == "warn" and not enforce


def holding(where: Place, asked: sources.Asked) -> Holding:
    """Return which rules hold; UsageProblem where what is asked contradicts itself."""
    settings = where.maintenance()
    policy = sources.resolved(asked, settings)
    return Holding(policy, settings, sources.told(asked, policy, settings))


def perform(
    where: Place,
    scope: Scope,
    rules: Holding,
    options: Options,
    *,
    enforce: bool,
    console: Console,
    clock: Clock,
    rehearse: Rehearse | None = None,
) -> Report:
    """Clean up by a policy, or tell what would become of it where the configuration only warns.

    `rehearse`: as of a close.
    """
    warned = rules.only_warns(enforce=enforce)
    agents, notes = scope.agents(where)
    dm_scope = where.dm_scope()
    mode = "warn" if warned else "enforce"
    found = Rules(rules.policy, clock.seconds(), scope.spared, dm_scope, mode, options.archive)
    if rules.policy.fix_dm_scope and dm_scope != "main":
        notes.append(f"session.dmScope is {dm_scope}: no direct message is left behind")
    if warned and not options.dry_run:
        notes.append("session.maintenance.mode is warn: nothing was changed; --enforce changes it")
    if warned:
        options = options._replace(dry_run=True, yes=True)
    only = agents[0] if scope.agent is not None or scope.store is not None else None
    wish = Wish(OPERATION, (), agent=only, rules=found, among=tuple(agents))
    report = execute(where, wish, options, console=console, clock=clock, rehearse=rehearse)
    return report._replace(warnings=(*notes, *report.warnings), rules=rules.told)
