"""The first line of each plan and result says how many bytes are put away, freed and brought back; so does JSON."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import amounts, durations
from session_closer.core.amounts import Amount
from session_closer.core.durable import Move
from session_closer.core.model import PlannedRow, Traits
from session_closer.core.report import Outcome, Remainder
from session_closer.core.results import Results
from session_closer.core.status import Status
from session_closer.operations import weights
from session_closer.ports.readable import Readable
from support.commands import Answer, close, restore, run, run_json, undo
from support.keys import LEAD, session_id
from support.moments import BORN, DAY
from support.stores import Stage, Store

KELLY, TOPICS = "kelly-dashboard", "topics"
LONG_AGO = BORN - 27 * DAY * 1000
NOTHING = {"count": 0, "bytes": 0}


def live_bytes(store: Store, *tails: str) -> int:
    """Return the bytes of all live files of these sessions, each file once."""
    entries = store.entries()
    owners = {entries[LEAD + tail]["sessionId"] for tail in tails}
    owners |= {os.path.basename(entries[LEAD + tail].get("sessionFile", "-"))[:36] for tail in tails}
    files = [name for name in store.names() if name[:36] in owners and ".deleted." not in name]
    return sum((store.folder() / name).stat().st_size for name in files)


def sums(answer: Answer) -> tuple[Any, ...]:
    return tuple(answer.data[name] for name in ("putAway", "freed", "broughtBack"))


def first_line(command: Any, *words: str, state: Any) -> str:
    return run(command, *words, state=state).stdout.partition("\n")[0]


@pytest.mark.parametrize("life", ["down", "up"])
def test_the_plan_and_the_result_say_the_bytes_of_all_files_that_go(stage: Stage, life: str) -> None:
    store = stage(life)
    size = live_bytes(store, KELLY, f"project-{KELLY}", TOPICS)
    said, words = durations.spelled_size(size), (KELLY, TOPICS)
    plan = first_line(CloseProjectBatch, "--dry-run", *words, state=store.state)
    assert plan == f"dry run, nothing changed: 3 would close, 11 kept; would put away {said}, would free 0 B now"
    away = ({"count": 3, "bytes": size}, NOTHING, NOTHING)
    assert sums(run_json(CloseProjectBatch, "--dry-run", *words, state=store.state)) == away
    answer = close(store, *words)
    assert (answer.code, sums(answer)) == (0, away)
    back = (NOTHING, NOTHING, {"count": 3, "bytes": size})
    assert sums(restore(store, "last", "--dry-run")) == back
    assert sums(restore(store, "last", "--no-restart")) == back
    done = first_line(CloseProjectBatch, *words, state=store.state)
    assert done == f"3 closed, 11 kept; put away {said}, freed 0 B now"
    undone = first_line(RestoreSessions, "last", "--no-restart", state=store.state)
    assert undone == f"3 restored; brought back {said}"


def test_a_plan_that_is_refused_says_what_it_would_come_to(store: Store) -> None:
    size = live_bytes(store, KELLY, f"project-{KELLY}", TOPICS)
    said = first_line(CloseProjectBatch, "--max", "2", KELLY, TOPICS, state=store.state)
    spelled = durations.spelled_size(size)
    assert said == f"nothing changed: 3 would close, 11 kept; would put away {spelled}, would free 0 B now"
    assert run_json(CloseProjectBatch, "--max", "2", KELLY, TOPICS, state=store.state).data["putAway"]["bytes"] == size


def test_a_file_that_sessions_share_counts_once_and_one_that_stays_not_at_all(store: Store) -> None:
    one = live_bytes(store, "alpha")
    assert one == live_bytes(store, "alpha-review") == live_bytes(store, "alpha", "alpha-review") > 0
    for words in (["--dry-run"], []):
        stays = run_json(CloseProjectBatch, *words, "alpha", state=store.state)
        assert stays.data["putAway"] == {"count": 1, "bytes": 0}
    assert restore(store, "last").data["broughtBack"] == {"count": 1, "bytes": 0}
    for words in (["--dry-run"], []):
        both = run_json(CloseProjectBatch, *words, "alpha", "alpha-review", state=store.state)
        assert both.data["putAway"] == {"count": 2, "bytes": one}
    assert restore(store, "last").data["broughtBack"] == {"count": 2, "bytes": one}


def test_only_what_was_closed_counts(store: Store) -> None:
    store.lock_transcript(LEAD + KELLY)
    size = live_bytes(store, TOPICS)
    answer = close(store, LEAD + KELLY, "main", TOPICS)
    assert dict(answer.rows) == {LEAD + KELLY: "refused", LEAD + "main": "refused", LEAD + TOPICS: "closed"}
    assert sums(answer) == ({"count": 1, "bytes": size}, NOTHING, NOTHING)


@pytest.mark.parametrize("words", [["nowhere"], ["main"], [KELLY, "--self", LEAD + KELLY, "--dry-run"]])
def test_where_nothing_goes_at_once_no_bytes_are_said(store: Store, words: list[str]) -> None:
    close(store, f"project-{KELLY}")
    line = first_line(CloseProjectBatch, *words, state=store.state)
    assert line.endswith(" kept"), line
    assert sums(run_json(CloseProjectBatch, *words, state=store.state)) == (NOTHING, NOTHING, NOTHING)


def test_several_stores_and_undos_are_one_sum(store: Store) -> None:
    words = (TOPICS, "agent:researcher:kelly-dashboard", "agent:main:hydration-tracker")
    elsewhere = [
        store.entries(agent)[key]["sessionFile"] for agent, key in (("researcher", words[1]), ("main", words[2]))
    ]
    size = live_bytes(store, TOPICS) + sum(os.stat(path).st_size for path in elsewhere)
    assert close(store, *words).data["putAway"] == {"count": 3, "bytes": size}
    more = live_bytes(store, KELLY)
    close(store, LEAD + KELLY)
    line = first_line(RestoreSessions, "--since", "1h", "--dry-run", state=store.state)
    spelled = durations.spelled_size(size + more)
    assert line == f"dry run, nothing changed: 2 runs: 4 would restore; would bring back {spelled}"
    assert restore(store, "--since", "1h").data["broughtBack"] == {"count": 4, "bytes": size + more}


def test_an_undo_of_an_undo_puts_away_again(store: Store) -> None:
    size = live_bytes(store, TOPICS)
    close(store, TOPICS)
    again = undo(store, restore(store, "last"))
    assert (again.rows, sums(again)) == (
        [(LEAD + TOPICS, "closed")],
        ({"count": 1, "bytes": size}, NOTHING, NOTHING),
    )


def test_what_nothing_stays_of_is_said_by_every_command_in_the_same_words(store: Store) -> None:
    words = [key for key in store.listed() if not key.endswith(":main")]
    line = first_line(KeepOnlySessions, "--dry-run", *words, "main", state=store.state)
    assert line == "nothing to close"
    line = first_line(KeepOnlySessions, "--dry-run", *words[1:], "main", state=store.state)
    assert re.fullmatch(
        r"dry run, nothing changed: 1 would close, 13 kept; would put away [\d.]+ K?B, would free 0 B now", line
    )


def test_a_table_of_results_has_heads_as_lists_have(store: Store) -> None:
    lines = run(CloseProjectBatch, TOPICS, "main", state=store.state).stdout.splitlines()[1:4]
    assert [line.split()[0] for line in lines] == ["STATUS", "refused", "closed"]
    assert lines[0].split() == ["STATUS", "KEY", "NOTE"]
    assert {line.index(cell) for line, cell in zip(lines, ("KEY", LEAD, LEAD), strict=True)} == {len("  refused  ")}
    assert lines[0].index("NOTE") == lines[1].index("main: a main session") == lines[2].index("1 file archived")
    kept = run(CloseProjectBatch, "hydration-tracker", "--older-than", "3650d", state=store.state)
    short = kept.stdout.splitlines()[1:3]
    assert [line.split()[0] for line in short] == ["STATUS", "kept"]
    assert short[0].index("KEY") == short[1].index("agent:")
    undone = run(RestoreSessions, "last", state=store.state).stdout.splitlines()
    assert undone[1:3] == ["  STATUS    KEY", f"  restored  {LEAD}{TOPICS}"]


def test_a_cleanup_says_what_is_freed_for_good(store: Store) -> None:
    orphan, dropped = session_id("nobody's"), store.transcript("old.jsonl.deleted.2016-11-21T00-00-00.000Z")
    left = store.transcript(f"{orphan}.jsonl")
    os.utime(left, (0, 0))
    freed = dropped.stat().st_size
    rules = (
        "--only",
        "orphans,expire-archives",
        "--orphans",
        "1d",
        "--expire-archives",
        "3650d",
        "--agent",
        "project-lead",
    )
    expected = ({"count": 1, "bytes": left.stat().st_size}, {"count": 1, "bytes": freed}, NOTHING)
    assert sums(run_json(CleanupSessions, *rules, "--dry-run", state=store.state)) == expected
    plan = run(CleanupSessions, *rules, "--dry-run", state=store.state).stdout.splitlines()[1]
    assert plan.endswith(f"; would put away {left.stat().st_size} B, would free {freed} B now")
    done = run(CleanupSessions, *rules, state=store.state).stdout.splitlines()[1]
    assert done.endswith(f"; put away {expected[0]['bytes']} B, freed {freed} B now")


OLDER = ("--only", "stale", "--stale", "subagent=20d", "--agent", "project-lead")


def test_a_cleanup_weighs_only_those_of_a_sessions_files_that_go(store: Store) -> None:
    key = LEAD + "subagent:borrower"
    own = store.transcript(f"{session_id(key)}.jsonl")
    shared = store.entries()[LEAD + KELLY]["sessionFile"]
    store.add((key, {"sessionId": session_id(key), "sessionFile": shared, "updatedAt": LONG_AGO}))
    for path in (own, shared):
        os.utime(path, (0, 0))
    expected = {"count": 1, "bytes": own.stat().st_size}
    for words in (["--dry-run"], []):
        answer = run_json(CleanupSessions, *OLDER, *words, state=store.state)
        assert answer.data["putAway"] == expected
        assert shared in answer.data["results"][0]["left"]


def test_a_cleanup_weighs_a_file_of_two_sessions_once(store: Store) -> None:
    shared = store.transcript(f"{session_id('one')}.jsonl")
    os.utime(shared, (0, 0))
    size = shared.stat().st_size
    row = {"sessionFile": str(shared), "updatedAt": LONG_AGO}
    store.add(*((f"{LEAD}subagent:{one}", {"sessionId": session_id(one), **row}) for one in ("one", "two")))
    for words in (["--dry-run"], []):
        answer = run_json(CleanupSessions, *OLDER, *words, state=store.state)
        assert answer.data["putAway"] == {"count": 2, "bytes": size}


def test_a_file_that_was_gone_before_it_could_be_put_away_does_not_count() -> None:
    stamp = ".deleted.2016-11-21T00-00-00.000Z"
    moves = [Move(name, name + stamp, size) for name, size in (("a.jsonl", 5), ("a.trajectory.jsonl", 7))]
    results = Results()
    results.archives["a"] = ["a.jsonl" + stamp]
    assert results.put_away("a", moves, set()) == 5


def test_a_file_that_has_gone_since_the_look_weighs_nothing(tmp_path: Path) -> None:
    (tmp_path / "here.jsonl").write_text("12345")
    weigh = weights.planned({"lead": cast("Readable", SimpleNamespace(folder=str(tmp_path), traits=Traits()))}, {})
    moves = tuple(Move(name, f"{name}.deleted") for name in ("here.jsonl", "gone.jsonl"))
    assert weigh(PlannedRow("a", "lead", LEAD + "a", Status.WOULD_CLOSE, moves=moves)) == 5


def test_one_size_that_is_not_known_leaves_the_sum_unknown() -> None:
    rows = [Outcome("", "", key, Status.ARCHIVED, size=size) for key, size in (("a", 5), ("b", None))]
    assert amounts.of(rows) == (Amount(2, None), Amount(), Amount())
    assert amounts.of(rows[:1]).put_away == (1, 5)


def test_what_is_counted_alone_is_in_the_sum() -> None:
    rows = [Outcome("", "", "a", Status.RESTORED, size=5)]
    assert amounts.of(rows, [Remainder(Status.RESTORED, 3, 10)]).back == Amount(4, 15)
    assert amounts.of(rows, [Remainder(Status.RESTORED, 3, None)]).back == Amount(4, None)
    assert amounts.of(rows, [Remainder(Status.CLOSED, 1, 2)]) == (Amount(1, 2), Amount(), Amount(1, 5))
