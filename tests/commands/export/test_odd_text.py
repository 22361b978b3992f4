"""Text that no UTF-8 can hold, in a key, in an event, in a path: it is exported, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.core.export.events import Survey
from session_closer.operations import bundles
from support.commands import restore, run_json
from support.keys import LEAD, session_id
from support.said import KEY, Said
from support.stores import Store
from support.trees import write

HALF = "\ud800"
ODD = f"{LEAD}a{HALF}"


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    """A store in files with nothing in it; its gateway is down."""
    return Store(tmp_path / "state", closed_port)


def speak(store: Store, **event: str) -> None:
    """Have an event said in the session, of which the index says in ASCII where it is."""
    write(store.index(), json.dumps(store.entries()))
    write(
        store.folder() / f"{session_id('project-lead a')}.jsonl",
        json.dumps({"type": "message", "id": "1", **event}) + "\n",
    )


def manifest(folder: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((Path(folder) / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("words", [(), ("--redact",), ("--format", "md")])
@pytest.mark.parametrize("member", ["id", "type"])
def test_half_a_pair_in_an_event_is_exported(store: Store, out: Path, member: str, words: tuple[str, ...]) -> None:
    store.add((LEAD + "a", store.session("a")))
    speak(store, **{member: HALF})
    answer = run_json(ExportSessions, "a", "--output", str(out), *words, state=store.state)
    assert answer.code == 0, answer
    [row] = answer.data["exported"]
    if "md" not in words:
        found = manifest(row["path"])
        assert HALF in (found["lastId"], *found["kinds"])  # type: ignore[misc]


def test_half_a_pair_in_a_key_is_exported_and_comes_back(store: Store, out: Path) -> None:
    store.add((ODD, store.session("odd")), (LEAD + "b", store.session("b")))
    write(store.index(), json.dumps(store.entries()))
    entry = store.entries()[ODD]
    answer = run_json(CloseProjectBatch, "--match", "*", "--export", str(out), state=store.state)
    assert (answer.code, len(answer.data["exported"])) == (0, 2), answer
    folders = {manifest(row["path"])["key"]: row["path"] for row in answer.data["exported"]}
    assert store.listed() == []
    answer = restore(store, folders[ODD])
    assert answer.code == 0, answer
    assert store.entries() == {ODD: entry}


def test_a_state_directory_with_a_byte_that_is_no_text_is_exported(tmp_path: Path, closed_port: int, out: Path) -> None:
    store = Store(tmp_path / "state\udcff", closed_port)
    store.add((LEAD + "a", store.session("a")))
    speak(store)
    answer = run_json(ExportSessions, "a", "--output", str(out), state=store.state)
    assert answer.code == 0, answer
    [row] = answer.data["exported"]
    sources = [file.get("source", "") for file in manifest(row["path"])["files"]]  # type: ignore[attr-defined]
    assert any("\udcff" in source for source in sources)


def test_what_nobody_has_foreseen_of_one_session_ends_that_one(
    said: Said, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OverflowError("too much")

    monkeypatch.setattr(bundles, "survey", failing)
    answer = run_json(ExportSessions, KEY, "--output", str(out), state=said.store.state)
    assert answer.code == 3, answer
    [row] = answer.data["failed"]
    assert (row["status"], row["error"]) == ("refused", 'it cannot be exported: OverflowError: "too much"')


def test_a_session_of_which_nobody_has_foreseen_it_stays_and_the_others_go(
    store: Store, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add((LEAD + "a", store.session("a")), (LEAD + "b", store.session("b")))
    real = bundles.survey

    def failing(lines: Iterable[bytes]) -> Survey:
        monkeypatch.setattr(bundles, "survey", real)
        raise OverflowError("too much")

    monkeypatch.setattr(bundles, "survey", failing)
    answer = run_json(CloseProjectBatch, "a", "b", "--export", str(out), state=store.state)
    assert (answer.code, dict(answer.rows)) == (1, {LEAD + "a": "refused", LEAD + "b": "closed"}), answer
    assert store.listed() == [LEAD + "a"]


@pytest.mark.parametrize("cost", ["1e999", "1" + "0" * 400, "-1e999"])
def test_a_cost_that_is_no_number_is_in_no_sum(store: Store, out: Path, cost: str) -> None:
    store.add((LEAD + "a", store.session("a")))
    said = f'{{"type":"message","id":"1","message":{{"role":"user","usage":{{"cost":{{"total":{cost}}}}}}}}}\n'
    write(store.folder() / f"{session_id('project-lead a')}.jsonl", said)
    answer = run_json(ExportSessions, "a", "--output", str(out), state=store.state)
    assert answer.code == 0, answer
