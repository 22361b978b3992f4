"""What a command has to say when it is done: one row for each session, and what surrounds them (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .model import Life, Reason, Route, Status

if TYPE_CHECKING:
    from .effects import Effect, Lost
    from .errors import CloserError
    from .export.exported import Exported


class Outcome(NamedTuple):
    """One row of the result; `key_free`: whether its key can be used again, None where nothing was put away.

    `effects`: what the close changes besides the row and its files; `not_restored`: what an undo left out.
    `left` are the whole paths of the session's files that stay where they are, `parent` is the key of the session that
    it goes along with, `run` the run that is undone, where there are several. `size` are the bytes that go or come back
    with it, a file of several sessions with the first of them, None where they are not known.
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
    parent: str = ""
    run: str | None = None
    size: int | None = None


class ArtifactRow(NamedTuple):
    """One file or folder of a home, by its whole path; a folder stands for all that is in it.

    `session_id` is its owner, `why` the reason of what became of it in a word, `age` in seconds, `size` in bytes,
    `export` the folder in which what is deleted can be read, `run` the run that is undone, where there are several.
    """

    agent: str
    path: str
    kind: str
    status: Status
    session_id: str | None = None
    why: str | None = None
    age: float | None = None
    size: int | None = None
    error: str | None = None
    export: str | None = None
    run: str | None = None


class Totals(NamedTuple):
    """What a cleanup of artifacts has left.

    `spared`: how many stayed for each reason. `over_budget`: more stays than may, None where nobody asked for that.
    """

    spared: Mapping[str, int] = MappingProxyType({})
    over_budget: bool | None = None


class Why(NamedTuple):
    """Why a policy took a session or a file: `age` in seconds, `size` in bytes, None where it is not known.

    `openclaw`: what OpenClaw's own cleanup of a database does with such a session, `archive` or `delete`.
    """

    action: str
    kind: str | None = None
    age: float | None = None
    size: int | None = None
    openclaw: str | None = None


class Rehearsal(NamedTuple):
    """How a rehearsal ended: how many sessions and files were closed and brought back in a copy, of so many bytes.

    `differences` are lines, none: all was as before. `left_out`: lines, what no copy can show.
    """

    sessions: int
    files: int
    size: int
    differences: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class StoreResult(NamedTuple):
    """One store of the result; `backup` is None where nothing was changed, `summary` what a cleanup counted.

    `kept`: paths of the files with rows that were deleted along with sessions. `hides`: a close of it archives.
    """

    agent: str
    path: str
    era: str = "files"
    backup: str | None = None
    summary: Mapping[str, Any] | None = None
    kept: tuple[str, ...] = ()
    hides: bool = False


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
    open (a process is at it), interrupted or damaged (then nothing else is known). `verb` says what became of them.
    `expired`: those of `closed` whose archive a later run has deleted; `freed`: archives that this run has deleted for
    good. `age` is in seconds, None where it is not known. `names` are the keys or paths of the first of `sessions`.
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
    verb: str = "closed"
    expired: int = 0
    freed: int = 0
    age: float | None = None
    names: tuple[str, ...] = ()


class RunPart(NamedTuple):
    """What a run was about: a session, or a file by its whole path and `kind`; `size` in bytes, None: not recorded.

    `status` is how it ended then, `now` what a restore would make of it, with its `error`; None: nobody can tell now.
    """

    agent: str
    key: str | None
    path: str | None
    session_id: str | None
    status: str
    kind: str | None = None
    size: int | None = None
    archives: tuple[str, ...] = ()
    now: str | None = None
    error: str | None = None


class RunShown(NamedTuple):
    """One run in full: what a list shows of it, when it ended, who began it, and each thing that it was about.

    `by` are the uid, process and machine, "" and -1 where no record has them; `why` is why `now` of its parts is not
    known.
    """

    row: ReceiptRow
    finished_at: str | None
    tool: str
    uid: int
    pid: int
    host: str
    parts: tuple[RunPart, ...]
    why: str | None = None


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
    `back` is the command that takes an id of `found`. `exported` are copies that were made first, None: not asked for.
    `artifacts` and `totals` are those of a runtime that keeps files. `children`: how many sessions stay that those that
    go have spawned, None of a cleanup. `page`: the path of a page that was written of it. `receipts` are the first of
    `receipts_total`, `undone` the runs that were undone together, newest first, each with the report of that.
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
    receipts_total: int = 0
    run: RunShown | None = None
    undone: tuple[tuple[str, Report], ...] | None = None
    most_rows: int | None = None
    rules: str | None = None
    found: tuple[Found, ...] | None = None
    exported: tuple[Exported, ...] | None = None
    back: str = "restore-sessions"
    artifacts: tuple[ArtifactRow, ...] | None = None
    totals: Totals | None = None
    children: int | None = None
    rehearsal: Rehearsal | None = None
    page: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing was to be done, and nothing is to be said."""
        moved = any(row.status is not Status.KEPT for row in self.artifacts or ())
        return not (self.results or moved or self.warnings or self.error)
