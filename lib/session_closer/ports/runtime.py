"""What an agent runtime is to an operation: where its stores are, what protects them, who serves them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..core.tuples import NamedTuple

if TYPE_CHECKING:
    from ..core.actions import How
    from ..core.claims import Claims
    from ..core.errors import CloserError
    from ..core.model import Going, Plan, Snapshot
    from ..core.policy import Maintenance
    from ..core.report import RestartResult
    from ..journal.record import StoreRecord
    from ..journal.source import Chosen
    from ..system.clock import Clock
    from .context import Context
    from .gateway import Gateway
    from .past import Past
    from .readable import Readable
    from .store import Store
    from .undo import Item, Returns


class Place(Protocol):
    """Where one runtime keeps things, as a command line names it: not looked at yet."""

    @property
    def runtime(self) -> str:
        """The runtime's name."""

    @property
    def state(self) -> str:
        """The folder below which all of it is."""

    def agents(self) -> list[str]:
        """Return the agents that have something there."""

    def known_agents(self) -> tuple[list[str], list[str]]:
        """Return these and the agents of the configuration, and a note on each that is passed over."""

    def agents_with(self, path: str) -> list[str]:
        """Return the agents whose store is at a path; Refused where there is none."""

    def has_store(self, path: str) -> bool:
        """Tell whether an agent's store is at a path."""

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:
        """Return the words of a command line that mean it: those ahead of the command, and options."""

    def maintenance(self) -> Maintenance:
        """Return what its configuration sets for a cleanup; Refused where that is wrong."""

    def dm_scope(self) -> str:
        """Return whose session a direct message goes to, in the runtime's own word."""


class Part(NamedTuple):
    """A store as one agent has it; `agent` is None for what is nobody's own in a store for all agents."""

    agent: str | None
    store: Readable
    snapshot: Snapshot


class Double(NamedTuple):
    """What a copy of what a plan concerns is made of, and what is meant there by place and plan.

    `files`: whole paths of files and folders, by those of their copies; `texts`: what is written in place of an index,
    and whose mode that has, by its path. `sessions`: what it is about.
    """

    files: Mapping[str, str]
    texts: Mapping[str, tuple[bytes, str]]
    place: Place
    plan: Plan
    sessions: int


class Entrance(Protocol):
    """What the module `entrance` of a runtime's package has."""

    def find(
        self,
        environ: Mapping[str, str],
        *,
        state_dir: str | None,
        profile: str | None,
        url: str | None,
        token_file: str | None,
        gateway_state: str | None,
    ) -> Place:
        """Return the place that an environment and the options of a command line mean."""

    def state_dir_around(self, path: str) -> str | None:
        """Return the folder below which a store has its usual place, None where it has another one."""

    def sample(self, state: str) -> Place:
        """Write a sample into a folder that is not there; return its place, which nothing of the caller's reaches."""

    def place_of(self, task: Mapping[str, str]) -> Place:
        """Return the place that `Runtime.task` was asked for."""

    def apart(self, place: Place) -> Place:
        """Return a place whose gateway is neither looked for nor asked."""

    def past(self, place: Place, clock: Clock) -> Past:
        """Return what was put away below a place, as far as it is known without a gateway."""

    def check_place(self, place: Place, agents: Sequence[str]) -> None:
        """Refuse a place that is not there, or is not ours alone."""

    def exposure(self, place: Place) -> list[str]:
        """Return a line for each folder that others may write to, and one where nothing here is of this runtime."""


class Opening(Protocol):
    """What the module `runtime` of a runtime's package has."""

    def opened(self, place: Place, context: Context) -> Runtime:
        """Return the runtime as a run sees it, once its gateway was looked for, and connected to."""

    def found(self, place: Place, context: Context) -> Runtime:
        """Return the runtime as a run sees it, once its gateway was looked for."""


