"""A store that a run is done with: what is told of its sessions is the same, however little of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from session_closer.core.budget import HashBudget
from session_closer.core.durable import Move
from session_closer.core.effects import Attached
from session_closer.core.errors import StorageFailed
from session_closer.core.model import PlannedRow, Session, Traits
from session_closer.core.report import Outcome, Remainder
from session_closer.core.results import Results
from session_closer.core.status import Route, Status
from session_closer.journal.record import SessionRecord, StoreRecord
from session_closer.ports.share import Share
from session_closer.ports.store import Store

KEYS = ("agent:lead:a", "agent:lead:b", "agent:lead:c")
STAMP = "2016-11-21T00-00-00.000Z"


def move(name: str, size: int = 7) -> Move:
    return Move(name, f"{name}.deleted.{STAMP}", size, 1)


def made(files: Sequence[tuple[Move, ...]] = ((move("a.jsonl"),), (), (move("c.jsonl", 5),))) -> Share:
    """Return the share of a run that has closed three sessions, of which the second has no file."""
    sessions = [Session("lead", key, key[-1], None) for key in KEYS]
    rows = [
        PlannedRow(key, "lead", key, Status.WOULD_CLOSE, None, one) for key, one in zip(KEYS, sessions, strict=True)
    ]
    recorded = tuple(
        SessionRecord(key, key[-1], 0, 1, "0" * 64, str(Route.FILES), moves=of_it)
        for key, of_it in zip(KEYS, files, strict=True)
    )
    record = StoreRecord(
        agent="lead", era="files", path="/s/sessions.json", roots={"sessions": "/s"}, sessions=recorded
    )
    place = SimpleNamespace(agent="lead", folder="/s", index="/s/sessions.json", beside="", traits=Traits())
    share = Share(
        store=cast(Store, place),
        rows=rows,
        record=record,
        note=lambda _: None,
        hashes=HashBudget(),
        whole=lambda _: record,
    )
    share.results.closed(*KEYS)
    share.results.archives.update({key: [m.target for m in of_it] for key, of_it in zip(KEYS, files, strict=True)})
    return share


def rested(share: Share) -> Share:
    share.rest(share.record.but(sessions=()))
    return share


def test_what_ended_alike_is_told_from_the_record() -> None:
    at_length = made().outcomes()
    share = rested(made())
    assert share.alike == 3
    assert share.outcomes() == at_length
    assert [row.size for row in at_length] == [7, 0, 5]
    assert (share.planned_keys(Route.FILES), share.planned_keys(Route.GATEWAY)) == (list(KEYS), [])
    assert (share.closed_keys(), share.archives_of(KEYS[0])) == (list(KEYS), [f"a.jsonl.deleted.{STAMP}"])


@pytest.mark.parametrize(("most", "rows", "left"), [(None, 3, None), (3, 3, None), (1, 1, (2, 5)), (0, 0, (3, 12))])
def test_so_many_rows_are_made_and_the_rest_is_a_number(
    most: int | None, rows: int, left: tuple[int, int] | None
) -> None:
    for share in (made(), rested(made())):
        shown, more = share.first_outcomes(most)
        assert shown == made().outcomes()[:rows]
        assert more == ([Remainder(Status.CLOSED, *left)] if left else [])


def test_a_file_that_sessions_share_weighs_once() -> None:
    shared = move("a.jsonl")
    at_length = made([(shared,), (shared,), ()]).outcomes()
    assert [row.size for row in at_length] == [7, 0, 0]
    share = rested(made([(shared,), (shared,), ()]))
    assert (share.alike, share.outcomes()) == (3, at_length)
    assert share.first_outcomes(0)[1] == [Remainder(Status.CLOSED, 3, 7)]
    # It had grown when the second was measured, and is counted as with the first.
    grown = made([(shared,), (shared.but(size=9),), ()])
    assert [row.size for row in grown.outcomes()] == [7, 0, 0]
    assert grown.first_outcomes(0)[1] == [Remainder(Status.CLOSED, 3, 7)]


def test_what_stays_has_the_bytes_that_were_to_go() -> None:
    for ends in (Results.came_back, Results.failed, Results.refused):
        share = made()
        for key in KEYS[:2]:
            ends(share.results, key, "no")
        share.results.archives[KEYS[0]] = []
        assert [row.size for row in share.outcomes()] == [7, None, 5]
        # One that had come to rest before has what was put away of it.
        share = made()
        put(share, given="b")
        rested(share)
        ends(share.results, KEYS[0], "no")
        share.results.archives[KEYS[0]] = []
        assert [row.size for row in share.outcomes()] == [7, 0, 5]


def put(share: Share, **others: Any) -> None:
    share.rows[1] = share.rows[1].but(**others)


UNLIKE: dict[str, Callable[[Share], Any]] = {
    "one came back": lambda share: share.results.came_back(KEYS[1], "in use again"),
    "one has failed": lambda share: share.results.failed(KEYS[1], "no"),
    "something is said of one": lambda share: share.results.told(KEYS[1], "its cron job is off"),
    "one is archived, and its key not free": lambda share: share.results.archived(KEYS[1]),
    "one is not finished": lambda share: share.results.pending.add(KEYS[1]),
    "one is freed later": lambda share: share.results.put_off.add(KEYS[1]),
    "a file stayed": lambda share: share.results.archives.pop(KEYS[0]),
    "a file has another name": lambda share: share.results.archives.update({KEYS[0]: ["a.jsonl.deleted.1"]}),
    "one was named otherwise": lambda share: put(share, given="b"),
    "one has something attached": lambda share: put(share, attached=(Attached("pin"),)),
    "one left a file": lambda share: put(share, left=("/elsewhere",)),
    "one is a child": lambda share: put(share, parent=KEYS[0]),
    "one took another route": lambda share: put(share, route=Route.GATEWAY),
}


@pytest.mark.parametrize("unlike", UNLIKE)
def test_what_is_unlike_in_anything_that_is_told_keeps_its_row(unlike: str) -> None:
    at_length, share = made(), made()
    for each in (at_length, share):
        UNLIKE[unlike](each)
    assert share.first_outcomes(0) == (at_length.outcomes(), [])
    rested(share)
    assert share.alike == 0
    assert share.outcomes() == at_length.outcomes()
    assert share.first_outcomes(0) == (at_length.outcomes(), [])


def test_one_that_comes_back_later_is_told_as_it_is_then() -> None:
    share = rested(made())
    share.results.came_back(KEYS[0], "in use again")
    share.results.archives[KEYS[0]] = []
    [first, *others] = share.outcomes()
    assert (first.status, first.archives, first.error, share.alike) == (Status.CAME_BACK, (), "in use again", 0)
    assert others == made().outcomes()[1:]
    assert share.closed_keys() == list(KEYS[1:])


def test_files_without_a_session_have_their_rows_beside_the_number() -> None:
    share = rested(made())
    share.tidied.append(Outcome("x.jsonl", "lead", "", Status.ARCHIVED))
    assert share.first_outcomes(0) == (share.tidied, [Remainder(Status.CLOSED, 3, 12)])


@pytest.mark.parametrize("problem", [StorageFailed("it is gone", "look at the disk"), OSError(5, "Input/output error")])
def test_what_is_done_is_told_by_its_number_where_the_record_cannot_be_read_any_more(problem: Exception) -> None:
    share = rested(made())

    def lost(_record: StoreRecord) -> StoreRecord:
        raise problem

    share.whole = lost
    assert share.first_outcomes(None) == ([], [Remainder(Status.CLOSED, 3, 12)])
    assert share.told_keys() == []
    # Whoever decides by what was closed hears that nobody knows.
    for decide in (share.planned_keys, share.closed_keys, lambda: share.results):
        with pytest.raises(type(problem)):
            decide()
