"""The tool that says what differs between two moments sees each kind of difference, and leaves out noise alone."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path

import pytest

from .accounts import Session, kind_of, unnamed, unsaid
from .difference import NOISE, differences, picture

KEY = "agent:project-lead:alpha"
DATABASE = "agents/project-lead/agent/openclaw-agent.sqlite"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a row, what belongs to it, and files."""
    (tmp_path / DATABASE).parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as database, database:
        database.executescript(
            "create table session_nodes (session_key text primary key, entry_json text, pinned_at, updated_at);"
            "create table trajectory_runtime_events (session_id text, seq integer, primary key (session_id, seq));"
            "create table tomorrow (about text);"
        )
        entry = json.dumps({"sessionId": "s", "pinnedAt": 1, "updatedAt": 1})
        database.execute("insert into session_nodes values (?, ?, 1, 1)", [KEY, entry])
        database.executemany("insert into trajectory_runtime_events values ('s', ?)", [(1,), (2,)])
        database.execute("insert into tomorrow values (?)", [KEY])
    for path in ("worktrees/fingerprint/name/file", "bindings/current-conversations.json", "cron/jobs.json", "new"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('{"bindings": [{"bindingId": "one"}]}')
    return tmp_path


def execute(state: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(state / DATABASE)) as database, database:
        database.execute(statement)


CHANGES = {
    "delete from trajectory_runtime_events": "trajectory",
    "update session_nodes set pinned_at = null, entry_json = json_remove(entry_json, '$.pinnedAt')": "pin",
    "delete from tomorrow": "table:tomorrow",
}
PATHS = {
    "worktrees/fingerprint/name/file": "worktree",
    "bindings/current-conversations.json": "binding",
    "cron/jobs.json": "cron-job",
    "new": "file:new",
}


@pytest.mark.parametrize("statement", CHANGES)
def test_a_row_that_changes_is_seen_and_has_a_kind(state: Path, statement: str) -> None:
    before = picture(state)
    execute(state, statement)
    assert {kind_of(one) for one in differences(before, picture(state))} == {CHANGES[statement]}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["gone", "written", "mode"])
def test_a_file_that_changes_is_seen_and_has_a_kind(state: Path, path: str, how: str) -> None:
    before = picture(state)
    place = state / path
    {"gone": place.unlink, "written": lambda: place.write_text('{"bindings": []}'), "mode": lambda: place.chmod(0o640)}[
        how
    ]()
    assert {kind_of(one) for one in differences(before, picture(state))} == {PATHS[path]}


def test_a_row_that_was_only_touched_is_noise(state: Path) -> None:
    before = picture(state)
    execute(state, "update session_nodes set updated_at = 2, entry_json = json_set(entry_json, '$.updatedAt', 2)")
    assert differences(before, picture(state)) == []


def test_every_filter_is_a_pattern_with_a_reason() -> None:
    for noise in NOISE:
        assert len(noise.why) > 10
        assert re.compile(noise.column)
        assert re.search(noise.item, "agents/main/sessions/sessions.json agent:main:x") is None


def test_a_difference_counts_as_named_by_each_answer_with_its_number_or_not_at_all(state: Path) -> None:
    before = picture(state)
    execute(state, "delete from trajectory_runtime_events")
    found = differences(before, picture(state))
    session = Session(KEY, "s", frozenset())
    effect = {"kind": "trajectory", "count": 2, "action": "removed", "undo": "none"}
    assert unnamed(found, session, [effect], [effect]) == []
    assert len(unnamed(found, session, [effect], [])) == 2
    assert len(unnamed(found, session, [effect | {"action": "kept"}])) == 2
    assert unnamed(found, session, [effect | {"count": 1}]) == ["trajectory: 1 said, 2 gone"]
    assert len(unsaid(found, session, [effect], [], "")) == 2
    assert len(unsaid(found, session, [effect | {"undo": "again"}], [], "")) == 2
    assert (
        unsaid(found, session, [effect], [{"kind": "trajectory", "count": 2, "why": "it went with the row"}], "") == []
    )