class Runtime(Protocol):
    """One runtime's sessions below one root, as a run sees them; `stores` and `snapshots` are what it has read."""

    @property
    def root(self) -> str:
        """The folder below which it keeps what we work on, and we our records."""

    @property
    def context(self) -> Context:
        """How the run was asked, what writes its files, and who hears of it."""

    @property
    def gateway(self) -> Gateway:
        """Who serves the sessions."""

    @property
    def stores(self) -> MutableMapping[str, Store]:
        """The stores that were read, by agent."""

    @property
    def snapshots(self) -> MutableMapping[str, Snapshot]:
        """What was in them."""

    def agents(self) -> list[str]:
        """Return the agents that have something here."""

    def known_agents(self) -> list[str]:
        """Return these and the agents of the configuration."""

    def check_unfinished(self, agents: Sequence[str]) -> list[str]:
        """Return a line for each interrupted run; Refused where what they left of these agents cannot be finished."""

    def check_folders(self, agents: Sequence[str]) -> None:
        """Refuse folders of agents that lead elsewhere."""

    def exposure(self) -> list[str]:
        """Return a line for each folder that others may write to, and one where nothing here is of this runtime."""

    def detect(self, agent: str) -> Store | None:
        """Return an agent's store by what is on disk, None where there is none; Refused where that cannot be told."""

    def parts(self, agent: str | None, store: str | None) -> Sequence[Part]:
        """Return the stores of one agent, of one path, or of all agents, for a list; CloserError: there is none."""

    def check(self, record: StoreRecord) -> None:
        """Raise Damaged for a record of places that this root does not have, Refused where they lead elsewhere."""

    def recorded(self, record: StoreRecord) -> Store:
        """Return the store that a record speaks of."""

    def rebind(self, record: StoreRecord) -> None:
        """Put back what leads to sessions that an interrupted run has brought back, ahead of a restart."""

    def reattach(self, record: StoreRecord) -> None:
        """Put right what else belongs to the sessions of an interrupted run, after a restart."""

    def absent(self, agent: str) -> Snapshot:
        """Return the snapshot of an agent that has no store."""

    def folder(self, agent: str) -> str:
        """Return where an agent's transcripts and archives are, whether there is a store or not."""

    def reserved(self) -> str:
        """Return the folder in which each folder is taken for an agent's."""

    def close(self) -> None:
        """End all connections."""

    def refusal(self, closing: Sequence[Readable]) -> CloserError | None:
        """Return why these stores may not be changed now, None where they may."""

    def unwritable(self, folders: Iterable[str]) -> CloserError | None:
        """Return why a run could not keep its record, or change these folders, None where it could."""

    def marked(self, snapshot: Snapshot, now: float) -> Snapshot:
        """Return a snapshot with what is kept beside the store about its sessions; `now` in seconds since 1970."""

    def losses(self, plan: Plan) -> Mapping[tuple[str, str], str]:
        """Return by (agent, key) what of the sessions that go could not be brought back, as it is to be said."""

    def attach(self, plan: Plan) -> Plan:
        """Return the plan with what refers to each session that goes, or belongs to it."""

    def double(self, plan: Plan, root: str) -> Double:
        """Return what a copy below a folder is made of; UsageProblem where none could show what a run would do."""

    def going(self, sessions: Mapping[str, Going]) -> None:
        """Note which sessions, by agent, this run is still to close: what only they use is nobody else's."""

    def gone(self, agent: str) -> None:
        """Note that this run closes no more of an agent: what is there now stays, and what that uses stays, too."""

    def one_look(self) -> AbstractContextManager[None]:
        """Within this, what others use is looked at once, and is of that moment for all agents."""

    def lent(self, agent: str) -> Mapping[str, Claims]:
        """Return by agent what the others use of this one's files."""

    def is_lent_as_before(self, agent: str) -> bool:
        """Tell whether that is what it was at the last look, if there was one."""

    def users(self, agent: str) -> Mapping[str, Claims]:
        """Return by agent, this one first, what all use of its files, whatever a run closes."""

    def damaged(self, agent: str) -> list[str]:
        """Return the other agents whose stores are not whole: what they use is not known."""

    def holders(self, agent: str, tails: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return by tail the keys that other agents have for a project of that id."""

    @property
    def own_indexes(self) -> bool:
        """Whether each agent has an index of its own."""

    def receiver(self, agent: str) -> Store:
        """Return the store that takes back what was put away of an agent, whether there is one now or not."""

    def restore_refusal(self, items: Sequence[Item]) -> CloserError | None:
        """Return why these may not be brought back now, whatever the gateway does."""

    def held_up(self, items: Sequence[Item], *, stop_gateway: bool) -> Mapping[How, CloserError]:
        """Return by how they were put away which of these the gateway, as it is now, does not let come back, and why.

        `stop_gateway`: it may be stopped meanwhile.
        """

    def put_back(self, chosen: Sequence[Chosen], returns: Returns) -> Callable[[RestartResult], None]:
        """Write what belongs to sessions that are back; return what notes, after a restart, whether that was taken."""

    def switch_on(self, returns: Returns) -> None:
        """Switch on what the close of sessions that are back had switched off; note what stays off."""

    def trajectory(self, agent: str, key: str, workspace: str, name: str | None) -> tuple[str, Mapping[str, Any]]:
        """Have the runtime make its own bundle of a session, for its support; return its folder, and what it says.

        It goes below a workspace, under a name, or the runtime's own. Raises CloserError where there is none.
        """

    def task(self) -> Mapping[str, str]:
        """Return by what a process that outlives this one finds the same runtime."""
