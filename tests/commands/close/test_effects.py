"""What a close changes besides the row and its files is named by dry run, result and receipt, and by the undo."""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.commands import Answer, close, undo
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD
from support.schemas import STATE_SCHEMA
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store

ALPHA, BETA, PINNED, KID = LEAD + "alpha", LEAD + "beta", LEAD + "pinned", LEAD + "kid"
JOB = {
    "id": "job-1",
    "name": "nightly report",
    "agentId": "project-lead",
    "enabled": True,
    "sessionTarget": "session:" + ALPHA,
}


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases in which a session has all that can be attached to it, and another one has nothing."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    session = made.rows()[ALPHA]["current_session_id"]
    made.add(KID)
    with made.open("project-lead") as agent:
        agent.execute("update session_nodes set parent_session_key = ? where session_key = ?", (ALPHA, KID))
        for seq in range(3):
            agent.execute("insert into trajectory_runtime_events values (?, ?, 'run', '{}', 1)", (session, seq))
        agent.execute("insert into session_participants values (?, 'chat', 'kelly', 1)", (ALPHA,))
        agent.execute("insert into board_tabs values (?, 'main', 'Main')", (ALPHA,))
        agent.execute("insert into board_widgets values (?, 'w', 'main', '<b>')", (ALPHA,))
        agent.execute("create table tomorrows_notes (note text, about text, pages blob)")
        agent.execute("insert into tomorrows_notes values ('x', ?, x'00ff')", (session,))
        agent.execute("create table tomorrows_letters (id text, letter_json text)")
        agent.execute("insert into tomorrows_letters values ('1', ?)", (json.dumps({"to": [ALPHA]}),))
    path = made.store.state / "state" / "openclaw.sqlite"
    path.parent.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as state:
        state.executescript(STATE_SCHEMA)
        state.execute(
            "insert into current_conversation_bindings values ('k', 'b1', ?, 'telegram', '123', '{}')", (ALPHA,)
        )
        state.execute("insert into session_watch_cursors values (?, ?)", (KID, ALPHA))
        state.execute("insert into delivery_queue_entries values ('q', '1', ?, '{}')", (ALPHA,))
        state.execute("insert into audit_events values (1, ?, ?)", (ALPHA, session))
        job = (json.dumps(JOB), json.dumps({"nextRunAtMs": 32503680000000}))
        state.execute("insert into cron_jobs values ('s', 'job-1', 1, ?, ?)", job)
    stub.serve(made.store.state, TOKEN)
    return made


def effects(answer: Answer, key: str = ALPHA) -> dict[str, tuple[int, str, str]]:
    """Return what a row names, by kind: how many, what becomes of it, what the undo makes of that."""
    (row,) = (row for row in answer.data["results"] if row["key"] == key)
    return {one["kind"]: (one["count"], one["action"], one["undo"]) for one in row["effects"]}


def recorded(answer: Answer, key: str = ALPHA) -> list[dict[str, Any]]:
    stores = json.loads(Path(str(answer.data["receipt"])).read_text())["stores"]
    (found,) = (session["effects"] for store in stores for session in store["sessions"] if session["key"] == key)
    return list(found)


GOES_ON = {
    "binding": (1, "kept", "exact"),
    "board": (2, "kept", "exact"),
    "child": (1, "kept", "exact"),
    "cron-job": (1, "kept", "exact"),
    "delivery": (1, "kept", "exact"),
    "participant": (1, "kept", "exact"),
    "table:tomorrows_letters": (1, "kept", "exact"),
    "table:tomorrows_notes": (1, "kept", "exact"),
    "trajectory": (3, "kept", "exact"),
    "watcher": (1, "kept", "exact"),
}
DESTROYED = ("binding", "board", "participant", "trajectory", "watcher")


def test_dry_run_result_and_receipt_name_the_same(bases: Bases) -> None:
    assert effects(close(bases, "--dry-run", "alpha")) == GOES_ON
    answer = close(bases, "alpha", "beta")
    assert answer.code == 0
    assert effects(answer) == GOES_ON
    (row,) = (row for row in answer.data["results"] if row["key"] == ALPHA)
    assert recorded(answer) == row["effects"]
    assert effects(answer, BETA) == {}
    assert undo(bases, answer).data["results"][0].get("notRestored") is None


