"""Several runs that are to be undone: which words name them, and which name sessions of theirs. Nothing is guessed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from ..core import names
from ..core.errors import Refused, UsageProblem
from ..core.escape import quoted
from ..core.shown import ReceiptRow
from ..core.status import PUT_AWAY
from ..core.tuples import NamedTuple
from . import history, receipts, runs
from .codec import decode
from .record import ArtifactRecord, Damaged, RunRecord, StoreRecord
from .source import Source, restores
from .written import read_record

# A beginning that is shorter is a word like any other, but for the first.
_LEAST = 8
# The sessions that something is of which a run, by its id, has put away of a store.
Owners = Callable[[StoreRecord, str, ArtifactRecord], Sequence[str]]


def nobodys(*_: object) -> Sequence[str]:
    """Return no session: what is on record is all that is known."""
    return ()


class Named(NamedTuple):
    """The runs that are meant, newest first, and for each the words that name something in it; `unknown`: in none."""

    runs: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...] = ()


def names_several(state: str, words: Sequence[str]) -> bool:
    """Tell whether words name more than a first one that says what is to come back, and names in it."""
    every = history.all_runs(state) if len(words) > 1 else []
    return any(_is_run(every, word, _LEAST) for word in words[1:])


def by_words(state: str, words: Sequence[str], owners: Owners = nobodys) -> Named:
    """Return what is meant; UsageProblem for a word that could be a run and a session, Refused for no run."""
    every = history.all_runs(state)
    are = [word for at, word in enumerate(words) if _is_run(every, word, _LEAST if at else 1)]
    others = [word for word in dict.fromkeys(words) if word not in are]
    for word in others:
        _check_alone(word)
    records = runs.records(state)
    meant: dict[str, str] = {}
    wrong: list[Refused] = []
    for word in are:
        try:
            meant[word] = receipts.meant(state, records, word).id
        except Refused as problem:
            wrong.append(problem)
    chosen = [one.row.id for one in records if one.row.id in meant.values()]
    # The first word is a run, as it is where it stands alone; any other may be the name of something in a run.
    for word in [word for word in words[1:] if word in are]:
        ahead = [meant[other] for other in words if other in meant and (other != word or words.count(word) > 1)]
        _check_no_session(state, ahead, word)
    if wrong:
        raise wrong[0]
    return _named(state, chosen, others, owners)


def since(state: str, words: Sequence[str], longest: float, now: datetime, *, owners: Owners = nobodys) -> Named:
    """Return the runs of so many seconds that put away what is not back, and hold one of the words, if there are any.

    UsageProblem for a word that names a run itself.
    """
    every = history.all_runs(state)
    for word in words:
        _check_alone(word)
        if _is_run(every, word, _LEAST):
            raise UsageProblem(f"{quoted(word)} names a run, and so does --since", "leave out one of them")
    records = runs.records(state)
    rows = [row for row, record, _ in records if not _is_undone(row, record) and _is_within(row, longest, now)]
    chosen = list(dict.fromkeys(receipts.asking(records, row).id for row in rows))
    found = _named(state, chosen, words, owners)
    if not words or not any(found.words):
        return found
    held = [(run, own) for run, own in zip(found.runs, found.words, strict=True) if own]
    return found._replace(runs=tuple(run for run, _ in held), words=tuple(own for _, own in held))


def _is_undone(row: ReceiptRow, record: RunRecord | None) -> bool:
    if record is not None and restores(record.stores):
        return True
    return row.state == "done" and row.closed <= row.restored


def _is_within(row: ReceiptRow, longest: float, now: datetime) -> bool:
    age = runs.age(row, now)
    return age is None or age <= longest


def _is_run(every: Sequence[str], word: str, least: int) -> bool:
    name = os.path.basename(word)
    if word == receipts.LAST or names.is_run_id(word):
        return True
    if name != word:
        return name.endswith(".json") and names.is_run_id(name.removesuffix(".json"))
    return len(word) >= least and any(run.startswith(word) for run in every)


def _check_alone(word: str) -> None:
    is_other = ".bak-" in os.path.basename(word) or os.path.isfile(os.path.join(word, "SHA256SUMS"))
    if is_other or word.startswith("found:"):
        raise UsageProblem(f"{quoted(word)} is no run, so it does not come back with one", "give it alone")


def _check_no_session(state: str, chosen: Sequence[str], word: str) -> None:
    for run in chosen:
        if _holds(_stores(state, run), word):
            what = f"{quoted(word)} may be a run, and is the name of something in run {run}"
            raise UsageProblem(what, "the whole key of the session, or the whole id of the run")


def _named(state: str, chosen: Sequence[str], words: Sequence[str], owners: Owners) -> Named:
    if not words:
        return Named(tuple(chosen), ((),) * len(chosen))
    held = []
    for run in chosen:
        stores = _stores(state, run)
        owned = {name for store in stores for one in store.artifacts for name in owners(store, run, one)}
        held.append(tuple(word for word in words if word in owned or _holds(stores, word)))
    known = {word for own in held for word in own}
    return Named(tuple(chosen), tuple(held), tuple(word for word in words if word not in known))


def _stores(state: str, run: str) -> list[StoreRecord]:
    """Return the stores that a run speaks of, and those of the sessions that were closed for it later."""
    stores: list[StoreRecord] = []
    for path in (history.receipt_path(state, run), history.record_path(state, run)):
        for record in _read(path):
            stores += record.stores
            later = (result.receipt for result in record.results if result.receipt)
            stores += [store for receipt in later for other in _read(receipt) for store in other.stores]
    return stores


def _read(path: str) -> Iterator[RunRecord]:
    # What cannot be read is an error of its run, which says so.
    try:
        yield decode(read_record(path).raw)
    except (OSError, Damaged):
        return


def _holds(stores: Sequence[StoreRecord], word: str) -> bool:
    statuses = ("restored",) if restores(stores) else PUT_AWAY
    if any(word in _names(store, one) for store in stores for one in store.artifacts):
        return True
    try:
        return bool(receipts.select(Source(tuple(stores)), [word], statuses)[0])
    except UsageProblem:
        return False


def _names(store: StoreRecord, one: ArtifactRecord) -> set[str]:
    return {one.session_id or one.path, one.kind, one.path, os.path.join(store.path, one.path)}
