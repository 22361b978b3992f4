"""What earlier runs left below `<state dir>/session-closer/`: open runs and receipts. Nothing here writes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from ..core import late, names
from ..core.errors import Refused
from ..core.escape import shell_word
from ..core.tuples import NamedTuple
from ..system import flock, trust
from ..system.files import is_no_file, listed
from ..system.pieces import piece
from .written import RECORD, read_record

ROOT = "session-closer"
# By their paths below a home of files, with one folder a run: what was put away, and what can only be read.
ARCHIVES, EXPORTS = f"{ROOT}/archives", f"{ROOT}/exports"
OPEN, RECEIPTS = "open", "receipts"
# The prefix of a run's folder until its record is complete.
UNBORN = "new-"
# Our own writing of what stands ahead in a record; the words in it are short.
_HEAD_BYTES = 512
_HEAD = late.pattern(rb'"sequence":\s*(\d{1,15}),\s*"boot":\s*"([^"\\]*)",\s*"uptime":\s*(\d{1,18}(?:\.\d{1,18})?)')
_STARTED = late.pattern(rb'"startedAt":\s*"([^"\\]*)"')


class Beginning(NamedTuple):
    """When a run began: its place in the order of all, and the moment by the machine and by the clock.

    `sequence` is 0 where the record does not say it, `boot` "" and `at` None likewise: where it says neither place nor
    moment it is damaged, and only its id tells when that was.
    """

    sequence: int
    run: str
    boot: str
    uptime: float
    at: datetime | None


def root(state: str) -> str:
    """Return our own folder in a state directory."""
    return os.path.join(state, ROOT)


def folders(state: str) -> tuple[str, str, str]:
    """Return our own folders in a state directory."""
    own = root(state)
    return own, os.path.join(own, OPEN), os.path.join(own, RECEIPTS)


def receipt_path(state: str, run: str) -> str:
    """Return where a run's receipt is, or will be."""
    return os.path.join(root(state), RECEIPTS, run + ".json")


def record_path(state: str, run: str) -> str:
    """Return where the record of a run is while it lasts."""
    return os.path.join(root(state), OPEN, run, RECORD)


def all_records(state: str) -> Iterator[bytes]:
    """Return the bytes of every record: of runs that have not ended, then every receipt, newest first."""
    return (raw for _, _, raw in named_records(state))


def named_records(state: str) -> Iterator[tuple[str, str, bytes]]:
    """Return the same with each run's id and path; Refused where one is there that may not be read."""
    for run, path in named_paths(state):
        yield from record(run, path)


def named_paths(state: str) -> Iterator[tuple[str, str]]:
    """Give the id and the path of each of them, in that order."""
    for run in open_runs(state):
        yield run, record_path(state, run)
    # The ids are by the clock, which may have been set back between two runs.
    for begun in reversed(_in_order([_beginning(run, receipt_path(state, run)) for run in _receipts(state)])):
        yield begun.run, receipt_path(state, begun.run)


def _receipts(state: str) -> list[str]:
    found = _listed(os.path.join(root(state), RECEIPTS))
    return [name[:-5] for name in found if name.endswith(".json") and names.is_run_id(name[:-5])]


def all_runs(state: str) -> list[str]:
    """Return the ids of all runs, in no order."""
    return list({*open_runs(state), *_receipts(state)})


def beginnings(state: str) -> list[Beginning]:
    """Return when each run began, the first one first; those without a sequence are from before the others.

    Refused where a record may not be read: it could be any of them.
    """
    paths = {run: receipt_path(state, run) for run in _receipts(state)}
    paths |= {run: record_path(state, run) for run in open_runs(state)}
    return _in_order([_beginning(run, path) for run, path in paths.items()])


def _in_order(found: Sequence[Beginning]) -> list[Beginning]:
    """Return beginnings, the first one first; a damaged one stands behind those whose ids are from before its own."""
    latest, places = 0, dict[str, int]()
    for begun in sorted(found, key=lambda begun: begun.run):
        is_damaged = not begun.sequence and begun.at is None
        latest = max(latest, begun.sequence)
        places[begun.run] = latest if is_damaged else begun.sequence
    return sorted(found, key=lambda begun: (places[begun.run], begun.run))


def next_sequence(state: str) -> int:
    """Return the place of a run that begins now in the order of all."""
    return max((begun.sequence for begun in beginnings(state)), default=0) + 1


