"""The record of a run is read like hostile input: it says which files to rename."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import names, planning
from session_closer.core.durable import SESSIONS, Move
from session_closer.core.effects import Effect
from session_closer.core.model import GatewayView, PlannedRow, Snapshot
from session_closer.core.planning import Choices
from session_closer.core.report import Outcome
from session_closer.core.status import Status
from session_closer.journal.codec import check, decode, encode, scan
from session_closer.journal.record import (
    By,
    Damaged,
    Ended,
    Kept,
    Mode,
    Off,
    RunRecord,
    SessionRecord,
    StoreRecord,
)  # fmt: skip
from session_closer.openclaw.files.store import parse
from session_closer.openclaw.sqlite import change
from session_closer.openclaw.sqlite.store import Row
from session_closer.operations.summary import ended

STAMP = "2026-11-21T00-41-24.769Z"
MOVE = Move("a1.jsonl", f"a1.jsonl.deleted.{STAMP}", 12, 34)
SESSION = SessionRecord("agent:lead:kelly", "a1", 4, 20, "0" * 64, moves=(MOVE,))
STORE = StoreRecord(
    "lead", "files", "/s/sessions.json", {SESSIONS: "/s"}, f"sessions.json.bak-{STAMP}", 99, "0" * 64, (SESSION,)
)
RECORD = RunRecord(
    id="20261121T004124.769Z-1a2b3c4d", operation="close-project", tool="0.1.0",
    started_at="2026-11-21T00:41:24.769Z", state_dir="/state", by=By(1), stores=(STORE,),
)  # fmt: skip


def test_what_is_written_is_read_again() -> None:
    assert decode(encode(RECORD)) == RECORD


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_what_is_written_of_many_sessions_is_read_again(count: int) -> None:
    sessions = tuple(SESSION.but(key=f'agent:lead:"sessions":[] {number}') for number in range(count))
    many = RECORD.but(stores=(STORE.but(sessions=sessions), STORE.but(path="/t/sessions.json", agent="other")))
    assert decode(encode(many)) == many
    assert check(many) <= len(encode(many))
    bad = (*sessions[:-1], SESSION.but(moves=(MOVE.but(source="../a1.jsonl"),)))
    with pytest.raises(Damaged):
        check(RECORD.but(stores=(STORE.but(sessions=bad),)))


# A text of its own makes no half characters.
HALVES = st.lists(st.sampled_from([*'\ud83d\ude00\0"\\/.~é1']) | st.characters(), max_size=8).map("".join)
# What JSON can hold: two halves beside each other are one character, to whoever reads them.
TEXTS = HALVES.map(lambda text: json.loads(json.dumps(text)))
STEMS = (
    st.sampled_from(["a", "b-topic-1", "c.trajectory", "d.deleted.2026-01-01T00-00-00Z", "e" * 120, "f/../g"]) | TEXTS
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "sessionId": STEMS | st.integers() | st.none(),
        "sessionFile": st.builds("{}{}{}".format, st.sampled_from(["", "/s/", "/t/"]), STEMS, st.just(".jsonl")),
        "status": TEXTS,
    },
)
ENDINGS = st.sampled_from(
    [".jsonl", ".trajectory.jsonl", ".trajectory-path.json", "-topic-2.jsonl", f".jsonl.deleted.{STAMP}"]
)
FILES = st.frozensets(
    st.builds("{}{}".format, STEMS.filter(lambda stem: "/" not in stem and "\0" not in stem), ENDINGS)
)
OTHERS = st.builds(
    Outcome,
    TEXTS,
    st.just("lead"),
    TEXTS,
    st.sampled_from(Status),
    session_id=st.none() | TEXTS,
    error=st.none() | TEXTS,
)


@given(st.dictionaries(TEXTS, ENTRIES, max_size=6), FILES, st.none() | TEXTS, st.lists(OTHERS, max_size=2))
def test_every_record_that_a_plan_can_make_is_read_again_as_it_was(
    entries: dict[str, Any], listed: frozenset[str], reason: str | None, others: list[Outcome]
) -> None:
    document = parse(json.dumps(entries).encode(), "/s/sessions.json", "lead")
    sessions = {key: member.row for key, member in document.members.items()}
    owned: dict[str, list[str]] = {}
    for name in sorted(listed):
        for owner in names.owners(name):
            owned.setdefault(owner, []).append(name)
    snapshot = Snapshot(
        "lead", "/s/sessions.json", "/s", sessions, listed, by_owner={k: tuple(v) for k, v in owned.items()}
    )
    wanted = {"lead": list(sessions)}
    plan = planning.chosen(wanted, {"lead": snapshot}, GatewayView(), Choices(stamp="2026-11-28T00-00-00.000Z"))
    members = document.members
    store = STORE.but(sessions=tuple(
        SessionRecord(row.key, row.session and row.session.session_id, members[row.key].start, 1, "0" * 64,
                      moves=row.moves) for row in plan.closing))  # fmt: skip
    rows = tuple(ended(row, missing_ok=False) for row in others)
    record = RECORD.but(sequence=3, boot="b", uptime=1.5, reason=reason, stores=(store,), results=rows)
    check(record)
    assert decode(encode(record)) == record


# A key that a database holds is UTF-8.
@given(st.text(), st.none() | TEXTS, TEXTS, st.booleans())
def test_every_row_of_a_database_is_read_again_as_it_was(
    key: str, session_id: str | None, entry: str, frees: bool
) -> None:
    planned = PlannedRow(key, "project-lead", key, Status.WOULD_CLOSE, frees=frees)
    session = change._recorded(planned, Row(key, session_id or "", entry, None, None, -1))
    record = RECORD.but(stores=(STORE.but(era="sqlite", backup=None, sessions=(session,)),))
    assert decode(encode(record)) == record


def changed(path: list[Any], value: Any) -> bytes:
    data = json.loads(encode(RECORD))
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(data).encode()


SESSION_AT = ["stores", 0, "sessions", 0]
MOVE_AT = [*SESSION_AT, "moves", 0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "session-closer/3"),
        (["id"], "../../x"),
        (["state"], "half"),
        (["stateDir"], 5),
        (["stores"], None),
        (["stores", 0, "backup"], "../sessions.json.bak-1"),
        (["stores", 0, "backup"], "a1.jsonl"),
        (["stores", 0, "displaced"], ["/etc/passwd"]),
        (["stores", 0, "path"], 7),
        (["stores", 0, "size"], -1),
        ([*SESSION_AT, "offset"], "4"),
        ([*SESSION_AT, "length"], -1),
        ([*SESSION_AT, "key"], None),
        ([*SESSION_AT, "sha256"], "0" * 63),
        ([*SESSION_AT, "sha256"], "0" * 65),
        ([*SESSION_AT, "sha256"], "0" * 31 + "Z" + "0" * 32),
        ([*SESSION_AT, "sha256"], "A" * 64),
        ([*SESSION_AT, "sha256"], "0" * 62 + "  "),
        ([*SESSION_AT, "sha256"], "\u0661" * 64),
        ([*SESSION_AT, "route"], "paper"),
        ([*MOVE_AT, "source"], "../a1.jsonl"),
        ([*MOVE_AT, "source"], "sessions.json"),
        ([*MOVE_AT, "target"], "a1.jsonl"),
        ([*MOVE_AT, "target"], f"../a1.jsonl.deleted.{STAMP}"),
        ([*MOVE_AT, "target"], f"b2.jsonl.deleted.{STAMP}"),
        ([*MOVE_AT, "target"], "a1.jsonl.deleted.yesterday"),
        ([*MOVE_AT, "root"], "elsewhere"),
        (["stores", 0, "roots"], {}),
        (["stores", 0, "roots"], {"sessions": "/s\0"}),
        (["stores", 0, "roots"], {"sessions": "/s", "../x": "/s"}),
    ],
)
def test_a_record_that_was_tampered_with_is_refused(path: list[Any], value: Any) -> None:
    with pytest.raises(Damaged):
        decode(changed(path, value))


def members(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each member of a document, the members of members among them."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*path, name)
        yield from members(inner, (*path, name))


WHOLE = RECORD.but(
    reason="why", finished_at="later", results=(Ended("kelly", "lead", "k", None, "failed", False),),
    stores=(
        STORE.but(displaced=(f"sessions.json.bak-{STAMP}-1",), merged=1, orphans=(MOVE,), removes=("old.bak",)),
        STORE.but(
            agent="other", era="sqlite", backup=None,
            sessions=(SESSION.but(
                entry="{}", sha256=hashlib.sha256(b"{}").hexdigest(), archived_at=5, moves=(MOVE.but(sha256="0"),),
                effects=(Effect("pin", "", "", 1, "removed", "exact"),), modes=(Mode("a/b", 0o600),),
                jobs=(Off("job", 5, 6),),
            ),),
            kept=(Kept("rows.gz", 1, 2, "0"),),
        ),
    ),
)  # fmt: skip
# Any number is a float.
PLACES = [
    path for path in members(json.loads(encode(WHOLE))) if path[0] not in ("format", "uptime") and "key" not in path
]
NESTED = json.loads("[" * 500 + "]" * 500)


def test_the_whole_record_is_one() -> None:
    assert decode(encode(WHOLE)) == WHOLE


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_member_of_another_type_makes_a_record_damaged(path: tuple[Any, ...]) -> None:
    """Whatever is read is of the type that it was written with, so nothing that works with it can fail."""
    right = json.loads(encode(WHOLE))
    at: Any = right
    for step in path[:-1]:
        at = at[step]
    was = at[path[-1]]
    for other in (None, True, 7, 10**30, -(10**30), 1.5, math.inf, "\ud83d", [], [None], {}, {"a": {}}, NESTED):
        at[path[-1]] = other
        raw = json.dumps(right).encode()
        found = taken(raw)
        if found is not None:
            # What is taken all the same can be written, and is read again as it is.
            assert decode(encode(found)) == found
            assert isinstance(other, type(was)) or None in (was, other), path
            assert other not in (10**30, -(10**30))


def taken(raw: bytes) -> RunRecord | None:
    """Return a record that is taken, None for one that is called damaged, in one line."""
    try:
        return decode(raw)
    except Damaged as problem:
        why = str(problem)
    assert "\n" not in why
    assert 0 < len(why) < 300
    return None


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_any_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(Damaged):
        decode(raw)


def test_a_cut_record_is_refused() -> None:
    raw = encode(RECORD.but(state="done")).rstrip()
    for end in range(0, len(raw), 7):
        with pytest.raises(Damaged):
            decode(raw[:end])


def test_a_record_is_one_line_of_json_that_begins_with_its_place_in_the_order_of_runs() -> None:
    raw = encode(WHOLE)
    assert raw.startswith(b'{"format":"session-closer/2","id":"20261121T004124.769Z-1a2b3c4d","sequence":0,"boot":"",')
    assert raw.endswith(b"]}\n")
    assert raw.count(b"\n") == 1
    assert list(json.loads(raw))[-1] == "stores"


@pytest.mark.parametrize("record", [WHOLE, RECORD.but(stores=()), RECORD.but(reason="\ud800"), WHOLE.but(
    stores=(*WHOLE.stores, STORE.but(sessions=(SESSION.but(key="\udc00"),))))])  # fmt: skip
def test_stores_are_read_one_at_a_time(record: RunRecord) -> None:
    head, stores = scan(encode(record))
    assert head == record.but(stores=())
    assert tuple(stores) == record.stores


def test_nothing_is_given_of_a_record_whose_last_store_is_damaged() -> None:
    with pytest.raises(Damaged):
        scan(encode(WHOLE.but(stores=(*WHOLE.stores, STORE.but(agent="No Agent")))))


@pytest.mark.parametrize("member", ["sequence", "stores", "agent"])
def test_a_member_that_is_not_known_makes_a_record_damaged(member: str) -> None:
    raw = encode(WHOLE)
    with pytest.raises(Damaged):
        decode(raw.replace(f'"{member}":'.encode(), f'"{member}s":'.encode(), 1))
    with pytest.raises(Damaged):
        decode(raw.replace(f'"{member}":'.encode(), f'"x":1,"{member}":'.encode(), 1))


def test_a_folder_may_move_in_a_root_of_its_own() -> None:
    move = Move("a1", f"a1.deleted.{STAMP}", root="checkpoints", folder=True)
    roots = {SESSIONS: "/s", "checkpoints": "/c"}
    record = RECORD.but(stores=(STORE.but(roots=roots, sessions=(SESSION.but(moves=(MOVE, move)),)),))
    assert decode(encode(record)) == record
    for wrong in (move.but(source="../a1"), move.but(target="a1"), move.but(target=f"/c/a1.deleted.{STAMP}")):
        with pytest.raises(Damaged):
            decode(encode(RECORD.but(stores=(STORE.but(roots=roots, orphans=(wrong,)),))))
