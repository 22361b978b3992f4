"""restore-sessions of an exported folder: checked first, never over anything, and then all is as it was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.openclaw import from_bundle
from session_closer.openclaw.undo import make_folder
from session_closer.system import trust
from session_closer.system.disk import Disk
from support.commands import Answer, restore, run_json
from support.gateway import StubGateway
from support.interrupted import Killed
from support.keys import session_id
from support.said import KEY, InDatabase, InFiles, files_of
from support.service import Service
from support.stores import TOKEN, Store, picture
from support.trees import tree, write


@pytest.fixture
def said(tmp_path: Path, closed_port: int) -> InFiles:
    """A session in files with all that a transcript can hold; its gateway is down."""
    return InFiles(Store(tmp_path / "state", closed_port))


def closed(said: InFiles, out: Path) -> Path:
    """Close the session, exported first, and lose its archives; return its folder."""
    answer = run_json(CloseProjectBatch, KEY, "--export", str(out), state=said.store.state)
    [copy] = answer.data["exported"]
    for path in [*said.store.folder().glob("*.deleted.*"), *said.store.folder().glob(f"{said.own}.*.bak.*")]:
        path.unlink()
    return Path(copy["path"])


def statuses(answer: Answer) -> dict[str, str]:
    return dict(answer.rows)


def said_now(store: Store) -> dict[str, bytes]:
    """Return what is in each file of the sessions folder but backups and the index."""
    found = {path.name: path.read_bytes() for path in store.folder().iterdir()}
    return {name: text for name, text in found.items() if "sessions.json" not in name}


def test_it_comes_back_as_it_was(said: InFiles, out: Path) -> None:
    before, index = said_now(said.store), said.store.index().read_bytes()
    folder = closed(said, out)
    kept = files_of(folder)
    assert KEY not in said.store.listed()
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    assert (said_now(said.store), said.store.index().read_bytes()) == (before, index)
    assert files_of(folder) == kept


def test_it_comes_back_from_its_archives_where_they_are_there_still(said: InFiles, out: Path) -> None:
    before = picture(said.store)
    answer = run_json(CloseProjectBatch, KEY, "--export", str(out), state=said.store.state)
    back = restore(said.store, answer.data["exported"][0]["path"])
    assert (back.code, statuses(back)) == (0, {KEY: "restored"}), back
    assert picture(said.store) == before


def test_an_archive_that_was_changed_does_not_come_back_in_its_place(said: InFiles, out: Path) -> None:
    answer = run_json(CloseProjectBatch, KEY, "--export", str(out), state=said.store.state)
    [archive] = said.store.folder().glob(f"{said.own}.jsonl.deleted.*")
    changed = archive.read_bytes() + b"x"
    write(archive, changed)
    back = restore(said.store, answer.data["exported"][0]["path"])
    assert (back.code, statuses(back)) == (0, {KEY: "restored"}), back
    assert (said.path.read_bytes(), archive.read_bytes()) == (said.transcript, changed)


def test_its_undo_puts_it_away_again(said: InFiles, out: Path) -> None:
    answer = restore(said.store, str(closed(said, out)))
    undone = restore(said.store, Path(answer.data["receipt"]).stem)
    assert (undone.code, statuses(undone)) == (0, {KEY: "closed"})


def test_what_has_no_way_back_is_said(said: InFiles, out: Path) -> None:
    [warning] = restore(said.store, str(closed(said, out))).data["warnings"]
    assert warning.startswith("windows/")
    assert warning.endswith("there is no way back into a store for it, it stays in the bundle")


@pytest.mark.parametrize("word", ["--dry-run", "--check"])
def test_a_look_changes_nothing_and_says_what_would_be(said: InFiles, out: Path, word: str) -> None:
    folder = closed(said, out)
    before = tree(said.store.state)
    answer = restore(said.store, str(folder), word)
    assert (answer.code, statuses(answer)) == (0, {KEY: "would_restore"})
    assert tree(said.store.state) == before


def test_it_comes_back_on_another_machine(said: InFiles, out: Path, tmp_path: Path, closed_port: int) -> None:
    folder = closed(said, out)
    other = Store(tmp_path / "other", closed_port)
    other.add(("agent:project-lead:main", other.session("main")))
    [ahead] = restore(other, str(folder), "--check").data["results"]
    assert "until" not in ahead, "nothing deletes an export by its age"
    answer = restore(other, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    path = other.folder() / f"{said.own}.jsonl"
    assert path.read_bytes() == said.transcript
    assert other.entries()[KEY] == {**json.loads(said.entry), "sessionFile": str(path)}


@pytest.mark.parametrize("there", ["", "agents", "agents/project-lead"])
def test_it_comes_back_where_its_agent_has_no_folder_yet(
    said: InFiles, out: Path, tmp_path: Path, closed_port: int, there: str
) -> None:
    folder, other = closed(said, out), Store(tmp_path / "other", closed_port)
    (other.state / there).mkdir(parents=True, exist_ok=True)
    made = tree(other.state)
    for word in ("--check", "--dry-run"):
        ahead = restore(other, str(folder), word)
        assert (ahead.code, statuses(ahead)) == (0, {KEY: "would_restore"}), ahead
        assert tree(other.state) == made
    answer = restore(other, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    assert list(other.listed()) == [KEY]
    assert (other.folder() / f"{said.own}.jsonl").read_bytes() == said.transcript
    assert statuses(restore(other, Path(answer.data["receipt"]).stem)) == {KEY: "closed"}
    assert list(other.listed()) == []


def test_it_is_there_already(said: InFiles, out: Path) -> None:
    [row] = run_json(ExportSessions, KEY, "--output", str(out), state=said.store.state).data["exported"]
    before = tree(said.store.state / "agents")
    answer = restore(said.store, row["path"])
    assert (answer.code, statuses(answer)) == (0, {KEY: "already_restored"})
    assert tree(said.store.state / "agents") == before


def test_a_key_that_is_in_use_again_is_left_alone(said: InFiles, out: Path) -> None:
    folder = closed(said, out)
    said.store.add((KEY, said.store.session("another one")))
    before = picture(said.store)
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (1, {KEY: "conflict"})
    assert picture(said.store) == before


@pytest.mark.parametrize("name", ["jsonl", "trajectory.jsonl"])
def test_a_file_that_is_there_again_is_not_overwritten(said: InFiles, out: Path, name: str) -> None:
    folder = closed(said, out)
    write(said.store.folder() / f"{said.own}.{name}", "somebody else's\n")
    before = picture(said.store)
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (1, {KEY: "conflict"})
    assert picture(said.store) == before


def _renewed(folder: Path) -> None:
    """Write the hashes of a bundle anew, as whoever changes it on purpose does."""
    names = [line[66:] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    write(folder / "SHA256SUMS", "".join(lines))


def _with_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = {**json.loads((folder / "manifest.json").read_bytes()), "here": str(folder)}
    change(told)
    write(folder / "manifest.json", json.dumps(told))
    _renewed(folder)


OTHER_ROW = '{"sessionId": "x"}'


def _with_row(told: dict[str, Any]) -> None:
    """Write the hash of the row that is there by now."""
    for file in told["files"]:
        if file["path"] == "entry.json":
            file["sha256"] = hashlib.sha256(Path(told["here"], "entry.json").read_bytes()).hexdigest()


def _of_another(told: dict[str, Any]) -> None:
    """Say that a file beside the transcript is from beside the transcript of another session."""
    for file in told["files"]:
        if file["path"] == "trajectory.jsonl":
            file["source"] = f"/x/{session_id('another')}.trajectory.jsonl"


def _add(path: Path, text: str) -> None:
    write(path, path.read_bytes() + text.encode())


def _as_link(path: Path) -> None:
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


def _with_more(folder: Path) -> None:
    """Have a file of elsewhere listed as one of the bundle, its hash right."""
    write(folder.parent / "outside.jsonl", "somebody's\n")
    own = {"path": "../outside.jsonl", "bytes": 11, "source": "/x/outside.jsonl"}
    own["sha256"] = hashlib.sha256(b"somebody's\n").hexdigest()
    _add(folder / "SHA256SUMS", f"{own['sha256']}  ../outside.jsonl\n")
    _with_manifest(folder, lambda told: told["files"].append(own))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a changed transcript": lambda folder: _add(folder / "transcript.jsonl", "x"),
    "a changed row": lambda folder: write(folder / "entry.json", "{}"),
    "a changed manifest": lambda folder: write(folder / "manifest.json", "{}"),
    "no transcript": lambda folder: (folder / "transcript.jsonl").unlink(),
    "no hashes": lambda folder: (folder / "SHA256SUMS").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "empty hashes": lambda folder: write(folder / "SHA256SUMS", ""),
    "a link": lambda folder: _as_link(folder / "transcript.jsonl"),
    "a hash of elsewhere": lambda folder: _add(folder / "SHA256SUMS", f"{'0' * 64}  ../x\n"),
    "a file that is not listed": lambda folder: _with_manifest(folder, lambda told: told["files"].pop()),
    "another row": lambda folder: (write(folder / "entry.json", OTHER_ROW), _with_manifest(folder, _with_row)),
    "a file of elsewhere": _with_more,
    "a later format": lambda folder: _with_manifest(folder, lambda told: told.update(format=2)),
    "a file of another session": lambda folder: _with_manifest(folder, _of_another),
    "no time": lambda folder: _with_manifest(folder, lambda told: told.update(exportedAt="once")),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_is_not_whole_changes_nothing(said: InFiles, out: Path, damage: str) -> None:
    folder = closed(said, out)
    DAMAGE[damage](folder)
    before = tree(said.store.state)
    answer = restore(said.store, str(folder))
    assert (answer.code, answer.error) == (3, "damaged_bundle"), answer
    assert tree(said.store.state) == before


def test_what_has_no_secrets_any_more_is_no_copy(said: InFiles, out: Path) -> None:
    [row] = run_json(ExportSessions, KEY, "--redact", "--output", str(out), state=said.store.state).data["exported"]
    answer = restore(said.store, row["path"])
    assert (answer.code, answer.error) == (3, "no_copy")


def test_a_folder_that_others_may_write_to_is_not_believed(
    said: InFiles, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed(said, out)
    folder.chmod(0o777)
    assert restore(said.store, str(folder)).error == "damaged_bundle"
    folder.chmod(0o700)
    monkeypatch.setattr(trust, "is_trusted", lambda uid: False)
    with pytest.raises(from_bundle.Refused):
        from_bundle.bundle.checked(str(folder))


def test_a_row_cannot_lead_to_another_file(said: InFiles, out: Path, tmp_path: Path, closed_port: int) -> None:
    folder = closed(said, out)
    entry = {**json.loads(said.entry), "sessionFile": str(tmp_path / "secret.jsonl")}
    write(folder / "entry.json", json.dumps(entry))
    write(tmp_path / "secret.jsonl", "not for a chat\n")
    _with_manifest(folder, _with_row)
    assert restore(said.store, str(folder)).code == 0
    assert said.store.entries()[KEY]["sessionFile"] == str(said.path)


@pytest.mark.parametrize("number", ["9" * 5000, "1e400"])
def test_a_row_has_what_was_set_as_it_was_set(said: InFiles, out: Path, number: str) -> None:
    folder = closed(said, out)
    text = said.entry.decode().replace("{", f'{{\n    "n": {number},', 1)
    write(folder / "entry.json", text.replace(json.dumps(str(said.path)), '"/elsewhere/x.jsonl"'))
    _with_manifest(folder, _with_row)
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    after = said.store.index().read_text()
    assert f'"n": {number},' in after
    assert f'"sessionFile": {json.dumps(str(said.path))}' in after


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("at", ["create", "write", "sync", "set_times", "rename_new", "sync_folder"])
def test_a_restore_that_is_killed_while_it_copies_can_be_done_again(
    said: InFiles, out: Path, at: str, monkeypatch: pytest.MonkeyPatch, *, hashed: bool
) -> None:
    before, index = said_now(said.store), said.store.index().read_bytes()
    folder = closed(said, out)
    if not hashed:
        # What is large is told by its time.
        monkeypatch.setattr(from_bundle, "FILE_BYTES", 0)
    kill_while_it_copies(said, folder, at, monkeypatch)
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    assert (said_now(said.store), said.store.index().read_bytes()) == (before, index)


def test_what_a_killed_restore_has_copied_is_looked_at_by_the_next_one(
    said: InFiles, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed(said, out)
    kill_while_it_copies(said, folder, "sync_folder", monkeypatch)
    [archive] = said.store.folder().glob(f"{said.own}.jsonl.deleted.*")
    write(archive, archive.read_bytes() + b"x")
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (1, {KEY: "failed"}), answer
    assert KEY not in said.store.listed()


def kill_while_it_copies(said: InFiles, folder: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring a folder back, and kill that at the first such step of copying it."""
    real = from_bundle.put_down

    def killed(disk: Any, *words: Any) -> Any:
        def dead(*_: Any, **__: Any) -> Any:
            raise Killed

        patched.setattr(disk, at, dead, raising=False)
        return real(disk, *words)

    with monkeypatch.context() as patched:
        patched.setattr(from_bundle, "put_down", killed)
        with pytest.raises(Killed):
            restore(said.store, str(folder))
    assert KEY not in said.store.listed()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """An `openclaw` command with OpenClaw's importer; no gateway runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Service(tmp_path / "service", tmp_path / "state", TOKEN, port)
    monkeypatch.setenv("PATH", os.pathsep.join([str(made.folder), os.environ["PATH"]]))
    return made


def in_database(tmp_path: Path, stub: StubGateway, out: Path, service: Service) -> tuple[InDatabase, Path]:
    """Return a session of a database that is closed, its archive lost, its gateway down, and its folder."""
    said = InDatabase(Store(tmp_path / "state", stub.port))
    stub.serve(said.store.state, TOKEN)
    answer = run_json(CloseProjectBatch, KEY, "--delete", "--export", str(out), state=said.store.state)
    assert answer.code == 0, answer
    assert stub.lock is not None
    stub.lock.unlink()
    said.store.port = service.port
    said.store.configure()
    for path in said.bases.archives():
        path.unlink()
    return said, Path(answer.data["exported"][0]["path"])


def test_a_row_of_a_database_comes_back_by_the_importer(
    tmp_path: Path, stub: StubGateway, out: Path, service: Service
) -> None:
    said, folder = in_database(tmp_path, stub, out, service)
    assert KEY not in said.bases.listed()
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (0, {KEY: "restored"}), answer
    found = [text for (own, _), text in sorted(said.bases.events().items()) if own == said.own]
    # The importer of the stub leaves the first line out.
    assert "\n".join([*found, ""]).encode() == said.transcript.partition(b"\n")[2]
    assert json.loads(said.bases.rows()[KEY]["entry_json"]) == json.loads(said.entry)
    assert [path.name for path in said.store.folder().iterdir()] == []
    [warning] = [text for text in answer.data["warnings"] if text.startswith("trajectory.jsonl")]
    assert f"windows/{session_id('older')}.jsonl" in warning


def test_an_importer_that_fails_leaves_nothing_of_it(
    tmp_path: Path, stub: StubGateway, out: Path, service: Service
) -> None:
    said, folder = in_database(tmp_path, stub, out, service)
    service.tell(importer="fails")
    answer = restore(said.store, str(folder))
    assert (answer.code, statuses(answer)) == (1, {KEY: "failed"})
    assert [path.name for path in said.store.folder().iterdir()] == []
    service.tell(importer=None)
    assert restore(said.store, str(folder)).code == 0


def test_a_session_of_a_database_is_none_for_files(
    tmp_path: Path, stub: StubGateway, out: Path, service: Service, closed_port: int
) -> None:
    _, folder = in_database(tmp_path, stub, out, service)
    shutil.rmtree(tmp_path / "state" / "agents")
    other = Store(tmp_path / "other", closed_port)
    other.add(("agent:project-lead:main", other.session("main")))
    answer = restore(other, str(folder))
    assert (answer.code, answer.error) == (3, "era")


def test_the_folder_around_what_was_exported_is_said_to_be_none_of_it(said: InFiles, tmp_path: Path) -> None:
    answer = run_json(ExportSessions, KEY, "--output", str(tmp_path / "out"), state=said.store.state)
    for folder in (Path(answer.data["exported"][0]["path"]).parent, tmp_path / "out"):
        told = restore(said.store, str(folder)).data["error"]
        assert told["message"].startswith(f"{folder} has neither SHA256SUMS nor manifest.json")
        assert told["remedy"] == "the folder of one session, as export-sessions names it"


def test_a_folder_that_is_no_bundle_is_said_to_be_none_whoever_may_write_to_it(said: InFiles, tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    assert restore(said.store, str(place)).data["error"]["message"].startswith(f"{place} has neither SHA256SUMS")


def test_of_a_folder_into_which_nobody_may_look_it_is_not_said_what_it_lacks(
    said: InFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "closed"
    place.mkdir()
    real = os.lstat

    def looked(path: Any, **more: Any) -> os.stat_result:
        if Path(path).parent == place:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(os, "lstat", looked)
    message = restore(said.store, str(place)).data["error"]["message"]
    assert "neither" not in message
    assert str(place) in message


def test_a_folder_that_two_runs_make_at_the_same_time_is_made_once(tmp_path: Path) -> None:
    class Slow(Disk):
        def make_folder(self, path: str) -> None:
            super().make_folder(path)
            super().make_folder(path)

    make_folder(Slow(), str(tmp_path / "agents" / "lead" / "sessions"))
    assert (tmp_path / "agents" / "lead" / "sessions").is_dir()
    write(tmp_path / "agents" / "file", "")
    with pytest.raises(FileExistsError):
        make_folder(Slow(), str(tmp_path / "agents" / "file"))
