"""list-sessions: what is there, in both kinds of store; it only looks, and what it cannot read hides nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli import streams
from session_closer.cli.app import EXIT_CODES
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.core.kinds import Kind
from support.commands import Answer, run, run_json, run_process
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD, RESEARCHER, session_id
from support.programs import LIB
from support.sqlite import Bases, database
from support.stores import Stage, Store
from support.trees import tree, write

ENVELOPE = {
    "ok", "exitCode", "operation", "dryRun", "stores", "sessions", "totalCount", "limitApplied", "hasMore", "gateway",
    "warnings", "error",
}  # fmt: skip
ROW = {
    "key", "agent", "kind", "sessionId", "updatedAt", "ageSeconds", "status", "model", "transcriptBytes", "archived",
    "pinned", "running", "protected",
}  # fmt: skip
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
BIN = LIB.parent / "bin" / "list-sessions"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
# Key, ms since the last update (None: nobody knows), kind, why it stays.
KNOWN: list[tuple[str, int | None, str, str | None]] = [
    (LEAD + "main", MINUTE, "main", "main"),
    (LEAD + "alpha", 30 * MINUTE, "project", None),
    (LEAD + "subagent:2b1c", 3 * HOUR, "subagent", "pinned"),
    (LEAD + "cron:nightly", 4 * HOUR, "cron", "cron"),
    (LEAD + "cron:nightly:run:7f3a", 25 * HOUR, "cron-run", None),
    (LEAD + "telegram:group:-100", 2 * DAY, "group", "group"),
    (RESEARCHER + "hook:mail", 10 * DAY, "hook", None),
    (RESEARCHER + "acp:one", None, "acp", None),
]
KEYS = [key for key, _, _, _ in KNOWN]
Fill = Callable[..., Store]


def listed(store: Store, *words: str) -> Answer:
    """List; the answer, whose members are always the same."""
    answer = run_json(ListSessions, *words, state=store.state)
    data = answer.data
    assert set(data) == ENVELOPE
    assert (data["operation"], data["dryRun"], data["exitCode"]) == ("list-sessions", False, answer.code)
    assert data["ok"] is (answer.code == 0) is (data["error"] is None)
    assert all(set(row) == ROW for row in data["sessions"])
    assert all(set(each) == {"agent", "path", "era"} for each in data["stores"])
    assert data["hasMore"] is (data["totalCount"] > len(data["sessions"]))
    return answer


def keys_of(answer: Answer) -> list[str]:
    return [row["key"] for row in answer.data["sessions"]]


def row_of(answer: Answer, key: str) -> dict[str, Any]:
    (found,) = [row for row in answer.data["sessions"] if row["key"] == key]
    return dict(found)


def empty(state: Path, port: int) -> Store:
    """Return a state directory without any session."""
    store = Store(state, port)
    store.configure()
    return store


def fill_files(store: Store, now: int) -> None:
    for key, age, _, _ in KNOWN:
        agent = key.split(":")[1]
        more = {"status": "done", "model": "gpt-5"} if key == LEAD + "alpha" else {}
        more |= {"pinnedAt": now} if "subagent" in key else {}
        updated = "yesterday" if age is None else now - age
        store.add((key, store.session(key, agent=agent, **{**more, "updatedAt": updated})), agent=agent)


def fill_database(store: Store, now: int) -> None:
    bases = Bases(store)
    for agent in ("project-lead", "researcher"):
        bases.create(agent)
    for key, age, _, _ in KNOWN:
        more = {"status": "done", "model": "gpt-5"} if key == LEAD + "alpha" else {}
        bases.add(key, pinned_at=now if "subagent" in key else None, **more)
        updated = 0 if age is None else now - age
        with bases.open(key.split(":")[1]) as connection:
            connection.execute("update session_nodes set updated_at = ? where session_key = ?", (updated, key))


FILL = {"files": fill_files, "sqlite": fill_database}


@pytest.fixture
def now() -> int:
    """The time in ms."""
    return int(time.time() * 1000)


@pytest.fixture(params=FILL)
def filled(request: pytest.FixtureRequest, tmp_path: Path, closed_port: int, now: int) -> Store:
    """A store of either kind with KNOWN in it, its gateway down."""
    store = empty(tmp_path / "state", closed_port)
    FILL[request.param](store, now)
    return store


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
    last = run(ListSessions, "--kind", "project", state=store.state).stdout.splitlines()[-2]
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
    assert (len(text), text[-1]) == (102, "100 of 250 sessions; --limit all shows the rest")
    assert run(ListSessions, *only, "--limit", "all", state=store.state).stdout.splitlines()[-1] == "250 sessions"


def test_what_is_equally_old_is_in_the_order_of_its_keys_whosever_it_is(store: Store, now: int) -> None:
    keys = ["agent:main:b", "global", "unknown"]
    for agent, some in (("main", keys), ("researcher", ["a", *keys[1:]]), ("project-lead", ["h"])):
        store.write({key: {"updatedAt": now} for key in some}, agent)
    found = [(row["key"], row["agent"]) for row in listed(store).data["sessions"]]
    assert found == sorted(found)


def test_a_large_number_is_easy_to_read(store: Store) -> None:
    store.write({f"{LEAD}{number}": {} for number in range(1500)})
    last = run(ListSessions, "--agent", "project-lead", "--limit", "1", state=store.state).stdout.splitlines()[-1]
    assert last == "1 of 1,500 sessions; --limit all shows the rest"
    every = run(ListSessions, "--agent", "project-lead", "--limit", "all", state=store.state).stdout
    assert every.endswith("\n1,500 sessions\n")


# It only looks


@pytest.mark.parametrize("life", ["down", "up", "mute", "unknown"])
def test_the_tree_is_byte_identical_and_no_openclaw_is_started(stage: Stage, tmp_path: Path, life: str) -> None:
    store = stage(life)
    before = tree(store.state)
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    run(ListSessions, "--verbose", state=store.state)
    assert tree(store.state) == before
    assert not (tmp_path / "bin" / "calls").exists()


def test_a_database_is_left_as_it_is(filled: Store) -> None:
    before = tree(filled.state)
    listed(filled, "--limit", "all")
    run(ListSessions, state=filled.state)
    assert tree(filled.state) == before


@pytest.mark.parametrize("filled", ["sqlite"], indirect=True)
def test_what_is_only_in_the_log_of_a_database_is_seen(filled: Store) -> None:
    with Bases(filled).open("project-lead") as connection:
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("update session_nodes set status = 'failed' where session_key = ?", (LEAD + "main",))
        assert row_of(listed(filled), LEAD + "main")["status"] == "failed"


# What runs


def test_a_session_runs_if_its_gateway_says_so(stage: Stage, stub: StubGateway) -> None:
    store = stage("up", active=[LEAD + "alpha", "agent:researcher:kelly-dashboard"])
    answer = listed(store)
    running = {row["key"] for row in answer.data["sessions"] if row["running"]}
    assert running == {LEAD + "alpha", "agent:researcher:kelly-dashboard"}
    assert row_of(answer, LEAD + "alpha")["protected"] == "running"
    assert set(stub.methods()) <= {"connect", "sessions.list"}
    assert answer.data["gateway"]["state"] == "up"


def test_a_session_runs_if_a_live_process_holds_its_transcript(store: Store) -> None:
    store.lock_transcript(LEAD + "kelly-dashboard")
    answer = listed(store)
    assert [row["key"] for row in answer.data["sessions"] if row["running"]] == [LEAD + "kelly-dashboard"]
    assert row_of(answer, LEAD + "kelly-dashboard")["protected"] == "running"


@pytest.mark.parametrize(("life", "running"), [("down", False), ("unknown", True), ("mute", True)])
def test_a_status_counts_where_nobody_can_rule_it_out(stage: Stage, life: str, running: bool) -> None:
    store = stage(life)
    key = LEAD + "says-so"
    store.add((key, store.session(key, status="running")))
    row = row_of(listed(store), key)
    assert (row["status"], row["running"], row["protected"]) == ("running", running, "running" if running else None)


def test_a_gateway_that_was_named_has_to_answer(store: Store, tmp_path: Path) -> None:
    token = tmp_path / "token"
    write(token, "secret")
    answer = listed(store, "--url", f"ws://127.0.0.1:{store.port}", "--token-file", str(token))
    assert (answer.code, answer.data["error"]["name"]) == (6, "gateway_needed")
    assert "secret" not in json.dumps(answer.data) + answer.stderr


# What cannot be read


def corrupt(store: Store) -> None:
    write(store.index("researcher"), '{"agent:researcher:x": {')


def mixed(store: Store) -> None:
    Bases(store).create("researcher")


def link(store: Store) -> None:
    target = store.state / "elsewhere.json"
    store.index("researcher").rename(target)
    store.index("researcher").symlink_to(target)


def outside(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    target = store.state.parent / "outside"
    store.folder("researcher").rename(target)
    store.folder("researcher").symlink_to(target)
    os.chown(store.folder("researcher"), 12345, -1, follow_symlinks=False)


def foreign(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(store.index("researcher"), 12345, -1)


DAMAGE = {
    corrupt: ("corrupt_store", "cut off"),
    mixed: ("mixed_store", "both a session database"),
    link: ("link", "is a link to"),
    outside: ("link", "outside"),
    foreign: ("owner", "belongs to uid 12345"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_store_that_cannot_be_read_hides_no_other(store: Store, damage: Callable[[Store], None]) -> None:
    damage(store)
    before = tree(store.state)
    answer = listed(store)
    name, words = DAMAGE[damage]
    assert (answer.code, answer.data["totalCount"]) == (0, 16)
    assert {row["agent"] for row in answer.data["sessions"]} == {"project-lead", "main"}
    (warning,) = answer.data["warnings"]
    assert warning.startswith("agent researcher is left out: ")
    assert words in warning
    assert answer.stderr == f"warning: {warning}\n"
    assert listed(store, "--agent", "main").data["warnings"] == []
    named = listed(store, "--agent", "researcher")
    assert (named.code, named.data["error"]["name"], named.data["sessions"]) == (3, name, [])
    assert tree(store.state) == before


def test_an_agent_that_is_a_link_is_left_out_with_a_note(store: Store) -> None:
    (store.state / "agents" / "twin").symlink_to(store.state / "agents" / "researcher")
    (store.state / "agents" / "no agent").mkdir()
    (store.state / "agents" / ".hidden").mkdir()
    (store.state / "agents" / "file").write_text("")
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    assert len(answer.data["warnings"]) == 2
    assert any('twin" is a link to' in warning for warning in answer.data["warnings"])
    assert any('no agent"' in warning for warning in answer.data["warnings"])


@pytest.mark.parametrize("whole", [False, True])
def test_a_store_that_two_agents_share_by_a_link_is_listed_once(store: Store, whole: bool) -> None:
    store.configure(agents={"list": [{"id": "twin"}]})
    if whole:
        store.folder("twin").parent.symlink_to(store.folder("researcher").parent)
    else:
        store.folder("twin").parent.mkdir()
        store.folder("twin").symlink_to(store.folder("researcher"))
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    assert answer.data["warnings"] == ["agent twin is left out: its sessions are those of agent researcher"]


def test_a_folder_that_cannot_be_listed_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path) == str(store.folder("researcher")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 16)
    path = store.folder("researcher")
    assert answer.data["warnings"] == [f"agent researcher is left out: {path} cannot be read: Permission denied"]
    named = listed(store, "--agent", "researcher")
    assert (named.code, named.data["error"]["name"]) == (3, "unreadable")


def test_a_state_directory_or_configuration_that_cannot_be_read_is_an_error(store: Store, tmp_path: Path) -> None:
    absent = run_json(ListSessions, state=tmp_path / "absent")
    assert (absent.code, absent.data["error"]["name"], set(absent.data)) == (3, "no_state_dir", ENVELOPE)
    (store.state / "openclaw.json").write_text("{")
    assert (listed(store).code, listed(store).data["error"]["name"]) == (3, "config")


# Agents


@pytest.mark.parametrize(
    "agents",
    [
        {"list": [{"id": "Writer"}, {"id": "no store"}, {}, 7, {"id": 7}]},
        {"entries": {"writer": {}, "../x": {}, "unborn": {}}},
        {"list": {"id": "x"}, "entries": ["y"]},
        [],
    ],
)
def test_agents_of_the_configuration_are_looked_for_too(store: Store, agents: Any) -> None:
    """Also where their sessions are kept elsewhere, so that they have no folder in the state directory."""
    away = store.state / "stores"
    away.mkdir()
    for agent in ("main", "writer"):
        key = f"agent:{agent}:main"
        write(away / f"{agent}.json", json.dumps({key: {"sessionId": session_id(key)}}))
    store.configure(agents=agents, session={"store": str(away / "{agentId}.json")})
    answer = listed(store)
    named = "writer" in json.dumps(agents).lower()
    assert keys_of(answer) == ["agent:main:main", *(["agent:writer:main"] if named else [])]
    assert answer.data["warnings"] == []


def test_an_agent_without_sessions_is_an_empty_list_with_a_hint(store: Store) -> None:
    store.configure(agents={"list": [{"id": "ghost"}]})
    answer = listed(store, "--agent", "ghost")
    assert (answer.code, answer.data["sessions"], answer.data["totalCount"]) == (0, [], 0)
    assert answer.data["warnings"] == [
        "agent ghost has no sessions here; agents: ghost, main, project-lead, researcher"
    ]
    assert run(ListSessions, "--agent", "ghost", state=store.state).stdout == "no sessions\n"


def test_nothing_at_all_is_an_empty_list(tmp_path: Path, closed_port: int) -> None:
    store = empty(tmp_path / "state", closed_port)
    write(store.state / "openclaw.json", json.dumps({"gateway": {"port": closed_port}}))
    assert (listed(store).code, listed(store).data["stores"]) == (0, [])
    assert listed(store, "--agent", "ghost").data["error"]["message"].endswith("agents: none")
    assert run(ListSessions, state=store.state).stdout == "no sessions\n"


@pytest.fixture
def shared(store: Store, now: int) -> Store:
    """One file for all agents, with keys of known agents, of unknown ones, and bare ones."""
    path = store.state / "all.json"
    keys = ["agent:main:a", LEAD + "b", "agent:elsewhere:c", "agent:..:d", "global", "agent:UPPER:e", "agent:nowhere:f"]
    rows = {}
    for number, key in enumerate(keys):
        rows[key] = {"sessionId": session_id(key), "updatedAt": now - number * 1000}
        agent = key.split(":")[1] if key.startswith("agent:") else "main"
        if agent in ("main", "project-lead", "elsewhere"):
            store.transcript(f"{session_id(key)}.jsonl", agent)
    write(path, json.dumps(rows))
    store.configure(session={"store": str(path)})
    return store


def test_one_file_for_all_agents_is_listed_once_each_row_under_its_own_agent(shared: Store) -> None:
    answer = listed(shared)
    assert answer.data["warnings"] == []
    found = [(row["key"], row["agent"], bool(row["transcriptBytes"])) for row in answer.data["sessions"]]
    assert found == [
        ("agent:main:a", "main", True),
        (LEAD + "b", "project-lead", True),
        ("agent:elsewhere:c", "elsewhere", True),
        ("agent:..:d", None, False),
        ("global", None, False),
        ("agent:UPPER:e", None, False),
        ("agent:nowhere:f", "nowhere", False),
    ]
    assert row_of(answer, "global")["transcriptBytes"] is None
    assert {each["path"] for each in answer.data["stores"]} == {str(shared.state / "all.json")}
    assert keys_of(listed(shared, "--agent", "main")) == ["agent:main:a"]
    assert keys_of(listed(shared, "--agent", "elsewhere")) == ["agent:elsewhere:c"]


def test_one_file_for_all_agents_that_is_corrupt_hides_no_database(shared: Store) -> None:
    bases = Bases(shared)
    bases.create("researcher")
    bases.add(RESEARCHER + "gamma")
    write(shared.state / "all.json", "[]")
    answer = listed(shared)
    assert (answer.code, keys_of(answer)) == (0, [RESEARCHER + "gamma"])
    (warning,) = answer.data["warnings"]
    assert warning.startswith("the store of all agents is left out: ")
    assert listed(shared, "--agent", "main").code == 3


def test_a_database_wins_over_rows_left_in_one_file_for_all_agents(shared: Store) -> None:
    bases = Bases(shared)
    bases.create("main")
    bases.add("agent:main:in-database")
    answer = listed(shared)
    assert "agent:main:a" not in keys_of(answer)
    assert "agent:main:in-database" in keys_of(answer)
    assert len(keys_of(answer)) == 7


# Words


@pytest.mark.parametrize(
    "words",
    [
        ("alpha",),
        ("--dry-run",),
        ("--restart", "never"),
        ("--no-restart",),
        ("--reason", "x"),
        ("--limit",),
        ("--limit", "0"),
        ("--limit", "-1"),
        ("--limit", "ALL"),
        ("--limit", "1e3"),
        ("--active", "0"),
        ("--active", "5m"),
        ("--older-than", "24"),
        ("--older-than", "h"),
        ("--older-than", "-1h"),
        ("--kind", "cron-runs"),
        ("--kind", ""),
        ("--kind", "cron,,hook"),
        ("--agent", "../x"),
        ("--agent", "UPPER"),
        ("--agent", "main", "--all-agents"),
        ("--agent", "main", "--agent", "researcher"),
        ("--profile", "work"),
        ("--token-file", "/dev/null"),
        ("-v",),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense(store: Store, words: tuple[str, ...]) -> None:
    before = tree(store.state)
    answer = listed(store, *words)
    assert (answer.code, answer.data["error"]["name"], answer.data["sessions"]) == (2, "usage", [])
    result = run(ListSessions, *words, state=store.state)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert tree(store.state) == before


def test_an_unknown_kind_names_all_kinds(store: Store) -> None:
    remedy = listed(store, "--kind", "project,crons").data["error"]["remedy"]
    assert remedy.split("one of ")[1].split(", ") == list(map(str, Kind))


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("x", "--help")])
def test_help_has_what_a_list_takes_and_nothing_of_a_change(store: Store, words: tuple[str, ...]) -> None:
    result = run(ListSessions, *words, state=store.state)
    assert (result.code, result.stderr) == (0, "")
    options = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", result.stdout, re.MULTILINE))
    assert options == {
        "--agent", "--all-agents", "--store", "--active", "--kind", "--older-than", "--limit", "--json", "--verbose",
        "--help",
        "--version", "--state-dir", "--profile", "--url", "--token-file", "--gateway-state-dir",
    }  # fmt: skip
    assert [line for line in EXIT_CODES if line not in result.stdout] == []
    assert all(kind in result.stdout for kind in Kind)


def test_it_ends_with_stdin_closed_and_no_terminal(store: Store) -> None:
    result = run_process("list-sessions", state=store.state)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.endswith("\n18 sessions\n")


SHOWS = [
    ("list_sessions", "--limit", "all"),
    ("list_sessions", "--limit", "all", "--json"),
    ("close_project_batch", "--dry-run", "--yes", "--verbose", *(str(number) for number in range(2000))),
    ("keep_only_sessions", "--dry-run", "--yes", "--verbose", "1"),
    ("cleanup_sessions", "--dry-run", "--yes", "--verbose", "--max-entries", "1"),
    ("cleanup_sessions", "--print-policy"),
    ("restore_sessions", "--list"),
    ("close_project", "--help"),
    ("restore_sessions", "--version"),
]


@pytest.mark.parametrize("words", SHOWS, ids=lambda words: " ".join(words[:3]))
@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_has_seen_enough_is_no_failure(store: Store, words: tuple[str, ...], read: int) -> None:
    rows = {f"{LEAD}{number}": {"sessionId": f"s{number}", "updatedAt": 10**12} for number in range(5000)}
    store.write(rows)
    code, said = cut_short(store, *words, read=read)
    assert (code, said) == (0, b"")


def test_a_reader_of_an_account_that_goes_away_is_a_failure(store: Store) -> None:
    store.write({f"{LEAD}{number}": {} for number in range(5000)})
    assert cut_short(store, "keep_only_sessions", "--yes", "--verbose", "1", read=1)[0] == 1


def cut_short(store: Store, name: str, *words: str, read: int) -> tuple[int, bytes]:
    """Return exit code and stderr of a command whose stdout nobody reads any more after so many lines."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LIB), *filter(None, sys.path)])}
    # A buffer is what fails at the end.
    environ.pop("PYTHONUNBUFFERED", None)
    program = f"import sys; from session_closer.cli.commands.{name} import main; sys.exit(main())"
    command = [sys.executable, "-B", "-c", program, "--state-dir", str(store.state), *words]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(read):
            process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    return process.returncode, said


