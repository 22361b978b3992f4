"""What is said of a name that is not there, and of sessions that go although a policy would spare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw import holders
from support.commands import run, run_json
from support.keys import LEAD
from support.sqlite import Bases
from support.stores import Stage, Store
from support.trees import write

MEANT = "see them with: list-sessions --state-dir {state} --agent main"


def hint(store: Store, *words: str) -> str:
    answer = run_json(CloseProject, *words, state=store.state)
    assert (answer.code, answer.data["results"][0]["status"]) == (1, "not_found")
    return str(answer.data["results"][0]["error"])


# A name that is not there


@pytest.mark.parametrize("name", ["alpha", "agent:main:alpha", "project-alpha"])
def test_the_agent_that_has_it_is_named(store: Store, name: str) -> None:
    store.write({"agent:main:main": store.session("agent:main:main", agent="main")}, "main")
    assert hint(store, "--agent", "main", name) == f"not in agent main; there is {LEAD}alpha"


def test_three_agents_that_have_it_are_named(store: Store) -> None:
    for agent in ("b", "c", "d", "e"):
        key = f"agent:{agent}:project-far"
        store.add((key, store.session(key, agent=agent)), agent=agent)
    # What only speaks of it has none.
    store.add(("agent:a:x", {"sessionId": "x", "spawnedBy": "agent:a:far"}), agent="a")
    found = hint(store, "--agent", "main", "far")
    assert found == "not in agent main; there is " + ", ".join(f"agent:{agent}:project-far" for agent in "bcd")


def test_an_agent_that_has_it_in_a_database_is_named(store: Store) -> None:
    bases = Bases(store)
    bases.store.folder("modern").mkdir(mode=0o700, parents=True)
    bases.create("modern")
    bases.add("agent:modern:far")
    assert hint(store, "--agent", "main", "far") == "not in agent main; there is agent:modern:far"


def test_what_is_near_in_the_agent_itself_comes_first(store: Store) -> None:
    store.add(("agent:main:alpha-review-2", store.session("x", agent="main")), agent="main")
    assert hint(store, "--agent", "main", "alpha-review") == "did you mean agent:main:alpha-review-2?"


@pytest.mark.parametrize(("name", "meant"), [("kel", "kelly-dashboard"), ("never", LEAD + "never-spoken")])
def test_what_begins_like_it_is_near(store: Store, name: str, meant: str) -> None:
    assert hint(store, name) == f"did you mean {meant}?"


def test_no_more_than_three_are_near_the_shortest_first(store: Store) -> None:
    store.write({f"{LEAD}zz{'z' * number}": {"sessionId": "x"} for number in range(5)})
    assert hint(store, "z") == f"did you mean {LEAD}zz, {LEAD}zzz, {LEAD}zzzz?"


def test_where_nobody_has_it_there_is_a_way_to_see_what_there_is(store: Store) -> None:
    assert hint(store, "--agent", "main", "quite-another") == f"not in agent main; {MEANT.format(state=store.state)}"
    answer = run_json(KeepOnlySessions, "--agent", "main", "quite-another", state=store.state)
    assert answer.data["results"][0]["error"] == f"not in agent main; {MEANT.format(state=store.state)}"


@pytest.mark.parametrize("how", ["cut off", "large"])
def test_a_store_that_is_large_or_cannot_be_read_is_passed_over(
    store: Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = store.index().read_bytes()
    if how == "large":
        monkeypatch.setattr(holders, "SEARCHED_BYTES", len(raw) - 1)
    else:
        write(store.index(), raw[:-1])
    assert hint(store, "--agent", "main", "alpha") == f"not in agent main; {MEANT.format(state=store.state)}"


# Sessions that a policy would spare


def fill(store: Store) -> None:
    store.add(
        *(
            (LEAD + tail, store.session(LEAD + tail, **more))
            for tail, more in (
                ("telegram:direct:1", {}),
                ("whatsapp:direct:2", {"pinnedAt": 1}),
                ("pinned", {"pinnedAt": 1}),
            )
        )
    )


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
@pytest.mark.parametrize("life", ["down", "up"])
def test_keep_only_says_once_which_of_those_that_go_are_durable_or_pinned(
    stage: Stage, life: str, dry: tuple[str, ...]
) -> None:
    store = stage(life)
    fill(store)
    answer = run_json(KeepOnlySessions, "--agent", "project-lead", "alpha", *dry, state=store.state)
    among = [warning for warning in answer.data["warnings"] if warning.startswith("among them")]
    assert among == ["among them: 1 pinned, 2 direct, 1 group, 1 cron"]


def test_keep_only_does_not_count_what_stays(store: Store) -> None:
    fill(store)
    store.lock_transcript(LEAD + "pinned")
    names = ("telegram:direct:1", "whatsapp:direct:2", "telegram:group:-1001234", "cron:nightly")
    answer = run_json(KeepOnlySessions, "--agent", "project-lead", *names, state=store.state)
    assert LEAD + "pinned" in store.entries()
    assert not [warning for warning in answer.data["warnings"] if "among them" in warning]


def test_of_named_sessions_those_that_are_pinned_are_said(store: Store) -> None:
    fill(store)
    names = ("pinned", "telegram:direct:1", "cron:nightly", "alpha", "nowhere")
    for dry in (("--dry-run",), ()):
        answer = run_json(CloseProjectBatch, *names, *dry, state=store.state)
        said = [warning for warning in answer.data["warnings"] if "used by another" not in warning]
        assert said == [f'"{LEAD}pinned" is pinned']


def test_a_policy_takes_none_of_them_and_says_nothing(store: Store) -> None:
    fill(store)
    answer = run_json(CleanupSessions, "--stale", "project=1h,other=1h,subagent=1h", state=store.state)
    assert answer.data["results"]
    assert not [warning for warning in answer.data["warnings"] if "pinned" in warning or "among" in warning]


# Left over from a crash


def listed(store: Store, *words: str) -> list[str]:
    return run(ListSessions, "--agent", "main", *words, state=store.state).stdout.splitlines()


@pytest.mark.parametrize(("life", "shown"), [("down", "running?"), ("unknown", "running"), ("up", "running?")])
def test_a_status_that_nothing_stands_behind_is_in_doubt(stage: Stage, life: str, shown: str) -> None:
    store = stage(life)
    key = "agent:main:crashed"
    store.add((key, store.session(key, agent="main", status="running")), agent="main")
    [line] = [line for line in listed(store) if key in line]
    assert line.split()[2] == shown
    assert line.split()[4] == ("running" if life == "unknown" else "-")
    answer: Any = run_json(ListSessions, "--agent", "main", state=store.state)
    [row] = [row for row in answer.data["sessions"] if row["key"] == key]
    assert (row["status"], row["running"]) == ("running", life == "unknown")


def test_a_run_in_flight_is_not_in_doubt(store: Store) -> None:
    key = "agent:main:busy"
    store.add((key, store.session(key, agent="main", status="running")), agent="main")
    store.lock_transcript(key, "main")
    [line] = [line for line in listed(store) if key in line]
    assert line.split()[2:5:2] == ["running", "running"]


# The next command, for the same place


@pytest.mark.parametrize(
    ("command", "words", "next_command"),
    [
        (RestoreSessions, ("20201121T064003.544Z-c21858e1",), "restore-sessions {place} --list"),
        (RestoreSessions, ("last",), "restore-sessions {place} --list"),
        (RestoreSessions, ("--show", "last"), "restore-sessions {place} --list"),
        (RestoreSessions, (LEAD + "a b",), f"restore-sessions {{place}} --since 30d '{LEAD}a b'"),
        (RestoreSessions, ("0123456789ab",), "if --found has shown it: restore-sessions {place} found:0123456789ab"),
        (RestoreSessions, ("found:0123456789ab",), "restore-sessions {place} --found"),
        (
            RestoreSessions,
            (),
            "undo the last: restore-sessions {place} last; see all: restore-sessions {place} --list",
        ),
        (RestoreSessions, ("--list", "last"), "restore-sessions {place} --list"),
        (RestoreSessions, ("last", "--as", "x"), "restore-sessions {place} found:ID --as KEY"),
        (ExportSessions, ("--output", "{there}", "--from", "last"), "restore-sessions {place} --list"),
    ],
)
def test_the_next_command_is_for_the_state_directory_that_was_named(
    store: Store, tmp_path: Path, command: type[Command], words: tuple[str, ...], next_command: str
) -> None:
    words = tuple(word.format(there=tmp_path / "there") for word in words)
    answer = run_json(command, *words, state=store.state)
    assert answer.data["error"]["remedy"] == next_command.format(place=f"--state-dir {store.state}")


@pytest.mark.parametrize("runtime", ["hermes", "nanoclaw"])
def test_what_is_told_to_clean_up_does_so_in_the_home_that_was_named(tmp_path: Path, runtime: str) -> None:
    answer = run_json(CloseProject, "--runtime", runtime, "--home", str(tmp_path), "x", state=None)
    named = f"what they left is put away with: cleanup-sessions --runtime {runtime} --home {tmp_path}"
    assert (answer.code, answer.data["error"]["remedy"]) == (2, named)


def test_a_place_that_is_itself_wrong_is_in_no_hint(tmp_path: Path) -> None:
    answer = run_json(RestoreSessions, "--token-file", str(tmp_path / "none"), state=tmp_path)
    assert (answer.code, answer.data["error"]["name"]) == (2, "usage")


DELETED = "11e56819-17c2-542b-a632-561d114e2c13"


def test_a_session_whose_archive_is_there_is_found_by_the_command_that_is_named(store: Store) -> None:
    """What somebody else has deleted is in no list, and no receipt of ours knows of it."""
    archive = store.folder() / f"{DELETED}.jsonl.deleted.2016-01-01T00-00-00.000Z"
    write(archive, '{"type": "session"}\n')
    found = f"restore-sessions --state-dir {store.state} --found {DELETED[:8]}"
    assert hint(store, DELETED[:8]) == f"not in agent project-lead; there is an archive of that name: {found}"
    [shown] = run_json(RestoreSessions, "--found", DELETED[:8], state=store.state).data["found"]
    assert shown["archive"] == str(archive)


@pytest.mark.parametrize("name", ["deleted", "jsonl", "2016", "e"])
def test_a_word_that_stands_in_each_archive_is_no_name_of_one(store: Store, name: str) -> None:
    write(store.folder() / f"{DELETED}.jsonl.deleted.2016-01-01T00-00-00.000Z", '{"type": "session"}\n')
    assert "there is an archive of that name" not in hint(store, name)


def test_where_something_was_deleted_a_name_that_nobody_has_may_be_its(store: Store) -> None:
    assert run_json(CloseProject, "alpha", state=store.state).code == 0
    found = f"restore-sessions --state-dir {store.state} --found quite-another"
    seen = f"list-sessions --state-dir {store.state} --agent project-lead"
    assert (
        hint(store, "quite-another") == f"not in agent project-lead; see them with: {seen}; what was deleted: {found}"
    )
