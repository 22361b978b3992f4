"""Another user of the same machine: nothing of theirs is run, believed or waited for, and no token reaches them."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import socket
import sys
import time
from collections.abc import Callable

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.gateway import find
from session_closer.system import flock
from support.commands import Answer
from support.interrupted import interrupt
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.users import ROOT, STRANGER, VICTIM, as_user, running

from .conftest import Ground, listener, lock, told, trap

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the traps are set by Linux's means")
LEFT_OUT = "left out of consideration"
both = pytest.mark.parametrize("victim", [VICTIM, ROOT], ids=["a user", "root"])
Make = Callable[[int], Ground]


def check_closed_as_ever(ground: Ground, answer: Answer, *said: str) -> None:
    """Check that a close went its way as if the other user were not there, and says what it left out."""
    assert ground.marked() == []
    assert answer.rows == [(LEAD + "alpha", "closed")], answer
    assert answer.data["gateway"]["state"] == "down"
    evidence = [line for line in answer.data["gateway"]["evidence"] if LEFT_OUT in line]
    assert all(any(part in line for line in evidence) for part in said), answer.data["gateway"]


# Traces: lock files, folders, processes


@both
def test_a_folder_for_locks_that_another_user_made_first_is_not_looked_into(ground: Make, victim: int) -> None:
    at = ground(victim)
    with trap(at) as trapped:
        lock(at, trapped, uid=STRANGER)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), str(at.locks), f"uid {STRANGER}")


@both
def test_a_lock_file_that_another_user_put_into_our_folder_does_not_count(ground: Make, victim: int) -> None:
    at = ground(victim)
    at.locks.mkdir()
    os.chown(at.locks, victim, victim)
    with trap(at) as trapped:
        path = lock(at, trapped, uid=STRANGER, mode=0o644)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), str(path), f"uid {STRANGER}")


@both
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_may_write_does_not_count_whoever_owns_it(ground: Make, victim: int, what: str) -> None:
    at = ground(victim)
    with trap(at, uid=victim) as trapped:
        path = lock(at, trapped, uid=victim)
        (at.locks if what == "folder" else path).chmod(0o777)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), "others may write")


@both
def test_a_link_to_a_folder_of_ours_is_not_followed(ground: Make, victim: int) -> None:
    at = ground(victim)
    with trap(at, uid=victim) as trapped:
        lock(at, trapped, uid=victim, folder=at.store.state / "old")
        os.symlink(at.store.state / "old", at.locks)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), str(at.locks))


@both
def test_our_own_old_lock_whose_process_is_another_users_by_now_does_not_count(ground: Make, victim: int) -> None:
    at = ground(victim)
    with trap(at) as trapped:
        lock(at, trapped, uid=victim)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), f"process {trapped.pid}", f"uid {STRANGER}")


@both
def test_a_process_that_claims_our_state_directory_does_not_count(ground: Make, victim: int) -> None:
    at = ground(victim)
    with trap(at, listens="127.0.0.1", OPENCLAW_STATE_DIR=str(at.store.state)) as trapped:
        at.store.port = trapped.port
        configure(at)
        said = [f"port {trapped.port}", f"uid {STRANGER}", *([f"process {trapped.pid}"] if victim == ROOT else [])]
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), *said)


def configure(at: Ground) -> None:
    at.store.configure()
    os.chown(at.store.state / "openclaw.json", at.uid, at.uid)


def test_a_process_without_a_home_proves_nothing(ground: Make) -> None:
    at = ground(VICTIM)
    with trap(at, uid=VICTIM, listens="127.0.0.1") as trapped:
        answer = at.does(CloseProject, "--dry-run", "alpha")
        assert answer.data["gateway"]["state"] == "down", trapped


@pytest.mark.long
@pytest.mark.parametrize("whose", ["script", "folder"])
def test_the_words_of_our_own_gateway_are_not_run_where_others_may_write_them(ground: Make, whose: str) -> None:
    at = ground(VICTIM)
    with trap(at, uid=VICTIM, listens="127.0.0.1", OPENCLAW_STATE_DIR=str(at.store.state)) as trapped:
        lock(at, trapped, uid=VICTIM)
        at.store.port = trapped.port
        configure(at)
        if whose == "script":
            trapped.script.chmod(0o666)
        answer = at.does(CloseProject, "--restart", "never", "alpha")
        assert at.marked() == []
        assert f"what process {trapped.pid} runs is not run" in " ".join(answer.data["gateway"]["evidence"])


# Tokens


COMMANDS = {
    "list": (ListSessions, ()),
    "dry run": (CloseProject, ("--dry-run", "alpha")),
    "close": (CloseProject, ("alpha",)),
    "restore": (RestoreSessions, ("--dry-run", "last")),
}


@both
@pytest.mark.parametrize("command", COMMANDS)
def test_a_stranger_at_our_port_is_told_nothing(ground: Make, victim: int, command: str) -> None:
    at = ground(victim)
    what, words = COMMANDS[command]
    if command == "restore":
        at.does(CloseProject, "alpha")
    with listener(at, STRANGER) as port:
        at.store.port = port
        configure(at)
        answer = at.does(what, *words)
    assert at.marked() == []
    assert answer.code == 0, answer
    assert f"port {port} is {LEFT_OUT}: uid {STRANGER} listens there" in answer.data["gateway"]["evidence"]


def test_a_stranger_who_takes_no_connection_is_not_waited_for(ground: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ground(VICTIM)

    def work(say: Callable[[object], None]) -> None:
        made = socket.create_server(("127.0.0.1", 0), backlog=0)
        say(made.getsockname()[1])
        time.sleep(PATIENCE_SECONDS)

    def called(port: int) -> bool:
        raise AssertionError(f"port {port} is called")

    with running(STRANGER, work) as (_, port), contextlib.ExitStack() as held:
        # As many as wait there already leave no room for one more.
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        at.store.port = port
        configure(at)
        monkeypatch.setattr(find, "_answers", called)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), f"port {port}")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_however_it_listens(ground: Make, address: str) -> None:
    at = ground(VICTIM)
    with listener(at, STRANGER, address) as port:
        at.store.port = port
        configure(at)
        check_closed_as_ever(at, at.does(CloseProject, "alpha"), f"uid {STRANGER}")


def test_a_stranger_who_takes_the_connections_of_roots_socket_is_told_nothing(ground: Make) -> None:
    at = ground(VICTIM)
    with listener(at, ROOT, accepts=STRANGER) as port:
        at.store.port = port
        configure(at)
        answer = at.does(CloseProject, "alpha")
        assert (answer.code, answer.error) == (6, "gateway_needed")
        assert f"uid {STRANGER}" in answer.data["error"]["message"]
    assert at.marked() == []


def test_an_address_that_is_named_is_no_better(ground: Make) -> None:
    at = ground(VICTIM)
    with listener(at, STRANGER) as port:
        for host in ("127.0.0.1", "localhost"):
            answer = at.does(CloseProject, "--url", f"ws://{host}:{port}", "alpha")
            assert (answer.code, answer.error) == (6, "gateway_needed")
            assert f"uid {STRANGER} listens there" in answer.data["error"]["message"]
    assert at.marked() == []


@both
def test_what_root_listens_for_is_used(ground: Make, victim: int) -> None:
    """A container's port is passed on by a process of root's."""
    at = ground(victim)
    with listener(at, ROOT) as port:
        at.store.port = port
        configure(at)
        answer = at.does(ListSessions)
        assert (answer.code, answer.data["gateway"]["state"]) == (0, "up")
        named = at.does(ListSessions, "--url", f"ws://127.0.0.1:{port}")
        assert (named.code, named.data["gateway"]["state"]) == (0, "up")
    assert told(at)


def test_openclaw_is_not_started_where_it_would_tell_a_stranger(ground: Make) -> None:
    """Our gateway is at ::1 alone, and another user is at 127.0.0.1 of the same port."""
    at = ground(VICTIM)
    program = at.shared / "openclaw"
    program.write_text(f'#!/bin/sh\necho "$*" >> "{at.marks}/openclaw"\n')
    program.chmod(0o755)
    os.environ["SESSION_CLOSER_OPENCLAW"] = str(program)  # undone with the rest of the test's environment
    with trap(at, uid=VICTIM, listens="::1", OPENCLAW_STATE_DIR=str(at.store.state)) as trapped:
        lock(at, trapped, uid=VICTIM)
        at.store.port = trapped.port
        configure(at)
        with listener(at, STRANGER, port=trapped.port):
            answer = at.does(CloseProject, "alpha")
    assert at.marked() == []
    assert f"uid {STRANGER} listens there" in " ".join(answer.data["gateway"]["evidence"])
    assert answer.data["restart"]["result"] == "not-run"


# What is in the state directory


def test_a_receipt_of_another_user_is_none_of_ours(ground: Make) -> None:
    at = ground(VICTIM)
    assert at.does(CloseProject, "alpha").code == 0
    (receipt,) = (at.store.state / "session-closer" / "receipts").iterdir()
    os.chown(receipt, STRANGER, STRANGER)
    receipt.chmod(0o644)
    answer = at.does(RestoreSessions, "last")
    assert (answer.code, answer.error) == (3, "owner")
    assert str(STRANGER) in answer.data["error"]["message"]
    assert LEAD + "alpha" not in at.store.listed()


def test_the_record_of_a_run_that_another_user_made_is_not_carried_out(ground: Make) -> None:
    at = ground(VICTIM)

    def leave_a_run() -> None:
        interrupt(at.store, "topics", committed=True)

    as_user(VICTIM, leave_a_run)
    (record,) = (at.store.state / "session-closer" / "open").glob("*/record.json")
    os.chown(record, STRANGER, STRANGER)
    record.chmod(0o644)
    answer = at.does(CloseProject, "alpha")
    said = " ".join([*answer.data["warnings"], str(answer.data["error"])])
    assert f"belongs to uid {STRANGER}" in said
    assert any(name.endswith("-topic-42.jsonl") for name in at.store.names())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_state_directory_that_everybody_may_write_is_said_once(ground: Make, command: str) -> None:
    at = ground(VICTIM)
    if command == "restore":
        at.does(CloseProject, "alpha")
    at.store.state.chmod(0o777)
    what, words = COMMANDS[command]
    answer = at.does(what, *words)
    assert answer.code == 0
    said = [line for line in answer.data["warnings"] if "others may write to it" in line]
    assert len(said) == 1
    assert str(at.store.state) in said[0]


OURS = ("session-closer", "session-closer/receipts", "session-closer/open")


@pytest.mark.parametrize("part", OURS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_ours_that_belongs_to_another_user_is_refused(ground: Make, part: str, command: str) -> None:
    at = ground(VICTIM)
    at.does(CloseProject, "alpha")
    os.chown(at.store.state / part, STRANGER, STRANGER)
    (at.store.state / part).chmod(0o777)
    what, words = COMMANDS[command]
    answer = at.does(what, *words)
    assert (answer.code, answer.error) == (3, "owner")
    assert f"{part} belongs to uid {STRANGER}" in answer.data["error"]["message"]


@pytest.mark.parametrize("part", OURS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_ours_that_everybody_may_write_is_said_once(ground: Make, part: str, command: str) -> None:
    at = ground(VICTIM)
    at.does(CloseProject, "alpha")
    (at.store.state / part).chmod(0o777)
    what, words = COMMANDS[command]
    said = [line for line in at.does(what, *words).data["warnings"] if "others may write to it" in line]
    assert [f"{at.store.state / part}: others may write to it" in line for line in said] == [True]


def test_who_holds_a_folder_that_others_may_read_is_said(ground: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "folder", functools.partial(flock.folder, wait=0.5))
    at = ground(VICTIM)
    for place in (at.store.state, *at.store.folder().relative_to(at.store.state).parents):
        (at.store.state / place).chmod(0o755)
    at.store.folder().chmod(0o755)

    def work(say: Callable[[object], None]) -> None:
        fcntl.flock(os.open(at.store.folder(), os.O_RDONLY), fcntl.LOCK_EX)
        say("held")
        time.sleep(PATIENCE_SECONDS)

    with running(STRANGER, work) as (pid, _):
        answer = at.does(CloseProject, "alpha")
    assert (answer.code, answer.error) == (4, "busy")
    assert f"process {pid}" in answer.data["error"]["message"]
    assert f"uid {STRANGER}" in answer.data["error"]["message"]
    assert f"chmod go-rx {at.store.folder()}" in answer.data["error"]["remedy"]
    assert at.store.listed().count(LEAD + "alpha") == 1
