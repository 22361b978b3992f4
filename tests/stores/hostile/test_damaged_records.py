"""A damaged record of an interrupted run is an error until it is put aside, and touches nobody else."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from support.commands import run, run_json
from support.hostile import as_dangling_link, as_directory, as_pipe, close
from support.interrupted import interrupt
from support.keys import LEAD
from support.patience import it_ends
from support.stores import Store
from support.terminal import RAW
from support.trees import tree


def record_of(store: Store) -> Path:
    (path,) = store.state.glob("session-closer/open/*/record.json")
    return path


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "path outside": lambda data: data["stores"][0].update(path="/etc/passwd"),
    "transcripts outside": lambda data: data["stores"][0].update(roots={"sessions": "/etc"}),
    "agent outside": lambda data: data["stores"][0].update(agent="../../etc"),
    "backup outside": lambda data: data["stores"][0].update(backup="../sessions.json.bak-x"),
    "backup gone": lambda data: data["stores"][0].update(backup="sessions.json.bak-gone"),
    "displaced outside": lambda data: data["stores"][0].update(displaced=["../../x"]),
    "move from outside": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(
        source="../x.trajectory.jsonl", target="../x.trajectory.jsonl.bak.2016-11-21T00-00-00.000Z"
    ),
    "move to outside": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(target="../../x"),
    "move of the index": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(
        source="sessions.json", target="sessions.json.deleted.2016-11-21T00-00-00.000Z"
    ),
    "move without names": lambda data: data["stores"][0]["sessions"][0].update(moves=[{}]),
    "moves no list": lambda data: data["stores"][0]["sessions"][0].update(moves=7),
    "stores no list": lambda data: data.update(stores=None),
    "another run": lambda data: data.update(id="20200101T000000.000Z-00000000"),
    "another state directory": lambda data: data.update(stateDir="/"),
    "another format": lambda data: data.update(format="session-closer/99"),
    "unknown member": lambda data: data.update(surprise=1),
    "negative offset": lambda data: data["stores"][0]["sessions"][0].update(offset=-1),
    "key that was not in the backup": lambda data: data["stores"][0]["sessions"][0].update(key=LEAD + "alpha\n"),
    "state unknown": lambda data: data.update(state="maybe"),
    "restart no object": lambda data: data.update(restart=[]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_is_an_error_until_it_is_put_aside(store: Store, name: str) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE[name](data)
    path.write_text(json.dumps(data))
    check_put_aside(store, path)


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", b"\xff", b"{}" * 2, b"[" * 100_000, b"\0" * 100])
def test_a_record_that_is_no_json_is_an_error_until_it_is_put_aside(store: Store, raw: bytes) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    path.write_bytes(raw)
    check_put_aside(store, path)


@pytest.mark.parametrize("make", [as_dangling_link, as_directory, as_pipe])
def test_a_record_that_is_no_file_is_an_error_and_nobody_waits(store: Store, make: Callable[[Path], None]) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    path.unlink()
    make(path)
    check_put_aside(store, path)


def check_put_aside(store: Store, path: Path) -> None:
    """Nothing is changed but a dead run's lock, and people are told why and what to do: it helps."""

    def files() -> dict[str, Any]:
        ours = (".lock", ".session-closer-new", ".session-closer-swap")
        return {name: what for name, what in tree(store.state).items() if what[2] and not name.endswith(ours)}

    before = files()
    with it_ends():
        answer = run_json(CloseProject, "never-spoken", state=store.state)
    assert (answer.code, answer.data["error"]["name"]) == (3, "damaged_run")
    assert "damaged" in answer.data["error"]["message"]
    assert not RAW.search(answer.stderr)
    assert files() == before
    with it_ends():
        assert run(CloseProject, "never-spoken", "--dry-run", state=store.state).code in (0, 3)
    remedy = answer.data["error"]["remedy"].removeprefix("look at it, then ").partition(", and run the same")[0]
    subprocess.run(shlex.split(remedy), check=True)
    transcripts = {name for name in store.names() if name.endswith(".jsonl")}
    assert close(store, "never-spoken").rows == [(LEAD + "never-spoken", "closed")]
    assert {name for name in store.names() if name.endswith(".jsonl")} == transcripts


@pytest.mark.parametrize("name", ["backup gone", "stores no list", "unknown member"])
def test_a_damaged_record_that_speaks_of_others_is_a_warning(store: Store, name: str) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE[name](data)
    path.write_text(json.dumps(data))
    answer = run_json(CloseProject, "kelly-dashboard", "--agent", "researcher", state=store.state)
    if name == "stores no list":
        # Whose sessions it has taken out cannot be told.
        assert (answer.code, answer.data["error"]["name"]) == (3, "damaged_run")
    else:
        assert (answer.code, [status for _, status in answer.rows]) == (0, ["closed"])
        assert "damaged" in answer.data["warnings"][0]


def test_a_cleanup_of_all_leaves_out_the_agent_whose_run_is_damaged(store: Store) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE["unknown member"](data)
    path.write_text(json.dumps(data))
    for words in (["--dry-run"], []):
        answer = run_json(CleanupSessions, "--only", "orphans", *words, state=store.state)
        failed = [(row["agent"], row["status"]) for row in answer.data["results"] if not row["ok"]]
        assert (answer.code, failed) == (1, [("project-lead", "failed")])
        assert {each["agent"] for each in answer.data["stores"]} == {"main", "researcher"}


def test_names_in_the_folder_of_open_runs_that_are_no_runs_are_ignored(store: Store) -> None:
    place = store.state / "session-closer" / "open"
    place.mkdir(parents=True)
    (place / "README").write_text("mine")
    (place / "20161121T000000.000Z-0000000g").mkdir()
    (place / "20161121T000000.000Z-00000000").write_text("a file where a folder should be")
    result = run(CloseProject, "alpha", state=store.state)
    assert result.code == 0, result.stderr
    assert (place / "README").read_text() == "mine"


@pytest.mark.parametrize("raw", [b"", b"{", b'{"format": "session-closer/1"}', b"\xff" * 10])
def test_a_damaged_receipt_is_no_receipt(store: Store, raw: bytes) -> None:
    run_json(CloseProject, "topics", state=store.state)
    (receipt,) = store.state.glob("session-closer/receipts/*.json")
    receipt.write_bytes(raw)
    assert close(store, "topics").rows == [(LEAD + "topics", "not_found")]