# The table


def test_the_table_is_aligned_with_the_key_last(filled: Store) -> None:
    lines = run(ListSessions, state=filled.state).stdout.splitlines()
    assert lines[0].split() == ["AGE", "KIND", "STATUS", "SIZE", "PROTECTED", "KEY"]
    assert lines[-1] == "8 sessions"
    at = lines[0].index("KEY")
    assert [line[at:] for line in lines[1:-1]] == KEYS
    assert [line.split()[0] for line in lines[1:-1]] == ["60s", "30m", "3h", "4h", "25h", "2d", "10d", "?"]
    assert [line[lines[0].index("PROTECTED") :].split()[0] for line in lines[1:-1]] == [why or "-" for *_, why in KNOWN]


def test_the_model_is_shown_with_verbose_or_where_it_fits(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def heads(*words: str, width: int | None) -> list[str]:
        monkeypatch.setattr(streams, "width", lambda: width)
        return run(ListSessions, *words, state=filled.state).stdout.splitlines()[0].split()

    assert "MODEL" not in heads(width=None)
    assert "MODEL" in heads("--verbose", width=None)
    assert "MODEL" in heads("--verbose", width=100)
    assert "MODEL" in heads(width=200)
    lines = run(ListSessions, state=filled.state).stdout.splitlines()
    needed = max(map(len, lines))
    assert "MODEL" in heads(width=needed)
    assert "MODEL" not in heads(width=needed - 1)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0K"),
        (5000, "4.9K"),
        (10_240, "10K"),
        (1_000_000, "977K"),
        (5 << 20, "5.0M"),
    ],
)
def test_sizes_are_short(store: Store, size: int, shown: str) -> None:
    key = LEAD + "sized"
    store.write({key: {"sessionId": session_id(key)}})
    with (store.folder() / f"{session_id(key)}.jsonl").open("wb") as file:
        file.truncate(size)
    (line,) = run(ListSessions, "--agent", "project-lead", state=store.state).stdout.splitlines()[1:-1]
    assert line.split()[3] == shown


