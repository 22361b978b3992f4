"""What the two names of a file on disk mean, and what a folder's renames never do."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.artifacts.engine import Became, Names, Root, latest, wanted
from session_closer.core.durable import Move
from session_closer.system.disk import Disk

LIVE, ARCHIVE, BOTH, NEITHER = Names.LIVE, Names.ARCHIVE, Names.BOTH, Names.NEITHER
ARCHIVED = "a.jsonl.deleted.2026-01-02T00-00-00.000Z"


@pytest.mark.parametrize(
    ("there", "going", "begin", "expected"),
    [
        (LIVE, ARCHIVE, True, ARCHIVE),
        (LIVE, ARCHIVE, False, LIVE),
        (LIVE, LIVE, True, LIVE),
        (ARCHIVE, LIVE, True, LIVE),
        (ARCHIVE, LIVE, False, ARCHIVE),
        (ARCHIVE, ARCHIVE, True, ARCHIVE),
        (BOTH, ARCHIVE, False, ARCHIVE),
        (BOTH, LIVE, False, LIVE),
        (NEITHER, LIVE, True, NEITHER),
        (NEITHER, ARCHIVE, True, NEITHER),
    ],
)
def test_a_rename_goes_on_the_way_it_went(there: Names, going: Names, begin: bool, expected: Names) -> None:
    assert wanted(there, going, is_used=False, begin=begin) is expected


@pytest.mark.parametrize("there", [LIVE, ARCHIVE, BOTH])
@pytest.mark.parametrize("going", [LIVE, ARCHIVE])
@pytest.mark.parametrize("begin", [True, False])
def test_what_is_used_gets_its_live_name(there: Names, going: Names, begin: bool) -> None:
    assert wanted(there, going, is_used=True, begin=begin) is LIVE


@pytest.mark.parametrize("name", ["../a.jsonl", "sub/a.jsonl", "..", ".", "", "/elsewhere/.."])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    root = Root(Disk(), str(tmp_path))
    (tmp_path / "a.jsonl").touch()
    for move in (Move("a.jsonl", name), Move(name, "b.jsonl")):
        with pytest.raises(ValueError, match=r"no name|leave its folder"):
            root.put_away(move)
    with pytest.raises(ValueError, match=r"no name|leave its folder"):
        root.expire(name)


def test_no_file_leaves_its_folder_for_one_beside_another_index(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(ValueError, match="leave its folder"):
        Root(Disk(), str(tmp_path)).put_away(Move("a.jsonl", "/elsewhere/a.jsonl"))


def test_an_archive_of_somebody_else_counts_only_if_it_was_made_after_the_plan() -> None:
    asked = []

    def listed() -> list[str]:
        asked.append(1)
        return [ARCHIVED, "b.jsonl"]

    tell = latest(listed)
    assert not asked
    assert tell(Move("a.jsonl", "a.jsonl.deleted.2026-01-01T00-00-00.000Z")) == ARCHIVED
    assert tell(Move("a.jsonl", "a.jsonl.deleted.2026-01-03T00-00-00.000Z")) is None
    assert tell(Move("b.jsonl", "b.jsonl.deleted.2026-01-01T00-00-00.000Z")) is None
    assert len(asked) == 1


def test_sessions_that_share_a_file_are_told_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("ours")
    (tmp_path / ARCHIVED).write_text("somebody's")
    other = "a.jsonl.deleted.2026-01-03T00-00-00.000Z"
    with Root(Disk(), str(tmp_path), other_name=lambda move: move.but(target=other)) as root:
        results = [root.settle(Move("a.jsonl", ARCHIVED), ARCHIVE, begin=True) for _ in range(2)]
    assert [(result.became, result.move.target) for result in results] == [(Became.AWAY, other)] * 2
    assert (tmp_path / other).read_text() == "ours"
    assert (tmp_path / ARCHIVED).read_text() == "somebody's"


def test_a_file_that_two_share_is_put_away_again_for_each_that_cannot_come_back(tmp_path: Path) -> None:
    shared, first, second = (Move(f"{name}.jsonl", f"{name}.jsonl.deleted") for name in ("shared", "first", "second"))
    for move in (shared, first, second):
        (tmp_path / move.target).touch()
    # Somebody else has these names by now.
    for move in (first, second):
        (tmp_path / move.source).touch()
    with Root(Disk(), str(tmp_path)) as root:
        for other in (first, second):
            found = root.bring_back([shared, other])
            assert found is not None
            assert found.became is Became.TAKEN
            assert (tmp_path / shared.target).exists()
            assert not (tmp_path / shared.source).exists()
