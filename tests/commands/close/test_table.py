"""The tables of docs/design.md, walked: route by gateway and --via, and target by target."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import Answer, run_json
from support.gateway import StubGateway
from support.interrupted import interrupt
from support.keys import LEAD, session_id
from support.stores import Stage, Store
from support.trees import tree


def restarts(tmp_path: Path) -> int:
    """Return how often the stub's `openclaw gateway restart` was called."""
    calls = tmp_path / "bin" / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return len([line for line in lines if line.startswith("gateway restart")])


def dry_then_real(store: Store, *words: str, command: Any = CloseProjectBatch) -> Answer:
    """Return the real run's answer; the dry run before it must have had the same code and changed nothing."""
    before = tree(store.state)
    dry = run_json(command, *words, "--dry-run", state=store.state)
    assert tree(store.state) == before
    answer = run_json(command, *words, state=store.state)
    assert (dry.code, dry.error) == (answer.code, answer.error)
    return answer


class Way(NamedTuple):
    """What a run must do: exit code, route of each row, restarts, gateway's deletions."""

    code: int
    route: str | None = None
    restarts: int = 0
    deletions: int = 0
    warning: str = ""


ROUTES = {
    ("down", "auto"): Way(0, "files"),
    ("down", "gateway"): Way(6),
    ("down", "files"): Way(0, "files"),
    ("up", "auto"): Way(0, "gateway", deletions=1),
    ("up", "gateway"): Way(0, "gateway", deletions=1),
    ("up", "files"): Way(0, "files", restarts=1),
    ("mute", "auto"): Way(0, "files", restarts=1),
    ("mute", "files"): Way(0, "files", restarts=1),
    ("no-openclaw", "gateway"): Way(6),
    ("unknown", "auto"): Way(6),
    ("unknown", "gateway"): Way(6),
    ("unknown", "files"): Way(0, "files", warning="none was restarted"),
}


@pytest.mark.parametrize(("life", "via"), ROUTES)
def test_route(stage: Stage, stub: StubGateway, tmp_path: Path, life: str, via: str) -> None:
    store, way = stage(life), ROUTES[life, via]
    before = tree(store.state)
    answer = dry_then_real(store, "topics", "--via", via)
    assert answer.code == way.code
    if way.route is None:
        assert answer.error == "gateway_needed"
        assert tree(store.state) == before
    else:
        assert [(row["status"], row["route"]) for row in answer.data["results"]] == [("closed", way.route)]
        assert LEAD + "topics" not in store.listed()
        assert answer.data["restart"]["needed"] is (way.restarts > 0 or life == "unknown")
    assert restarts(tmp_path) == way.restarts
    if life in ("up", "mute", "no-openclaw"):
        assert len(stub.calls("sessions.delete")) == way.deletions
    assert any(way.warning in warning for warning in ["", *answer.data["warnings"]])
    assert answer.data["gateway"]["state"] == {"mute": "up", "no-openclaw": "up"}.get(life, life)


@pytest.mark.parametrize("life", ["mute", "no-delete"])
def test_a_gateway_that_does_not_take_sessions_delete_is_not_usable(stage: Stage, tmp_path: Path, life: str) -> None:
    """A real run finds out by asking; a dry run starts no `openclaw`, so it may not know."""
    store = stage(life)
    entries, names = store.entries(), {name for name in store.names() if ".json" in name}
    answer = run_json(CloseProjectBatch, "topics", "--via", "gateway", state=store.state)
    assert store.entries() == entries
    assert names <= store.names()
    assert restarts(tmp_path) == 0
    assert answer.code == 6


def test_a_gateway_that_refuses_to_delete_is_bypassed_with_one_restart(stage: Stage, tmp_path: Path) -> None:
    store = stage("no-delete")
    answer = run_json(CloseProjectBatch, "topics", "never-spoken", state=store.state)
    assert answer.code == 0
    assert {(row["status"], row["route"]) for row in answer.data["results"]} == {("closed", "files")}
    assert restarts(tmp_path) == 1


# Keys that the gateway cannot delete

UPPER = LEAD + "Upper-Case"


