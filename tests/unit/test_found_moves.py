"""What was found may come back by another file name: a record holds that for a session of its own, and nothing else."""

from __future__ import annotations

import hashlib

import pytest
from session_closer.core.durable import SESSIONS, Move
from session_closer.journal.codec import decode, encode
from session_closer.journal.record import Damaged, RunRecord, SessionRecord, StoreRecord

STAMP = "2026-11-21T00-41-24.769Z"
ARCHIVE = f"a1.jsonl.deleted.{STAMP}"
ENTRY = '"agent:lead:kelly": {"sessionId": "b2"}'


def record(source: str, target: str, entry: str | None) -> RunRecord:
    digest = hashlib.sha256((entry or "").encode()).hexdigest()
    session = SessionRecord("agent:lead:kelly", "b2", 0, 9, digest, moves=(Move(source, target),), entry=entry)
    store = StoreRecord(
        "lead", "files", "/s/sessions.json", {SESSIONS: "/a"}, "sessions.json.bak-x", 9, "0" * 64, (session,)
    )
    run = "20261121T004124.769Z-1a2b3c4d"
    return RunRecord(
        id=run,
        operation="restore-sessions",
        tool="0.1.0",
        started_at="2026-11-21T00:41:24.769Z",
        state_dir="/state",
        stores=(store,),
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [("b2.jsonl", ARCHIVE), ("a1.jsonl", ARCHIVE), ("/s/b2.jsonl", f"/s/{ARCHIVE}")],
)
def test_a_session_that_is_held_may_get_a_file_of_its_own(source: str, target: str) -> None:
    made = record(source, target, ENTRY)
    assert decode(encode(made)) == made


@pytest.mark.parametrize(
    ("source", "target", "entry"),
    [
        ("b2.jsonl", ARCHIVE, None),
        ("c3.jsonl", ARCHIVE, ENTRY),
        ("/s/b2.jsonl", ARCHIVE, ENTRY),
        ("b2.jsonl", f"/s/{ARCHIVE}", ENTRY),
        ("b2.jsonl", "sessions.json", ENTRY),
        ("b2.jsonl", "c3.jsonl", ENTRY),
        ("../b2.jsonl", f"../{ARCHIVE}", ENTRY),
    ],
)
def test_any_other_name_makes_a_record_damaged(source: str, target: str, entry: str | None) -> None:
    with pytest.raises(Damaged):
        decode(encode(record(source, target, entry)))
