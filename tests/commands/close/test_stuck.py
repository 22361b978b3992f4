"""A file that the system lets nobody rename, as it is immutable or mounted there, holds up no other one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.openclaw.files import close as closing
from session_closer.operations import cleanup
from session_closer.system.disk import Disk
from support.commands import restore, run_json, undo
from support.interrupted import interrupt
from support.keys import LEAD, session_id
from support.restore import ALPHA, KELLY, TOPICS
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


def test_an_archive_that_is_in_use_again_and_cannot_be_moved_is_named(
    store: Store, hold: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, real = str(store.entries()[KELLY]["sessionId"]), closing.look_again

    def taken(*words: Any) -> None:
        path = str(store.folder() / f"{own}.jsonl")
        store.add((LEAD + "fork", {"sessionId": "another", "updatedAt": 1_480_000_000_000, "sessionFile": path}))
        hold(own)
        real(*words)

    monkeypatch.setattr(closing, "look_again", taken)
    answer = run_json(CloseProjectBatch, KELLY, state=store.state)
    archives = answer.data["results"][0]["archives"]
    assert (answer.code, answer.rows) == (0, [(KELLY, "closed")])
    assert archives
    assert all(stays(answer, os.path.basename(path)) and os.path.exists(path) for path in archives)


NAMES = tuple(f"0000aaaa-1111-4111-8111-00000000000{number}.jsonl" for number in range(2))


def lay(store: Store, ending: str = "") -> list[str]:
    """Leave two files of no session that are old."""
    for name in NAMES:
        path = store.folder() / f"{name}{ending}"
        write(path, "{}\n")
        os.utime(path, (1_480_000_000, 1_480_000_000))
    return [f"{name}{ending}" for name in NAMES]


@pytest.mark.parametrize(
    ("ending", "words", "status"),
    [
        ("", ("--only", "orphans"), "archived"),
        (".deleted.2016-11-21T00-00-00.000Z", ("--expire-archives", "30d"), "expired"),
    ],
)
def test_of_files_without_a_session_those_that_stay_are_named(
    store: Store, hold: Callable[[str], None], ending: str, words: tuple[str, ...], status: str
) -> None:
    stuck, other = lay(store, ending)
    hold(NAMES[0])
    answer = run_json(CleanupSessions, *words, state=store.state)
    told = {os.path.basename(row["input"]): row["status"] for row in answer.data["results"]}
    assert stays(answer, stuck) or stays(answer, str(store.folder() / stuck))
    assert (told.get(stuck), told.get(other)) == (None, status)
    assert ((store.folder() / stuck).exists(), (store.folder() / other).exists()) == (True, False)


def test_an_orphan_that_is_in_use_by_now_and_cannot_be_moved_back_is_named(
    store: Store, hold: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, _ = lay(store)

    def borrowed(*_: Any) -> dict[str, str]:
        hold(stuck)
        return {stuck: "project-lead"}

    monkeypatch.setattr(cleanup, "_borrowed", borrowed)
    answer = run_json(CleanupSessions, "--only", "orphans", state=store.state)
    [archive] = [row["archives"][0] for row in answer.data["results"] if row["input"] == stuck]
    assert stays(answer, os.path.basename(archive))