@pytest.mark.parametrize("word", ["project-invoices", UPPER])
def test_a_key_that_the_gateway_cannot_delete_goes_by_file_with_one_restart(
    stage: Stage, stub: StubGateway, tmp_path: Path, word: str
) -> None:
    store = stage("up")
    store.add((UPPER, store.session(UPPER)))
    answer = dry_then_real(store, word, "topics")
    assert answer.code == 0
    assert [(row["key"], row["route"]) for row in answer.data["results"]] == [
        (word, "files"),
        (LEAD + "topics", "gateway"),
    ]
    assert [call["key"] for call in stub.calls("sessions.delete")] == [LEAD + "topics"]
    assert restarts(tmp_path) == 1
    assert word not in store.listed()


@pytest.mark.parametrize("word", ["project-invoices", UPPER])
def test_a_key_that_the_gateway_cannot_delete_fails_via_gateway(
    stage: Stage, stub: StubGateway, tmp_path: Path, word: str
) -> None:
    store = stage("up")
    store.add((UPPER, store.session(UPPER)))
    answer = dry_then_real(store, word, "topics", "--via", "gateway")
    assert [(row["key"], row["status"]) for row in answer.data["results"]] == [
        (word, "failed"),
        (LEAD + "topics", "closed"),
    ]
    assert answer.code == 1
    assert restarts(tmp_path) == 0
    assert word in store.listed()


def test_rows_of_a_store_that_is_not_the_agents_own_go_by_file(stage: Stage, stub: StubGateway, tmp_path: Path) -> None:
    store = stage("up")
    shared = store.state / "all.json"
    shared.write_text(json.dumps({**store.entries(), **store.entries("researcher")}, indent=2))
    store.configure(session={"store": str(shared)})
    answer = dry_then_real(store, "topics")
    assert [row["route"] for row in answer.data["results"]] == ["files"]
    assert stub.calls("sessions.delete") == []
    assert restarts(tmp_path) == 1


# What the gateway is asked


@pytest.mark.parametrize(
    ("word", "whole"),
    [("topics", True), ("kelly-dashboard", True), ("alpha", False), ("cron:nightly:run:7f3a", False), ("odd", False)],
)
def test_the_gateway_may_not_take_a_file_that_is_not_the_sessions_own(
    stage: Stage, stub: StubGateway, word: str, whole: bool
) -> None:
    store = stage("up")
    outside = store.state / "outside.jsonl"
    outside.write_text("mine\n")
    store.add((LEAD + "odd", {"sessionId": "odd", "sessionFile": str(outside)}))
    shared = Path(store.entries()[LEAD + "alpha"]["sessionFile"])
    answer = run_json(CloseProjectBatch, LEAD + word, state=store.state)
    assert answer.rows == [(LEAD + word, "closed")]
    assert stub.calls("sessions.delete") == [{"key": LEAD + word, "deleteTranscript": whole}]
    assert shared.exists()
    assert outside.read_text() == "mine\n"


def test_two_rows_that_share_a_transcript_and_both_go_leave_one_archive(stage: Stage) -> None:
    store = stage("up")
    shared = Path(store.entries()[LEAD + "alpha"]["sessionFile"])
    answer = run_json(CloseProjectBatch, "alpha", "alpha-review", state=store.state)
    assert [row["status"] for row in answer.data["results"]] == ["closed", "closed"]
    assert [name.split(".deleted.")[0] for name in store.names() if name.startswith(shared.name)] == [shared.name]
    assert not shared.exists()


def test_what_the_gateway_leaves_behind_is_archived(stage: Stage) -> None:
    store = stage("up")
    stem = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    answer = run_json(CloseProjectBatch, LEAD + "kelly-dashboard", state=store.state)
    assert len(answer.data["results"][0]["archives"]) == 4
    left = {name for name in store.names() if name.startswith(stem)}
    assert len(left) == 4
    assert all(".deleted." in name or ".bak." in name for name in left)


