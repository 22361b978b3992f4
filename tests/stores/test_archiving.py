"""Sessions in SQLite are put away by archiving: reversible at once; `--delete` and cleanups free their keys."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
from faults.injection import in_child
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import keys
from session_closer.core.policy import DAY, Policy, Rules
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.core.words import Kind
from session_closer.journal import clocks
from session_closer.openclaw.home import Home
from session_closer.openclaw.sqlite import close
from session_closer.operations.close import execute
from session_closer.ports.context import Console
from support.commands import Answer, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.moments import BORN
from support.sqlite import CRON_RUN, Bases, build_sqlite
from support.stores import TOKEN, Store, build

ALPHA, BETA, CHILD, PUT_AWAY = LEAD + "alpha", LEAD + "beta", LEAD + "subagent:2b1c", LEAD + "put-away"
CLOSERS: list[Any] = [CloseProject, CloseProjectBatch]


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """The sample with a subagent in it, and its gateway runs."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    made.add(CHILD)
    stub.serve(made.store.state, TOKEN)
    return made


def tell(bases: Bases, command: Any, *words: str) -> Answer:
    return run_json(command, *words, state=bases.store.state)


def hidden(bases: Bases) -> set[str]:
    return {key for key, row in bases.rows().items() if row["archived_at"] is not None} - {PUT_AWAY}


def free(answer: Answer) -> dict[str, bool | None]:
    return {row["key"]: row["keyFree"] for row in answer.data["results"]}


@pytest.mark.parametrize("command", CLOSERS)
def test_closing_archives_and_is_undone_at_once(bases: Bases, stub: StubGateway, command: Any) -> None:
    rows, events = bases.rows(), bases.events()
    answer = tell(bases, command, "alpha")
    assert (answer.code, answer.rows, free(answer)) == (0, [(ALPHA, "archived")], {ALPHA: False})
    assert (hidden(bases), bases.events()) == ({ALPHA}, events)
    assert not stub.calls("sessions.delete")
    back = tell(bases, RestoreSessions, "last")
    assert (back.code, back.rows) == (0, [(ALPHA, "restored")])
    assert {key: row["archived_at"] for key, row in bases.rows().items()} == {
        key: row["archived_at"] for key, row in rows.items()
    }


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_the_dry_run_says_what_the_run_does(bases: Bases, words: tuple[str, ...]) -> None:
    planned = tell(bases, CloseProjectBatch, "--dry-run", *words, "alpha", "put-away")
    done = tell(bases, CloseProjectBatch, *words, "alpha", "put-away")
    assert planned.code == done.code == 0
    became = {"would_archive": "archived", "would_close": "closed"}
    assert [(key, became.get(status, status)) for key, status in planned.rows] == done.rows
    assert free(planned) == free(done)


def test_what_a_message_to_the_key_does_is_said_and_both_ways_on(bases: Bases) -> None:
    answer = tell(bases, CloseProject, "alpha")
    (row,) = answer.data["results"]
    assert "refused until the session is restored" in row["message"]
    assert "brings it back" in row["message"]
    assert answer.data["undo"].split()[0].endswith("restore-sessions")
    text = run(CloseProject, "beta", state=bases.store.state).stdout
    assert "key      not free: a message to it is refused" in text
    assert "\nundo     " in text
    (line,) = [line for line in text.splitlines() if line.startswith("free     ")]
    assert "--delete" in line


def test_the_command_that_is_printed_frees_the_key(bases: Bases) -> None:
    free_it = shlex.split(tell(bases, CloseProject, "alpha").data["free"])
    assert hidden(bases) == {ALPHA}
    assert free_it[1] == "--delete"
    answer = run_json(CloseProject, *[word for word in free_it[1:] if word != "--json"])
    assert (answer.code, answer.rows, free(answer)) == (0, [(ALPHA, "closed")], {ALPHA: True})
    assert (ALPHA in bases.listed(), answer.data["free"]) == (False, None)


