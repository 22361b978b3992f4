"""What is shown besides rows: what a cleanup of a home leaves, a rehearsal, earlier runs, what was deleted (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .tuples import NamedTuple


class Totals(NamedTuple):
    """What a cleanup of artifacts has left.

    `spared`: how many stayed for each reason. `over_budget`: more stays than may, None where nobody asked for that.
    """

    spared: Mapping[str, int] = MappingProxyType({})
    over_budget: bool | None = None


class Rehearsal(NamedTuple):
    """How a rehearsal ended: how many sessions and files were closed and brought back in a copy, of so many bytes.

    `differences` are lines, none: all was as before. `left_out`: lines, what no copy can show.
    """

    sessions: int
    files: int
    size: int
    differences: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


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