def test_a_gateway_that_says_ok_and_does_nothing_is_not_believed(stage: Stage, stub: StubGateway) -> None:
    store = stage("up", lie=True)
    stub.tell(names=[f"{store.folder()}/{session_id(LEAD + 'topics')}.jsonl.deleted.2016-11-21T00-41-24.769Z"])
    answer = run_json(CloseProjectBatch, "topics", state=store.state)
    assert answer.code == 1
    # What it names is not there, so nobody is told of it.
    assert [(row["status"], row["archives"]) for row in answer.data["results"]] == [("failed", [])]
    assert LEAD + "topics" in store.listed()


def test_archives_that_a_gateway_names_wrongly_are_looked_for(stage: Stage, stub: StubGateway) -> None:
    store = stage("up")
    stub.tell(renames="2016-11-21T00-41-24.769Z")
    (row,) = run_json(CloseProjectBatch, "topics", state=store.state).data["results"]
    assert (row["status"], len(row["archives"])) == ("closed", 1)
    assert all(Path(path).is_file() for path in row["archives"])


def test_a_gateway_that_serves_another_state_directory_is_not_asked(
    stage: Stage, stub: StubGateway, tmp_path: Path
) -> None:
    store = stage("up", hello=str(tmp_path))
    before = tree(store.state)
    answer = dry_then_real(store, "topics")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert tree(store.state) == before
    assert stub.calls("sessions.delete") == []


def test_a_batch_goes_over_one_connection_with_an_admins_rights(stage: Stage, stub: StubGateway) -> None:
    store = stage("up")
    answer = run_json(CloseProjectBatch, "topics", "never-spoken", "kelly-dashboard", state=store.state)
    assert answer.code == 0
    assert len(stub.calls("sessions.delete")) == 4
    # What greets first is asked for no more than it takes to hear which version it is.
    assert ["operator.admin" in call["scopes"] for call in stub.calls("connect")] == [False, True]


# --restart


@pytest.mark.parametrize(
    ("life", "words", "count", "result"),
    [
        ("down", ("--restart", "always"), 0, "nothing-to-restart"),
        ("down", ("--restart", "never"), 0, "nothing-to-restart"),
        ("up", ("--restart", "always"), 1, "restarted"),
        ("up", ("--restart", "never"), 0, "not-needed"),
        ("up", ("--via", "files", "--restart", "never"), 0, "left-out"),
        ("up", ("--via", "files", "--no-restart"), 0, "left-out"),
        ("up", ("--via", "files", "--restart", "always"), 1, "restarted"),
        ("unknown", ("--via", "files", "--restart", "always"), 0, "not-proven"),
    ],
)
def test_restart_option(
    stage: Stage, tmp_path: Path, life: str, words: tuple[str, ...], count: int, result: str
) -> None:
    store = stage(life)
    answer = dry_then_real(store, "topics", *words)
    assert (answer.code, answer.data["restart"]["result"]) == (0, result)
    assert restarts(tmp_path) == count


def test_nothing_closed_is_no_reason_to_restart(stage: Stage, tmp_path: Path) -> None:
    store = stage("up")
    for words in (("nowhere",), ("main",)):
        run_json(CloseProjectBatch, *words, "--via", "files", state=store.state)
    assert restarts(tmp_path) == 0


def test_two_agents_and_one_restart(stage: Stage, tmp_path: Path) -> None:
    store = stage("up")
    words = ("topics", "agent:researcher:kelly-dashboard", "agent:main:hydration-tracker", "--via", "files")
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert (answer.code, len(answer.data["stores"])) == (0, 3)
    assert restarts(tmp_path) == 1


# Target by target

COLUMNS = {
    "down": ("down", ()),
    "up": ("up", ()),
    "up, --via files": ("up", ("--via", "files")),
    "unknown, --via files": ("unknown", ("--via", "files")),
}
TARGET = LEAD + "target"
Prepare = Callable[[Store], None]


def idle(store: Store) -> None:
    store.add((TARGET, store.session(TARGET)))


def says_running(store: Store) -> None:
    store.add((TARGET, store.session(TARGET, status="running")))


def locked(store: Store) -> None:
    idle(store)
    store.lock_transcript(TARGET)


