"""A signal in the middle of a run: what was begun stays in the journal, exit 130, and the same command finishes it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import one_document, run_process
from support.keys import LEAD
from support.programs import BARE, importable
from support.stores import Store

# The signal comes just before the new store takes the place of the old one.
SENT = """
import os, signal
from session_closer.system.files import Disk
exchange = Disk.exchange
def sent(*arguments):
    os.kill(os.getpid(), signal.NAME)
    return exchange(*arguments)
Disk.exchange = sent
"""
# The signal comes when the sessions are out of the store, and their files are live.
LATE = """
import os, signal
from session_closer.system.files import Disk
rename_new = Disk.rename_new
def sent(*arguments):
    if ".deleted." in arguments[-1]:
        os.kill(os.getpid(), signal.NAME)
    return rename_new(*arguments)
Disk.rename_new = sent
"""
AGAIN = """
from session_closer.ports.share import Share
give_up = Share.give_up
def again(work):
    os.kill(os.getpid(), signal.NAME)
    give_up(work)
Share.give_up = again
"""
# A shell, or nohup, may have let the tests ignore these, and a child inherits that.
HEEDED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
TERMINAL = (
    HEEDED
    + """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""
)
WAITS = """
from session_closer.system.files import Disk
import time
def waits(*arguments):
    print("at work", flush=True)
    time.sleep(60)
Disk.exchange = waits
"""


def is_left_for_the_next(store: Store, code: int) -> None:
    """The run has ended in the middle, and the same command again finishes it."""
    assert code == 130
    assert len(store.open_runs()) == 1
    assert LEAD + "topics" in store.entries()
    assert run_process("close-project", "topics", state=store.state).code == 0
    assert (store.open_runs(), LEAD + "topics" in store.entries()) == ([], False)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_the_middle_leaves_the_journal(store: Store, name: str) -> None:
    before = HEEDED + SENT.replace("NAME", name)
    result = run_process("close-project", "topics", "--json", state=store.state, before=before)
    assert one_document(result.stdout)["error"]["name"] == "interrupted"
    assert result.stderr.startswith("error: interrupted; next: ")
    assert result.stderr.count("\n") == 1
    is_left_for_the_next(store, result.code)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_is_out_of_the_store_when_a_signal_comes_is_said_to_be_so_and_pending(store: Store, name: str) -> None:
    before = HEEDED + LATE.replace("NAME", name)
    result = run_process("close-project-batch", "topics", "alpha", "--json", state=store.state, before=before)
    assert (result.code, {LEAD + "topics", LEAD + "alpha"} & set(store.entries())) == (130, set())
    answer = one_document(result.stdout)
    rows = answer["results"]
    assert {(row["status"], row["reason"], row["ok"], *row["archives"]) for row in rows} == {
        ("failed", "pending", False)
    }
    # They do not stay as they are.
    assert answer["kept"] == len(store.entries())
    said = "out of the store already, but not finished: the same command again finishes it"
    assert {row["error"] for row in rows} == {said}
    again = run_process("close-project-batch", "topics", "alpha", "--json", state=store.state)
    assert {row["status"] for row in one_document(again.stdout)["results"]} == {"already_closed"}
    assert (again.code, store.open_runs()) == (0, [])


@pytest.mark.long
def test_a_hang_up_that_comes_twice_is_one(store: Store) -> None:
    before = HEEDED + (SENT + AGAIN).replace("NAME", "SIGHUP")
    result = run_process("close-project", "topics", "--json", state=store.state, before=before)
    assert one_document(result.stdout)["error"]["name"] == "interrupted"
    is_left_for_the_next(store, result.code)


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_what_the_caller_ignores_stops_nothing(store: Store, name: str) -> None:
    before = f"import signal; signal.signal(signal.{name}, signal.SIG_IGN)" + SENT.replace("NAME", name)
    result = run_process("close-project", "topics", state=store.state, before=before)
    assert (result.code, result.stderr) == (0, "")
    assert (store.open_runs(), LEAD + "topics" in store.entries()) == ([], False)


@pytest.mark.long
def test_a_terminal_that_is_closed_in_the_middle_is_an_interrupt(store: Store) -> None:
    ours, theirs = pty.openpty()
    program = f"{TERMINAL}\nfrom session_closer.cli.commands.close_project import main\n{WAITS}\nsys.exit(main())"
    words = [sys.executable, *BARE, "-B", "-c", program, "--state-dir", str(store.state), "topics"]
    environ = {**os.environ, "PYTHONPATH": importable()}
    with subprocess.Popen(
        words, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        seen = b""
        while b"at work" not in seen:
            seen += os.read(ours, 1024)
        os.close(ours)
    is_left_for_the_next(store, process.returncode)


def test_an_interrupt_while_a_class_is_made_is_no_bug(store: Store) -> None:
    wrapped = "raise RuntimeError('Error calling __set_name__') from KeyboardInterrupt()"
    before = f"import session_closer.operations.close as c\ndef stop(*a, **k): {wrapped}\nc.execute = stop"
    result = run_process("close-project", "topics", state=store.state, before=before)
    assert (result.code, result.stderr.partition(";")[0]) == (130, "error: interrupted")


def test_an_interrupt_ahead_of_the_command_itself_is_said_by_the_exit_code(store: Store) -> None:
    before = "from session_closer.cli import calls\ndef stop(*a, **k): raise KeyboardInterrupt\ncalls.called = stop"
    result = run_process("close-project", "topics", state=store.state, before=before)
    assert (result.code, result.stdout, result.stderr) == (130, "", "")


def test_the_next_signal_after_the_report_changes_no_exit_code(store: Store) -> None:
    late = "from session_closer.cli.commands import close_project as c\nstart = c.start\n"
    late += "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    late += "def main():\n code = start(c.CloseProject)\n os.kill(os.getpid(), signal.SIGINT)\n return code\n"
    result = run_process("close-project", "topics", state=store.state, before=late)
    assert (result.code, result.stderr) == (0, "")
    assert Path(store.state, "session-closer").is_dir()
