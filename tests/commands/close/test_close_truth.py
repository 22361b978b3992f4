"""What a close promises when others are at it, too: rights that stay, leftovers that go, answers that are lost."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names
from session_closer.core.report import RestartResult
from session_closer.openclaw.files import close as closing
from session_closer.openclaw.gateway import restart
from session_closer.openclaw.gateway.link import LinkLost
from session_closer.openclaw.home import Home
from session_closer.operations import by_store, take_out
from session_closer.operations import close as executor
from session_closer.system import flock
from session_closer.system.clock import Clock
from session_closer.system.disk import Disk
from support.clock import Brisk, HandIn, handed
from support.commands import Answer, run_json
from support.gateway import StubGateway, StubOpenClaw, stub_gateway
from support.interrupted import Killed, KilledDisk, perform
from support.keys import LEAD
from support.stores import TOKEN, Stage, Store
from support.trees import tree

KELLY, TOPICS, SPOKEN = LEAD + "kelly-dashboard", LEAD + "topics", LEAD + "never-spoken"
ALPHA = LEAD + "alpha"

# Owner, group, mode and ACL of the store

GROUP, FOLDERS_GROUP = 4242, 4343
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, OWNING_GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def acl(user: int) -> bytes:
    """Return an ACL that lets one more user read."""
    entries = ((OWNER, 6, NOBODY), (USER, 4, user), (OWNING_GROUP, 0, NOBODY), (MASK, 4, NOBODY), (OTHER, 0, NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_acl(path: Path, name: str, value: bytes) -> None:
    if not hasattr(os, "setxattr"):
        pytest.skip("this system has no POSIX ACLs as attributes")
    try:
        os.setxattr(path, name, value)
    except OSError as problem:
        if problem.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        pytest.skip(f"{path} is on a file system without ACLs")


def acl_of(path: Path) -> bytes | None:
    return os.getxattr(path, ACCESS) if ACCESS in os.listxattr(path) else None


def close_two(store: Store) -> None:
    assert run_json(CloseProjectBatch, "topics", "never-spoken", state=store.state).code == 0
    assert not {TOPICS, SPOKEN}.intersection(store.listed())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder any group")
@pytest.mark.parametrize("group", [os.getegid(), GROUP])
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_folder_that_hands_its_group_down_does_not_change_who_may_read_the_store(
    store: Store, group: int, mode: int
) -> None:
    os.chown(store.folder(), -1, FOLDERS_GROUP)
    store.folder().chmod(0o2700)
    os.chown(store.index(), -1, group)
    store.index().chmod(mode)
    before = store.index().stat()
    close_two(store)
    after = store.index().stat()
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, group, mode)


def test_an_acl_of_the_store_stays(store: Store) -> None:
    set_acl(store.index(), ACCESS, acl(GROUP))
    mode = store.index().stat().st_mode
    close_two(store)
    assert acl_of(store.index()) == acl(GROUP)
    assert store.index().stat().st_mode == mode


def test_an_acl_that_the_folder_hands_down_is_not_given_to_a_store_without_one(store: Store) -> None:
    set_acl(store.folder(), DEFAULT, acl(GROUP))
    mode = store.index().stat().st_mode
    close_two(store)
    assert acl_of(store.index()) is None
    assert store.index().stat().st_mode == mode


def test_an_acl_that_the_folder_hands_down_does_not_replace_that_of_the_store(store: Store) -> None:
    set_acl(store.index(), ACCESS, acl(GROUP))
    set_acl(store.folder(), DEFAULT, acl(FOLDERS_GROUP))
    close_two(store)
    assert acl_of(store.index()) == acl(GROUP)


# What a killed run has left


def nothing_to_clean(store: Store, *words: str) -> None:
    answer = run_json(CleanupSessions, "--stale", "cron-run=10000d", *words, state=store.state)
    assert (answer.code, answer.rows) == (0, [])


def absent(store: Store, *words: str) -> None:
    answer = run_json(CloseProjectBatch, *words, LEAD + "absent", state=store.state)
    assert (answer.code, answer.rows) == (1, [(LEAD + "absent", "not_found")])


def nothing_to_clean_store_by_store(store: Store, *words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_store, "MOST", 0)
        nothing_to_clean(store, *words)


CLOSES_NOTHING = pytest.mark.parametrize("command", [nothing_to_clean, nothing_to_clean_store_by_store, absent])


@pytest.fixture
def left(store: Store) -> Path:
    """A file that a run was killed at while it wrote it."""
    path = Path(f"{store.index()}{names.FRESH}")
    path.write_bytes(b"{")
    return path


@CLOSES_NOTHING
def test_what_a_killed_run_has_left_goes_with_the_next_run(
    store: Store, left: Path, command: Callable[..., None]
) -> None:
    before = store.names() - {left.name}
    command(store)
    assert store.names() == before


@CLOSES_NOTHING
@pytest.mark.usefixtures("left")
def test_a_dry_run_leaves_it(store: Store, command: Callable[..., None]) -> None:
    before = tree(store.state)
    command(store, "--dry-run")
    assert tree(store.state) == before


@CLOSES_NOTHING
def test_it_stays_where_another_closer_may_be_writing_it(
    store: Store, left: Path, command: Callable[..., None]
) -> None:
    with flock.folder(str(store.folder())):
        command(store)
        assert left.read_bytes() == b"{"
    command(store)
    assert not left.exists()


# Transcripts that somebody else puts away


class Crossed(Disk):
    """A disk on which a transcript has gone in the moment in which it is to be archived."""

    def __init__(self, gone: Callable[[str], object]) -> None:
        self.gone = gone

    def rename_new(self, source: str, target: str) -> None:
        """Rename, once it is too late."""
        if source.endswith(".jsonl") and ".deleted." in target:
            self.gone(source)
        super().rename_new(source, target)


LATER, LONG_AGO = "2099-01-01T00-00-00.000Z", "2001-01-01T00-00-00.000Z"


def test_a_transcript_that_somebody_else_has_archived_in_this_moment_belongs_to_the_session(store: Store) -> None:
    entry, before = store.entries()[KELLY], store.names()
    live = Path(entry["sessionFile"])
    raw = live.read_bytes()
    taken = f"{live}.deleted.{LATER}"
    report = perform(store, KELLY, disk=Crossed(lambda source: os.rename(source, f"{source}.deleted.{LATER}")))
    [row] = report.results
    assert (row.key, str(row.status)) == (KELLY, "closed")
    assert taken in row.archives
    assert all(os.path.exists(path) for path in row.archives)
    [receipt] = store.receipts()
    [noted] = receipt["stores"][0]["sessions"]
    assert os.path.basename(taken) in str(noted)
    answer = run_json(RestoreSessions, "last", state=store.state)
    assert (answer.code, answer.rows) == (0, [(KELLY, "restored")])
    assert live.read_bytes() == raw
    assert not os.path.exists(taken)
    assert store.entries()[KELLY] == entry
    assert before <= store.names()


def test_an_archive_from_before_is_not_taken_for_the_transcript_that_has_gone(store: Store) -> None:
    live = Path(store.entries()[KELLY]["sessionFile"])
    old = Path(f"{live}.deleted.{LONG_AGO}")
    old.write_text("of another time")
    report = perform(store, KELLY, disk=Crossed(os.unlink))
    [row] = report.results
    assert (row.key, str(row.status)) == (KELLY, "closed")
    assert str(old) not in row.archives
    assert not any(os.path.basename(path).startswith(f"{live.name}.deleted.") for path in row.archives)
    [receipt] = store.receipts()
    assert old.name not in str(receipt)
    assert old.read_text() == "of another time"


# A gateway that stops answering in the middle

BATCH = [KELLY, TOPICS, SPOKEN, ALPHA]
# The second call: either it never came to anything, or only its answer was lost.
HOW = pytest.mark.parametrize("do", ["drop-before", "drop-after"])


@pytest.fixture
def dying(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], StubGateway]]:
    """Return a maker of a gateway for `store` that ends at the second deletion."""
    with contextlib.ExitStack() as held:

        def make(do: str) -> StubGateway:
            folder = tmp_path / "gateway"
            folder.mkdir()
            stub = held.enter_context(stub_gateway(folder))
            store.port = stub.port
            store.configure()
            stub.serve(store.state, TOKEN, faults=[{"method": "sessions.delete", "call": [2], "do": do}])
            real = closing.delete

            def delete(*words: Any, **more: Any) -> list[str]:
                try:
                    return real(*words, **more)
                except LinkLost:
                    stub.stop()
                    raise

            monkeypatch.setattr(closing, "delete", delete)
            return stub

        yield make


def close_batch(store: Store, *words: str) -> Answer:
    return run_json(CloseProjectBatch, *words, *BATCH, state=store.state)


def check_all_closed(store: Store, before: dict[str, Any]) -> None:
    """Check that the batch has gone, with its transcripts, and nothing else."""
    assert store.entries() == {key: entry for key, entry in before.items() if key not in BATCH}
    for key in (KELLY, TOPICS):
        live = before[key]["sessionId"]
        assert not [name for name in store.names() if name.startswith(live) and name.endswith(".jsonl")]
        assert [name for name in store.names() if name.startswith(live) and ".deleted." in name]
    assert store.open_runs() == []


@HOW
def test_the_rest_is_closed_in_the_file_where_the_gateway_has_gone(
    store: Store, dying: Callable[[str], StubGateway], do: str
) -> None:
    dying(do)
    before = store.entries()
    answer = close_batch(store)
    assert (answer.code, answer.data["gateway"]["state"], answer.error) == (0, "down", None)
    assert answer.rows == [(key, "closed") for key in BATCH]
    by_gateway = 1 if do == "drop-before" else 2
    routes = [row["route"] for row in answer.data["results"]]
    assert routes == ["gateway"] * by_gateway + ["files"] * (len(BATCH) - by_gateway)
    check_all_closed(store, before)
    restored = run_json(RestoreSessions, "last", state=store.state)
    assert restored.code == 0
    assert store.entries() == before


@HOW
def test_with_via_gateway_nothing_is_edited_and_the_same_command_finishes(
    store: Store, dying: Callable[[str], StubGateway], stub: StubGateway, do: str
) -> None:
    dying(do)
    before = store.entries()
    answer = close_batch(store, "--via", "gateway")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "the same command again" in str(answer.data["error"])
    gone = 1 if do == "drop-before" else 2
    # What was under way is not called closed: its record is still open.
    assert answer.rows == [(key, "failed") for key in BATCH]
    assert store.entries() == {key: entry for key, entry in before.items() if key not in BATCH[:gone]}
    store.port = stub.port
    store.configure()
    stub.serve(store.state, TOKEN)
    again = close_batch(store, "--via", "gateway")
    assert (again.code, again.error) == (0, None)
    assert [key for key, status in again.rows if status == "closed"] == BATCH[gone:]
    check_all_closed(store, before)


def test_a_gateway_that_only_dropped_the_link_is_not_worked_around(served: Store, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [2], "do": "drop-before"}])
    before = served.entries()
    answer = close_batch(served)
    assert (answer.code, answer.error, answer.data["gateway"]["state"]) == (6, "gateway_needed", "up")
    assert served.entries() == {key: entry for key, entry in before.items() if key != KELLY}
    again = close_batch(served)
    assert again.code == 0
    check_all_closed(served, before)


# A gateway that lets active runs end before it restarts


@pytest.mark.long
def test_a_gateway_that_does_not_get_to_its_restart_is_reported_as_one_that_waits(
    served: Store, openclaw: StubOpenClaw, hand_in: HandIn
) -> None:
    openclaw.has_no_effect()
    hand_in(Brisk(leap=20))
    answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert answer.code == 1
    assert answer.rows == [(ALPHA, "closed")]
    found = answer.data["restart"]
    assert (found["needed"], found["ok"], found["result"]) == (True, False, "timeout")
    assert "still waits for active runs" in found["detail"]
    assert len(openclaw.calls("restart")) == 1


def test_a_gateway_that_answers_is_given_the_time_that_its_runs_take(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway
) -> None:
    openclaw.has_no_effect()
    waited = []

    class Clock(Brisk):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            waited.extend([self.monotonic()] if openclaw.calls("restart") else [])
            # Longer than one that does not answer is waited for.
            if len(waited) > 1 and waited[-1] - waited[0] > restart.HEALTH_SECONDS:
                stub.write_lock("second start")

    with handed(Clock(leap=10)):
        answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert (answer.code, answer.data["restart"]["result"]) == (0, "restarted")


def test_a_closer_that_comes_while_the_gateway_restarts_changes_nothing_of_what_is_said(
    served: Store, openclaw: StubOpenClaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restart._wait_until_healthy
    with contextlib.ExitStack() as held:

        def wait(where: Home, before: Any, clock: Clock) -> RestartResult:
            found = real(where, before, clock)
            held.enter_context(flock.folder(str(served.folder())))
            return found

        monkeypatch.setattr(restart, "_wait_until_healthy", wait)
        answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert (answer.code, answer.data["restart"]["result"]) == (0, "restarted")
    assert served.open_runs() == []


def test_a_run_that_ends_after_its_restart_owes_none(
    served: Store, openclaw: StubOpenClaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> RestartResult:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(take_out, "with_what_it_lists", stopped)
        assert run_json(CloseProject, "alpha", "--via", "files", state=served.state).code == 130
    again = run_json(CloseProject, "alpha", state=served.state)
    assert (again.code, again.rows) == (0, [(ALPHA, "already_closed")])
    assert len(openclaw.calls("restart")) == 1
    assert served.receipts()[-1]["restart"]["done"] is True


# An edit below the gateway that nobody had planned


def test_an_edit_that_a_refusal_led_to_is_owed_a_restart_even_if_it_is_broken_off(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway lists its sessions to us and lets none be deleted, which shows with the first one."""
    store = stage("no-delete")
    calls = tmp_path / "bin" / "calls"
    with monkeypatch.context() as patched:
        patched.setattr(executor, "Disk", lambda: KilledDisk("exchange", after=True))
        with pytest.raises(Killed):
            run_json(CloseProject, "topics", state=store.state)
    assert LEAD + "topics" not in store.entries()
    before = calls.read_text().count("gateway restart") if calls.exists() else 0
    again = run_json(CloseProject, "topics", state=store.state)
    assert again.rows == [(LEAD + "topics", "already_closed")]
    assert (before, calls.read_text().count("gateway restart")) == (0, 1)
    assert store.open_runs() == []
