"""A large store is listed as any other is, though a session is made of those rows alone that somebody asks for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.openclaw import details
from session_closer.openclaw.files import document, entries, glance, quickscan
from session_closer.openclaw.files.glance import Glance
from session_closer.openclaw.files.store import FileStore
from session_closer.openclaw.home import Home
from session_closer.system import processes
from support.clock import Still, handed
from support.commands import Result, run
from support.keys import LEAD, RESEARCHER, session_id
from support.listing import listed
from support.stores import Store
from support.trees import write

MOMENT = datetime.fromtimestamp(int(time.time()), UTC)
NOW = int(MOMENT.timestamp() * 1000)
MINUTE, DAY = 60_000, 86_400_000
WORDS = (
    (), ("--limit", "3"), ("--limit", "1"), ("--limit", "all"), ("--reverse",), ("--reverse", "--limit", "4"),
    ("--sort", "key"), ("--sort", "key", "--reverse", "--limit", "5"), ("--sort", "size"),
    ("--sort", "size", "--reverse", "--limit", "4"), ("--sort", "tokens", "--limit", "5"), ("--kind", "cron-orphan"),
    ("--kind", "group,channel,direct,main"), ("--active", "100"), ("--older-than", "2h", "--limit", "2"),
    ("--match", "*:cron:*"), ("--label", "invoices"), ("kelly",), ("signal",), (session_id("n3")[:9],), ("--usage",),
    ("--agent", "project-lead"), ("--agent", "researcher", "--limit", "2"),
)  # fmt: skip


def entry(name: str, age: int, **more: Any) -> dict[str, Any]:
    return {"sessionId": session_id(name), "updatedAt": NOW - age, **more}


def rows(store: Store) -> dict[str, Any]:
    """Return rows of all that may stand in an index, their files written."""
    outside = store.state / "elsewhere.jsonl"
    outside.write_text("away")
    found: dict[str, Any] = {f"{LEAD}n{at}": entry(f"n{at}", at // 2 * MINUTE) for at in range(12)}
    odd: dict[str, Any] = {
        LEAD + "main": entry("main", 5 * MINUTE, sessionFile=str(store.transcript(f"{session_id('main')}.jsonl"))),
        LEAD + "cron:nightly": entry("nightly", DAY),
        LEAD + "CRON:Lost": entry("lost", 2 * DAY, totalTokens=7),
        LEAD + "cron:nightly:run:7f3a": entry("run", 3 * DAY, totalTokens=900),
        LEAD + "telegram:group:1": entry("group", 90 * MINUTE, subject="Invoices of Kelly", lastChannel="signal"),
        LEAD + "by-type": entry("type", 91 * MINUTE, origin={"chatType": "channel", "provider": "slack"}),
        LEAD + "bound": entry("bound", 92 * MINUTE, label="Invoices", status="running"),
        LEAD + "pinned": entry("pinned", 4 * DAY, pinnedAt=1, model="gpt-5", spawnedBy=LEAD + "main"),
        LEAD + "away": entry("away", 93 * MINUTE, sessionFile=str(outside)),
        LEAD + "by-name": {"updatedAt": NOW - DAY, "sessionFile": "/gone/plain.jsonl"},
        LEAD + "forked": entry("forked", 94 * MINUTE),
        LEAD + "linked": entry("linked", 95 * MINUTE),
        LEAD + "odd-id": {"sessionId": "../up", "updatedAt": str(NOW)},
        LEAD + "ahead": entry("ahead", -DAY // 2),
        LEAD + "far-ahead": entry("far-ahead", -3 * DAY),
        LEAD + "float": {**entry("float", 0), "updatedAt": float(NOW - 96 * MINUTE)},
        LEAD + "none": {"sessionId": 7, "updatedAt": None, "model": [], "label": 5, "chatType": {}},
        LEAD + "empty": {},
        LEAD + 'quoted "\n\\ é“': entry("quoted", 97 * MINUTE, displayName="Ünï"),
        "global": entry("global", 98 * MINUTE),
        RESEARCHER + "of-another": entry("of-another", 99 * MINUTE),
    }
    live = [f"{session_id(f'n{at}')}.jsonl" for at in range(0, 12, 2)]
    for name in (*live, f"{session_id('n2')}.trajectory.jsonl", f"{session_id('n3')}-topic-42.jsonl", "plain.jsonl"):
        store.transcript(name)
    # Whose this is only the name in the entry's sessionFile tells.
    store.transcript("plain.trajectory.jsonl")
    # By its name a copy of what is outside.
    store.transcript(outside.name)
    store.transcript(f"2016-08-01T00-00-00-000Z_{session_id('forked')}.jsonl")
    (store.folder() / f"{session_id('linked')}.jsonl").symlink_to(outside)
    pid = os.getpid()
    lock = {"pid": pid, "createdAt": "now", "starttime": processes.start_ticks(pid)}
    write(store.folder() / f"{session_id('n5')}.jsonl.lock", json.dumps(lock))
    return {**found, **odd}


def one_agent(store: Store) -> None:
    write(store.index(), json.dumps(rows(store), indent=2))


def several_agents(store: Store) -> None:
    one_agent(store)
    more = {f"{RESEARCHER}n{at}": entry(f"r{at}", at * 7 * MINUTE) for at in range(9)}
    store.write(more, "researcher")
    store.write({"agent:main:n3": entry("n3", MINUTE)}, "main")


def one_file_for_all(store: Store) -> None:
    path = store.state / "all.json"
    keys = ("agent:main:a", "agent:elsewhere:c", "agent:..:d", "unknown", "agent:UPPER:e")
    more = {key: entry(key, 3 * MINUTE) for key in keys}
    write(path, json.dumps({**rows(store), **more}))
    store.configure(session={"store": str(path)})


@pytest.fixture(params=[one_agent, several_agents, one_file_for_all])
def varied(request: pytest.FixtureRequest, store: Store) -> Store:
    """Stores with all that may stand in one, a cron job that is gone, and a session that people are bound to."""
    request.param(store)
    store.state.joinpath("cron").mkdir()
    write(store.state / "cron" / "jobs.json", json.dumps({"jobs": [{"id": "nightly"}]}))
    store.state.joinpath("bindings").mkdir()
    bound = {"bindings": [{"targetSessionKey": LEAD + "bound", "status": "active"}]}
    write(store.state / "bindings" / "current-conversations.json", json.dumps(bound))
    return store


def answers(store: Store, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[Result]:
    """Return what is listed where an index counts as large, and where it does not."""
    found = []
    for large in (0, 1 << 40):
        monkeypatch.setattr(document, "LARGE", large)
        monkeypatch.setattr(document, "QUICK", large)
        with handed(Still(MOMENT)):
            found.append(run(ListSessions, *words, state=store.state))
    return found


@pytest.mark.parametrize("words", WORDS)
def test_a_large_store_is_listed_as_any_other(
    varied: Store, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is large here is glanced at, and never scanned.
    monkeypatch.setattr(glance, "parse", None)
    for form in ((), ("--json",)):
        large, any_other = answers(varied, monkeypatch, *words, *form)
        assert large == any_other
        assert (large.code, large.stderr) == (0, "")


def test_a_large_store_whose_folder_is_a_link_is_listed_as_any_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_agent(store)
    store.folder().rename(store.state / "kept")
    store.folder().symlink_to(store.state / "kept")
    large, any_other = answers(store, monkeypatch, "--json", "--agent", "project-lead")
    assert large == any_other
    (main,) = [row for row in json.loads(large.stdout)["sessions"] if row["key"] == LEAD + "main"]
    assert main["transcriptBytes"] > 0


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def spoil(raw: bytes) -> bytes:
        assert old in raw
        return raw.replace(old, new, 1)

    return spoil


SPOILT: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: raw[: len(raw) // 2],
    lambda raw: raw + b"x",
    lambda raw: b"\xef\xbb\xbf" + raw,
    lambda raw: b"[]",
    lambda raw: b"",
    replaced(b':n1"', b':\xff"'),
    replaced(b'"updatedAt": ', b'"prompt": "\xff", "updatedAt": '),
    replaced(b":n2", b":n1"),
    replaced(b":n2", b":\\u006e1"),
    replaced(b'"updatedAt": ', b'"updatedAt": NaN, "x": '),
    replaced(b'"updatedAt": ', b'"updatedAt": 1e400, "x": '),
    replaced(b'"updatedAt": ', b'"updatedAt": ' + b"9" * 5000 + b', "x": '),
    replaced(b'"updatedAt": ', b'"model": 1e400, "updatedAt": '),
    replaced(b'"updatedAt": ', b'"label": "\\ud800", "updatedAt": '),
    replaced(b'"updatedAt": ', b'"origin": ' + b"[" * 3000 + b"]" * 3000 + b', "updatedAt": '),
    replaced(b"{", b'{"list": [], "text": "x", "null": null, '),
)


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_somebody_has_spoilt_is_said_of_a_large_store_too(
    store: Store, spoil: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    several_agents(store)
    store.index().write_bytes(spoil(store.index().read_bytes()))
    for words in (("--json",), ("--json", "--agent", "project-lead"), ("--json", "--limit", "2")):
        large, any_other = answers(store, monkeypatch, *words)
        assert large == any_other


@pytest.mark.parametrize("words", [(), ("--sort", "key"), ("--reverse",), ("--match", "*n1*"), ("--older-than", "2h")])
def test_a_session_is_made_of_those_rows_alone_that_are_shown(
    store: Store, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def session(agent: str, real: Callable[[str], str], key: str, values: Any) -> Any:
        made.append(key)
        return entries.session(agent, real, key, values)

    one_agent(store)
    monkeypatch.setattr(document, "LARGE", 0)
    monkeypatch.setattr(glance, "session", session)
    with handed(Still(MOMENT)):
        said = run(ListSessions, "--agent", "project-lead", "--limit", "3", "--json", *words, state=store.state).stdout
    shown = [row["key"] for row in json.loads(said)["sessions"]]
    assert len(shown) == 3
    assert sorted(made) == sorted(shown)


@pytest.mark.parametrize(("spoil", "scanned"), [(bytes, 0), (replaced(b"{", b'{"list": [], '), 1)])
def test_a_large_file_for_all_agents_is_taken_apart_once(
    store: Store, spoil: Callable[[bytes], bytes], scanned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_file_for_all(store)
    index = store.state / "all.json"
    index.write_bytes(spoil(index.read_bytes()))
    read, parse = mock.Mock(side_effect=glance.read_index), mock.Mock(side_effect=glance.parse)
    monkeypatch.setattr(document, "LARGE", 0)
    monkeypatch.setattr(glance, "read_index", read)
    monkeypatch.setattr(glance, "parse", parse)
    assert run(ListSessions, state=store.state).code == 0
    assert (read.call_count, parse.call_count) == (1, scanned)


def test_a_row_that_is_nested_too_deep_to_be_shown_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one_agent(store)
    monkeypatch.setattr(document, "LARGE", 0)
    monkeypatch.setattr(quickscan, "picked", mock.Mock(side_effect=RecursionError))
    answer = listed(store)
    assert (answer.code, answer.data["error"]["name"]) == (3, "corrupt_store")
    assert answer.data["error"]["message"].endswith("sessions.json is nested deeper than it can be checked")


def test_an_entry_that_is_nested_too_deep_says_nothing_of_itself() -> None:
    """From Python 3.14 on what finds the entries follows deeper than what reads one of them."""
    deep = b'{"label": "x", "d": ' + b"[" * 3_000_000 + b"]" * 3_000_000 + b"}"
    for count in (1, 5000):
        found = details.read([("deep", deep), ("other", b'{"label": "y"}')], count)
        assert (found["deep"].label, found["other"].label) == (None, "y")


def test_what_was_glanced_at_is_there_as_it_was_read(store: Store) -> None:
    one_agent(store)
    home = Home(str(store.state), "--state-dir", {})
    found, whole = Glance(home, "project-lead"), FileStore(home, "project-lead")
    assert found.read().sessions == whole.read().sessions
    assert list(found.sessions()) == list(whole.sessions())
    for key in (LEAD + "n1", LEAD + "pinned", "none"):
        assert found.value_bytes(key) == whole.value_bytes(key)
        assert found.details([key]) == whole.details([key])


def test_what_has_changed_since_it_was_glanced_at_is_there_as_it_is_now(store: Store) -> None:
    one_agent(store)
    found = Glance(Home(str(store.state), "--state-dir", {}), "project-lead")
    found.read()
    store.write({LEAD + "new": entry("new", 0)})
    assert list(found.read().sessions) == [LEAD + "new"]
    assert (found.value_bytes(LEAD + "n1"), list(found.details([LEAD + "n1", LEAD + "new"]))) == (None, [LEAD + "new"])


@pytest.mark.parametrize("kind", [FileStore, Glance])
def test_a_transcript_that_has_gone_since_its_folder_was_listed_has_no_size(
    store: Store, kind: type[FileStore]
) -> None:
    one_agent(store)
    found = kind(Home(str(store.state), "--state-dir", {}), "project-lead")
    snapshot = found.read()
    (store.folder() / f"{session_id('n2')}.jsonl").unlink()
    companion = (store.folder() / f"{session_id('n2')}.trajectory.jsonl").stat().st_size
    one = snapshot.sessions[LEAD + "n2"]
    assert found.sizes([one], snapshot) == {LEAD + "n2": companion}
