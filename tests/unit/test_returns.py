"""Of many sessions that come back alike no more is kept than their number, and nothing less is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from session_closer.core.actions import How
from session_closer.core.durable import SESSIONS, Move
from session_closer.core.effects import Effect, Lost
from session_closer.core.errors import StorageFailed
from session_closer.core.report import Outcome, total
from session_closer.core.status import Status
from session_closer.journal.record import Mode, Off, SessionRecord, StoreRecord
from session_closer.journal.source import Chosen, ChosenSession, Source
from session_closer.ports.undo import Item, Returns, recorded_item

MANY = 4
EFFECT = Effect("binding", "", "", 1, "removed", "exact")
LOST = Lost("cron-job", 1, "it stays off")


def chosen(agent: str) -> list[Chosen]:
    """Return sessions of an agent: the first has no file, the last two share theirs."""
    sessions = []
    for at in range(MANY):
        name = f"{min(at, MANY - 2)}.jsonl"
        move = Move(name, f"{name}.deleted", size=10 + at, mtime_ns=1)
        sessions.append(SessionRecord(f"{agent}:{at}", f"id-{at}", 0, 1, "", moves=(move,) if at else ()))
    store = StoreRecord(agent, "files", f"/{agent}/i", {SESSIONS: f"/{agent}"}, "b", sessions=tuple(sessions))
    source = Source((store,))
    return [ChosenSession(store, one, one.key, source, 0) for one in sessions]


def items(agent: str) -> list[Item]:
    return [recorded_item(one, agent) for one in chosen(agent) if isinstance(one, ChosenSession)]


def rested(own: Sequence[Item], agent: str = "lead") -> Returns:
    returns = Returns(own)
    returns.rest(agent, len(own), partial(chosen, agent))
    return returns


@pytest.mark.parametrize(
    "other",
    [
        {"status": Status.ALREADY_RESTORED},
        {"error": "a file is there again"},
        {"until": "2026-12-21T00:41:24Z"},
        {"lone": True},
        {"effects": (EFFECT,)},
        {"jobs": (Off("job", 1),)},
        {"modes": (Mode("a", 0o600),)},
        {"left": (LOST,)},
        {"left_out": {"binding": "it was not written"}},
        {"twice": (LOST,)},
        {"as_recorded": False},
    ],
    ids="".join,
)
@pytest.mark.parametrize("at", [0, MANY - 1])
def test_one_of_which_something_is_to_be_said_is_kept(at: int, other: dict[str, Any]) -> None:
    own = items("lead")
    own[at] = own[at].but(**other)
    returns = rested(own)
    assert not returns.rests("lead")
    assert returns.of("lead") == own
    assert list(returns.to_be_seen_to()) == own


def test_what_has_gone_wrong_is_told_of_each() -> None:
    returns = Returns(items("lead"))
    for item in returns.of("lead"):
        returns.conflict(item, f"{item.key} is there again")
    returns.rest("lead", MANY, partial(chosen, "lead"))
    told, untold = returns.outcomes(1)
    assert [row.error for row in told] == [f"lead:{at} is there again" for at in range(MANY)]
    assert untold == ()


def test_what_a_run_has_not_come_to_is_told_of_each() -> None:
    returns = rested(items("lead"))
    returns.end()
    told, untold = returns.outcomes(1)
    assert [(row.key, row.status, row.error) for row in told] == [
        (f"lead:{at}", Status.FAILED, "not reached") for at in range(MANY)
    ]
    assert untold == ()
    assert list(returns.wanted()) == []
    assert returns.ended("lead", "lead:1") is Status.FAILED


def summed(rows: Sequence[Outcome], untold: Sequence[Any]) -> tuple[Counter[Status], int | None]:
    counted = Counter(row.status for row in rows)
    for more in untold:
        counted[more.status] += more.number
    return counted, total([*(row.size for row in rows), *(more.size for more in untold)])


@pytest.mark.parametrize("most", [None, *range(2 * MANY + 2)])
@pytest.mark.parametrize("until", [None, "2026-12-21T00:41:24Z"])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_as_much_comes_back_however_many_are_told(most: int | None, until: str | None, kept: int) -> None:
    agents = ("a", "b", "c")
    every = [item.but(until=until) for agent in agents for item in items(agent)]
    # Of one agent each is kept.
    every[MANY * kept] = every[MANY * kept].but(effects=(EFFECT,))
    returns = Returns(every)
    whole, none = returns.outcomes()
    assert (len(whole), none) == (3 * MANY, ())
    # What two of them share comes back once.
    assert summed(whole, none)[1] == 3 * (11 + 12)
    for agent in agents:
        returns.rest(agent, MANY, partial(chosen, agent))
    assert [returns.rests(agent) for agent in agents] == [at != kept for at in range(3)]
    told, untold = returns.outcomes(most)
    assert summed(told, untold) == summed(whole, ())
    assert [row for row in whole if row in told] == told
    room = len(whole) if most is None else most
    assert min(room, len(whole)) <= len(told) <= max(room, MANY) + MANY
    assert len(untold) == (0 if len(told) == len(whole) else 1)


@pytest.mark.parametrize("how", [How.ARCHIVE, How.DELETE])
def test_nobody_knows_how_much_comes_back_into_a_database(how: How) -> None:
    told, untold = Returns([item.but(put_away=how) for item in items("lead")]).outcomes(1)
    assert summed(told, untold) == ({Status.WOULD_RESTORE: MANY}, None)


def test_a_size_that_is_not_known_makes_all_of_them_unknown() -> None:
    own = items("lead")
    own[1] = own[1].but(moves=(Move("x", "y"),))
    told, untold = rested(own).outcomes(1)
    assert summed(told, untold)[1] is None


def test_a_plan_is_told_whole_or_not_at_all_and_what_was_done_in_any_case() -> None:
    def unreadable() -> list[Chosen]:
        raise StorageFailed("the receipt cannot be read")

    returns = Returns(items("lead"))
    returns.rest("lead", MANY, unreadable)
    for most in (None, 1):
        with pytest.raises(StorageFailed):
            returns.outcomes(most)
    returns.end()
    for most in (None, 1):
        told, untold = returns.outcomes(most)
        assert (len(told), told[0].error) == (1, "not reached")
        assert summed(told, untold) == ({Status.FAILED: MANY}, 11 + 12)


def test_one_that_stands_for_all_has_files_where_any_has() -> None:
    [item] = rested(items("lead")).wanted()
    assert item.moves


def test_where_not_all_were_looked_at_each_is_kept() -> None:
    returns = Returns(items("lead"))
    returns.rest("lead", MANY + 1, partial(chosen, "lead"))
    assert not returns.rests("lead")
    returns.rest("nobody", 0, list)
    assert not returns.rests("nobody")


def test_what_is_decided_anew_of_some_changes_nothing_of_the_others() -> None:
    returns = rested(items("lead"))
    returns.decide([items("lead")[1].but(status=Status.CONFLICT, error="it is there again")])
    assert [item.status for item in returns.of("lead")] == [
        Status.CONFLICT if at == 1 else Status.WOULD_RESTORE for at in range(MANY)
    ]


def test_one_of_them_can_be_asked_for() -> None:
    returns = rested(items("lead"))
    assert returns.ended("lead", "lead:2") is Status.WOULD_RESTORE
    assert returns.rests("lead")
    found = returns.get("lead", "lead:2")
    assert found == items("lead")[2]
    assert returns.get("lead", "else") is None
    assert (returns.ended("lead", "else"), returns.ended("nobody", "lead:2")) == (None, None)


def test_what_is_not_back_is_counted_for_each_reason() -> None:
    bound = tuple(Effect("binding", name, "", count, "removed", "exact") for name, count in (("a", 2), ("b", 3)))
    item = items("lead")[0].but(status=Status.RESTORED, effects=bound)
    for left_out, counts in (({"binding": "x"}, [5]), ({"a": "x", "b": "y"}, [2, 3]), ({"b": "y"}, [3]), ({}, [])):
        assert [one.count for one in item.but(left_out=left_out).not_restored()] == counts
