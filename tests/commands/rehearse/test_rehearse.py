"""--rehearse closes and restores in a copy: what is compared, what is never touched, what is removed again."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.operations import restore
from session_closer.system import replica
from session_closer.system.disk import Disk
from support.cleanup import DAY, HOUR, fill, shelve, stray
from support.commands import Answer, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD, session_id
from support.sqlite import build_sqlite
from support.stores import TOKEN, Store, build

Shapes = dict[str, tuple[Any, ...]]


def shapes(root: Path) -> Shapes:
    """Return all that is below a folder, with inodes and times, but for those of reading."""
    found: Shapes = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found[str(path)] = (status.st_mode, status.st_ino, status.st_nlink, *times, text)
    return found


def rehearse(store: Store, *words: str, command: Any = CloseProjectBatch) -> Answer:
    """Rehearse; nothing of the store is touched, and nothing is left elsewhere."""
    before, folder = shapes(store.state), store.state.lstat().st_mtime_ns
    answer = run_json(command, "--rehearse", *words, state=store.state)
    assert shapes(store.state) == before
    assert store.state.lstat().st_mtime_ns == folder
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return answer


def is_exact(answer: Answer, sessions: int, files: int) -> bool:
    found = answer.data["rehearsal"]
    assert (found["differences"], found["exact"]) == ([], True)
    return (answer.code, found["sessions"], found["files"]) == (0, sessions, files)


def test_what_would_be_closed_is_closed_and_restored_exactly_in_a_copy(store: Store) -> None:
    answer = rehearse(store, "kelly-dashboard", "topics")
    dry = run_json(CloseProjectBatch, "--dry-run", "kelly-dashboard", "topics", state=store.state)
    assert answer.rows == dry.rows
    files = sum(len(row["archives"]) for row in answer.data["results"])
    assert files > 2
    assert is_exact(answer, len(answer.rows), files)
    assert (answer.data["dryRun"], answer.data["receipt"]) == (True, None)
    assert answer.data["rehearsal"]["bytes"] > 0
    assert store.receipts() == []


def test_the_first_line_says_how_it_ended(store: Store) -> None:
    said = run(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state)
    assert said.code == 0
    assert said.stdout.splitlines()[0] == "1 session, 4 files: restored exactly; your store was not touched"
    assert run(CloseProject, "--rehearse", "main", state=store.state).code == 3
    idle = run(CloseProject, "--rehearse", "nowhere", "--missing-ok", state=store.state)
    assert (idle.code, idle.stdout.splitlines()[0]) == (0, "nothing to rehearse; your store was not touched")


def test_all_but_one_with_force_and_children(store: Store) -> None:
    answer = rehearse(store, "topics", command=KeepOnlySessions)
    assert answer.data["rehearsal"]["exact"]
    answer = rehearse(store, "kelly-dashboard", "--with-children", "--kind", "project,subagent")
    assert answer.data["rehearsal"]["exact"]
    locked = store.lock_transcript(LEAD + "kelly-dashboard")
    assert locked.exists()
    answer = rehearse(store, LEAD + "kelly-dashboard", "--force")
    assert answer.data["rehearsal"]["exact"], answer.data["rehearsal"]


def test_the_caller_s_own_session_is_rehearsed_with_the_others(store: Store) -> None:
    answer = rehearse(store, LEAD + "kelly-dashboard", "--self", LEAD + "kelly-dashboard")
    assert answer.rows == [(LEAD + "kelly-dashboard", "would_defer")]
    assert answer.data["rehearsal"]["sessions"] == 1


def test_what_is_stale_is_rehearsed_orphans_included_and_what_is_deleted_is_left_out(store: Store) -> None:
    fill(store)
    stray(store, f"{session_id('x')}.jsonl", 25 * HOUR)
    shelve(store, 40 * DAY)
    words = ("--stale", "cron-run=1d,subagent=1d", "--orphans", "--expire-archives", "30d")
    answer = rehearse(store, *words, command=CleanupSessions)
    found = answer.data["rehearsal"]
    assert found["exact"], found
    assert found["sessions"] == sum(row["status"] == "would_close" for row in answer.data["results"]) > 1
    assert "would_archive" in {row["status"] for row in answer.data["results"]}
    gone = sum(row["status"] == "would_expire" for row in answer.data["results"])
    assert found["leftOut"] == ["1 old archive that is deleted: nothing brings it back"] * (gone == 1)
    shelve(store, 41 * DAY)
    more = rehearse(store, *words, command=CleanupSessions).data["rehearsal"]
    assert more["leftOut"] == ["2 old archives that are deleted: nothing brings them back"]


@pytest.mark.parametrize("template", ["{agentId}/sessions.json", "all.json"])
def test_an_index_elsewhere_is_copied_with_what_lies_beside_it(store: Store, template: str) -> None:
    place = store.state.parent / "elsewhere"
    index = place / template.replace("{agentId}", "project-lead")
    index.parent.mkdir(parents=True)
    (place).chmod(0o700)
    store.index().rename(index)
    name = f"{store_id(store, index)}.jsonl"
    (store.folder() / name).rename(index.parent / name)
    store.configure(session={"store": str(place / template)})
    before = shapes(place)
    answer = rehearse(store, LEAD + "kelly-dashboard")
    assert answer.data["rehearsal"]["exact"], answer.data["rehearsal"]
    assert answer.data["rehearsal"]["files"] == 4
    assert shapes(place) == before


def store_id(store: Store, index: Path) -> str:
    import json

    return str(json.loads(index.read_bytes())[LEAD + "kelly-dashboard"]["sessionId"])


def test_a_store_that_nobody_may_write_to_can_be_rehearsed(store: Store) -> None:
    places = [store.state, *store.state.rglob("*")]
    modes = {path: path.stat().st_mode & 0o7777 for path in places if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        answer = rehearse(store, "kelly-dashboard")
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert answer.data["rehearsal"]["exact"], answer.data["rehearsal"]


def test_every_change_is_below_the_private_folder(store: Store, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for name in ("create", "make_folder", "rename", "rename_new", "unlink", "exchange", "sync_folder", "set_times"):
        real: Callable[..., Any] = getattr(Disk, name)

        def noted(disk: Disk, path: str, *rest: Any, real: Callable[..., Any] = real) -> Any:
            seen.append(path)
            return real(disk, path, *rest)

        monkeypatch.setattr(Disk, name, noted)
    assert rehearse(store, "kelly-dashboard").code == 0
    assert len(seen) > 20
    assert [path for path in seen if not path.startswith(f"{room}/")] == []


def test_a_copy_shares_no_file_with_the_store_and_is_private(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bool] = []
    real = replica.picture

    def picture(root: str) -> Any:
        mine = {(path.lstat().st_dev, path.lstat().st_ino) for path in store.state.rglob("*")}
        paths = [Path(root), *Path(root).rglob("*")]
        looked.append(mine.isdisjoint((path.lstat().st_dev, path.lstat().st_ino) for path in paths))
        looked.append(Path(root).stat().st_mode & 0o777 == 0o700 == Path(root).parent.stat().st_mode & 0o777)
        return real(root)

    monkeypatch.setattr(replica, "picture", picture)
    rehearse(store, "kelly-dashboard")
    assert looked == [True] * 4


def test_nothing_in_a_copy_leads_back_to_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    escaped = str(store.folder()).replace("/", "\\/")
    raw = store.index().read_bytes()
    assert str(store.folder()).encode() in raw
    end = raw.rindex(b"}")
    more = f', "x": {{"sessionId": "x", "sessionFile": "{escaped}\\/x.jsonl"}}'.encode()
    store.index().write_bytes(raw[:end] + more + raw[end:])
    texts: list[bytes] = []
    real = replica.picture

    def picture(root: str) -> Any:
        texts.extend(path.read_bytes() for path in Path(root).rglob("sessions.json"))
        return real(root)

    monkeypatch.setattr(replica, "picture", picture)
    assert rehearse(store, "kelly-dashboard").data["rehearsal"]["exact"]
    assert len(texts) == 2
    assert not any(str(store.state).encode() in text or escaped.encode() in text for text in texts)


@pytest.mark.parametrize("words", [(), ("--restart", "always")])
def test_a_gateway_is_neither_looked_for_nor_asked(tmp_path: Path, stub: StubGateway, words: tuple[str, ...]) -> None:
    store = build(tmp_path / "state", stub.port)
    stub.serve(store.state, TOKEN)
    calls = stub.methods()
    answer = rehearse(store, "kelly-dashboard", *words)
    assert answer.data["rehearsal"]["exact"]
    assert answer.data["gateway"] is None
    assert stub.methods() == calls


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], object]], None]:
    """Let something happen to the copy once all of it is restored."""

    def set_up(work: Callable[[Path], object]) -> None:
        real = restore.of_run

        def done(where: Any, *rest: Any, **more: Any) -> Any:
            report = real(where, *rest, **more)
            work(Path(where.state) / "agents" / "project-lead" / "sessions")
            return report

        monkeypatch.setattr(restore, "of_run", done)

    return set_up


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "has other bytes"),
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.chmod(0o640), "has mode 640, not 600"),
        (lambda path: os.utime(path, ns=(1, 1)), "has another time"),
        (lambda path: path.with_name("stray").touch(), "is new"),
    ],
)
def test_what_is_not_as_it_was_is_named_and_is_the_exit_code(
    store: Store, damage: Any, work: Callable[[Path], object], said: str
) -> None:
    name = f"{store.entries()[LEAD + 'kelly-dashboard']['sessionId']}.jsonl"
    damage(lambda folder: work(folder / name))
    answer = rehearse(store, LEAD + "kelly-dashboard")
    (line,) = answer.data["rehearsal"]["differences"]
    assert (answer.code, answer.data["ok"], answer.data["rehearsal"]["exact"]) == (1, False, False)
    assert f"agents/project-lead/sessions/{'stray' if 'new' in said else name}: {said}" in line
    text = run(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state).stdout
    assert "4 files: NOT restored exactly; your store was not touched\n  differs  " in text


def test_a_restore_that_leaves_a_session_out_is_a_difference(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "of_run", lambda *_, **__: None)
    answer = rehearse(store, LEAD + "kelly-dashboard")
    assert answer.code == 1
    assert any("sessions.json: has other bytes" in line for line in answer.data["rehearsal"]["differences"])


def test_a_run_that_fails_in_the_copy_is_no_exact_one_though_nothing_differs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_disk: Disk, one: str, _other: str) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), one)

    monkeypatch.setattr(Disk, "exchange", full)
    answer = rehearse(store, "kelly-dashboard")
    assert (answer.code, answer.data["rehearsal"]["exact"]) == (1, False)
    assert any("in the copy" in line and "No space left" in line for line in answer.data["rehearsal"]["differences"])


def test_files_are_copied_with_their_rights(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    for mode in (0o640, 0o400):
        (tmp_path / "one").chmod(mode)
        replica.copy(Disk(), str(tmp_path / "one"), str(tmp_path / f"{mode}"))
        assert (tmp_path / f"{mode}").stat().st_mode & 0o777 == mode


def test_a_copy_that_is_too_large_or_has_no_room_is_not_begun(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    small = rehearse(store, "kelly-dashboard", "--rehearse-max", "10")
    assert (small.code, small.error) == (3, "too_large")
    assert "more than 10 B; nothing was rehearsed" in small.data["error"]["message"]
    assert small.data["error"]["remedy"].startswith("--rehearse-max 1mb")
    monkeypatch.setattr(replica, "room", lambda _: 1)
    full = rehearse(store, "kelly-dashboard")
    assert (full.code, full.error) == (3, "no_room")


@pytest.mark.parametrize(
    "words",
    [("--rehearse-max", "1gb"), ("--rehearse", "--rehearse-max", "x"), ("--rehearse", "--export", "/tmp/x")],
)
def test_words_that_make_no_sense_are_a_usage_error(store: Store, words: tuple[str, ...]) -> None:
    assert run_json(CloseProjectBatch, "kelly-dashboard", *words, state=store.state).code == 2


def test_sessions_in_sqlite_say_why_not(store: Store, stub: StubGateway) -> None:
    bases = build_sqlite(Store(store.state.parent / "packed", stub.port))
    key = next(iter(bases.listed()))
    answer = run_json(CloseProjectBatch, "--rehearse", *sorted(bases.listed()), state=bases.store.state)
    assert (answer.code, answer.error) == (2, "usage"), key
    assert "are in SQLite, and cannot be rehearsed" in answer.data["error"]["message"]


def test_what_a_killed_rehearsal_has_left_goes_with_the_next_one(store: Store, room: Path) -> None:
    home = room / f"session-closer-{os.getuid()}"
    left, held, foreign = home / "copy-dead", home / "copy-held", home / "notes"
    for path in (home, left, held, foreign):
        path.mkdir(mode=0o700)
    (left / "transcript").write_text("said")
    (left / "shut").mkdir(mode=0o500)
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        run_json(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state)
        assert sorted(path.name for path in home.iterdir()) == ["copy-held", "notes"]
    finally:
        os.close(descriptor)


def test_an_interruption_leaves_no_copy(store: Store, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(replica, "picture", interrupted)
    assert run_json(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state).code == 130
    assert list(room.iterdir()) == []


def test_no_copy_is_made_within_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.state / "tmp").mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(store.state / "tmp"))
    before = shapes(store.state)
    answer = run_json(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    assert shapes(store.state) == before


def test_a_folder_of_another_name_s_is_not_used(store: Store, room: Path) -> None:
    (room / f"session-closer-{os.getuid()}").symlink_to(store.state)
    answer = run_json(CloseProject, "--rehearse", LEAD + "kelly-dashboard", state=store.state)
    assert (answer.code, answer.error) == (1, "storage")
