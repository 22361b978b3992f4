"""What the commands talk about: sessions, snapshots, plans, reports (pure data)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .effects import Attached, Effect, Lost
from .errors import CloserError
from .keys import Target

if TYPE_CHECKING:
    from .policy import Rules


class Status(StrEnum):
    """What happened, or would happen, to one session or file."""

    CLOSED = "closed"
    WOULD_CLOSE = "would_close"
    ALREADY_CLOSED = "already_closed"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    ARCHIVED = "archived"
    WOULD_ARCHIVE = "would_archive"
    RESTORED = "restored"
    WOULD_RESTORE = "would_restore"
    ALREADY_RESTORED = "already_restored"
    DEFERRED = "deferred"
    WOULD_DEFER = "would_defer"
    EXPIRED = "expired"
    WOULD_EXPIRE = "would_expire"
    CONFLICT = "conflict"
    CAME_BACK = "came_back"
    FAILED = "failed"


CHANGED = frozenset(
    {
        Status.CLOSED, Status.WOULD_CLOSE, Status.ARCHIVED, Status.WOULD_ARCHIVE, Status.RESTORED,
        Status.WOULD_RESTORE, Status.DEFERRED, Status.WOULD_DEFER, Status.EXPIRED, Status.WOULD_EXPIRE,
    }
)  # fmt: skip
# What a plan is going to put away.
GOING = frozenset({Status.WOULD_CLOSE, Status.WOULD_DEFER})
# What a run has put away: a later close finds it closed already, and a restore brings it back.
PUT_AWAY = frozenset({Status.CLOSED, Status.ARCHIVED})
FINE = CHANGED | {Status.ALREADY_CLOSED, Status.ALREADY_RESTORED}


class Reason(StrEnum):
    """Why a session was refused; `pending`: a run that ended early has begun it, and the next one finishes it."""

    MAIN = "main"
    RUNNING = "running"
    AMBIGUOUS = "ambiguous"
    SELF = "self"
    CLOCK = "clock"
    PENDING = "pending"
    WORKTREE = "worktree"


class Route(StrEnum):
    """Who takes the entry out of the store."""

    FILES = "files"
    GATEWAY = "gateway"


class Life(StrEnum):
    """Whether a gateway serves this state directory."""

    DOWN = "down"
    UP = "up"
    UNKNOWN = "unknown"


class Wish(NamedTuple):
    """What was asked: `keep` turns the targets into the ones that stay; with `rules` a policy chooses in `among`."""

    operation: str
    targets: tuple[Target, ...]
    keep: bool = False
    agent: str | None = None
    rules: Rules | None = None
    among: tuple[str, ...] = ()

    def agents(self) -> list[str]:
        """Return the agents concerned, in order."""
        named = {target.agent for target in self.targets} | ({self.agent} if self.agent else set())
        return sorted(named | set(self.among))

    def only_warns(self) -> bool:
        """Tell whether a policy was asked what it would do, and nothing is changed."""
        return self.rules is not None and self.rules.mode == "warn"

    def candidates(self, given: str, agent: str) -> tuple[str, ...]:
        """Return the keys that one of the names may stand for."""
        return next(t.candidates for t in self.targets if (t.given, t.agent) == (given, agent))


class Options(NamedTuple):
    """How it was asked.

    `archive`: keep what a cleanup would free; `delete`: free each key, where archiving does not. `lose_ignored`: close
    what has files in its worktree that git ignores; `with_jobs`: switch off the cron jobs that are bound to it.
    `free_for`: seconds that a cleanup may free. `own`: the caller's own session. `most_rows`: how many rows that went
    well are shown.
    `again` is the same command line with --yes, `free` one that frees what this one archives, None where there is
    none, `undo` the command that takes a receipt's id, `see` the one that lists, all for a shell. `late`: by the
    process that outlives the caller, whose turn has ended a moment ago.
    """

    dry_run: bool = False
    force: bool = False
    yes: bool = False
    limit: int = 100
    via: str = "auto"
    restart: str = "auto"
    reason: str | None = None
    missing_ok: bool = False
    archive: bool = False
    delete: bool = False
    lose_ignored: bool = False
    with_jobs: bool = False
    free_for: float | None = None
    own: tuple[Target, ...] = ()
    most_rows: int | None = None
    again: str = "--yes"
    free: str | None = None
    undo: str = "restore-sessions"
    see: str = "list-sessions"
    late: bool = False


class Session(NamedTuple):
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

    `files` are regular files, `odd` maps other names (symlink, directory, fifo, …) to what they are,
    `locked` are transcripts whose `.lock` a live process holds. What lies in `beside`, the folder of an index
    elsewhere, has its whole path for a name. `outside` maps each `sessionFile` that leads to something in neither
    folder to its whole path.
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
    era: str = "files"
    beside: str = ""
    outside: Mapping[str, str] = MappingProxyType({})

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


class Move(NamedTuple):
    """One file to be archived, by names in the transcripts folder, or whole paths; size in bytes, 0: not looked at.

    `sha256` is None where reading the file would have cost too much.
    """

    source: str
    target: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str | None = None


class PlannedRow(NamedTuple):
    """The decision about one session, or about a name for which there is none.

    `frees`: its key can be used again afterwards; else the session is archived, which keeps all of it. `attached` is
    what refers to it or belongs to it, besides its files, `left` the whole paths of its files that stay where they are.
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


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done, decided; `kept` counts the sessions that stay in the stores concerned."""

    rows: tuple[PlannedRow, ...]
    warnings: tuple[str, ...] = ()
    kept: int = 0

    @cached_property
    def closing(self) -> tuple[PlannedRow, ...]:
        """The rows whose sessions are to be closed."""
        return tuple(row for row in self.rows if row.status is Status.WOULD_CLOSE)

    @cached_property
    def deferred(self) -> tuple[PlannedRow, ...]:
        """The rows of the caller's own session: to be closed when its turn has ended."""
        return tuple(row for row in self.rows if row.status is Status.WOULD_DEFER)