def _beginning(run: str, path: str) -> Beginning:
    try:
        head = piece(path, 0, _HEAD_BYTES)
    except OSError as problem:
        if not is_no_file(problem):
            raise _unreadable(path, problem) from None
        head = b""
    order, started = _HEAD.search(head), _STARTED.search(head)
    at = moment(started[1].decode("ascii", "replace")) if started else None
    if order is None:
        return Beginning(0, run, "", 0.0, at)
    return Beginning(int(order[1]), run, order[2].decode("ascii", "replace"), float(order[3]), at)


def moment(text: object) -> datetime | None:
    """Return a time of a record, in UTC where it says no zone; None where it is none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        return found.replace(tzinfo=found.tzinfo or UTC) if found is not None else None
    except ValueError:
        return None


def iso(at: datetime) -> str:
    """Return a UTC moment as a person reads it: 2026-11-21T12:36:31Z."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def record(run: str, path: str) -> Iterator[tuple[str, str, bytes]]:
    """Give a record with its id and path, nothing where it is gone; Refused where it may not be read."""
    try:
        found = read_record(path)
    except OSError as problem:
        # A folder, a pipe, a link: never ours. What cannot be read, or has grown, may be what is asked for.
        if not is_no_file(problem) or problem.errno == errno.EFBIG:
            raise _unreadable(path, problem) from None
        return
    if strangers := [uid for uid in found.owners if not trust.is_trusted(uid)]:
        raise Refused(f"{path} belongs to uid {strangers[0]}, so it is none of ours", "remove it", name="owner")
    yield run, path, found.raw


def _listed(folder: str) -> list[str]:
    try:
        return listed(folder)
    except OSError as problem:
        raise _unreadable(folder, problem) from None


def _unreadable(path: str, problem: OSError) -> Refused:
    hidden = problem.errno in (errno.EACCES, errno.EPERM)
    remedy = "check who owns it" if hidden else "mend that, then run the same command again"
    return Refused(f"{path} cannot be read: {problem.strerror}", remedy, name="unreadable")


def open_runs(state: str) -> list[str]:
    """Return the ids of runs that have not ended, oldest first."""
    folder = os.path.join(root(state), OPEN)
    return sorted(name for name in _listed(folder) if names.is_run_id(name) and _is_folder(os.path.join(folder, name)))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise _unreadable(path, problem) from None


def unborn_runs(state: str) -> list[str]:
    """Return the folders of runs that are just beginning, or were killed then."""
    found = _listed(os.path.join(root(state), OPEN))
    return sorted(name for name in found if name.startswith(UNBORN) and names.is_run_id(name.removeprefix(UNBORN)))


def interrupted(state: str) -> list[str]:
    """Return a line for every run that has not ended and that no process works on."""
    return [
        f"run {run} was interrupted: the next changing command finishes it"
        for run in open_runs(state)
        if is_left(state, run)
    ]


def check_records(state: str, agents: Sequence[str]) -> None:
    """Refuse where the record of an interrupted run that concerns these agents is damaged."""
    from .codec import agents_named, scan  # only what an interrupted run has left needs these
    from .record import Damaged

    for run in open_runs(state):
        for _, _, raw in record(run, record_path(state, run)) if is_left(state, run) else ():
            try:
                scan(raw)
            except Damaged as problem:
                named = agents_named(raw)
                if agents and (named is None or not named.isdisjoint(agents)):
                    raise damaged(state, run, problem) from None


def damaged(state: str, run: str, problem: Exception) -> Refused:
    """Return the error of a run that nobody can finish: what it has left has to be put aside by hand."""
    place, aside = os.path.join(root(state), OPEN, run), os.path.join(root(state), f"damaged-{run}")
    move = f"mv {shell_word(place)} {shell_word(aside)}"
    return Refused(
        f"run {run} was interrupted, and its record is damaged: {problem}; what it has begun is not finished",
        f"look at it, then {move}, and run the same command again",
        name="damaged_run",
    )


def is_left(state: str, run: str) -> bool:
    """Tell whether a run that has not ended is there, and no process works on it."""
    folder = os.path.join(root(state), OPEN, run)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise _unreadable(folder, problem) from None
    try:
        # Shared: a look must not keep a changing command from the run.
        return flock.try_flock(descriptor, folder, shared=True)
    finally:
        os.close(descriptor)
