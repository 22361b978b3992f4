"""cleanup-sessions over session databases: the gateway takes the rows, the files are only told of."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names
from session_closer.operations import by_store
from support.cleanup import summary
from support.commands import Answer, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD, RESEARCHER
from support.restore import ALPHA
from support.rows import picture
from support.sqlite import CRON_RUN, Bases, build_sqlite, database
from support.stores import TOKEN, Store
from support.trees import tree, write

CHILD, READER_RUN = LEAD + "subagent:old", RESEARCHER + "cron:weekly:run:1"
YOUNG, PINNED, NEVER = LEAD + "cron:nightly:run:young", LEAD + "subagent:pinned", LEAD + "subagent:no-time"
STALE = {CRON_RUN, CHILD, READER_RUN}
DAY = 86400.0


def fill(store: Store) -> Bases:
    """Add stale rows, a young one, a pinned one, one without a time; all else was used a moment ago."""
    bases = build_sqlite(store)
    for key in (CHILD, READER_RUN, YOUNG, NEVER):
        bases.add(key)
    bases.add(PINNED, pinned_at=1)
    for agent in ("project-lead", "researcher"):
        for key in bases.listed(agent):
            days = 2 if key in {*STALE, PINNED} or not key.startswith("agent:") else 0.5
            aged(bases, key, 0 if key == NEVER else days, agent)
    return bases


def aged(bases: Bases, key: str, days: float, agent: str = "project-lead") -> None:
    moment = int((time.time() - days * DAY) * 1000) if days else 0
    with bases.open(agent) as connection:
        connection.execute("update session_nodes set updated_at = ? where session_key = ?", (moment, key))


@pytest.fixture(autouse=True, params=["a plan of all", "store by store"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a cleanup of several agents done both ways: it does and says the same."""
    if request.param == "store by store":
        monkeypatch.setattr(by_store, "MOST", 0)


