"""Whatever list-sessions shows, close-project takes, as it is shown; a key is one session, however alike others are."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.stores import Stage, Store
from support.trees import tree

ROOM = "matrix:channel:!roomabc:example.org"
LOWER, MIXED = LEAD + ROOM, LEAD + ROOM.replace("room", "Room")
GROUP = [LEAD + "signal:group:" + tail for tail in ("VkQ3Rm9v==", "vkq3rm9v==")]


def add(store: Store, *keys: str) -> None:
    store.add(*((key, store.session(key)) for key in keys))


@pytest.mark.parametrize("key", [LOWER, MIXED, *GROUP])
def test_of_rooms_that_differ_by_case_the_one_that_is_named_closes_and_comes_back(store: Store, key: str) -> None:
    add(store, LOWER, MIXED, *GROUP)
    before, entries = {name: what[2] for name, what in tree(store.folder()).items()}, store.entries()
    answer = run_json(CloseProject, key, state=store.state)
    assert (answer.code, answer.rows) == (0, [(key, "closed")])
    assert store.entries() == {other: row for other, row in entries.items() if other != key}
    assert run_json(CloseProject, key, state=store.state).rows == [(key, "already_closed")]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    left = {name: what[2] for name, what in tree(store.folder()).items() if ".json.bak-" not in name}
    assert left == before


def test_a_batch_closes_all_that_are_named(store: Store) -> None:
    add(store, LOWER, MIXED, *GROUP)
    assert run_json(CloseProjectBatch, LOWER, MIXED, *GROUP, state=store.state).code == 0
    assert not {LOWER, MIXED, *GROUP} & {*store.listed()}


def test_keep_only_keeps_the_room_that_is_named_and_closes_the_other(store: Store) -> None:
    add(store, LOWER, MIXED)
    assert run_json(KeepOnlySessions, MIXED, state=store.state).code == 0
    assert set(store.listed()) == {LEAD + "main", MIXED}


def test_a_running_gateway_of_the_file_era_is_not_asked_for_one_of_two(stage: Stage, stub: StubGateway) -> None:
    store = stage("up")
    add(store, LOWER, MIXED)
    answer = run_json(CloseProject, LOWER, state=store.state)
    assert (answer.code, answer.data["results"][0]["route"]) == (0, "files")
    assert MIXED in store.listed()
    assert stub.calls("sessions.delete") == []


def test_a_policy_takes_them_as_it_takes_others(store: Store) -> None:
    twins = [LEAD + "subagent:Twin", LEAD + "subagent:twin"]
    store.add(*((key, {"sessionId": f"t{at}", "updatedAt": 10**12}) for at, key in enumerate(twins)))
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", state=store.state)
    assert {*twins} <= {row["key"] for row in answer.data["results"] if row["status"] == "closed"}
    assert "ambiguous" not in answer.data["stores"][0]["spared"]


ODD = ["a/b", "-x", "..", "C:\\chats\\1", "!abc", "two words", "it's", "new\nline", "esc\x1b[31m", "k" * 129, "k" * 600,
       "agent:Upper:x", "agent:researcher:foreign", "agent::x", "Kelly", "$HOME`id`"]  # fmt: skip


def shown_keys(store: Store) -> list[str]:
    """Return the words that a shell reads where a list shows keys."""
    _, head, *lines = run(ListSessions, "--agent", "project-lead", state=store.state).stdout.splitlines()
    shown = (line[head.index("KEY") :].removesuffix(" (agent project-lead)") for line in lines)
    heard = subprocess.run(["bash", "-c", f"printf '%s\\0' {' '.join(shown)}"], check=True, capture_output=True)
    return heard.stdout.decode().removesuffix("\0").split("\0")


@pytest.mark.parametrize("key", ODD, ids=lambda key: ascii(key[:20]))
def test_what_is_listed_can_be_closed_as_it_is_listed(store: Store, key: str) -> None:
    add(store, key, LEAD + "kelly", "kelly")
    (word,) = (word for word in shown_keys(store) if word == key)
    entries = store.entries()
    words = ("--agent", "project-lead", "--", word)
    answer = run_json(CloseProject, *words, state=store.state)
    assert (answer.code, answer.rows) == (0, [(key, "closed")])
    assert store.entries() == {other: row for other, row in entries.items() if other != key}
    assert run_json(CloseProject, *words, state=store.state).rows == [(key, "already_closed")]
    assert run_json(RestoreSessions, "--", "last", key, state=store.state).code == 0
    assert store.entries()[key] == entries[key]


@pytest.mark.parametrize(
    "word", [".", "..", "a/b", "a\\b", "a\nb", "a\x1b[31m", "x" * 129, "agent:", "agent:a:", "agent::b", "agent:a",
             "agent:Upper:x"],
)  # fmt: skip
@pytest.mark.parametrize("command", [CloseProject, KeepOnlySessions])
def test_what_no_session_is_called_is_a_slip_of_the_pen(
    store: Store, word: str, command: type[CloseProject | KeepOnlySessions]
) -> None:
    before = tree(store.state)
    for words in ((word,), (word, "--missing-ok")) if command is CloseProject else ((word,),):
        result = run(command, *words, state=store.state)
        assert result.code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    assert tree(store.state) == before


def test_a_key_of_another_agent_than_asked_for_is_a_slip_unless_it_is_there(store: Store) -> None:
    foreign = "agent:researcher:astray"
    words = ("--agent", "project-lead", foreign)
    answer = run_json(CloseProject, *words, state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    add(store, foreign)
    assert run_json(CloseProject, *words, state=store.state).rows == [(foreign, "closed")]


@pytest.mark.parametrize("key", ["a/b", "x" * 600, "Kelly", LOWER])
def test_the_option_takes_what_the_positional_takes(store: Store, key: str) -> None:
    add(store, key, "kelly", MIXED)
    for status in ("closed", "already_closed"):
        assert run_json(CloseProject, "--session-key", key, state=store.state).rows == [(key, status)]
    assert {"kelly", MIXED} <= {*store.listed()}


@pytest.mark.parametrize("name", ["Kelly Dashboard", "KELLY-DASHBOARD", "kelly_dashboard"])
def test_a_name_in_other_letters_gets_the_same_hint(store: Store, name: str) -> None:
    answer = run_json(CloseProject, name, state=store.state)
    assert answer.data["results"][0]["error"] == "did you mean kelly-dashboard?"


@pytest.mark.parametrize("key", ["agent:PROJECT-LEAD:alpha", "agent:Project-Lead:Alpha"])
def test_a_key_whose_agent_is_in_other_letters_is_of_that_agent(store: Store, key: str) -> None:
    answer = run_json(CloseProject, key, state=store.state)
    error = answer.data["results"][0]["error"]
    assert error.startswith("did you mean ")
    assert "agent:project-lead:alpha" in error


def test_a_key_in_a_table_and_in_a_hint_is_for_a_shell(store: Store) -> None:
    add(store, LOWER)
    said = run(CloseProject, ROOM, "--dry-run", state=store.state).stdout
    assert shlex.quote(LOWER) in said
    hint = run_json(CloseProject, ROOM.upper(), state=store.state).data["results"][0]["error"]
    assert hint == f"did you mean {shlex.quote(LOWER)}?"
    assert json.dumps(hint).isprintable()
