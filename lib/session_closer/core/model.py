"""Sessions as they were found, and the plan of what is done to them (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from .status import Life, Reason, Route, Status
from .tuples import NamedTuple
from .value import Value

if TYPE_CHECKING:
    from .durable import Move
    from .effects import Attached, Effect
    from .export.exported import Exported
    from .findings import Chores, Findings


class Traits(NamedTuple):
    """How a kind of store differs from others: data, so that no plan asks which kind it is.

    `writers` may take an entry out. `hides`: a close archives, and only what frees a key deletes. `restarts`: who edits
    it below a running gateway owes that a restart. `loose_files`: a transcript can be missing, or without a session.
    `any_case`: a key may have upper case. `own_cleanup`: the runtime's own cleanup decides by a session's kind.
    """

    writers: frozenset[Route] = frozenset(Route)
    hides: bool = False
    restarts: bool = True
    loose_files: bool = True
    any_case: bool = False
    own_cleanup: bool = False


class Session(Value, frozen=True):
    """One entry of a store, as far as a plan needs it.

    `updated_at` is in ms since 1970, None where it is not usable, `archived_at` likewise, None unless it is archived.
    `worktree` is the id of its managed worktree, `parents` are the keys that an entry calls so. `orphaned`: its cron
    job is gone; `bound`: a conversation of people leads to it.
    """

    agent: str
    key: str
    session_id: str | None
    session_file: str | None
    status: str | None = None
    pinned: bool = False
    id_usable: bool = True
    archived: bool = False
    updated_at: int | None = None
    chat_type: str | None = None
    model: str | None = None
    archived_at: int | None = None
    worktree: str | None = None
    parents: tuple[str, ...] = ()
    orphaned: bool = False
    bound: bool = False


class Snapshot(NamedTuple):
    """One agent's store at one moment: its sessions and the names in its transcripts folder.

    `files` are the names that may be moved: regular files, and folders where a session is one; `odd` maps names that
    stay (symlink, directory, fifo, …) to what they are, `locked` are transcripts whose `.lock` a live process holds.
    What lies in `beside`, the folder of an index elsewhere, has its whole path for a name. `outside` maps each
    `sessionFile` that leads to something in neither folder to its whole path.
    """

    agent: str
    path: str
    folder: str
    sessions: Mapping[str, Session]
    files: frozenset[str] = frozenset()
    odd: Mapping[str, str] = MappingProxyType({})
    locked: frozenset[str] = frozenset()
    by_owner: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    own_index: bool = True
    beside: str = ""
    outside: Mapping[str, str] = MappingProxyType({})
    traits: Traits = Traits()

    @property
    def taken(self) -> Iterator[str]:
        """Every name that is there, whatever it is."""
        return chain(self.files, self.odd)


class GatewayView(NamedTuple):
    """What is known of the gateway: `known` keys it listed, `active` those with a run in flight."""

    life: Life = Life.DOWN
    usable: bool = False
    known: frozenset[str] = frozenset()
    active: frozenset[str] = frozenset()


class PlannedRow(Value, frozen=True):
    """The decision about one session, or about a name for which there is none.

    `frees`: its key can be used again afterwards; else the session is archived, which keeps all of it. `attached` is
    what refers to it or belongs to it, besides its files, `left` the whole paths of its files that stay where they are,
    `parent` the key of the session that it goes along with.
    """

    given: str
    agent: str
    key: str
    status: Status
    reason: Reason | None = None
    session: Session | None = None
    route: Route = Route.FILES
    moves: tuple[Move, ...] = ()
    delete_transcript: bool = True
    was_running: bool = False
    hint: str = ""
    frees: bool = True
    attached: tuple[Attached, ...] = ()
    left: tuple[str, ...] = ()
    parent: str = ""

    def effects(self, traits: Traits, *, archived: bool = False) -> tuple[Effect, ...]:
        """Return what closing it changes besides its row and files; `archived`: it was not deleted after all."""
        if not self.attached:
            return ()
        from .actions import How
        from .effects import of

        if traits.hides:
            how = How.DELETE if self.frees and not archived else How.ARCHIVE
        else:
            how = How.GATEWAY if self.route is Route.GATEWAY else How.FILES
        return of(self.attached, how)


class Going(NamedTuple):
    """The sessions of one agent that a run is to close, as little of each as there may be many.

    `ids` are their session ids in the same order: None where one cannot be told by it, "" where it ends the key.
    """

    keys: tuple[str, ...] = ()
    ids: tuple[str | None, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[PlannedRow]) -> Going:
        """Return those of an agent's rows."""
        return cls(tuple([row.key for row in rows]), tuple([_short_id(row) for row in rows]))

    def named(self) -> Iterator[tuple[str, str | None]]:
        """Give each key with its session id, None where there is none by which it can be told."""
        for key, session_id in zip(self.keys, self.ids, strict=True):
            yield key, key.rpartition(":")[2] if session_id == "" else session_id


def _short_id(row: PlannedRow) -> str | None:
    session = row.session
    if session is None or not session.id_usable or session.session_id is None:
        return None
    return "" if session.session_id == row.key.rpartition(":")[2] else session.session_id


class _Decided(NamedTuple):
    rows: tuple[PlannedRow, ...]
    warnings: tuple[str, ...] = ()
    kept: int = 0
    findings: Mapping[str, Findings] = MappingProxyType({})
    chores: Mapping[str, Chores] = MappingProxyType({})
    copies: Mapping[tuple[str, str], Exported] = MappingProxyType({})


# What a plan has told apart of its rows, and nothing else.
_OF_ROWS = frozenset({"closing", "others", "by_agent", "deferred"})


class Plan(_Decided):
    """Everything that is to be done, decided; `kept` counts the sessions that stay in the stores concerned.

    `findings` and `chores` are what a policy found, by agent, `copies` what was exported first, by agent and key.
    """

    if not TYPE_CHECKING:

        def _replace(self, /, **changes):
            """Return the plan with other fields; what was told apart of its rows holds while they are the same."""
            made = super()._replace(**changes)
            if made.rows is self.rows:
                made.__dict__.update({name: self.__dict__[name] for name in _OF_ROWS & self.__dict__.keys()})
            return made

    @cached_property
    def closing(self) -> tuple[PlannedRow, ...]:
        """The rows whose sessions are to be closed."""
        return tuple([row for row in self.rows if row.status is Status.WOULD_CLOSE]) if self.others else self.rows

    @cached_property
    def others(self) -> tuple[PlannedRow, ...]:
        """The rows whose sessions are not to be closed."""
        return tuple([row for row in self.rows if row.status is not Status.WOULD_CLOSE])

    @cached_property
    def by_agent(self) -> Mapping[str, Sequence[PlannedRow]]:
        """The same, by agent."""
        found: dict[str, list[PlannedRow]] = {}
        for row in self.closing:
            found.setdefault(row.agent, []).append(row)
        return found

    @cached_property
    def deferred(self) -> tuple[PlannedRow, ...]:
        """The rows of the caller's own session: to be closed when its turn has ended."""
        return tuple(row for row in self.others if row.status is Status.WOULD_DEFER)

    @cached_property
    def tidying(self) -> Mapping[str, Chores]:
        """The agents that have files to be archived or deleted, and which."""
        return {agent: found for agent, found in self.chores.items() if found.orphans or found.expired}
