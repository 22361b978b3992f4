"""File stores: what refers to a session is named; chat bindings that the gateway removes come back with the undo."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.core.report import Report, RestartResult
from session_closer.core.wish import Options
from session_closer.openclaw import home
from session_closer.openclaw.attached import bindings as bindings_of
from session_closer.openclaw.attached import mentions
from session_closer.operations import apply
from session_closer.operations import restore as restoring
from session_closer.system import files
from session_closer.system.disk import Disk
from support.commands import Answer, close, run, undo
from support.gateway import StubGateway
from support.interrupted import Killed
from support.keys import LEAD, session_id
from support.stores import Stage, Store
from support.trees import write

KELLY, ALPHA, KID = LEAD + "kelly-dashboard", LEAD + "alpha", LEAD + "subagent:2b1c"
ELSEWHERE = "agent:researcher:subagent:77aa"
Effects = dict[str, tuple[int, str, str]]


def bindings(store: Store) -> Path:
    return store.state / mentions.BINDINGS


def record(key: str, chat: str, **more: Any) -> dict[str, Any]:
    conversation = {"channel": "telegram", "accountId": "default", "conversationId": chat}
    name = f"generic:telegram␟default␟␟{chat}"
    return {"bindingId": name, "targetSessionKey": key, "conversation": conversation, "status": "active", **more}


def bind(store: Store, *records: dict[str, Any]) -> bytes:
    """Write the file as OpenClaw 2026.5.7 does; return its bytes."""
    path = bindings(store)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"version": 1, "bindings": list(records)}, indent=2, ensure_ascii=False).encode()
    write(path, text)
    return text


def bound(store: Store) -> dict[str, str]:
    """Return which session each chat leads to."""
    found = json.loads(bindings(store).read_bytes())["bindings"]
    return {one["conversation"]["conversationId"]: one["targetSessionKey"] for one in found}


def furnish(store: Store) -> None:
    """Give a session all that may refer to it in files."""
    own = session_id("project-lead " + KELLY)
    store.add((ELSEWHERE, store.session(ELSEWHERE, agent="researcher", spawnedBy=KELLY)), agent="researcher")
    runs = {"version": 2, "runs": {"r1": {"childSessionKey": KID, "requesterSessionKey": KELLY}}}
    for path, content in (
        ("subagents/runs.json", json.dumps(runs)),
        ("tomorrow/deep/notes.json", json.dumps({"about": own})),
        (f"tomorrow/{own}.pdf", "paper"),
        ("tomorrow/other.json", json.dumps({"about": ALPHA})),
        ("cron/jobs.json", json.dumps({"version": 1, "jobs": [{"x": KELLY}]})),
        (f"credentials/{own[:6]}.json", json.dumps(KELLY)),
        ("agents/project-lead/agent/node_modules/x.json", json.dumps(KELLY)),
    ):
        (store.state / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(store.state / path, content)
    (store.state / "tomorrow" / "link").symlink_to(store.folder())
    for folder, name, table in (("tasks", "runs.sqlite", "task_runs"), ("flows", "registry.sqlite", "flow_runs")):
        (store.state / folder).mkdir(mode=0o700)
        with contextlib.closing(sqlite3.connect(store.state / folder / name, isolation_level=None)) as made:
            made.execute(f"create table {table} (id text primary key, requester_session_key text)")
            made.execute(f"insert into {table} values ('1', ?)", (KELLY,))
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))


def effects(answer: Answer, key: str = KELLY) -> Effects:
    (row,) = (row for row in answer.data["results"] if row["key"] == key)
    return {one["kind"]: (one["count"], one["action"], one["undo"]) for one in row["effects"]}


STAYS: Effects = {
    "child": (2, "kept", "exact"),
    "file:subagents/runs.json": (1, "kept", "exact"),
    "file:tomorrow/deep/notes.json": (1, "kept", "exact"),
    f"file:tomorrow/{session_id('project-lead ' + KELLY)}.pdf": (1, "kept", "exact"),
    "table:flow_runs": (1, "kept", "exact"),
    "table:task_runs": (1, "kept", "exact"),
}


@pytest.mark.parametrize(
    ("life", "words", "of_binding"),
    [
        ("down", (), (1, "kept", "exact")),
        ("up", ("--via", "files"), (1, "kept", "exact")),
        ("up", (), (1, "removed", "exact")),
    ],
)
def test_dry_run_result_and_receipt_name_what_refers_to_a_session(
    stage: Stage, life: str, words: tuple[str, ...], of_binding: tuple[int, str, str]
) -> None:
    store = stage(life)
    furnish(store)
    expected = STAYS | {"binding": of_binding}
    assert effects(close(store, "--dry-run", *words, KELLY)) == expected
    answer = close(store, *words, KELLY)
    assert effects(answer) == expected
    (row,) = answer.data["results"]
    assert store.receipts()[-1]["stores"][0]["sessions"][0]["effects"] == row["effects"]
    names = {one["kind"]: (one["id"], one["name"]) for one in row["effects"]}
    assert names["binding"] == ("generic:telegram␟default␟␟123", "telegram:123")
    assert {KID, ELSEWHERE} <= set(names["child"][1].replace(",", "").split())


def test_bindings_that_cannot_be_read_are_a_warning_and_hide_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stage("down")
    furnish(store)
    real = files.read

    def broken(path: str, limit: int) -> tuple[bytes, os.stat_result]:
        if path == str(bindings(store)):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, limit)

    monkeypatch.setattr(files, "read", broken)
    answer = close(store, "--dry-run", KELLY)
    assert effects(answer) == STAYS
    assert any(os.strerror(errno.EIO) in warning for warning in answer.data["warnings"])


def test_many_files_of_one_folder_are_counted(stage: Stage) -> None:
    store = stage("down")
    folder = store.state / "snapshots"
    folder.mkdir()
    for number in range(5):
        write(folder / f"{number}-{session_id('project-lead ' + KELLY)}.bin", "x")
    assert effects(close(store, "--dry-run", KELLY))["file:snapshots/"] == (5, "kept", "exact")


def test_the_look_over_files_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stage("down")
    furnish(store)
    monkeypatch.setattr(mentions, "_MOST_ENTRIES", 3)
    assert not [kind for kind in effects(close(store, "--dry-run", KELLY)) if kind.startswith("file:")]


def test_a_name_with_control_characters_reaches_no_terminal(stage: Stage) -> None:
    store = stage("down")
    bind(store, record(KELLY, "\x1b[31m123"))
    result = run(CloseProjectBatch, "--dry-run", KELLY, state=store.state)
    assert "chat binding" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def unbind(store: Store, key: str) -> Callable[[], None]:
    """Return what the gateway of 2026.5.7 does to its file when it deletes a session."""

    def act() -> None:
        left = [one for one in json.loads(bindings(store).read_bytes())["bindings"] if one["targetSessionKey"] != key]
        bind(store, *left)

    return act


def closed_by_gateway(store: Store) -> Answer:
    answer = close(store, KELLY)
    assert answer.rows[0] == (KELLY, "closed"), answer
    unbind(store, KELLY)()
    assert bound(store) == {"456": ALPHA}
    return answer


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a restarted gateway have a process of its own, as a service has: the stub goes on in the same one."""
    found = bindings_of.find
    monkeypatch.setattr(bindings_of, "find", lambda home: found(home)._replace(pid=1))


