"""OpenClaw as a runtime: its stores, its gateway, what protects a session, and what may stand in the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..core.errors import CloserError
from ..core.model import Going, Plan, Snapshot
from ..core.status import GOING
from ..journal import writable
from . import access, owner, refusals, registers, stores
from .files.port import Files
from .gateway import connection
from .gateway.find import find
from .installation import Installation
from .served import Served

if TYPE_CHECKING:
    from ..core.actions import How
    from ..core.claims import Claims
    from ..core.report import RestartResult
    from ..journal.record import StoreRecord
    from ..journal.source import Chosen
    from ..ports.context import Context
    from ..ports.readable import Readable
    from ..ports.runtime import Double, Part
    from ..ports.store import Store
    from ..ports.undo import Item, Returns
    from .home import Home


class OpenClawRuntime:
    """One OpenClaw state directory as a run sees it."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        self.gateway = Served(here)

    @property
    def root(self) -> str:
        """The state directory."""
        return self.here.home.state

    @property
    def context(self) -> Context:
        """How the run was asked."""
        return self.here.context

    @property
    def stores(self) -> MutableMapping[str, Store]:
        """The stores that were read, by agent."""
        return self.here.stores

    @property
    def snapshots(self) -> MutableMapping[str, Snapshot]:
        """What was in them."""
        return self.here.snapshots

    def agents(self) -> list[str]:
        """Return the agents that have something here."""
        return self.here.home.agents()

    def known_agents(self) -> list[str]:
        """Return these and the agents of the configuration."""
        return self.here.home.known_agents()[0]

    def check_unfinished(self, agents: Sequence[str]) -> list[str]:
        """Return a line for each interrupted run; Refused where what they left cannot be finished."""
        return access.check_unfinished(self.here.home, list(agents))

    def check_folders(self, agents: Sequence[str]) -> None:
        """Refuse folders of agents that lead elsewhere."""
        owner.check_folders(self.here.home, list(agents))

    def exposure(self) -> list[str]:
        """Return a line for each folder that others may write to, and one where nothing here is of this runtime."""
        return access.exposure(self.here.home)

    def detect(self, agent: str) -> Store | None:
        """Return an agent's store by what is on disk."""
        kind = stores.kind(self.here.home, agent)
        return None if kind is None else self._store(kind, agent)

    def _store(self, kind: str, agent: str) -> Store:
        if kind == Files.era:
            return Files(self.here, agent)
        from .sqlite.port import Database  # only where there is one

        return Database(self.here, agent)

    def parts(self, agent: str | None, store: str | None) -> Sequence[Part]:
        """Return the stores of one agent, of one path, or of all agents, for a list."""
        from . import overview  # only a list looks at all of them at once

        return overview.parts(self.here, agent, store)

    def check(self, record: StoreRecord) -> None:
        """Raise Damaged where a record speaks of places that this state directory does not have."""
        from . import recorded  # only an interrupted run has such a record

        recorded.check_place(self.here.home, record)

    def recorded(self, record: StoreRecord) -> Store:
        """Return the store that a record speaks of."""
        return self._store(record.era, record.agent)

    def rebind(self, record: StoreRecord) -> None:
        """Put the chat bindings back of sessions that an interrupted restore has brought back."""
        back = [session.key for session in record.sessions if session.status == "restored"]
        if record.era == Files.era and record.restores and record.kept and back:
            from .attached import bindings  # few sessions are bound

            bindings.finish(self.here, record.kept, back)

    def reattach(self, record: StoreRecord) -> None:
        """Switch cron jobs on again, and set the modes of files, of sessions that are there after all."""
        from .attached import jobs, modes  # only what finishes a run needs them

        self.here.warn(*jobs.finish(self.here, record))
        modes.finish(self.here, record)

    def absent(self, agent: str) -> Snapshot:
        """Return the snapshot of an agent that has no store."""
        from . import lost  # nearly every agent has one

        said = lost.said(self.here.home, agent, self.here.options.undo)
        self.here.warn(*filter(None, [said]))
        return stores.absent(self.here.home, agent)

    def folder(self, agent: str) -> str:
        """Return where an agent's transcripts and archives are, whether there is a store or not."""
        return self.here.home.folder(agent)

    def reserved(self) -> str:
        """Return the folder in which each folder is taken for an agent's."""
        return os.path.join(self.root, "agents")

    def refusal(self, closing: Sequence[Readable]) -> CloserError | None:
        """Return why these stores may not be changed now, None where they may."""
        return refusals.of_stores(self.here, closing) or refusals.of_gateway(self.here, closing)

    def unwritable(self, folders: Iterable[str]) -> CloserError | None:
        """Return why a run could not keep its record, or change these folders, None where it could."""
        places = set(folders)
        indexes = [each.index for each in self.stores.values() if each.traits.loose_files and each.place in places]
        return writable.refusal(self.root, places, sorted(indexes))

    def marked(self, snapshot: Snapshot, now: float) -> Snapshot:
        """Return a snapshot with what OpenClaw's registers say of its sessions."""
        return registers.marked(self.here.home, snapshot, now)

    def losses(self, plan: Plan) -> Mapping[tuple[str, str], str]:
        """Return by (agent, key) what is in worktrees that OpenClaw's snapshots of them do not hold."""
        going = {
            (row.agent, row.key): row.session.worktree
            for row in plan.rows
            if row.status in GOING and row.session is not None and row.session.worktree
        }
        self.here.trees = {}
        if not going:
            return {}
        from .attached import worktrees  # few sessions have one

        why = ""
        try:
            umask = worktrees.umask_of(self.here.gateway.found.pid)
            trees = worktrees.look(self.here.home, going.values(), umask)
            self.here.trees = {pair: trees[name] for pair, name in going.items() if name in trees}
        except CloserError as problem:
            why = f"what git ignores in its worktree cannot be told: {problem.message}; or --lose-ignored"
        found = self.here.trees
        said = {pair: why or worktrees.refusal(found[pair]) for pair in going if why or pair in found}
        return {pair: what for pair, what in said.items() if what}

    def attach(self, plan: Plan) -> Plan:
        """Return the plan with what refers to each session that goes, or belongs to it."""
        from .attached import attachments

        return attachments.attach(self.here, plan)

    def double(self, plan: Plan, root: str) -> Double:
        """Return what a copy below a folder is made of; UsageProblem for sessions in databases."""
        from . import double  # only a rehearsal copies

        return double.of(self.here, plan, root)

    def going(self, sessions: Mapping[str, Going]) -> None:
        """Note which sessions, by agent, this run is still to close."""
        self.here.going, self.here.neighbours.going = sessions, {agent: own.keys for agent, own in sessions.items()}

    def gone(self, agent: str) -> None:
        """Note that it closes no more of an agent."""
        self.here.neighbours.going.pop(agent, None)

    def one_look(self) -> AbstractContextManager[None]:
        """Within this, the other agents' indexes are looked at once."""
        return self.here.neighbours.one_look()

    def lent(self, agent: str) -> Mapping[str, Claims]:
        """Return by agent what the others use of this one's files."""
        return self.here.neighbours.claims(agent)

    def is_lent_as_before(self, agent: str) -> bool:
        """Tell whether that is what it was at the last look, if there was one."""
        return self.here.neighbours.as_before(agent)

    def users(self, agent: str) -> Mapping[str, Claims]:
        """Return by agent, this one first, what all use of its files, whatever a run closes."""
        return self.here.neighbours.users(agent)

    def damaged(self, agent: str) -> list[str]:
        """Return the other agents whose stores are not whole."""
        return self.here.neighbours.damaged(agent)

    def holders(self, agent: str, tails: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return by tail the keys that other agents have for a project of that id."""
        from .holders import holders  # only a name that is in no store is looked up

        return holders(self.here.home, self.here.snapshots, agent, tails)

    @property
    def own_indexes(self) -> bool:
        """Whether each agent has an index of its own."""
        return self.here.home.has_own_indexes()

    def receiver(self, agent: str) -> Store:
        """Return the store that takes back what was put away of an agent, whether there is one now or not."""
        return self.detect(agent) or Files(self.here, agent)

    def restore_refusal(self, items: Sequence[Item]) -> CloserError | None:
        """Return why these may not be brought back now, whatever the gateway does."""
        return refusals.of_restore(self.here, items)

    def held_up(self, items: Sequence[Item], *, stop_gateway: bool) -> Mapping[How, CloserError]:
        """Return by how they were put away which of these the gateway, as it is now, does not let come back."""
        return refusals.held_up(self.here, items, stop_gateway=stop_gateway)

    def put_back(self, chosen: Sequence[Chosen], returns: Returns) -> Callable[[RestartResult], None]:
        """Write the chat bindings of sessions that are back; return what notes whether a restart has taken them."""
        from .attached import bindings  # only a restore needs it

        written = bindings.put_back(self.here, chosen, returns)
        return lambda restart: bindings.look_again(self.here, written, returns, restart)

    def switch_on(self, returns: Returns) -> None:
        """Switch on the cron jobs that were switched off with sessions that are back; note what stays off."""
        from .attached import jobs  # only a restore needs it

        jobs.switch_on(self.here, returns)

    def trajectory(self, agent: str, key: str, workspace: str, name: str | None) -> tuple[str, Mapping[str, Any]]:
        """Have OpenClaw make its own bundle of a session; return its folder, and what OpenClaw says of it."""
        from . import trajectory  # few exports ask for it

        return trajectory.made(self.here, agent, key, workspace, name)

    def task(self) -> Mapping[str, str]:
        """Return by what a process that outlives this one finds the same state directory."""
        where = self.here.home
        known = {
            "runtime": where.runtime,
            "state": where.state,
            "config": where.config_path,
            "url": where.url,
            "token_file": os.path.abspath(where.token_file) if where.token_file else None,
            "gateway_state": where.gateway_state,
        }
        return {name: value for name, value in known.items() if value is not None}

    def close(self) -> None:
        """End all connections."""
        self.here.gateway.close()


def opened(where: Home, context: Context) -> OpenClawRuntime:
    """Return the runtime of a state directory, once its gateway was looked for, and connected to."""
    gateway = connection.meet(where, looking_only=context.options.dry_run, clock=context.clock)
    return OpenClawRuntime(Installation(where, context, gateway))


def found(where: Home, context: Context) -> OpenClawRuntime:
    """Return the runtime of a state directory, once its gateway was looked for."""
    return OpenClawRuntime(Installation(where, context, connection.Gateway(where, find(where), [], [])))
