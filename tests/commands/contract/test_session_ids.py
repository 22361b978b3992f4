"""A session id is a name for every command: whole, or so much of its beginning that it is one session's."""

from __future__ import annotations

import json

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run_json
from support.keys import LEAD
from support.stores import Store
from support.trees import tree

ONE, TWO, ODD = LEAD + "one", LEAD + "two", LEAD + "odd"
IDS = {
    ONE: "3f2b8c1d-aaaa-4000-8000-000000000001",
    TWO: "3f2b8c1d-bbbb-4000-8000-000000000002",
    ODD: "kelly",
}


@pytest.fixture
def known(store: Store) -> Store:
    """A store whose sessions have these ids."""
    store.write({})
    for path in store.folder().glob("*.jsonl*"):
        path.unlink()
    for key, own in IDS.items():
        store.add((key, {"sessionId": own, "updatedAt": 1600000000000}))
        (store.folder() / f"{own}.jsonl").write_text("{}\n")
    return store


@pytest.mark.parametrize(
    ("name", "key"),
    [(IDS[ONE], ONE), (IDS[ONE].upper(), ONE), ("3f2b8c1d-a", ONE), ("3f2b8c1d-bbbb", TWO), ("kelly", ODD)],
)
def test_the_session_with_this_id_is_closed_and_no_other(known: Store, name: str, key: str) -> None:
    dry = run_json(CloseProject, "--dry-run", name, state=known.state)
    assert dry.rows == [(key, "would_close")]
    answer = run_json(CloseProject, name, state=known.state)
    assert (answer.code, answer.rows, answer.data["results"][0]["input"]) == (0, [(key, "closed")], name)
    assert set(known.entries()) == set(IDS) - {key}


@pytest.mark.parametrize("name", ["3f2b8c1d", "3f2b8c1d-"])
def test_the_beginning_of_several_closes_nothing_and_names_them(known: Store, name: str) -> None:
    before = tree(known.state)
    answer = run_json(CloseProject, name, state=known.state)
    assert (answer.code, [status for _, status in answer.rows]) == (1, ["not_found"])
    assert answer.data["results"][0]["error"] == f"did you mean {ONE}, {TWO}?"
    assert tree(known.state) == before


@pytest.mark.parametrize("name", ["3f2b8c1", "kell", "f2b8c1d-aaaa", "3f2b8c1d-c", "deadbeef"])
def test_too_little_of_an_id_or_another_word_is_no_id(known: Store, name: str) -> None:
    answer = run_json(CloseProject, name, state=known.state)
    assert [status for _, status in answer.rows] == ["not_found"]
    assert set(known.entries()) == set(IDS)


def test_a_project_of_that_name_comes_first(known: Store) -> None:
    own = LEAD + IDS[TWO]
    known.add((own, {"sessionId": "3f2b8c1d-cccc-4000-8000-000000000003"}))
    assert run_json(CloseProject, IDS[TWO], state=known.state).rows == [(own, "closed")]
    assert TWO in known.entries()


def test_what_was_closed_by_its_id_is_closed_already_also_where_its_key_is_used_again(known: Store) -> None:
    assert run_json(CloseProject, IDS[ONE], state=known.state).rows == [(ONE, "closed")]
    assert run_json(CloseProject, IDS[ONE], state=known.state).rows == [(ONE, "already_closed")]
    known.add((ONE, {"sessionId": "99999999-aaaa-4000-8000-000000000009"}))
    assert run_json(CloseProject, IDS[ONE], state=known.state).rows == [(ONE, "already_closed")]
    assert ONE in known.entries()


def test_what_is_kept_may_be_named_by_its_id(known: Store) -> None:
    before = known.entries()
    several = run_json(KeepOnlySessions, "3f2b8c1d", state=known.state)
    assert (several.code, several.data["error"]["name"], known.entries()) == (3, "unknown_name", before)
    answer = run_json(KeepOnlySessions, "3f2b8c1d-b", "kelly", state=known.state)
    assert (answer.code, answer.rows) == (0, [(ONE, "closed")])


def test_a_session_of_a_run_is_brought_back_by_its_id(known: Store) -> None:
    closed = run_json(KeepOnlySessions, ODD, state=known.state)
    receipt = closed.data["undo"].split()[-1]
    several = run_json(RestoreSessions, receipt, "3f2b8c1d", state=known.state)
    assert [status for _, status in several.rows] == ["not_found"]
    one = run_json(RestoreSessions, receipt, "3f2b8c1d-bbbb", state=known.state)
    assert (one.code, one.rows) == (0, [(TWO, "restored")])
    assert set(known.entries()) == {TWO, ODD}


def test_an_id_that_a_run_did_not_close_is_not_found(known: Store) -> None:
    run_json(CloseProject, IDS[ONE], state=known.state)
    (receipt,) = (known.state / "session-closer" / "receipts").iterdir()
    data = json.loads(receipt.read_bytes())
    (session,) = data["stores"][0]["sessions"]
    assert session["status"] == "closed"
    session["status"] = "failed"
    receipt.write_text(json.dumps(data))
    # Another one of that key was.
    known.add((ONE, {"sessionId": "99999999-aaaa-4000-8000-000000000009"}))
    assert run_json(CloseProject, ONE, state=known.state).code == 0
    assert [status for _, status in run_json(CloseProject, IDS[ONE], state=known.state).rows] == ["not_found"]
