"""Names that are no keys: the beginning of a session id, a key of another agent."""

from __future__ import annotations

from pathlib import Path

from session_closer.cli.commands.close_project import CloseProject
from support.commands import run_json
from support.keys import LEAD
from support.stores import Store

ALPHA = LEAD + "alpha"


def test_the_beginning_of_an_id_means_the_same_session_once_that_is_closed(store: Store) -> None:
    own = "0123abcd-5e6f-4a7b-8c9d-0123456789ab"
    store.add((ALPHA, store.session(ALPHA, sessionId=own)))
    beginning = own[:13]
    first = run_json(CloseProject, beginning, state=store.state)
    assert (first.code, first.rows) == (0, [(ALPHA, "closed")])
    for given in (beginning, beginning.upper(), own[:8]):
        again = run_json(CloseProject, given, state=store.state)
        assert (again.code, again.rows) == (0, [(ALPHA, "already_closed")])
    assert run_json(CloseProject, beginning[:7], state=store.state).rows[0][1] == "not_found"


def test_a_beginning_that_two_closed_sessions_have_means_neither(store: Store) -> None:
    for key, own in (("one", "0123456789abcdef-a"), ("two", "0123456789abcdef-b")):
        store.add((LEAD + key, store.session(LEAD + key, sessionId=own)))
        assert run_json(CloseProject, key, state=store.state).code == 0
    assert run_json(CloseProject, "0123456789abcdef", state=store.state).rows[0][1] == "not_found"
    assert run_json(CloseProject, "0123456789abcdef-b", state=store.state).rows == [(LEAD + "two", "already_closed")]


def test_of_a_key_of_another_agent_than_is_named_no_other_session_is_offered(store: Store) -> None:
    answer = run_json(CloseProject, "--agent", "researcher", ALPHA, state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    assert answer.data["results"][0]["error"] == "it is of agent project-lead: leave out --agent"
    assert "write what is of researcher as a full key, too: agent:researcher:..." in answer.data["error"]["remedy"]


def test_an_id_that_a_run_did_not_close_after_all_is_not_called_closed(store: Store) -> None:
    own = "0123abcd-5e6f-4a7b-8c9d-0123456789ab"
    store.add((ALPHA, store.session(ALPHA, sessionId=own)))
    receipt = Path(run_json(CloseProject, "alpha", state=store.state).data["receipt"])
    receipt.write_text(receipt.read_text().replace('"status":"closed"', '"status":"came_back"'))
    assert run_json(CloseProject, own, state=store.state).rows[0][1] == "not_found"
