"""What a receipt has put away is the same agent by agent as at once."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

from session_closer.core.durable import SESSIONS, Move
from session_closer.core.status import PUT_AWAY
from session_closer.journal import receipts
from session_closer.journal.record import SessionRecord, StoreRecord
from session_closer.journal.source import Chosen, Lots, Source


def store(at: int, agent: str, statuses: str, *, orphans: int, restores: bool) -> StoreRecord:
    sessions = tuple(
        SessionRecord(f"{at}-{n}", f"id-{n}", 0, 0, "", status=end) for n, end in enumerate(statuses.split())
    )
    moves = tuple(Move(f"{at}-{n}.jsonl", f"{at}-{n}.jsonl.deleted") for n in range(orphans))
    return StoreRecord(
        agent, "files", f"/{agent}/{at}", {SESSIONS: f"/{agent}"}, sessions=sessions, orphans=moves, restores=restores
    )


def test_lots_are_what_is_chosen_at_once() -> None:
    shapes = list(product(("", "failed", "closed", "failed archived closed restored"), (0, 2), (False, True)))
    # Files without a session first, and each agent in several places.
    order = [shapes[number * 7 % len(shapes)] for number in range(3 * len(shapes))]
    stores = tuple(
        store(at, f"agent-{at % 11}", statuses, orphans=orphans, restores=restores)
        for at, (statuses, orphans, restores) in enumerate(order)
    )
    for first in range(len(stores)):
        source = Source(stores[first:], bare=stores[first:])
        at_once: dict[str, list[Chosen]] = defaultdict(list)
        for one in receipts.select(source, [])[0]:
            at_once[one.store.agent].append(one)
        lots = Lots(source, PUT_AWAY)
        assert list(lots.items()) == list(at_once.items())
        assert len(lots) == len(at_once)
