"""A cleanup beside a real gateway of Hermes that is at work: what is old goes, the gateway misses nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..gateway import wait_until
from .lab import Lab
from .real_gateway import running
from .story import LEFT_BOSS, PENDING, Told
from .test_cleanup import cleanup, paths

pytestmark = pytest.mark.live

TALK = "at-the-gateway"
ANSWER_SECONDS = 60


def handed_over(lab: Lab) -> bool:
    """Tell whether the gateway has looked at what waits to be handed over to a chat."""
    return lab.rows("select handoff_state from sessions where id = ?", PENDING) == [("failed",)]


def expected(told: Told) -> dict[str, str]:
    """Return what goes once a gateway has begun, which gives up what it cannot hand over.

    A newer one also gives up the route to a session that has ended, and takes on results that nobody has fetched yet.
    """
    lab = told.lab
    given_up = {PENDING}
    waits = set()
    if lab.hermes.is_new:
        assert lab.rows("select count(*) from gateway_routing") == [(0,)]
        given_up.add(told.ids["chat"])
        logs = lab.rows("select delegation_id from async_delegations where parent_session_id = ?", LEFT_BOSS)
        waits = {f"sessions/session_{LEFT_BOSS}.json", *(f"cache/delegation/live/{found}" for (found,) in logs)}
        assert waits <= told.goes.keys()
    goes = {path: kind for path, kind in told.goes.items() if path not in waits}
    return goes | {f"sessions/session_{session}.json": "session_json" for session in given_up}


@pytest.mark.depth("0.13.0")
def test_a_gateway_in_the_middle_of_a_turn_misses_nothing_and_what_went_comes_back(told: Told) -> None:
    lab = told.lab
    with running(lab) as gateway:
        assert gateway.say(TALK, "hello") == "Noted."
        wait_until(lambda: handed_over(lab), ANSWER_SECONDS, "the hand-over")
        asked = len(lab.model.asked)
        lab.model.pause.clear()
        with ThreadPoolExecutor() as pool:
            try:
                turn = pool.submit(gateway.say, TALK, "and again")
                wait_until(lambda: len(lab.model.asked) > asked, ANSWER_SECONDS, "the agent to ask its model")
                answer = cleanup(lab)
                assert not turn.done()
            finally:
                lab.model.pause.set()
            assert turn.result() == "Noted."
        goes = expected(told)
        assert paths(lab, answer, "archived") == goes
        listed = lab.ours("list-sessions", "--limit", "all").json["sessions"]
        (row,) = (row for row in listed if row["sessionId"] == TALK)
        assert row["protected"] == "open"
        assert gateway.say(TALK, "once more") == "Noted."
        said = [one["content"] for one in lab.model.asked[-1]["messages"] if one["role"] == "user"]
        assert said == ["hello", "and again", "once more"]
        back = lab.ours("restore-sessions", "last")
        assert (back.code, paths(lab, back, "restored")) == (0, goes)
        assert gateway.say(TALK, "to the end") == "Noted."
    counted = lab.rows("select count(*) from messages where session_id = ?", TALK)
    assert counted == [(8,)]