def columns(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


HOSTILE = [
    LEAD + "\x1b[2J\x1b[1;1H", LEAD + "a\nb", LEAD + "a\rb", LEAD + "\x9b31m", LEAD + "\u202egnp.exe",
    LEAD + "漢字" * 60, LEAD + "x" * 3000, LEAD + "\udc80", LEAD + "e\u0301" * 30, LEAD + "🦊" * 50, LEAD + "\x00",
    "\x07", "", LEAD + "a b  c", "\u2028", LEAD + "\t\t",
]  # fmt: skip


@pytest.fixture
def hostile(store: Store) -> Store:
    """Keys, states, models and kinds of chat that nobody should print as they are."""
    bad = {"status": "\x1b]0;x\x07" * 20, "model": "m\u202e" + "漢" * 90, "chatType": "\x1b[31m"}
    # As escapes: half a surrogate pair is no UTF-8, but it is JSON.
    write(store.index(), json.dumps({key: {"sessionId": session_id(repr(key)), **bad} for key in HOSTILE}))
    return store


@pytest.mark.parametrize("words", [(), ("--verbose",)])
@pytest.mark.parametrize("width", [None, 200, 80, 40, 10, 1])
def test_no_key_moves_the_cursor_or_breaks_the_table(
    hostile: Store, monkeypatch: pytest.MonkeyPatch, width: int | None, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(streams, "width", lambda: width)
    result = run(ListSessions, *words, "--agent", "project-lead", state=hostile.state)
    lines = result.stdout.split("\n")
    assert not RAW.search(result.stdout)
    assert len(lines) == len(HOSTILE) + 3
    table = lines[:-2]
    assert max(map(columns, table)) <= (width or 1200)
    if width is not None and width >= 40:
        assert any(line.endswith("…") and columns(line) >= width - 1 for line in table)
    assert lines[-2] == f"{len(HOSTILE)} sessions"


def test_every_key_is_itself_in_json(hostile: Store) -> None:
    answer = listed(hostile, "--agent", "project-lead")
    assert set(keys_of(answer)) == set(HOSTILE)


def test_a_bare_key_is_shown_with_its_agent(store: Store) -> None:
    store.write({"global": {}}, "researcher")
    store.write({"global": {}}, "main")
    lines = run(ListSessions, "--kind", "main", state=store.state).stdout
    assert "  global (agent main)\n" in lines
    assert "  global (agent researcher)\n" in lines
    assert "(agent project-lead)" not in lines


def on_terminal(store: Store, width: int) -> str:
    """Return what the program prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environ["PYTHONPATH"] = os.pathsep.join([str(LIB), *filter(None, sys.path)])
    program = "import sys; from session_closer.cli.commands.list_sessions import main; sys.exit(main())"
    command = [sys.executable, "-B", "-c", program, "--state-dir", str(store.state)]
    seen = b""
    try:
        with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=theirs) as process:
            os.close(theirs)
            with contextlib.suppress(OSError):
                while part := os.read(ours, 65536):
                    seen += part
        assert process.returncode == 0
    finally:
        os.close(ours)
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("width", [60, 84, 132])
def test_the_table_fits_a_real_terminal(filled: Store, width: int) -> None:
    text = on_terminal(filled, width)
    lines = text.splitlines()
    assert not RAW.search(text)
    assert len(lines) == len(KNOWN) + 2
    assert max(map(len, lines)) <= width
    assert any(line.endswith("…") for line in lines) is (width == 60)
    assert ("MODEL" in lines[0]) is (width == 132)


def test_no_openclaw_command_is_started_for_a_gateway_that_lets_nobody_in(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway
) -> None:
    stub.tell(refuse="connect")
    answer = listed(served)
    assert (answer.code, answer.data["totalCount"], answer.data["gateway"]["state"]) == (0, 18, "up")
    assert openclaw.calls("status") == openclaw.calls("call") == []


def test_the_script_runs_from_the_checkout(store: Store) -> None:
    assert os.access(BIN, os.X_OK)
    assert 'bootstrap.run("list_sessions")' in BIN.read_text()
