"""export-sessions --from: what a run has closed, from its archives, as it was when it was closed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from support.commands import Answer, restore, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.said import ERAS, KEY, InDatabase, InFiles, Said, files_of
from support.stores import TOKEN, Store
from support.trees import tree, write

OTHER = LEAD + "other-one"


@pytest.fixture(params=[("files", ""), ("sqlite", "--archive"), ("sqlite", "--delete")], ids=" ".join)
def closed(request: pytest.FixtureRequest, tmp_path: Path, stub: StubGateway) -> tuple[Said, str]:
    """A session that a run has closed together with another one, in files, hidden or deleted; the receipt's id."""
    era, word = request.param
    said = ERAS[era](Store(tmp_path / "state", stub.port))
    if isinstance(said, InDatabase):
        said.bases.add(OTHER)
    else:
        said.store.add((OTHER, said.store.session("other-one")))
    stub.serve(said.store.state, TOKEN)
    answer = run_json(CloseProjectBatch, *filter(None, [word]), KEY, OTHER, state=said.store.state)
    assert answer.code == 0, answer
    return said, Path(answer.data["receipt"]).stem


def export(said: Said, out: Path, which: str, *words: str) -> Answer:
    """Export what a run has closed."""
    return run_json(ExportSessions, "--from", which, *words, "--output", str(out), state=said.store.state)


def test_all_that_a_run_has_closed_is_exported_as_it_was(closed: tuple[Said, str], out: Path) -> None:
    said, receipt = closed
    before = tree(said.store.state)
    answer = export(said, out, receipt)
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    found = {row["key"]: Path(row["path"]) for row in answer.data["exported"]}
    assert set(found) == {KEY, OTHER}
    held = files_of(found[KEY])
    # The stub archives a beginning that its rows do not have.
    begins = held["transcript.jsonl"].count(b"\n") - said.transcript.count(b"\n")
    assert held["transcript.jsonl"].split(b"\n", begins)[-1] == said.transcript
    assert json.loads(held["entry.json"])["sessionId"] == said.own
    if isinstance(said, InFiles):
        assert held["entry.json"] == said.entry
        assert {name: held[name] for name in said.beside if "windows" not in name} == {
            name: text for name, text in said.beside.items() if "windows" not in name
        }
    assert tree(said.store.state) == before


def test_names_choose_among_what_it_has_closed(closed: tuple[Said, str], out: Path) -> None:
    said, _ = closed
    answer = export(said, out, "last", "export-me", "nowhere")
    assert (answer.code, [row["key"] for row in answer.data["exported"]]) == (1, [KEY])
    assert [(row["input"], row["status"]) for row in answer.data["failed"]] == [("nowhere", "not_found")]


def test_what_was_exported_so_can_be_brought_back(tmp_path: Path, closed_port: int, out: Path) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    was = said.store.index().read_bytes()
    run_json(CloseProjectBatch, KEY, state=said.store.state)
    [row] = export(said, out, "last").data["exported"]
    for path in [*said.store.folder().glob("*.deleted.*"), *said.store.folder().glob(f"{said.own}.*.bak.*")]:
        path.unlink()
    answer = restore(said.store, row["path"])
    assert (answer.code, dict(answer.rows)) == (0, {KEY: "restored"}), answer
    assert said.store.index().read_bytes() == was
    assert said.path.read_bytes() == said.transcript
    assert (said.store.folder() / f"{said.own}.trajectory.jsonl").read_bytes() == said.beside["trajectory.jsonl"]


def test_an_archive_that_was_changed_is_no_copy(tmp_path: Path, closed_port: int, out: Path) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    run_json(CloseProjectBatch, KEY, state=said.store.state)
    [archive] = said.store.folder().glob(f"{said.own}.jsonl.deleted.*")
    archive.write_bytes(archive.read_bytes() + b"x")
    answer = export(said, out, "last")
    assert (answer.code, answer.data["exported"]) == (3, [])
    assert "were archived" in answer.data["failed"][0]["error"]


def test_an_archive_in_a_database_that_is_gone_is_said(tmp_path: Path, stub: StubGateway, out: Path) -> None:
    said = InDatabase(Store(tmp_path / "state", stub.port))
    stub.serve(said.store.state, TOKEN)
    run_json(CloseProjectBatch, "--delete", KEY, state=said.store.state)
    for path in said.bases.archives():
        path.unlink()
    answer = export(said, out, "last")
    assert (answer.code, [row["status"] for row in answer.data["failed"]]) == (3, ["refused"]), answer
    assert list(out.rglob("*.md")) == []


def test_files_without_a_session_are_left_out(store: Store, out: Path) -> None:
    store.add((OTHER, store.session("other-one")))
    lost = store.session("lost")["sessionFile"]
    os.utime(lost, (0, 0))
    answer = run_json(CleanupSessions, "--orphans", "1h", "--stale", "project=1h", state=store.state)
    assert answer.code == 0, answer
    answer = run_json(ExportSessions, "--from", "last", "--output", str(out), state=store.state)
    assert (answer.code, "files without a session are left out: 1" in answer.data["warnings"]) == (0, True), answer


def test_it_warns_of_secrets_and_goes_to_no_folder_of_sessions(closed: tuple[Said, str], out: Path) -> None:
    said, _ = closed
    assert [text for text in export(said, out, "last").data["warnings"] if text.startswith("secrets that were said")]
    answer = export(said, said.store.folder() / "out", "last")
    assert (answer.code, answer.error) == (3, "output")
    assert not (said.store.folder() / "out").exists()


def test_what_is_back_is_said(tmp_path: Path, closed_port: int, out: Path) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    closed = run_json(CloseProjectBatch, KEY, state=said.store.state)
    restored = restore(said.store, "last")
    answer = export(said, out, Path(closed.data["receipt"]).stem)
    assert (answer.code, [row["status"] for row in answer.data["failed"]]) == (3, ["refused"])
    assert answer.data["failed"][0]["error"].endswith("is gone")
    assert export(said, out, Path(restored.data["receipt"]).stem).error == "no_receipt"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "last", "--agent", "main"), "--from and --agent contradict each other; next: give one of them"),
        (("--from", ""), "the RECEIPT of --from is empty; next: --from RECEIPT"),
    ],
)
def test_words_that_make_no_sense(store: Store, words: tuple[str, ...], said: str) -> None:
    result = run(ExportSessions, "--output", "x", *words, state=store.state)
    assert (result.code, result.stderr) == (2, f"error: {said}\n")


def test_a_receipt_that_is_not_there_is_said(store: Store, out: Path) -> None:
    answer = run_json(ExportSessions, "--from", "nothing", "--output", str(out), state=store.state)
    assert (answer.code, answer.error) == (3, "no_receipt")
    assert not out.exists()


@pytest.mark.parametrize("value", ['"a string"', "null", '{"n": ' + "9" * 5000 + "}"], ids=["text", "null", "long"])
def test_a_session_whose_entry_is_odd_is_exported_as_it_was(
    tmp_path: Path, closed_port: int, out: Path, value: str
) -> None:
    store = Store(tmp_path / "state", closed_port)
    store.index().parent.mkdir(parents=True, exist_ok=True)
    write(store.index(), f'{{"{OTHER}": {value}}}')
    receipt = Path(run_json(CloseProjectBatch, OTHER, state=store.state).data["receipt"]).stem
    answer = run_json(ExportSessions, "--from", receipt, "--output", str(out), state=store.state)
    [row] = answer.data["exported"]
    assert (answer.code, (Path(row["path"]) / "entry.json").read_text()) == (0, value)