@pytest.fixture
def down(tmp_path: Path, closed_port: int) -> Bases:
    return fill(Store(tmp_path / "state", closed_port))


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    made = fill(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


def clean(bases: Bases, *words: str) -> Answer:
    return run_json(CleanupSessions, *words, state=bases.store.state)


def done(answer: Answer, status: str = "closed") -> set[str]:
    assert {row["status"] for row in answer.data["results"]} <= {status}
    return {row["key"] or row["input"] for row in answer.data["results"]}


def keys(bases: Bases) -> set[str]:
    return bases.listed() | bases.listed("researcher")


def test_the_default_policy_takes_what_is_stale_through_the_gateway(bases: Bases, stub: StubGateway) -> None:
    before = keys(bases)
    planned = clean(bases, "--dry-run")
    assert (planned.code, done(planned, "would_close"), keys(bases)) == (0, STALE, before)
    assert all(row["bytes"] > 0 for row in planned.data["results"])
    answer = clean(bases)
    assert (answer.code, done(answer)) == (0, STALE)
    assert before - keys(bases) == STALE
    assert {call["key"] for call in stub.calls("sessions.delete")} == STALE
    assert {row["route"] for row in answer.data["results"]} == {"gateway"}
    assert summary(answer)["spared"] == {"pinned": 1, "unknown-age": 1}
    assert (summary(answer)["pruned"], summary(answer)["applied"], summary(answer)["era"]) == (2, True, "sqlite")
    assert all(row["bytes"] > 0 for row in answer.data["results"])
    again = clean(bases)
    assert (again.code, again.data["results"], again.data["receipt"]) == (0, [], None)


def test_what_runs_stays(bases: Bases, stub: StubGateway) -> None:
    stub.tell(active=[CHILD])
    answer = clean(bases)
    assert done(answer) == STALE - {CHILD}
    assert summary(answer)["spared"]["running"] == 1


def test_archived_sessions_stay_and_the_way_back_is_one_command(bases: Bases) -> None:
    before = keys(bases)
    answer = clean(bases, "--archive")
    assert (answer.code, done(answer, "archived"), keys(bases)) == (0, STALE, before)
    assert all(bases.rows(key.split(":")[1])[key]["archived_at"] is not None for key in STALE)
    assert clean(bases, "--archive").data["results"] == []
    back = run_json(RestoreSessions, "last", state=bases.store.state)
    assert (back.code, done(back, "restored")) == (0, STALE)
    assert all(bases.rows(key.split(":")[1])[key]["archived_at"] is None for key in STALE)


def test_what_is_archived_comes_back_also_where_nothing_imports_what_was_deleted_beside_it(
    bases: Bases, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(bases, ALPHA, 40)
    closed = clean(bases, "--stale", "project=30d,cron-run=24h", "--agent", "project-lead")
    assert {row["key"]: row["status"] for row in closed.data["results"]} == {ALPHA: "archived", CRON_RUN: "closed"}
    monkeypatch.setenv("PATH", os.defpath)
    back = run_json(RestoreSessions, "last", state=bases.store.state)
    assert (back.code, back.rows) == (1, [(ALPHA, "restored"), (CRON_RUN, "failed")])
    assert stub.calls("sessions.delete") != []
    assert CRON_RUN not in bases.listed()


def test_archived_rows_count_for_no_limit(bases: Bases) -> None:
    """What was hidden stays in the database: it may not drive out more at each run."""
    words = ("--agent", "project-lead", "--archive", "--only", "max-entries", "--max-entries", "12")
    first = clean(bases, *words)
    assert first.code == 0
    assert summary(first)["afterCount"] == 12
    assert {row["action"] for row in first.data["results"]} == {"cap-overflow"}
    again = clean(bases, *words)
    assert (again.data["results"], summary(again)["beforeCount"]) == ([], 12)


@pytest.mark.parametrize("words", [(), ("--archive",), ("--dry-run",), ("--via", "gateway")])
def test_without_a_gateway_it_is_6_and_a_dry_run_says_the_same(down: Bases, words: tuple[str, ...]) -> None:
    before = tree(down.store.state)
    answer = clean(down, *words)
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert tree(down.store.state) == before


def test_via_files_is_refused(down: Bases) -> None:
    before = tree(down.store.state)
    assert clean(down, "--via", "files").code == 3
    assert tree(down.store.state) == before


def test_without_a_gateway_nothing_to_do_is_0(down: Bases) -> None:
    before = tree(down.store.state)
    assert clean(down, "--stale", "subagent=10d").code == 0
    assert tree(down.store.state) == before


def old_file(bases: Bases, name: str, days: float = 90) -> Path:
    path = bases.store.folder() / name
    write(path, name)
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


def test_stray_files_are_from_before_and_only_told(down: Bases) -> None:
    for name in ("one.jsonl", "one-topic-2.jsonl", "two.jsonl"):
        old_file(down, name)
    session = down.rows()[LEAD + "alpha"]["current_session_id"]
    old_file(down, f"{session}.jsonl")
    before = tree(down.store.state)
    answer = clean(down, "--only", "orphans")
    assert (answer.code, answer.data["results"]) == (0, [])
    assert [said for said in answer.data["warnings"] if "3 transcript files of agent project-lead" in said]
    assert tree(down.store.state) == before


def test_a_row_without_events_is_not_missing_its_transcript(bases: Bases) -> None:
    before = picture(bases)
    aged(bases, LEAD + "never-spoken", 30)
    before["project-lead"][0][LEAD + "never-spoken"] = bases.rows()[LEAD + "never-spoken"]
    answer = clean(bases, "--only", "fix-missing")
    assert (answer.code, answer.data["results"]) == (0, [])
    assert picture(bases) == before


def test_the_oldest_go_until_the_events_fit(bases: Bases) -> None:
    with bases.open("project-lead") as connection:
        query = "select sum(length(cast(event_json as blob))) from transcript_events"
        (hidden,) = connection.execute(
            f"{query} where session_id in (select current_session_id from session_nodes where archived_at is not null)"
        ).fetchone()
        total = connection.execute(query).fetchone()[0] - hidden
    aged(bases, CHILD, 20)
    answer = clean(bases, "--agent", "project-lead", "--only", "max-disk", "--max-disk", f"{total - 1}b")
    assert (answer.code, done(answer)) == (0, {CHILD})
    budget = summary(answer)["diskBudget"]
    assert (budget["totalBytesBefore"], budget["maxBytes"], budget["overBudget"]) == (total, total - 1, False)
    assert budget["totalBytesAfter"] == total - answer.data["results"][0]["bytes"]


def test_rows_of_peers_go_where_they_share_the_main_session(bases: Bases) -> None:
    key = LEAD + "telegram:direct:4711"
    bases.add(key)
    assert done(clean(bases, "--only", "fix-dm-scope"), "archived") == {key}


def test_archives_go_by_age_without_a_gateway_and_no_database_ever(down: Bases) -> None:
    stamp = names.stamp(datetime.now(UTC) - timedelta(days=40))
    young = names.stamp(datetime.now(UTC) - timedelta(days=20))
    base = database(down.store.state, "project-lead")
    gone = [old_file(down, f"a.jsonl.deleted.{stamp}.{'0' * 32}.zst"), old_file(down, f"sessions.json.bak-{stamp}")]
    kept = [old_file(down, f"b.jsonl.deleted.{young}.{'0' * 32}.zst"), base]
    for name in (f"{base.name}.bak-{stamp}", f"{base.name}.bak-mine"):
        write(base.with_name(name), "theirs")
        os.utime(base.with_name(name), (1, 1))
        kept.append(base.with_name(name))
    answer = clean(down, "--only", "expire-archives", "--expire-archives", "30d")
    assert (answer.code, done(answer, "expired")) == (0, {path.name for path in gone})
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_an_archive_of_a_young_close_is_never_freed(bases: Bases) -> None:
    assert clean(bases).code == 0
    before = bases.archives()
    assert len(before) == 2
    assert clean(bases, "--expire-archives", "1h").data["results"] == []
    assert bases.archives() == before


def test_where_openclaw_only_warns_no_gateway_is_missed(down: Bases) -> None:
    down.store.configure(session={"maintenance": {"mode": "warn"}})
    before = keys(down)
    answer = clean(down, "--maintenance")
    assert (answer.code, done(answer, "would_close"), keys(down)) == (0, STALE, before)
    assert any("--enforce" in warning for warning in answer.data["warnings"])
    assert clean(down, "--enforce").code == 6


def test_where_openclaw_s_own_cleanup_would_archive_it_is_said(bases: Bases) -> None:
    other = LEAD + "alpha"
    aged(bases, other, 40)
    answer = clean(bases, "--older-than", "1d", "--agent", "project-lead", "--dry-run")
    theirs = {row["key"]: row["openclaw"] for row in answer.data["results"]}
    assert (theirs[other], theirs[CHILD], theirs[CRON_RUN]) == ("archive", "delete", "delete")
    assert summary(answer)["openclawArchives"] == list(theirs.values()).count("archive") > 0
    shown = run(CleanupSessions, "--older-than", "1d", "--dry-run", state=bases.store.state).stdout
    assert f"; OpenClaw's own cleanup would archive {summary(answer)['openclawArchives']} of them" in shown