def locked_before_the_first_word(store: Store) -> None:
    """The run takes its lock before the transcript exists."""
    idle(store)
    entry = store.entries()[TARGET]
    store.lock_transcript(TARGET)
    Path(entry.pop("sessionFile")).unlink()
    store.add((TARGET, entry))


def case_beside(store: Store) -> None:
    store.add((TARGET, store.session(TARGET)), (LEAD + "Target", store.session("other")))


def normalisation_beside(store: Store) -> None:
    store.add(*((key, store.session(key)) for key in (LEAD + "re\u0301sume\u0301", LEAD + "r\u00e9sum\u00e9")))


def shared(store: Store) -> None:
    store.add((TARGET, store.session(TARGET)), (LEAD + "kept", store.session("kept", like=TARGET)))


def in_a_receipt(store: Store) -> None:
    idle(store)
    entry = store.entries()[TARGET]
    assert run_json(CloseProjectBatch, TARGET, state=store.state).code == 0
    assert TARGET not in store.listed()
    assert not Path(entry["sessionFile"]).exists()


def nothing(store: Store) -> None:
    assert TARGET not in store.listed()


def interrupted(committed: bool) -> Prepare:
    def prepare(store: Store) -> None:
        idle(store)
        interrupt(store, TARGET, committed=committed)

    return prepare


class Row(NamedTuple):
    """One line of the table: how the store is made, the target, and what comes of it in each column."""

    prepare: Prepare
    target: str
    statuses: tuple[str, str, str, str]
    order: dict[str, Any] = {}  # noqa: RUF012


def same(word: str) -> tuple[str, str, str, str]:
    """The same in all columns."""
    return (word, word, word, word)


TABLE = {
    "idle": Row(idle, TARGET, same("closed")),
    "running, left over": Row(says_running, TARGET, ("closed", "closed", "closed", "refused running")),
    "running, gateway knows": Row(
        says_running, TARGET, ("closed", "refused running", "refused running", "refused running"), {"active": [TARGET]}
    ),
    "running, gateway too old to know": Row(
        says_running, TARGET, ("closed", "refused running", "refused running", "refused running"), {"old": True}
    ),
    "run in flight that only the gateway knows": Row(
        idle, TARGET, ("closed", "refused running", "refused running", "closed"), {"active": [TARGET]}
    ),
    "transcript locked": Row(locked, TARGET, same("refused running")),
    "locked, no transcript yet": Row(locked_before_the_first_word, TARGET, same("refused running")),
    "main": Row(nothing, LEAD + "main", same("refused main")),
    "main, upper case": Row(
        lambda store: store.add((LEAD + "MAIN", store.session("MAIN"))), LEAD + "MAIN", same("refused main")
    ),
    "global": Row(lambda store: store.add(("global", store.session("global"))), "global", same("refused main")),
    "unknown": Row(lambda store: store.add(("unknown", store.session("unknown"))), "unknown", same("refused main")),
    "case beside": Row(case_beside, TARGET, same("closed")),
    "normalisation beside": Row(normalisation_beside, LEAD + "r\u00e9sum\u00e9", same("closed")),
    "shared": Row(shared, TARGET, same("closed")),
    "in a receipt": Row(in_a_receipt, TARGET, same("already_closed")),
    "never seen": Row(nothing, TARGET, same("not_found")),
    "interrupted, committed": Row(interrupted(True), TARGET, same("already_closed")),
    "interrupted, not committed": Row(interrupted(False), TARGET, same("closed")),
}
CODES = {"closed": 0, "already_closed": 0, "not_found": 1}


def cells() -> Iterator[Any]:
    """Yield every cell, with --force and without; of those that are alike in a row a few are enough."""
    for name, row in TABLE.items():
        for column, status in zip(COLUMNS, row.statuses, strict=True):
            alike = len(set(row.statuses)) == 1
            for force in (False, True):
                told = status == "refused running" if force else not alike or column in ("down", "up")
                few = told or (force and column == "up" and name in ("idle", "main", "global", "never seen"))
                yield pytest.param(name, column, force, marks=[] if few else [pytest.mark.depth])