@pytest.mark.parametrize("word", ["--dry-run", "--archive"])
def test_the_command_that_frees_a_key_frees_it_in_any_shell(
    bases: Bases, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Whatever the run said that a deletion contradicts, and though its caller's environment named the place."""
    with monkeypatch.context() as callers:
        callers.setenv("OPENCLAW_STATE_DIR", str(bases.store.state))
        free_it = shlex.split(run_json(CloseProject, word, "alpha").data["free"])
    answer = run_json(CloseProject, *[given for given in free_it[1:] if given != "--json"])
    assert (answer.code, answer.rows) == (0, [(ALPHA, "closed")])
    assert ALPHA not in bases.listed()


def test_the_command_that_frees_a_key_names_the_place_once(bases: Bases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bases.store.state.parent)
    free_it = shlex.split(run_json(CloseProject, f"--state-dir={bases.store.state.name}", "--", "alpha").data["free"])
    assert free_it[1:] == ["--delete", "--state-dir", str(bases.store.state), "--json", "--", "alpha"]


def test_closing_twice_is_fine_whether_the_key_is_free_or_not(bases: Bases) -> None:
    tell(bases, CloseProject, "alpha")
    again = tell(bases, CloseProject, "alpha")
    assert (again.code, again.rows, free(again)) == (0, [(ALPHA, "already_closed")], {ALPHA: False})
    tell(bases, CloseProject, "--delete", "alpha")
    at_last = tell(bases, CloseProject, "alpha")
    assert (at_last.code, at_last.rows, free(at_last)) == (0, [(ALPHA, "already_closed")], {ALPHA: True})


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_in_a_file_store_closing_frees_the_key_with_either_word(
    tmp_path: Path, closed_port: int, words: tuple[str, ...]
) -> None:
    store = build(tmp_path / "files", closed_port)
    answer = run_json(CloseProject, *words, "kelly-dashboard", state=store.state)
    assert answer.code == 0
    assert {row["status"] for row in answer.data["results"]} == {"closed"}
    assert set(free(answer).values()) == {True}
    assert answer.data["free"] is None


@pytest.mark.parametrize("command", [*CLOSERS, KeepOnlySessions])
def test_to_keep_and_to_delete_contradict_each_other(bases: Bases, command: Any) -> None:
    before = bases.rows()
    answer = tell(bases, command, "--archive", "--delete", "alpha")
    assert (answer.code, answer.error, bases.rows()) == (2, "usage", before)


def test_keep_only_archives_and_frees_what_we_have_archived_alone(bases: Bases) -> None:
    everything = bases.listed()
    answer = tell(bases, KeepOnlySessions, "alpha")
    assert {status for _, status in answer.rows} == {"archived"}
    assert bases.listed() == everything
    freed = tell(bases, KeepOnlySessions, "--delete", "alpha")
    assert {status for _, status in freed.rows} == {"closed"}
    assert bases.listed() == {LEAD + "main", ALPHA, PUT_AWAY}


# Cleanups


def clean(
    bases: Bases,
    *,
    days: float = 0,
    archive: bool = False,
    free_for: float | None = None,
    set_ahead: bool = False,
    active: tuple[keys.Target, ...] = (),
    console: Console | None = None,
    **rules: Any,
) -> Report:
    """Clean up as the clock will stand in so many days; `set_ahead`: as it would if somebody set it so now."""
    policy = Policy(MappingProxyType({Kind.CRON_RUN: DAY, Kind.SUBAGENT: DAY}))._replace(**rules)
    now = max(time.time(), BORN / 1000) + days * DAY
    wish = Wish("cleanup-sessions", (), rules=Rules(policy, now, active, archive=archive), among=("project-lead",))
    options = Options(archive=archive, free_for=free_for)
    machine = clocks.uptime()
    later = machine if set_ahead else machine._replace(seconds=machine.seconds + days * DAY)
    with mock.patch.object(clocks, "uptime", return_value=later):
        return execute(Home(str(bases.store.state), "--state-dir", os.environ), wish, options, console=console)


def ended(report: Report) -> dict[str, str]:
    return {row.key: str(row.status) for row in report.results}


STALE = (CRON_RUN, CHILD)


def test_automation_is_freed_and_everybody_elses_is_archived(bases: Bases) -> None:
    stale = dict.fromkeys((Kind.CRON_RUN, Kind.SUBAGENT, Kind.PROJECT), DAY)
    report = clean(bases, days=2, stale=MappingProxyType(stale))
    assert {key: ended(report)[key] for key in (*STALE, ALPHA)} == {
        CRON_RUN: "closed",
        CHILD: "closed",
        ALPHA: "archived",
    }
    assert bases.listed().isdisjoint(STALE)
    assert ALPHA in hidden(bases)


def test_what_is_not_freed_in_time_is_hidden_and_freed_by_the_next_cleanup(bases: Bases) -> None:
    assert ended(clean(bases, days=2, free_for=0.0)) == dict.fromkeys(STALE, "archived")
    assert hidden(bases) == set(STALE)
    report = clean(bases, days=2)
    assert ended(report) == dict.fromkeys(STALE, "closed")
    assert {row.why.action for row in report.results if row.why} == {"free"}
    assert bases.listed().isdisjoint(STALE)


def test_a_cleanup_says_no_longer_time_than_it_frees_for(bases: Bases) -> None:
    for number in range(20):
        bases.add(f"{CRON_RUN}{number}")
    said: list[str] = []
    clean(bases, days=2, free_for=0.0, console=Console(said.append))
    assert [line.partition("; receipt ")[0] for line in said] == [
        "closing 22 of agent project-lead through the gateway"
    ]
    assert "about" not in said[0]
    clean(bases, days=2, console=Console(said.append))
    assert said[1].endswith("; OpenClaw deletes one after the other: about 16 s")


@pytest.mark.long
def test_what_a_cleanup_archived_before_it_was_killed_is_freed_by_the_next_one(
    bases: Bases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the answer of the gateway and the note of it: what is there says whose archive it is."""
    with monkeypatch.context() as killed:
        killed.setattr(close, "_still_idle", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert os.WIFSIGNALED(in_child(lambda: clean(bases, days=2)))
    assert hidden(bases) == set(STALE)
    assert ended(clean(bases, days=2)) == dict.fromkeys(STALE, "closed")
    assert bases.listed().isdisjoint(STALE)


def test_a_session_that_stays_is_freed_by_no_cleanup(bases: Bases) -> None:
    clean(bases, days=2, free_for=0.0)
    target = keys.target(CHILD, None)
    assert ended(clean(bases, days=40, active=(target,), expire_archives=30 * DAY)) == {CRON_RUN: "closed"}
    assert hidden(bases) == {CHILD}


def test_what_somebody_keeps_or_has_archived_is_freed_by_no_cleanup(bases: Bases, stub: StubGateway) -> None:
    assert ended(clean(bases, days=2, archive=True)) == dict.fromkeys(STALE, "archived")
    strange = LEAD + "subagent:3c2d"
    bases.add(strange, archived_at=BORN)
    assert ended(clean(bases, days=2)) == {}
    assert not stub.calls("sessions.delete")


def test_what_was_restored_since_and_archived_again_is_not_ours_to_free(bases: Bases) -> None:
    clean(bases, days=2, free_for=0.0)
    with bases.open("project-lead") as connection:
        connection.execute("update session_nodes set archived_at = archived_at + 1 where session_key = ?", (CHILD,))
    assert ended(clean(bases, days=2)) == {CRON_RUN: "closed"}
    assert hidden(bases) == {CHILD}


def test_archives_of_sessions_expire_if_they_are_ours_and_old_enough(bases: Bases) -> None:
    tell(bases, CloseProjectBatch, "alpha", "beta")
    tell(bases, RestoreSessions, "last", "beta")
    none = MappingProxyType[Kind, float]({})
    assert ended(clean(bases, days=20, stale=none, expire_archives=30 * DAY)) == {}
    report = clean(bases, days=31, stale=none, expire_archives=30 * DAY)
    assert ended(report) == {ALPHA: "closed"}
    assert {row.why.action for row in report.results if row.why} == {"expire-archive"}
    assert BETA in bases.listed()
    assert PUT_AWAY in bases.listed()


@pytest.mark.skipif(not clocks.uptime().boot, reason="this system does not tell how long it has been up")
@pytest.mark.parametrize("stale", [{}, {Kind.SUBAGENT: DAY}])
def test_what_was_archived_a_second_ago_is_not_freed_by_a_clock_that_was_set_ahead(
    bases: Bases, stub: StubGateway, stale: dict[Kind, float]
) -> None:
    tell(bases, CloseProjectBatch, "alpha", CHILD)
    none = MappingProxyType[Kind, float](stale)
    report = clean(bases, days=730, set_ahead=True, stale=none, expire_archives=30 * DAY)
    assert ended(report) == {}
    assert [line for line in report.warnings if "the clock" in line and "2 archived sessions" in line]
    assert not stub.calls("sessions.delete")
    assert hidden(bases) == {ALPHA, CHILD}


def test_the_time_for_freeing_is_given_as_an_age(bases: Bases) -> None:
    answer = tell(bases, CleanupSessions, "--free-for", "soon")
    assert (answer.code, answer.error) == (2, "usage")


@pytest.mark.parametrize("undone", [False, True])
def test_what_somebody_had_archived_is_not_ours_after_a_deletion_that_was_refused(
    bases: Bases, stub: StubGateway, *, undone: bool
) -> None:
    refused = {"message": "This session cannot be deleted while model selection is locked."}
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "error", "error": refused}])
    answer = tell(bases, CloseProject, "--delete", "put-away")
    assert answer.code == 1, answer
    if undone:
        tell(bases, RestoreSessions, "last")
    assert bases.rows()[PUT_AWAY]["archived_at"] is not None
    none = MappingProxyType[Kind, float]({})
    assert ended(clean(bases, days=400, stale=none, expire_archives=30 * DAY)) == {}
    tell(bases, KeepOnlySessions, "--delete", "alpha")
    assert PUT_AWAY in bases.listed()