def stopped(store: Store, stub: StubGateway) -> None:
    """Let there be no gateway any more, as far as anybody can see."""
    assert stub.lock is not None
    stub.lock.unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store.port = free.getsockname()[1]
    store.configure()


@pytest.mark.usefixtures("new_process")
@pytest.mark.parametrize("life", ["up", "down"])
def test_the_undo_puts_back_the_binding_that_the_gateway_has_removed(
    stage: Stage, stub: StubGateway, life: str
) -> None:
    store = stage("up")
    before = bind(store, record(KELLY, "123", metadata={"label": "Käthe"}), record(ALPHA, "456"))
    answer = closed_by_gateway(store)
    if life == "down":
        stopped(store, stub)
    back = undo(store, answer)
    assert (back.code, back.rows[0]) == (0, (KELLY, "restored")), back
    assert "notRestored" not in back.data["results"][0]
    assert bindings(store).read_bytes() == before
    assert [path.name for path in bindings(store).parent.iterdir()] == [bindings(store).name]


@pytest.mark.usefixtures("new_process")
@pytest.mark.parametrize(
    ("record_now", "said"),
    [(record(ALPHA, "123"), "another session by now"), (None, "has expired")],
)
def test_a_chat_that_has_another_binding_by_now_keeps_it(
    stage: Stage, record_now: dict[str, Any] | None, said: str
) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123", **({} if record_now else {"expiresAt": 1000})))
    answer = close(store, KELLY)
    now = bind(store, *([record_now] if record_now else []))
    back = undo(store, answer)
    assert (back.code, back.rows[0]) == (0, (KELLY, "restored"))
    assert bindings(store).read_bytes() == now
    (left,) = back.data["results"][0]["notRestored"]
    assert (left["kind"], left["count"]) == ("binding", 1)
    assert said in left["why"]


def not_restored(back: Answer) -> str:
    assert (back.code, back.rows[0]) == (1, (KELLY, "restored")), back
    assert back.data["results"][0]["ok"] is False
    (left,) = back.data["results"][0]["notRestored"]
    assert set(left) == {"kind", "count", "why"}
    return str(left["why"])