def test_a_deletion_names_what_it_takes_along_and_no_undo_brings_back(bases: Bases, stub: StubGateway) -> None:
    expected = GOES_ON | {kind: (GOES_ON[kind][0], "removed", "none") for kind in DESTROYED}
    assert effects(close(bases, "--dry-run", "--delete", "alpha")) == expected
    answer = close(bases, "--delete", "alpha")
    assert effects(answer) == expected
    (kept,) = answer.data["stores"][0]["kept"]
    assert oct(Path(kept).stat().st_mode & 0o777) == "0o600"
    lines = [json.loads(line) for line in gzip.decompress(Path(kept).read_bytes()).splitlines()]
    assert {line["key"] for line in lines} == {ALPHA}
    tables = [line["table"] for line in lines]
    assert {table: tables.count(table) for table in tables} == {
        "trajectory_runtime_events": 3,
        "session_participants": 1,
        "board_tabs": 1,
        "board_widgets": 1,
        "current_conversation_bindings": 1,
        "session_watch_cursors": 1,
    }
    store = json.loads(Path(str(answer.data["receipt"])).read_text())["stores"][0]
    assert [(one["name"], one["rows"], one["size"]) for one in store["kept"]] == [
        (Path(kept).name, len(lines), Path(kept).stat().st_size)
    ]


def test_an_undo_of_a_deletion_names_what_is_not_back(bases: Bases, stub: StubGateway, openclaw: StubOpenClaw) -> None:
    answer = close(bases, "--delete", "alpha")
    (row,) = undo(bases, answer, "--check").data["results"]
    assert row["status"] == "would_restore"
    assert {one["kind"]: one["count"] for one in row["notRestored"]} == {kind: GOES_ON[kind][0] for kind in DESTROYED}


def test_a_pin_goes_with_the_archive_and_comes_back_with_the_undo(bases: Bases) -> None:
    answer = close(bases, "pinned")
    assert effects(answer, PINNED) == {"pin": (1, "removed", "again")}
    assert bases.rows()[PINNED]["pinned_at"] is None
    back = undo(bases, answer)
    assert [row["status"] for row in back.data["results"]] == ["restored"]
    assert "notRestored" not in back.data["results"][0]
    row = bases.rows()[PINNED]
    assert row["pinned_at"] is not None
    assert row["archived_at"] is None


def test_a_session_that_stays_has_no_effects(bases: Bases, stub: StubGateway) -> None:
    stub.tell(active=[ALPHA])
    answer = close(bases, "alpha")
    assert [row["status"] for row in answer.data["results"]] == ["refused"]
    assert effects(answer) == {}


def test_what_cannot_be_looked_up_is_a_warning_and_no_obstacle(bases: Bases) -> None:
    (bases.store.state / "state" / "openclaw.sqlite").write_bytes(b"no database" * 100)
    answer = close(bases, "alpha")
    assert answer.code == 0
    assert any("what else refers to the sessions" in warning for warning in answer.data["warnings"])


def test_a_database_that_cannot_be_read_hides_nothing_of_what_is_elsewhere(bases: Bases) -> None:
    (bases.store.state / "state" / "openclaw.sqlite").write_bytes(b"no database" * 100)
    answer = close(bases, "alpha", "pinned")
    assert effects(answer, PINNED) == {"pin": (1, "removed", "again")}
    assert effects(answer)["trajectory"] == GOES_ON["trajectory"]
    undo(bases, answer)
    assert bases.rows()[PINNED]["pinned_at"] is not None


def test_a_job_that_is_off_or_another_ones_is_not_named(bases: Bases) -> None:
    path = bases.store.state / "state" / "openclaw.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as state:
        state.execute("update cron_jobs set job_json = ?", (json.dumps({**JOB, "enabled": False}),))
    assert "cron-job" not in effects(close(bases, "--dry-run", "alpha"))