class Outcome(NamedTuple):
    """One row of the result; `key_free`: whether its key can be used again, None where nothing was put away.

    `effects`: what the close changes besides the row and its files; `not_restored`: what an undo left out.
    `left` are the whole paths of the session's files that stay where they are.
    """

    given: str
    agent: str
    key: str
    status: Status
    reason: Reason | None = None
    session_id: str | None = None
    route: Route | None = None
    archives: tuple[str, ...] = ()
    error: str | None = None
    until: str | None = None
    why: Why | None = None
    key_free: bool | None = None
    effects: tuple[Effect, ...] = ()
    not_restored: tuple[Lost, ...] = ()
    left: tuple[str, ...] = ()


class Why(NamedTuple):
    """Why a policy took a session or a file: `age` in seconds, `size` in bytes, None where it is not known.

    `openclaw`: what OpenClaw's own cleanup of a database does with such a session, `archive` or `delete`.
    """

    action: str
    kind: str | None = None
    age: float | None = None
    size: int | None = None
    openclaw: str | None = None


class StoreResult(NamedTuple):
    """One store of the result; `backup` is None where nothing was changed, `summary` what a cleanup counted.

    `kept`: paths of the files with rows that were deleted along with sessions.
    """

    agent: str
    path: str
    era: str = "files"
    backup: str | None = None
    summary: Mapping[str, Any] | None = None
    kept: tuple[str, ...] = ()


class GatewayResult(NamedTuple):
    """The gateway as it was found."""

    life: Life = Life.DOWN
    pid: int | None = None
    port: int | None = None
    version: str | None = None
    evidence: tuple[str, ...] = ()


class RestartResult(NamedTuple):
    """Whether the gateway had to be restarted and what became of it; `ok` None: none was tried."""

    needed: bool = False
    ok: bool | None = None
    result: str = "not-needed"
    detail: str = ""


class ReceiptRow(NamedTuple):
    """One receipt of a list: `sessions` that it was about, `closed` those that it closed or archived.

    `restored`: of a restore those that it brought back, else those of `closed` that are back since. `state` is done,
    open (a process is at it), interrupted or damaged (then nothing else is known).
    """

    id: str
    operation: str
    state: str
    started_at: str
    reason: str | None
    agents: tuple[str, ...]
    sessions: int
    closed: int
    restored: int
    path: str


class Found(NamedTuple):
    """A session that somebody has deleted or reset, as a list of them shows it.

    `reason`: deleted, reset, or gone: a row of a backup of the index that is in the index no more. `at` is that moment
    (ISO 8601, UTC), of what is gone the backup's. `key` is None where nobody has written it down, `settings` whether
    its row is known and not its transcript alone, `size` the bytes of `archive`, which may be in a database only, then
    None as where there is none. `receipt`: the run of ours that closed it.
    """

    id: str
    agent: str
    key: str | None
    session_id: str | None
    reason: str
    at: str
    settings: bool
    receipt: str | None = None
    archive: str | None = None
    size: int | None = None


class Report(NamedTuple):
    """What a command has to say; `error` is set where the whole run ended early.

    `free`: the command that frees keys which are not free. `most_rows`: how many of the rows that went well are shown,
    of `found` how many rows at all, None for all of them. `rules`: where the rules of a cleanup come from, in one line.
    `back` is the command that takes an id of `found`.
    """

    operation: str
    dry_run: bool = False
    stores: tuple[StoreResult, ...] = ()
    results: tuple[Outcome, ...] = ()
    gateway: GatewayResult | None = None
    restart: RestartResult = RestartResult()
    receipt: str | None = None
    undo: str | None = None
    free: str | None = None
    warnings: tuple[str, ...] = ()
    kept: int | None = None
    missing_ok: bool = False
    error: CloserError | None = None
    receipts: tuple[ReceiptRow, ...] | None = None
    most_rows: int | None = None
    rules: str | None = None
    found: tuple[Found, ...] | None = None
    back: str = "restore-sessions"