@pytest.mark.parametrize(("name", "column", "force"), list(cells()))
def test_target(
    stage: Stage, closed_port: int, monkeypatch: pytest.MonkeyPatch, name: str, column: str, force: bool
) -> None:
    row = TABLE[name]
    life, words = COLUMNS[column]
    store = stage(life, **row.order)
    with monkeypatch.context() as patched:
        # What happened earlier happened while no gateway ran.
        patched.setattr("session_closer.openclaw.gateway.connection.find", _no_gateway)
        row.prepare(store)
    expected = row.statuses[list(COLUMNS).index(column)]
    if force and expected == "refused running":
        expected = "closed"
    before, transcript = tree(store.state), store.folder()
    answer = dry_then_real(store, row.target, *words, *(["--force"] if force else []))
    (result,) = answer.data["results"]
    assert " ".join(filter(None, (result["status"], result["reason"]))) == expected
    assert answer.code == CODES.get(expected, 3)
    left = row.target in store.listed()
    assert left is expected.startswith("refused")
    if expected.startswith("refused") or name == "never seen":
        assert tree(store.state) == before
    if expected == "closed" and name in ("idle", "interrupted, not committed"):
        assert len(result["archives"]) == 1
        assert not (transcript / f"{result['sessionId']}.jsonl").exists()
    if expected == "closed" and name == "shared":
        assert result["archives"] == []
        assert (transcript / f"{result['sessionId']}.jsonl").exists()
        assert any("used by another session" in warning for warning in answer.data["warnings"])
    if name == "running, left over" and column == "down":
        assert any("left over from a crash" in warning for warning in answer.data["warnings"])
    assert store.open_runs() == []


def _no_gateway(home: Any) -> Any:
    from session_closer.core.status import Life
    from session_closer.openclaw.gateway.find import Found

    return Found(Life.DOWN)


@pytest.mark.parametrize("name", ["main", "main, upper case", "global", "unknown"])
def test_force_and_yes_open_nothing_but_running_sessions(stage: Stage, name: str) -> None:
    store, row = stage("down"), TABLE[name]
    row.prepare(store)
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, row.target, "--force", "--yes", "--via", "files", state=store.state)
    assert answer.code == 3
    assert tree(store.state) == before


# The SQLite era

SESSION_TABLES = ("session_nodes", "session_entries", "transcript_events")


def database(store: Store, table: str, agent: str = "project-lead") -> None:
    """Put a database with one table where OpenClaw has it."""
    import contextlib
    import sqlite3

    path = store.state / "agents" / agent / "agent" / "openclaw-agent.sqlite"
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"create table {table} (key text)")
        connection.commit()


@pytest.mark.parametrize("command", [CloseProjectBatch, KeepOnlySessions])
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("table", SESSION_TABLES)
@pytest.mark.parametrize("life", ["down", "up"])
def test_session_tables_of_an_unknown_shape_are_refused(
    stage: Stage, life: str, table: str, beside: bool, command: Any
) -> None:
    store = stage(life)
    database(store, table)
    if not beside:
        store.index().unlink()
    before = tree(store.state)
    answer = dry_then_real(store, "alpha", command=command)
    assert (answer.code, answer.error) == (3, "unknown_store")
    assert tree(store.state) == before


def test_a_database_without_sessions_is_no_session_database(store: Store) -> None:
    database(store, "auth_profiles")
    before = tree(store.state / "agents" / "project-lead" / "agent")
    assert run_json(CloseProjectBatch, "alpha", state=store.state).code == 0
    assert tree(store.state / "agents" / "project-lead" / "agent") == before


def test_one_agent_whose_store_is_unknown_stops_a_batch_of_two_before_any_change(store: Store) -> None:
    database(store, "session_nodes", "researcher")
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", "agent:researcher:kelly-dashboard", state=store.state)
    assert answer.code == 3
    assert tree(store.state) == before


def test_a_database_that_cannot_be_read_is_refused(store: Store) -> None:
    path = store.state / "agents" / "project-lead" / "agent" / "openclaw-agent.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"this is no database " * 100)
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert (answer.code, answer.error) == (3, "unknown_store")
    assert tree(store.state) == before
