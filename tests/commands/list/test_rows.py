"""Which sessions are listed, in which order, and what is said of each; the filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run
from support.keys import LEAD, session_id
from support.listing import DAY, KEYS, KNOWN, empty, keys_of, listed, row_of
from support.sqlite import Bases, database
from support.stores import Store


def era(store: Store) -> str:
    return "sqlite" if database(store.state, "project-lead").exists() else "files"


# What is listed


def test_all_sessions_of_all_agents_newest_first_those_without_a_time_last(filled: Store, now: int) -> None:
    answer = listed(filled)
    assert (answer.code, answer.stderr, answer.data["warnings"]) == (0, "", [])
    assert keys_of(answer) == KEYS
    for key, age, kind, why in KNOWN:
        row = row_of(answer, key)
        assert (row["agent"], row["kind"], row["protected"]) == (key.split(":")[1], kind, why)
        assert (row["archived"], row["pinned"], row["running"]) == (False, why == "pinned", False)
        assert row["updatedAt"] == (None if age is None else now - age)
        assert row["ageSeconds"] is None if age is None else 0 <= row["ageSeconds"] - age // 1000 <= 60
    assert (answer.data["totalCount"], answer.data["limitApplied"]) == (len(KNOWN), 100)
    assert {(each["agent"], each["era"]) for each in answer.data["stores"]} == {
        ("project-lead", era(filled)),
        ("researcher", era(filled)),
    }
    assert all(Path(each["path"]).is_file() for each in answer.data["stores"])
    assert answer.data["gateway"]["state"] == "down"


def test_status_model_and_session_id_are_those_of_the_row(filled: Store) -> None:
    answer = listed(filled)
    alpha, main = row_of(answer, LEAD + "alpha"), row_of(answer, LEAD + "main")
    assert (alpha["status"], alpha["model"]) == ("done", "gpt-5")
    assert (main["status"], main["model"]) == (None, None)
    if era(filled) == "files":
        assert main["sessionId"] == filled.entries()[LEAD + "main"]["sessionId"]
    else:
        assert main["sessionId"] == Bases(filled).rows()[LEAD + "main"]["current_session_id"]


def test_the_size_of_a_file_store_is_that_of_all_live_files_of_the_session(store: Store) -> None:
    answer = listed(store)
    kelly = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    files = [path for path in store.folder().iterdir() if path.name.startswith(kelly)]
    assert len(files) == 4
    assert row_of(answer, LEAD + "kelly-dashboard")["transcriptBytes"] == sum(path.stat().st_size for path in files)
    assert row_of(answer, LEAD + "never-spoken")["transcriptBytes"] == 0
    topic = store.folder() / f"{session_id('topics')}-topic-42.jsonl"
    assert row_of(answer, LEAD + "topics")["transcriptBytes"] == topic.stat().st_size


def test_the_size_of_a_transcript_that_is_a_link_or_has_no_usable_name_is_not_made_up(store: Store) -> None:
    big = store.state / "big"
    big.write_text("x" * 100_000)
    linked, odd = LEAD + "linked", LEAD + "odd"
    store.add((linked, {"sessionId": session_id(linked)}), (odd, {"sessionId": "../../big"}), ("list", []))
    (store.folder() / f"{session_id(linked)}.jsonl").symlink_to(big)
    answer = listed(store)
    assert row_of(answer, linked)["transcriptBytes"] == 0
    assert row_of(answer, odd)["transcriptBytes"] is None
    assert (row_of(answer, "list")["transcriptBytes"], row_of(answer, "list")["sessionId"]) == (None, None)


def test_the_size_of_a_transcript_that_is_not_here_is_unknown_whatever_lies_beside_it(store: Store) -> None:
    key = LEAD + "elsewhere"
    own = session_id(key)
    store.add((key, {"sessionId": own, "sessionFile": f"/gone/{own}.jsonl"}))
    companion = store.transcript(f"{own}.trajectory.jsonl")
    assert row_of(listed(store), key)["transcriptBytes"] is None
    both = (companion, store.transcript(f"{own}.jsonl"))
    assert row_of(listed(store), key)["transcriptBytes"] == sum(path.stat().st_size for path in both) > 0


def test_the_size_of_a_database_is_the_text_of_the_events_packed_or_not(tmp_path: Path, closed_port: int) -> None:
    store = empty(tmp_path / "state", closed_port)
    bases = Bases(store)
    bases.create("project-lead")
    for number in range(1100):
        bases.add(f"{LEAD}many-{number}", events=number % 3)
    packed = bases.add(LEAD + "packed", events=1)
    with bases.open("project-lead") as connection:
        change = "update transcript_events set event_json = null, event_zstd = 'x', event_utf8_bytes = 5000"
        connection.execute(f"{change} where session_id = ?", (packed,))
        connection.execute("update transcript_events set event_json = event_json || '“ñ”' where seq = 1")
    sizes: dict[str, int] = {packed: 5000}
    for (session, _), text in bases.events().items():
        if session != packed:
            sizes[session] = sizes.get(session, 0) + len(text.encode())
    answer = listed(store, "--limit", "all")
    assert len(answer.data["sessions"]) == 1101
    assert all(row["transcriptBytes"] == sizes.get(row["sessionId"], 0) for row in answer.data["sessions"])


@pytest.mark.parametrize("filled", ["sqlite"], indirect=True)
def test_an_archived_session_of_a_database_is_listed_as_such(filled: Store) -> None:
    Bases(filled).add(LEAD + "put-away", archived_at=5)
    assert row_of(listed(filled), LEAD + "put-away")["archived"] is True
    assert "archived" in run(ListSessions, state=filled.state).stdout


@pytest.mark.parametrize("updated", [None, "x", 0, -5, True, [], 1e300, 10**40, 2**70, "1495000000000", 10**11 - 1])
def test_a_time_that_is_none_is_unknown(store: Store, now: int, updated: Any) -> None:
    key = LEAD + "odd-time"
    store.add((key, {"sessionId": session_id(key), "updatedAt": updated}))
    answer = listed(store)
    row = row_of(answer, key)
    assert (row["updatedAt"], row["ageSeconds"], keys_of(answer)[-1]) == (None, None, key)
    for words in (("--active", "999999999"), ("--older-than", "0s")):
        assert key not in keys_of(listed(store, *words))
    last = run(ListSessions, "--kind", "project", state=store.state).stdout.splitlines()[-1]
    assert last.split()[0] == "?"


def test_a_time_ahead_of_our_clock_is_just_now(store: Store, now: int) -> None:
    key = LEAD + "ahead"
    store.write({key: {"sessionId": session_id(key), "updatedAt": now + DAY}})
    assert row_of(listed(store, "--active", "1"), key)["ageSeconds"] == 0
    assert listed(store, "--older-than", "0s", "--agent", "project-lead").data["sessions"] == []


def test_a_time_far_ahead_of_our_clock_is_unknown(store: Store, now: int) -> None:
    key = LEAD + "far-ahead"
    store.write({key: {"sessionId": session_id(key), "updatedAt": now + 3 * DAY}, **store.entries()})
    answer = listed(store)
    assert (row_of(answer, key)["ageSeconds"], keys_of(answer)[-1]) == (None, key)
    assert key not in keys_of(listed(store, "--active", "1"))


# Filters


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), KEYS),
        (("--all-agents",), KEYS),
        (("--agent", "researcher"), KEYS[6:]),
        (("--agent", "project-lead"), KEYS[:6]),
        (("--kind", "cron-run"), [KEYS[4]]),
        (("--kind", "cron"), [KEYS[3]]),
        (("--kind", "cron-run,subagent"), [KEYS[2], KEYS[4]]),
        (("--kind", "cron-run", "--kind", "Main, hook"), [KEYS[0], KEYS[4], KEYS[6]]),
        (("--kind", "probe"), []),
        (("--active", "60"), KEYS[:2]),
        (("--active", "29"), KEYS[:1]),
        (("--older-than", "24h"), KEYS[4:7]),
        (("--older-than", "1w"), [KEYS[6]]),
        (("--older-than", "2h", "--active", "1500"), KEYS[2:4]),
        (("--older-than", "2h", "--kind", "hook,subagent,acp"), [KEYS[2], KEYS[6]]),
        (("--agent", "project-lead", "--kind", "hook"), []),
    ],
)
def test_filters(filled: Store, words: tuple[str, ...], wanted: list[str]) -> None:
    answer = listed(filled, *words)
    assert (answer.code, keys_of(answer), answer.data["totalCount"]) == (0, wanted, len(wanted))


def test_kinds_look_at_the_chat_type_too(store: Store) -> None:
    store.write({LEAD + "x": {"chatType": "channel"}, LEAD + "y": {"origin": {"chatType": "group"}}, LEAD + "z": {}})
    assert keys_of(listed(store, "--kind", "channel", "--agent", "project-lead")) == [LEAD + "x"]
    assert keys_of(listed(store, "--kind", "group", "--agent", "project-lead")) == [LEAD + "y"]


def test_limits(store: Store, now: int) -> None:
    rows = {f"{LEAD}n{number:03}": {"updatedAt": now - number // 2 * 1000} for number in range(250)}
    store.write(dict(sorted(rows.items(), reverse=True)))
    order, only = sorted(rows), ("--agent", "project-lead")
    for words, count in (((), 100), (("--limit", "7"), 7), (("--limit", "250"), 250), (("--limit", "251"), 250)):
        answer = listed(store, *only, *words)
        assert keys_of(answer) == order[:count]
        assert answer.data["limitApplied"] == int(words[1] if words else 100)
        assert (answer.data["totalCount"], answer.data["hasMore"]) == (250, count < 250)
    answer = listed(store, *only, "--limit", "all")
    assert (keys_of(answer), answer.data["limitApplied"], answer.data["hasMore"]) == (order, None, False)
    text = run(ListSessions, *only, state=store.state).stdout.splitlines()
    assert (len(text), text[0]) == (103, "250 sessions, 100 of them shown")
    assert text[-1] == "150 more: --limit all shows them, a word or --kind finds some"
    assert run(ListSessions, *only, "--limit", "all", state=store.state).stdout.splitlines()[0] == "250 sessions"


def test_what_is_equally_old_is_in_the_order_of_its_keys_whosever_it_is(store: Store, now: int) -> None:
    keys = ["agent:main:b", "global", "unknown"]
    for agent, some in (("main", keys), ("researcher", ["a", *keys[1:]]), ("project-lead", ["h"])):
        store.write({key: {"updatedAt": now} for key in some}, agent)
    found = [(row["key"], row["agent"]) for row in listed(store).data["sessions"]]
    assert found == sorted(found)


def test_a_large_number_is_easy_to_read(store: Store) -> None:
    store.write({f"{LEAD}{number}": {} for number in range(1500)})
    said = run(ListSessions, "--agent", "project-lead", "--limit", "1", state=store.state).stdout
    first, *_, last = said.splitlines()
    assert first == "1,500 sessions, 1 of them shown"
    assert last.startswith("1,499 more: ")
    every = run(ListSessions, "--agent", "project-lead", "--limit", "all", state=store.state).stdout
    assert every.startswith("1,500 sessions\n")