def test_what_a_gateway_that_was_not_restarted_does_not_know_is_not_called_restored(stage: Stage) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    answer = closed_by_gateway(store)
    assert "--restart never" in not_restored(undo(store, answer, "--restart", "never"))
    assert bound(store) == {"456": ALPHA}


def test_a_gateway_that_restarts_within_its_process_does_not_read_the_file_again(stage: Stage) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    assert "stop and start the gateway" in not_restored(undo(store, closed_by_gateway(store)))


@pytest.mark.usefixtures("new_process")
def test_what_the_gateway_writes_over_before_it_ends_is_not_called_restored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    answer = closed_by_gateway(store)
    restart = apply.restart_once

    def restarted(*run: Any) -> RestartResult:
        unbind(store, KELLY)()
        return restart(*run)

    monkeypatch.setattr(apply, "restart_once", restarted)
    assert "its own list" in not_restored(undo(store, answer))


@pytest.mark.long
@pytest.mark.usefixtures("new_process")
def test_a_binding_that_is_made_in_the_same_moment_is_not_lost(stage: Stage) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    answer = closed_by_gateway(store)

    class Slow(Disk):
        late = False

        def exchange(self, one: str, other: str) -> bool:
            if other == str(bindings(store)) and not self.late:
                self.late = True
                bind(store, record(ALPHA, "456"), record(ALPHA, "789"))
            return super().exchange(one, other)

    report = restored_on(store, answer, Slow())
    assert [(row.key, row.status, row.not_restored) for row in report.results] == [(KELLY, "restored", ())]
    assert bound(store) == {"123": KELLY, "456": ALPHA, "789": ALPHA}


def restored_on(store: Store, answer: Answer, disk: Disk) -> Report:
    where = home.find(os.environ, state_dir=str(store.state))
    return restoring.execute(where, restoring.Ask(Path(str(answer.data["receipt"])).stem), Options(), disk=disk)


@pytest.mark.usefixtures("new_process")
@pytest.mark.parametrize("damage", [b"", b"[]", b'{"version": 2, "bindings": []}', None])
def test_a_file_that_is_another_one_stays_as_it_is(stage: Stage, damage: bytes | None) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"))
    answer = close(store, KELLY)
    if damage is None:
        bindings(store).unlink()
    else:
        write(bindings(store), damage)
    not_restored(undo(store, answer))
    assert (bindings(store).read_bytes() if bindings(store).exists() else None) == damage


def test_what_was_kept_and_is_not_what_it_was_is_not_put_back(stage: Stage) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    answer = closed_by_gateway(store)
    (kept,) = answer.data["stores"][0]["kept"]
    Path(kept).write_bytes(Path(kept).read_bytes()[:-1] + b"x")
    assert "not what it was" in not_restored(undo(store, answer))
    assert bound(store) == {"456": ALPHA}


@pytest.mark.long
@pytest.mark.usefixtures("new_process")
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_restore_is_finished_with_its_bindings(stage: Stage, after: bool) -> None:
    store = stage("up")
    bind(store, record(KELLY, "123"), record(ALPHA, "456"))
    answer = closed_by_gateway(store)

    class Cut(Disk):
        dead = False

        def exchange(self, one: str, other: str) -> bool:
            if other == str(bindings(store)):
                if after:
                    super().exchange(one, other)
                raise Killed
            return super().exchange(one, other)

    with pytest.raises(Killed):
        restored_on(store, answer, Cut())
    assert store.open_runs()
    assert close(store, "nothing-of-this-name").error is None
    assert store.open_runs() == []
    assert bound(store) == {"123": KELLY, "456": ALPHA}
    assert [path.name for path in bindings(store).parent.iterdir()] == [bindings(store).name]


STATE = """
create table current_conversation_bindings (
    binding_key text primary key, binding_id text, target_session_key text, channel text, conversation_id text,
    record_json text);
"""


def test_a_binding_in_a_database_is_kept_beside_the_receipt_and_said_to_be_gone(stage: Stage) -> None:
    store = stage("up")
    path = store.state / "state" / "openclaw.sqlite"
    path.parent.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as state:
        state.executescript(STATE)
        row = "insert into current_conversation_bindings values ('k', 'b', ?, 'telegram', '123', '{}')"
        state.execute(row, [KELLY])
    answer = close(store, KELLY)
    assert effects(answer)["binding"] == (1, "removed", "none")
    (kept,) = answer.data["stores"][0]["kept"]
    (line,) = [json.loads(line) for line in gzip.decompress(Path(kept).read_bytes()).splitlines()]
    assert (line["table"], line["row"]["conversation_id"]) == ("current_conversation_bindings", "123")
    back = undo(store, answer)
    assert (back.code, back.rows[0]) == (0, (KELLY, "restored")), back
    (left,) = back.data["results"][0]["notRestored"]
    assert (left["kind"], left["count"]) == ("binding", 1)
    assert "gateway" in left["why"]
