"""What a command has to say when it is done: one row for each session, and what surrounds them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .status import Life, Reason, Route, Status
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .effects import Effect, Lost
    from .errors import CloserError
    from .export.exported import Exported
    from .shown import Found, ReceiptRow, Rehearsal, RunShown, Totals


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


class Remainder(NamedTuple):
    """So many sessions, or files and folders, that ended as was wanted, each told by this alone.

    `size` are their bytes, None where they are not known.
    """

    status: Status
    number: int
    size: int | None


def total(sizes: Sequence[int | None]) -> int | None:
    """Return the sum of sizes, None where one of them is not known."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def together(untold: Iterable[Remainder]) -> tuple[Remainder, ...]:
    """Return what several say, one for each status."""
    found: dict[Status, list[Remainder]] = {}
    for more in untold:
        found.setdefault(more.status, []).append(more)
    return tuple(
        Remainder(status, sum(more.number for more in some), total([more.size for more in some]))
        for status, some in found.items()
    )


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


class Report(NamedTuple):
    """What a command has to say; `error` is set where the whole run ended early.

    `free`: the command that frees keys which are not free. `most_rows`: how many of the rows that went well are shown,
    of `found` how many rows at all, None for all of them. `rules`: where the rules of a cleanup come from, in one line.
    `back` is the command that takes an id of `found`. `exported` are copies that were made first, None: not asked for.
    `artifacts` and `totals` are those of a runtime that keeps files; `untold`: what there is beside the first of them,
    no more than one for each status. `children`: how many sessions stay that those that go have spawned, None of a
    cleanup; `with_children`: they were to go, too. `page`: the path of a page that was written of it. `receipts` are
    the first of `receipts_total`, `undone` the runs that were undone together, newest first, each with its report.
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
    untold: tuple[Remainder, ...] = ()
    totals: Totals | None = None
    children: int | None = None
    with_children: bool = False
    rehearsal: Rehearsal | None = None
    page: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing was to be done, and nothing is to be said."""
        moved = any(row.status is not Status.KEPT for row in self.artifacts or ())
        return not (self.results or moved or self.warnings or self.error)
