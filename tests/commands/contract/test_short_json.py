"""The document of a command that changes something is short: what is left out of it is counted ahead of all else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.render import excerpt
from support.commands import one_document, run, run_json
from support.keys import LEAD
from support.stores import Store

MANY = 611
MOST = 32 * 1024


@pytest.fixture
def crowded(store: Store) -> Store:
    """The sample store with hundreds of sessions more."""
    store.add(*((f"{LEAD}many-{at}", store.session(f"many-{at}")) for at in range(MANY)))
    return store


def document(text: str) -> dict[str, Any]:
    """Return the one document of an output that is short."""
    assert len(text.encode()) <= MOST
    return one_document(text)


def test_hundreds_of_sessions_are_a_short_document_and_all_with_verbose(crowded: Store) -> None:
    words = ("--json", "--yes", "--dry-run", "kelly-dashboard")
    whole = one_document(run(KeepOnlySessions, *words, "--verbose", state=crowded.state).stdout)
    assert "counts" not in whole
    statuses = Counter(row["status"] for row in whole["results"])
    assert statuses["would_close"] >= MANY
    short = document(run(KeepOnlySessions, *words, state=crowded.state).stdout)
    assert list(short)[:3] == ["counts", "resultsOmitted", "ok"]
    assert short["counts"] == statuses
    assert short["resultsOmitted"] == len(whole["results"]) - len(short["results"])
    assert {key: value for key, value in short.items() if key not in ("counts", "resultsOmitted", "results")} == {
        key: value for key, value in whole.items() if key != "results"
    }
    # What is told is told as ever, and in the same order; the names of its archives are those of its moment.
    told = iter([{**row, "archives": []} for row in whole["results"]])
    assert all({**row, "archives": []} in told for row in short["results"])


def test_the_receipt_has_all_and_the_undo_is_short_too(crowded: Store) -> None:
    closed = document(run(KeepOnlySessions, "--json", "--yes", "kelly-dashboard", state=crowded.state).stdout)
    assert closed["resultsOmitted"] > 0
    recorded = json.loads(Path(closed["receipt"]).read_bytes())
    assert sum(len(one["sessions"]) for one in recorded["stores"]) == closed["counts"]["closed"]
    back = document(run(RestoreSessions, "--json", "last", state=crowded.state).stdout)
    assert back["counts"] == {"restored": closed["counts"]["closed"]}
    assert back["resultsOmitted"] == back["counts"]["restored"] - len(back["results"])


def test_what_went_wrong_is_told_row_by_row_however_long_that_is(crowded: Store) -> None:
    absent = [f"nowhere-{at}" for at in range(200)]
    answer = run_json(
        CloseProjectBatch, "--yes", *absent, "main", *(f"many-{at}" for at in range(MANY)), state=crowded.state
    )
    rows = Counter(row["status"] for row in answer.data["results"])
    assert rows["not_found"] == 200
    assert rows["refused"] == 1
    assert rows["closed"] == 1
    assert answer.data["counts"] == {"not_found": 200, "refused": 1, "closed": MANY}
    assert answer.data["resultsOmitted"] == MANY - 1


def test_a_document_that_is_short_counts_nothing(store: Store) -> None:
    answer = run_json(KeepOnlySessions, "--dry-run", "kelly-dashboard", state=store.state)
    assert not {"counts", "resultsOmitted"}.intersection(answer.data)


def row(status: str, number: int, **more: Any) -> dict[str, Any]:
    """Return what matters here of a row."""
    return {"ok": True, "status": status, "agent": "a", "key": f"{status}{number}", "pad": "x" * 90, **more}


@pytest.mark.parametrize(
    ("status", "more"),
    [*((each, {}) for each in ("refused", "failed", "came_back", "conflict")), ("not_found", {"ok": False})],
)
def test_what_somebody_has_to_see_to_is_never_left_out(status: str, more: dict[str, Any]) -> None:
    always = [row(status, at, **more) for at in range(500)]
    common = [row("kept", at) for at in range(200)]
    found = json.loads(excerpt.encoded({"results": [*common, *always]}, {status: 500, "kept": 200}, whole=False))
    assert found["results"] == [common[0], *always]
    assert found["resultsOmitted"] == 199


def test_the_last_of_the_commonest_are_left_out_first() -> None:
    rare, common = [row("closed", at) for at in range(50)], [row("kept", at) for at in range(900)]
    found = json.loads(excerpt.encoded({"results": [*common, *rare]}, {"closed": 50, "kept": 900}, whole=False))
    told = len(found["results"]) - len(rare)
    assert found["results"] == [*common[:told], *rare]
    assert 1 < told < 900


def test_a_document_is_as_long_as_it_may_be() -> None:
    rows = [{"ok": True, "status": "closed", "agent": "a", "key": f"k{at}"} for at in range(2000)]
    text = excerpt.encoded({"results": rows}, {"closed": 2000}, whole=False)
    one_more = len(json.dumps(rows[-1])) + 2
    assert MOST - one_more <= len(text) + 1 <= MOST


def test_copies_of_what_is_not_told_are_not_told_either() -> None:
    rows = [{"ok": True, "status": "closed", "agent": "a", "key": f"k{at}"} for at in range(800)]
    copies = [{"agent": "a", "key": f"k{at}", "path": "p" * 40} for at in range(800)]
    text = excerpt.encoded({"results": rows, "exported": copies}, {"closed": 800}, whole=False)
    assert len(text) + 1 <= MOST
    found = json.loads(text)
    assert [row["key"] for row in found["results"]] == [copy["key"] for copy in found["exported"]]
    assert len(found["results"]) > 1
