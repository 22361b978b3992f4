"""The record of one run: redo journal while it lasts, receipt afterwards, and what an undo needs (pure data)."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.durable import SESSIONS, Count, Durable, Move, Number
from ..core.effects import Effect

FORMAT = "session-closer/2"
# The root of a home of files.
HOME = "home"
PLANNED = "planned"
# The result of a restart that is owed by a run which has stopped the gateway.
STOPPED = "stopped"
_ANSWER_MS = 60_000
# How the text of a record ends, behind which its stores stand.
STORES, END = b'"stores":[', b"]}\n"


class Damaged(ValueError):
    """The record is not one that we could have written; `agents` are those that it speaks of, None: not to be told."""

    def __init__(self, what: str, agents: frozenset[str] | None = None) -> None:
        super().__init__(what)
        self.agents = agents


class Kept(Durable, frozen=True):
    """A file beside the receipt with rows that were deleted: its plain name, the rows, its bytes and their sha256."""

    name: str
    rows: Count
    size: Count
    sha256: str


class Off(Durable, frozen=True):
    """A cron job that was switched off: when that was asked (ms since 1970), its `updatedAtMs` since, 0: not known."""

    id: str
    asked: Count
    at: Count = 0

    def is_ours(self, updated: object) -> bool:
        """Tell whether a job with this `updatedAtMs` is as we have left it."""
        if type(updated) is not int:
            return False
        # Who was killed before the answer came knows no more than when it asked.
        return updated == self.at if self.at else self.asked <= updated <= self.asked + _ANSWER_MS


class Mode(Durable, frozen=True):
    """The mode of a file or folder of a worktree, by its path within it."""

    path: str
    mode: Count


class SessionRecord(Durable, frozen=True):
    """One session and its files; `sha256` is the entry's, `length` its bytes.

    `status` is PLANNED, then a word of Status, or "dropped": a run that was killed has changed nothing of it.

    File store: the entry is the member at `offset` in the backup; of one that was to be brought back it is `entry`, or
    at that place in the backup that its store calls `entries_in`. SQLite: `entry` is the row's `entry_json`, `events`
    the number of its last transcript event (-1: none), `archived_at` when we archived it (ms since 1970),
    `archived_before` whether it was archived already, `hidden` that it was to be archived only, and not deleted.
    `effects` are those of the close on what was attached to it; `modes` those in its worktree that OpenClaw's snapshot
    does not keep, `jobs` the cron jobs that were switched off with it.
    """

    key: str
    session_id: str | None
    offset: Count
    length: Count
    sha256: str
    route: str = "files"
    status: str = PLANNED
    moves: tuple[Move, ...] = ()
    entry: str | None = None
    events: Number = -1
    archived_at: Number | None = None
    archived_before: bool = False
    hidden: bool = False
    effects: tuple[Effect, ...] = ()
    modes: tuple[Mode, ...] = ()
    jobs: tuple[Off, ...] = ()


class ArtifactRecord(Durable, frozen=True):
    """One artifact by its path below its home; `session_id` is its owner, `size` its bytes.

    `status` is PLANNED, then archived, deleted, restored, or "dropped": it is where it was before the run. `export` is
    the folder in which what is deleted can be read, `note` what is to be known of it once it is back.
    """

    kind: str
    path: str
    session_id: str | None = None
    size: Count = 0
    folder: bool = False
    status: str = PLANNED
    export: str = ""
    note: str = ""


class StoreRecord(Durable, frozen=True):
    """One store: `backup` is a plain name beside `path`, `size` its bytes; None: a database, or no session goes.

    `roots` are the folders in which its files are moved, by the names that the moves have for them.
    `displaced` names further backups, the first `merged` of which the live store contains. `restores`: the
    sessions were to be brought back; then `entries_in` names the earlier backup that has the members which no `entry`
    holds, `moves` are undone, and `installs` is the sha256 of the index that is about to be installed. `orphans`
    are files without a session that are archived (or brought back), `removes` archives that are deleted for good.
    `kept` are files with what a deletion takes along.

    Of a home of files, whose folder is `path` and its root HOME: `artifacts` are put away into the archive of the run
    `archive`, "": this one, brought back from there, or, where it `deletes`, deleted for good. `removes` are archives
    by their runs.
    """

    agent: str
    era: str
    path: str
    roots: Mapping[str, str]
    backup: str | None = None
    size: Count = 0
    sha256: str = ""
    sessions: tuple[SessionRecord, ...] = ()
    displaced: tuple[str, ...] = ()
    merged: Count = 0
    restores: bool = False
    installs: str = ""
    entries_in: str = ""
    orphans: tuple[Move, ...] = ()
    removes: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()
    archive: str = ""
    deletes: bool = False

    @property
    def transcripts(self) -> str:
        """The folder that has transcripts."""
        return self.roots[SESSIONS]


class RestartRecord(Durable, frozen=True):
    """The restart that the run owes its gateway, and how it ended."""

    needed: bool = False
    done: bool = False
    result: str = ""
    detail: str = ""


class Ended(Durable, frozen=True):
    """What became of a target that is in no store's record: as it was given, and the session that it stands for.

    `status`, `reason` and `route` are words of Status, Reason and Route, `ok` says whether that is what was wanted.
    `late`: it is the caller's own session, which the process that outlives a command saw to once its turn had ended;
    then `receipt` is the path of what that run has written, None where it changed nothing.
    """

    given: str
    agent: str
    key: str
    session_id: str | None
    status: str
    ok: bool
    reason: str | None = None
    route: str | None = None
    error: str | None = None
    late: bool = False
    receipt: str | None = None


class By(Durable, frozen=True):
    """The process that began a run, and its machine; a record that is made of something else has none."""

    uid: Number = -1
    pid: Number = -1
    host: str = ""


class Head(Durable, frozen=True, kw_only=True):
    """What a run is as a whole, without its stores; times are ISO 8601 UTC.

    `sequence` counts the runs of a state directory, 0 in a receipt from before there was one. The run began `uptime`
    seconds after the machine's start `boot`, "" where that could not be told: neither follows the clock.
    """

    id: str
    # Ahead of all that may be long: the beginning of a file tells the order of the runs.
    sequence: Count = 0
    boot: str = ""
    uptime: float = 0.0
    operation: str
    tool: str
    started_at: str
    state_dir: str
    by: By = By()
    reason: str | None = None
    finished_at: str | None = None
    state: str = "open"
    restart: RestartRecord = RestartRecord()
    results: tuple[Ended, ...] = ()


class RunRecord(Head, frozen=True, kw_only=True, tag_field="format", tag=FORMAT):
    """Everything one run did, and to which stores: they come last, so a text of them can be added to."""

    stores: tuple[StoreRecord, ...] = ()


def with_store(record: RunRecord, store: StoreRecord) -> RunRecord:
    """Return the record with a store added, or in its place where its path and agent are in it already."""
    names_of_it = [(known.path, known.agent) for known in record.stores]
    if (store.path, store.agent) not in names_of_it:
        return record.but(stores=(*record.stores, store))
    at = names_of_it.index((store.path, store.agent))
    return record.but(stores=(*record.stores[:at], store, *record.stores[at + 1 :]))
