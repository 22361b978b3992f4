"""A file that the system lets nobody rename, as it is immutable or mounted there, holds up no other one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.system.disk import Disk
from support.commands import restore, run_json, undo
from support.interrupted import interrupt
from support.keys import session_id
from support.restore import ALPHA, TOPICS
from support.stores import Store
from support.trees import tree, write


@pytest.fixture(params=[errno.EPERM, errno.EBUSY])
def hold(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What lets nobody rename or remove a file of this live name any more; "": lets everybody again."""
    held = [""]

    def refusing(name: str) -> None:
        real = getattr(Disk, name)

        def step(self: Disk, path: str, *more: Any) -> Any:
            if held[0] and os.path.basename(path).startswith(held[0]):
                raise OSError(request.param, os.strerror(request.param), path)
            return real(self, path, *more)

        monkeypatch.setattr(Disk, name, step)

    for name in ("rename", "rename_exclusive", "link", "unlink"):
        refusing(name)
    return lambda name: held.__setitem__(0, name)


def contents(store: Store) -> dict[str, object]:
    """Return what the folder of transcripts holds, without our backups."""
    return {path: held[2] for path, held in tree(store.folder()).items() if held[2] and ".bak-" not in path}


def stays(answer: Any, name: str) -> bool:
    return any(f'{name}" cannot be moved' in said for said in answer.data["warnings"])


def test_the_session_is_closed_and_its_file_is_named(store: Store, hold: Callable[[str], None]) -> None:
    own = session_id("topics")
    before = contents(store)
    hold(own)
    answer = run_json(CloseProjectBatch, "topics", "alpha", state=store.state)
    assert (answer.code, sorted(answer.rows)) == (0, sorted([(TOPICS, "closed"), (ALPHA, "closed")]))
    (row,) = (row for row in answer.data["results"] if row["key"] == TOPICS)
    files = sorted(str(path) for path in store.folder().glob(f"{own}*"))
    assert (row["archives"], sorted(row["left"])) == ([], files)
    assert files
    assert all(stays(answer, os.path.basename(path)) for path in files)
    hold("")
    back = restore(store, "last")
    assert (back.code, sorted(back.rows)) == (0, sorted([(TOPICS, "restored"), (ALPHA, "restored")]))
    assert contents(store) == before


def test_a_run_that_was_cut_off_is_finished_without_that_file(store: Store, hold: Callable[[str], None]) -> None:
    before = contents(store)
    interrupt(store, "topics", committed=True)
    hold(session_id("topics"))
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert (answer.code, answer.rows) == (0, [(ALPHA, "closed")])
    assert stays(answer, next(store.folder().glob(f"{session_id('topics')}*")).name)
    hold("")
    assert {one.code for one in (restore(store, "last"), restore(store, "--since", "1h"))} == {0}
    assert contents(store) == before


def test_an_archive_that_nobody_may_rename_is_a_conflict_and_holds_up_no_other(
    store: Store, hold: Callable[[str], None]
) -> None:
    closed = run_json(CloseProjectBatch, "topics", "alpha", state=store.state)
    hold(session_id("topics"))
    answer = restore(store, "last")
    assert (answer.code, sorted(answer.rows)) == (1, sorted([(TOPICS, "conflict"), (ALPHA, "restored")]))
    (row,) = (row for row in answer.data["results"] if row["key"] == TOPICS)
    assert "cannot be moved" in row["error"]
    hold("")
    assert undo(store, closed, TOPICS).rows == [(TOPICS, "restored")]


def test_an_orphan_and_an_old_archive_that_stay_are_named(store: Store, hold: Callable[[str], None]) -> None:
    names = ["0000aaaa-1111-4111-8111-000000000001.jsonl", "0000aaaa-1111-4111-8111-000000000002.jsonl"]
    for name in names:
        path = store.folder() / name
        write(path, "{}\n")
        os.utime(path, (1_480_000_000, 1_480_000_000))
    hold(names[0])
    answer = run_json(CleanupSessions, "--only", "orphans", state=store.state)
    told = {row["input"]: row["status"] for row in answer.data["results"]}
    assert stays(answer, names[0])
    assert (told.get(names[0]), told.get(names[1])) == (None, "archived")
    assert (store.folder() / names[0]).exists()
