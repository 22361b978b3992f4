"""Two users of one machine, neither of whom has an account: whoever runs the tests has to be root to become them."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VICTIM, STRANGER = 64001, 64002
ROOT = 0
REAL_TEMPORARY = tempfile.gettempdir()


def fork() -> int:
    """Fork; pytest-xdist has threads, which the child does without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def become(uid: int) -> None:
    """Be somebody else from now on, for good."""
    if uid != ROOT:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def as_user(uid: int, work: Callable[[], Any], seconds: int = 60) -> Any:
    """Do something as a user, in a process of its own; return what it returns."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.close(read)
            become(uid)
            signal.alarm(seconds)
            said = pickle.dumps((True, work()))
        except BaseException:
            said = pickle.dumps((False, traceback.format_exc()))
        with open(write, "wb") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    assert text, f"what was done as uid {uid} has ended without a word"
    well, found = pickle.loads(text)
    assert well, found
    return found


@contextlib.contextmanager
def running(uid: int, work: Callable[[Callable[[object], None]], None]) -> Iterator[tuple[int, Any]]:
    """Give pid and first word of a user's process, which is ended afterwards; `work` says that word when ready."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            become(uid)
            signal.alarm(120)
            os.close(read)
            work(lambda word: os.write(write, pickle.dumps(word)))
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(write)
    try:
        with open(read, "rb", buffering=0) as pipe:
            said = pipe.read(4096)
        assert said, f"the process of uid {uid} has ended before it was ready"
        yield pid, pickle.loads(said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def common_ground() -> Iterator[Path]:
    """Give a folder in which every user may make files, and touch nobody else's; skip where no user can be played."""
    if os.geteuid() != ROOT:
        pytest.skip("only root can become two other users")
    made = Path(tempfile.mkdtemp(prefix="users-", dir=_place()))
    try:
        made.chmod(0o1777)
        try:
            for uid in (VICTIM, STRANGER):
                as_user(uid, lambda: os.listdir(made))
        except AssertionError as problem:
            pytest.skip(f"no other user can be played here: {str(problem).splitlines()[-1]}")
        yield made
    finally:
        shutil.rmtree(made)


def _place() -> str:
    """Return a temporary folder that others can get to."""
    for place in (REAL_TEMPORARY, "/tmp", "/var/tmp"):
        path = Path(place).resolve()
        if path.is_dir() and all(each.stat().st_mode & 0o001 for each in (path, *path.parents)):
            return str(path)
    pytest.skip("no temporary folder can be got to by another user")
