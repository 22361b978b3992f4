"""Memory search goes on finding what was said in a closed session: the result says so, and what makes it forget."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import Answer, close, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.sqlite import CRON_RUN, Bases, build_sqlite, database
from support.stores import TOKEN, Store, build

ALPHA, BETA = LEAD + "alpha", LEAD + "beta"
# As OpenClaw 2026.7 and later have them, in the agent's database; before that `files`, in one of its own.
INDEX = """
create table memory_index_sources (id integer primary key, path text, source text, hash text, mtime real, size integer);
create table memory_index_meta (key text primary key, value text not null);
"""


def note(answer: Answer, key: str) -> str | None:
    """Return what a row says of the memory index, with the count ahead; None where it says nothing."""
    (row,) = [row for row in answer.data["results"] if row["key"] == key]
    found = [one for one in row["effects"] if one["kind"] == "memory"]
    assert len(found) <= 1
    assert all((one["action"], one["undo"]) == ("kept", "exact") for one in found)
    return f"{found[0]['count']} {found[0]['note']}" if found else None


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    with made.open("project-lead") as connection:
        connection.executescript(INDEX)
    return made


def index(bases: Bases, *paths: str) -> None:
    with bases.open("project-lead") as connection:
        for path in paths:
            connection.execute("insert into memory_index_sources (path, source) values (?, 'sessions')", (path,))


def test_what_is_indexed_is_named_with_the_command_that_forgets_it(bases: Bases) -> None:
    session = str(bases.rows()[ALPHA]["current_session_id"])
    old = f"sessions/project-lead/{session}.jsonl.deleted.2020-01-01T00-00-00.000Z.{'0' * 32}.zst"
    index(bases, f"sessions/project-lead/{session}.jsonl", old, "memory/notes.md")
    command = f"openclaw memory forget --agent project-lead --session {session}"
    for words in (("--dry-run", "alpha"), ("alpha",)):
        said = note(close(bases.store, *words), ALPHA)
        assert said is not None
        assert said.startswith("2 memory search finds what was said in it")
        assert command in said
    restored = run_json(RestoreSessions, "last", state=bases.store.state)
    assert (restored.code, restored.rows) == (0, [(ALPHA, "restored")])
    assert "notRestored" not in restored.data["results"][0], "no undo is needed of what stays"


def test_a_person_reads_it_once(bases: Bases) -> None:
    sessions = [str(bases.rows()[key]["current_session_id"]) for key in (ALPHA, BETA)]
    index(bases, *(f"sessions/project-lead/{session}.jsonl" for session in sessions))
    text = run(CloseProjectBatch, "alpha", "beta", state=bases.store.state).stdout
    (line,) = [line for line in text.splitlines() if "memory search" in line]
    assert line.startswith("memory   memory search finds what was said in it")
    assert f"openclaw memory forget --agent project-lead --session {sessions[0]}" in line
    assert line.endswith("1 more: see effects in --json")


def test_what_is_not_indexed_yet_will_be_where_sessions_are(bases: Bases) -> None:
    with bases.open("project-lead") as connection:
        meta = json.dumps({"sources": ["memory", "sessions"]})
        connection.execute("insert into memory_index_meta values ('memory_index_meta_v1', ?)", (meta,))
        connection.execute("insert into memory_index_meta values ('other', 'clean')")
        connection.execute("create table memory_session_tombstones (session_id text not null primary key)")
        forgotten = bases.rows()[BETA]["current_session_id"]
        connection.execute("insert into memory_session_tombstones values (?)", (forgotten,))
    answer = close(bases.store, "alpha", "beta", CRON_RUN)
    assert note(answer, BETA) is None, "memory was told to forget it"
    assert str(note(answer, ALPHA)).startswith("0 memory search will find what was said in it")
    assert note(answer, CRON_RUN) is None, "OpenClaw indexes no runs of cron jobs"


def test_nothing_is_said_where_no_sessions_are_indexed(bases: Bases) -> None:
    with bases.open("project-lead") as connection:
        connection.execute("insert into memory_index_sources (path, source) values ('MEMORY.md', 'memory')")
        connection.execute("insert into memory_index_meta values ('v', ?)", (json.dumps({"sources": ["memory"]}),))
    assert note(close(bases.store, "alpha"), ALPHA) is None


@pytest.mark.parametrize("place", ["agent database", "its own"])
def test_where_no_command_forgets_it_the_result_says_when_it_goes(tmp_path: Path, closed_port: int, place: str) -> None:
    store = build(tmp_path / "state", closed_port)
    session = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    own = place == "its own"
    path = store.state / "memory" / "project-lead.sqlite" if own else database(store.state, "project-lead")
    path.parent.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(INDEX.replace("memory_index_sources", "files") if own else INDEX)
        table = "files" if own else "memory_index_sources"
        values = (f"sessions/{session}.jsonl",)
        connection.execute(f"insert into {table} (path, source) values (?, 'sessions')", values)
    said = str(note(close(store, LEAD + "kelly-dashboard"), LEAD + "kelly-dashboard"))
    assert said.startswith("1 memory search finds what was said in it")
    assert "openclaw memory index" in said
    assert "forget" not in said
