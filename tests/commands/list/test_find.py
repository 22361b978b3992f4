"""A session is found by what a person knows of it, and the list is in the order that was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run
from support.keys import LEAD, RESEARCHER, session_id
from support.listing import HOUR, empty, keys_of, listed, row_of
from support.sqlite import Bases
from support.stores import Store
from support.trees import write

KELLY, CRON = LEAD + "kelly-dashboard", LEAD + "cron:nightly:run:7f3a"
GROUP, CHILD = LEAD + "x:group:1", RESEARCHER + "c"
TOKENS = ("inputTokens", "outputTokens", "totalTokens", "contextTokens")
ENTRIES: dict[str, dict[str, Any]] = {
    KELLY: {"label": "Dashboard", "displayName": "Kelly\u2019s board", "totalTokens": 900, "createdAt": 1600000000000},
    CRON: {"channel": "telegram", "totalTokens": 20, "inputTokens": 15, "outputTokens": 5, "contextTokens": 128000},
    GROUP: {"subject": "Invoices of MÜNCHEN", "lastChannel": "signal", "totalTokens": True, "label": "invoices"},
    CHILD: {"spawnedBy": KELLY, "parentSessionKey": KELLY, "modelProvider": "openai", "label": 7, "displayName": " "},
}


def in_files(store: Store, now: int) -> None:
    for at, (key, more) in enumerate(ENTRIES.items()):
        agent = key.split(":")[1]
        entry = {"sessionId": session_id(key), "updatedAt": now - (at + 1) * HOUR, **more}
        store.add((key, entry), agent=agent)
        (store.folder(agent) / f"{session_id(key)}.jsonl").write_text("x" * [70, 5000, 200, 900][at])


def in_databases(store: Store, now: int) -> None:
    bases = Bases(store)
    for agent in ("project-lead", "researcher"):
        bases.create(agent)
    for at, (key, more) in enumerate(ENTRIES.items()):
        bases.add(key, events=[1, 9, 2, 4][at], **more)
        with bases.open(key.split(":")[1]) as connection:
            change = "update session_nodes set updated_at = ? where session_key = ?"
            connection.execute(change, (now - (at + 1) * HOUR, key))


@pytest.fixture(params=[in_files, in_databases])
def told(request: pytest.FixtureRequest, tmp_path: Path, closed_port: int, now: int) -> Store:
    """Sessions with names, in a store of either kind, its gateway down."""
    store = empty(tmp_path / "state", closed_port)
    request.param(store, now)
    return store


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["kelly-dashboard"], [KELLY]),
        (["KELLY"], [KELLY]),
        (["nightly"], [CRON]),
        (["telegram"], [CRON]),
        (["signal"], [GROUP]),
        (["m\u00fcnchen"], [GROUP]),
        (["mu\u0308nchen"], [GROUP]),
        (["dashboard"], [KELLY]),
        (["\u2019s board"], [KELLY]),
        (["project-lead", "invoices"], [GROUP]),
        (["invoices", "kelly"], []),
        (["agent:"], [KELLY, CRON, GROUP, CHILD]),
        (["--match", "*:cron:*"], [CRON]),
        (["--match", "AGENT:researcher:?"], [CHILD]),
        (["--match", "*:cron:*", "--match", "*:group:*"], [CRON, GROUP]),
        (["--match", "kelly*"], []),
        (["--match", "*kelly*", "cron"], []),
        (["--label", "dashboard"], [KELLY]),
        (["--label", "dash"], []),
        (["--label", "invoices", "--kind", "group"], [GROUP]),
    ],
    ids=str,
)
def test_a_session_is_found_by_what_a_person_knows_of_it(told: Store, words: list[str], found: list[str]) -> None:
    answer = listed(told, *words)
    assert (answer.code, keys_of(answer), answer.data["totalCount"]) == (0, found, len(found))


def test_a_glob_fits_a_key_however_either_is_written(store: Store) -> None:
    key = LEAD + "CRON:M\u00fcll"
    store.add((key, {"sessionId": session_id(key)}))
    for glob in ("*:cron:m\u00fcll", "*:Cron:MU\u0308LL", key):
        assert keys_of(listed(store, "--match", glob)) == [key]


def test_a_session_id_finds_by_its_beginning_and_not_by_what_is_in_it(told: Store) -> None:
    own = row_of(listed(told), CHILD)["sessionId"]
    assert keys_of(listed(told, own)) == keys_of(listed(told, own[:9].upper())) == [CHILD]
    assert keys_of(listed(told, own[1:9])) == []


def test_what_is_found_is_not_hidden_by_the_newest(store: Store, now: int) -> None:
    rows = {f"{LEAD}n{number}": {"updatedAt": now - number} for number in range(1200)}
    store.write({**rows, LEAD + "n1199": {"updatedAt": now - 1199, "label": "the old one"}})
    answer = listed(store, "OLD one", "--agent", "project-lead")
    assert (keys_of(answer), answer.data["hasMore"]) == ([LEAD + "n1199"], False)


def test_an_entry_that_the_quick_way_cannot_read_is_found_all_the_same(store: Store, now: int) -> None:
    rows: dict[str, Any] = {f"{LEAD}n{number}": {"updatedAt": now - number} for number in range(1200)}
    rows |= {LEAD + "odd": {"label": "half \udc80 a pair"}, LEAD + "list": []}
    # As escapes: half a surrogate pair is no UTF-8, but it is JSON.
    write(store.index(), json.dumps(rows))
    assert keys_of(listed(store, "half", "--agent", "project-lead")) == [LEAD + "odd"]


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ((), [KELLY, CRON, GROUP, CHILD]),
        (("--sort", "age", "--reverse"), [CHILD, GROUP, CRON, KELLY]),
        (("--sort", "size"), [CRON, CHILD, GROUP, KELLY]),
        (("--sort", "size", "--reverse"), [KELLY, GROUP, CHILD, CRON]),
        (("--sort", "key"), [CRON, KELLY, GROUP, CHILD]),
        (("--sort", "key", "--reverse"), [CHILD, GROUP, KELLY, CRON]),
        # What is not known comes last.
        (("--sort", "tokens"), [KELLY, CRON, GROUP, CHILD]),
        (("--sort", "tokens", "--reverse"), [CRON, KELLY, GROUP, CHILD]),
        (("--sort", "size", "--limit", "1"), [CRON]),
    ],
    ids=str,
)
def test_the_order_is_the_one_that_was_asked_for(told: Store, words: tuple[str, ...], order: list[str]) -> None:
    assert keys_of(listed(told, *words)) == order


def test_a_row_says_what_its_entry_says_and_nothing_that_is_not_as_it_should_be(told: Store) -> None:
    answer = listed(told)
    kelly, cron, group, child = (row_of(answer, key) for key in ENTRIES)
    assert (kelly["label"], kelly["displayName"]) == ("Dashboard", "Kelly\u2019s board")
    assert kelly["createdAt"] == ENTRIES[KELLY]["createdAt"]
    assert [cron[name] for name in TOKENS] == [15, 5, 20, 128000]
    assert (cron["channel"], group["channel"], group["title"]) == ("telegram", "signal", "Invoices of M\u00dcNCHEN")
    assert (child["spawnedBy"], child["parentKey"], child["modelProvider"]) == (KELLY, KELLY, "openai")
    assert (group["totalTokens"], child["label"], child["displayName"]) == (None, None, None)
    assert [row["agentId"] for row in answer.data["sessions"]] == [row["agent"] for row in answer.data["sessions"]]


def test_the_document_begins_with_what_it_leaves_out(told: Store) -> None:
    data = listed(told, "--limit", "3", "--active", "300").data
    assert list(data)[:4] == ["hasMore", "count", "totalCount", "limitApplied"]
    assert list(data.values())[:4] == [True, 3, 4, 3]
    assert (data["activeMinutes"], data["allAgents"], data["path"]) == (300, True, None)


def test_the_path_is_that_of_the_one_store(told: Store) -> None:
    data = listed(told, "--agent", "researcher").data
    assert (data["allAgents"], data["path"]) == (False, data["stores"][0]["path"])


def test_a_person_is_told_first_how_many_there_are(told: Store) -> None:
    assert run(ListSessions, "--limit", "1", state=told.state).stdout.splitlines()[0] == "4 sessions, 1 of them shown"
    assert run(ListSessions, "nobody", state=told.state).stdout == "no sessions\n"
