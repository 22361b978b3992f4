"""What a cleanup of very many files says: the first of them are told, and all of them are counted and move."""

from __future__ import annotations

import json
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import SHOWN, CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run
from support.leavings import FREE, OVER, BeforeChanging, Leavings

pytestmark = pytest.mark.usefixtures("no_power_is_cut")
MANY = SHOWN + 50
FOLDER = FREE["delegation_log"]


@pytest.fixture
def filled(home: Leavings) -> Leavings:
    for number in range(MANY - 1):
        home.lay_kind("request_dump", f"sessions/request_dump_{OVER}_20200101_000000_{number:06d}.json")
    home.lay_kind("delegation_log", FOLDER)
    return home


def _without_rows(document: dict[str, Any]) -> dict[str, Any]:
    left_out = ("results", "counts", "resultsOmitted", "resultsTotal")
    return {name: value for name, value in document.items() if name not in left_out}


def test_all_that_would_go_is_counted_and_the_first_of_it_is_told(filled: Leavings) -> None:
    short, whole = (filled.run(CleanupSessions, "--yes", "--dry-run", *more).data for more in ((), ("--verbose",)))
    assert short["counts"] == {"would_archive": MANY}
    assert short["resultsTotal"] == MANY == short["resultsOmitted"] + len(short["results"])
    assert short["results"] == whole["results"][: len(short["results"])] != []
    assert _without_rows(short) == _without_rows(whole)
    assert short["putAway"] == {"count": MANY, "bytes": sum(row["bytes"] for row in whole["results"])}


def test_all_that_went_is_counted_and_comes_back(filled: Leavings) -> None:
    before = filled.tree()
    answer = filled.run(CleanupSessions, "--yes")
    assert (answer.code, answer.data["counts"], answer.data["resultsTotal"]) == (0, {"archived": MANY}, MANY)
    size = sum(len(one.data) for path, one in before.items() if one.data and path.startswith(("sessions/", FOLDER)))
    assert answer.data["putAway"] == {"count": MANY, "bytes": size}
    assert answer.data["undo"] is not None
    assert not any(filled.has(path) for path in before if path.startswith(("sessions/", FOLDER)))
    assert filled.run(RestoreSessions, "last").data["counts"] == {"restored": MANY}
    assert filled.tree() == before


def test_all_that_was_deleted_is_counted(filled: Leavings) -> None:
    answer = filled.run(CleanupSessions, "--yes", "--delete")
    assert (answer.code, answer.data["counts"], answer.data["resultsTotal"]) == (0, {"deleted": MANY}, MANY)
    assert answer.data["freed"]["count"] == MANY


def test_a_person_reads_how_many_more_there_are(filled: Leavings) -> None:
    said = run(CleanupSessions, "--yes", "--dry-run", state=filled.path).stdout
    assert f"dry run, nothing changed: {MANY} would archive, 0 kept; would put away " in said
    assert f"\n  … and {MANY - 20} more (--verbose shows all)\n" in said


def test_all_of_it_is_rehearsed(filled: Leavings) -> None:
    answer = filled.run(CleanupSessions, "--yes", "--rehearse")
    rehearsal = answer.data["rehearsal"]
    assert (answer.code, rehearsal["files"], rehearsal["differences"]) == (0, MANY, [])
    assert answer.data["counts"] == {"would_archive": MANY}


def test_one_that_stays_after_all_is_not_counted_among_them(filled: Leavings, before_changing: BeforeChanging) -> None:
    last = filled.path / f"sessions/request_dump_{OVER}_20200101_000000_{MANY - 2:06d}.json"
    before_changing(lambda: last.write_text(json.dumps({"session_id": OVER, "more": 1})))
    answer = filled.run(CleanupSessions, "--yes")
    assert answer.data["counts"] == {"archived": MANY - 1}
    assert answer.data["spared"] == {"changed": 1}
