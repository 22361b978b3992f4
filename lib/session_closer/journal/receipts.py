"""Which receipt is meant, and what of it: one by a word, its sessions by name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from ..core import escape, ids, keys, late, names
from ..core.errors import Busy, Ours, Refused
from ..core.shown import ReceiptRow
from ..core.status import PUT_AWAY, Status
from . import history, runs
from .codec import decode
from .record import Damaged, RunRecord, StoreRecord
from .runs import Listed
from .source import Chosen, ChosenSession, Lots, Source, files_of, restores, sessions_of
from .stores import Stores
from .written import read_record

LAST = "last"
_FOUND = late.pattern(r"[0-9a-f]{12}")
# A record, and what it says of its stores where that is read store by store.
Whole = tuple[RunRecord, Stores | None]
# The index that a place has for a store, "": none of that kind, and the folders of its files by name.
Places = Callable[[StoreRecord], tuple[str, Mapping[str, str]]]


def choose(state: str, which: str, places: Places) -> Source:
    """Return what a run has put away: of `last` that closed something, of an id or the beginning of one, of its path.

    Busy where that run has not ended; Refused where it was interrupted, where its receipt cannot be read, or speaks of
    a store that `places` does not have there.
    """
    records = runs.records(state)
    row = meant(state, records, which)
    if row.state == "open":
        raise Busy(f"run {row.id} has not ended: {_waiting_for(row, records)}", "run the same command again then")
    if row.state == "interrupted":
        raise Refused(
            f"run {row.id} was interrupted: what it has closed is known when it is finished",
            "any changing command finishes it; restore-sessions does that first, without --dry-run and --check",
            name="interrupted_run",
        )
    known = next(one for one in records if one.row is row)
    source, record = _of_this_place(state, row.path, _whole(known), places)
    if deferred := tuple(_deferred(state, record, places)):
        source = source._replace(stores=(*source.stores, *deferred), bare=())
    return source


def named(state: str, which: str) -> tuple[ReceiptRow, RunRecord | None]:
    """Return the run that a word means and what its record says, None where that cannot be read."""
    row = meant(state, runs.records(state), which)
    try:
        return row, decode(read_record(row.path).raw)
    except (OSError, Damaged):
        return row, None


def meant(state: str, records: Sequence[Listed], which: str) -> ReceiptRow:
    """Return the run that a word means among these; Refused where none or several are meant."""
    wanted = os.path.basename(which).removesuffix(".json")
    if wanted != which and history.receipt_path(state, wanted) != os.path.realpath(which):
        raise _no_receipt(f"{escape.quoted(which)} is no receipt of {state}")
    return _latest(state, records) if which == LAST else _named(state, records, wanted)


def _latest(state: str, records: Sequence[Listed]) -> ReceiptRow:
    for row, record, _ in records:
        # One that has not ended, or cannot be read, may be the run that is meant.
        if row.closed or (row.state != "done" and not (record is not None and restores(record.stores))):
            return asking(records, row)
    raise _no_receipt(f"no run has closed anything in {state} yet")


def _named(state: str, records: Sequence[Listed], wanted: str) -> ReceiptRow:
    rows = [one.row for one in records if one.row.id == wanted] or [
        one.row for one in records if wanted and one.row.id.startswith(wanted)
    ]
    if not rows and _FOUND.fullmatch(wanted):
        # What --found lists has such an id, without the word that stands ahead of it here.
        remedy = ("if --found has shown it:", Ours("restore-sessions", there=True), f"found:{wanted}")
        raise Refused(f"there is no receipt {wanted} in {state}", remedy, name="no_receipt")
    if len(rows) != 1:
        said = f"{len(rows)} receipts begin with" if rows else "there is no receipt"
        raise _no_receipt(f"{said} {escape.plain(wanted)} in {state}")
    return rows[0]


def asking(records: Sequence[Listed], row: ReceiptRow) -> ReceiptRow:
    """Return the run that left this one to the process which outlived it, else the row itself."""
    for other, record, _ in records:
        if record is not None and any(result.receipt == row.path for result in record.results):
            return other
    return row


def _waiting_for(row: ReceiptRow, records: Sequence[Listed]) -> str:
    record = next(one.record for one in records if one.row is row)
    results = record.results if record is not None else ()
    own = [result.key for result in results if result.status == Status.DEFERRED]
    return f"it waits until the turn of {escape.plain(own[0])} ends" if own else "a process is at it"


def _whole(known: Listed) -> Whole | None:
    """Return what a list has read of a run, None where that is not all of it."""
    record = known.record
    if record is None or known.stores is not None:
        return None if record is None else (record, known.stores)
    return (record, None) if any(store.sessions for store in record.stores) else None


def _of_this_place(state: str, path: str, known: Whole | None, places: Places) -> tuple[Source, RunRecord]:
    """Return a receipt that speaks of stores of this place alone (I8); it is `known` where it has just been read."""
    try:
        found, large = known or _read(path)
    except (OSError, Damaged) as problem:
        raise _no_receipt(f"{path} cannot be read: {problem}") from None
    if found.state_dir != state:
        raise _no_receipt(f"{path} is a receipt of {found.state_dir}, and undone there alone: move it back if it moved")
    for store in found.stores:
        own, roots = places(store)
        if (store.path, store.roots) != (own, roots):
            raise _no_receipt(f"{path} speaks of {store.path}, agent {store.agent} has {own or 'none of that kind'}")
    source = Source(found.stores, run=found.id, sequence=found.sequence, began=found.started_at)
    return (source if large is None else source._replace(stores=large, bare=found.stores)), found


def _read(path: str) -> Whole:
    """Return the record at a path, a large one without what is read store by store; raise OSError, Damaged."""
    return runs.by_stores(path) or (decode(read_record(path).raw), None)


def _deferred(state: str, record: RunRecord, places: Places) -> Iterator[StoreRecord]:
    """Give the stores of the sessions that were closed for a run later, which have a receipt of their own."""
    for row in record.results:
        name = os.path.basename(row.receipt or "").removesuffix(".json")
        if names.is_run_id(name) and row.receipt == history.receipt_path(state, name):
            yield from _of_this_place(state, row.receipt, None, places)[0].stores


def _no_receipt(what: str) -> Refused:
    return Refused(what, (Ours("restore-sessions", there=True), "--list"), name="no_receipt")


def lots(source: Source, wanted: Sequence[str]) -> tuple[Mapping[str, Sequence[Chosen]], list[str]]:
    """Return by agent what a source has put away and is wanted, all if none is named, and the names that are unknown.

    Of a large source that all is wanted of no more is in memory than is asked for.
    """
    if source.bare and not wanted:
        return Lots(source, PUT_AWAY), []
    chosen, unknown = select(source, wanted)
    found: dict[str, list[Chosen]] = defaultdict(list)
    for one in chosen:
        found[one.store.agent].append(one)
    return found, unknown


def select(
    source: Source, wanted: Sequence[str], statuses: Collection[str] = PUT_AWAY
) -> tuple[list[Chosen], list[str]]:
    """Return what of a source has such an end and is wanted (all if none is named), and the names that are unknown."""
    closed = [
        *(one for at, store in enumerate(source.stores) for one in sessions_of(source, at, store, statuses)),
        *(one for at, store in enumerate(source.stores) for one in files_of(source, at, store)),
    ]
    if not wanted:
        return closed, []
    chosen: dict[tuple[str, str], Chosen] = {}
    unknown = []
    for name in wanted:
        # What a run has closed can be named as it is, also where it could be no target.
        hits = [one for one in closed if one.name == name] or [one for one in closed if _is_meant(one, name)]
        hits = hits or _with_id(closed, name)
        for one in hits:
            chosen.setdefault((one.store.agent, one.name), replace(one, given=name))
        if not hits:
            if (slip := keys.slip(name, keys.agent_of(name) or keys.DEFAULT_AGENT)) is not None:
                raise slip
            unknown.append(name)
    return list(chosen.values()), unknown


def _with_id(closed: Sequence[Chosen], name: str) -> list[Chosen]:
    """Return the one session whose id a name gives, none where it may be several."""
    sessions = [one for one in closed if isinstance(one, ChosenSession)]
    meant = ids.named(name, (one.session.session_id for one in sessions))
    hits = [one for one in sessions if one.session.session_id in meant]
    return list(hits) if len(hits) == 1 else []


def _is_meant(one: Chosen, name: str) -> bool:
    """Tell whether a name that was given could stand for a session."""
    target = keys.target(name, None if name.startswith("agent:") else one.store.agent)
    return isinstance(one, ChosenSession) and one.session.key in target.candidates
