"""What earlier runs have closed or archived, told by their records. Nothing here writes."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import ids, late
from ..core.status import PUT_AWAY
from .history import all_records, is_left, named_records

if TYPE_CHECKING:
    from .record import RunRecord, StoreRecord

_ARCHIVED = late.pattern(rb'"archivedAt":\s*(\d+)')


def closed_before(state: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return those of the wanted (agent, key) that a run has closed, with "", or the id of one that was interrupted.

    The wanted are in no store, so runs that have not ended and were about to close them have taken them out of it.
    Those come first: a run that ends meanwhile is found among the receipts.
    """
    from .codec import scan, spellings  # only a key that is in no store needs these
    from .record import Damaged

    missing = {pair: spellings(pair[1]) for pair in wanted}
    found: dict[tuple[str, str], str] = {}
    for run, _, raw in named_records(state):
        hits = [pair for pair, needles in missing.items() if any(needle in raw for needle in needles)]
        if hits:
            with contextlib.suppress(Damaged):
                head, stores = scan(raw)
                left = run if head.state == "open" and is_left(state, run) else ""
                for pair in _closed(head, stores).intersection(hits):
                    found[pair] = left
                    del missing[pair]
        if not missing:
            break
    return found


def closed_ids(state: str, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return key and session id of the sessions that a run of ours has closed, by the wanted (agent, id).

    An id may be its beginning, where that is one session's.
    """
    from .codec import scan  # only an id that is in no store needs these
    from .record import Damaged

    needles = {form.encode() for _, named in wanted for form in (named, named.lower(), named.upper())}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for raw in all_records(state):
        if any(needle in raw for needle in needles):
            with contextlib.suppress(Damaged):
                for store in scan(raw)[1]:
                    for session in store.sessions:
                        if session.session_id is not None and session.status in PUT_AWAY:
                            found[store.agent].setdefault(session.session_id, session.key)
    told: dict[tuple[str, str], tuple[str, str]] = {}
    for agent, named in wanted:
        meant = ids.named(named, found[agent])
        if len(meant) == 1:
            session_id = meant.pop()
            told[agent, named] = found[agent][session_id], session_id
    return told


def archived_by_us(state: str, wanted: Mapping[tuple[str, str], tuple[str | None, int]]) -> dict[tuple[str, str], bool]:
    """Return those of the wanted (agent, key) that a receipt of ours archived, by session id and `archivedAt` in ms.

    The value tells whether they were to stay archived: else a cleanup had no time left to free them.
    """
    from .codec import scan  # only a key that is archived needs these
    from .record import Damaged

    missing = dict(wanted)
    # In one pass over each record: there may be ten thousands of them.
    moments = {str(moment).encode() for _, moment in missing.values()}
    found: dict[tuple[str, str], bool] = {}
    for raw in all_records(state) if missing else ():
        if not moments.isdisjoint(_ARCHIVED.findall(raw)):
            with contextlib.suppress(Damaged):
                for store in scan(raw)[1]:
                    for session in store.sessions:
                        pair = store.agent, session.key
                        ours = not session.archived_before
                        if ours and missing.get(pair) == (session.session_id, session.archived_at):
                            found[pair] = session.hidden
                            del missing[pair]
        if not missing:
            break
    return found


def _closed(run: RunRecord, stores: Iterable[StoreRecord]) -> set[tuple[str, str]]:
    return {
        (store.agent, session.key)
        for store in stores
        for session in store.sessions
        if session.status in PUT_AWAY or run.state == "open"
    }
