"""A cleanup takes the same rows whatever its gateway is like, or none at all."""

from __future__ import annotations

import pytest
from support.cleanup import HOUR, OLD_RUN, STALE, actions, all_keys, clean, fill, gone, put, summary, unchanged
from support.stores import Stage


@pytest.mark.parametrize(
    ("life", "code"), [("down", 0), ("up", 0), ("mute", 0), ("no-openclaw", 0), ("no-delete", 0), ("unknown", 6)]
)  # fmt: skip
def test_whatever_the_gateway_is_like_the_same_goes_or_nothing(stage: Stage, life: str, code: int) -> None:
    store = fill(stage(life))
    before = all_keys(store)
    planned = unchanged(store, "--dry-run", code=code)
    answer = clean(store)
    if life in ("mute", "no-openclaw", "no-delete"):
        assert answer.code in (0, 1)
    else:
        assert answer.code == code
    assert before - all_keys(store) == (STALE if code == 0 else set())
    assert actions(planned) == actions(answer) or code != 0


def test_what_the_gateway_calls_running_stays(stage: Stage) -> None:
    store = fill(stage("up", active=[OLD_RUN]))
    answer = clean(store)
    assert gone(answer) == STALE - {OLD_RUN}
    assert summary(answer)["spared"] == {"pinned": 1, "running": 1}


def test_via_gateway_without_one_is_6_and_via_files_edits(stage: Stage) -> None:
    store = fill(stage("down"))
    unchanged(store, "--via", "gateway", code=6)
    answer = clean(store, "--via", "files")
    assert {row["route"] for row in answer.data["results"]} == {"files"}


def test_a_row_that_says_it_runs_goes_where_the_gateway_says_that_it_does_not(stage: Stage) -> None:
    store = fill(stage("up"))
    put(store, OLD_RUN, 25 * HOUR, status="running")
    assert gone(clean(store)) == STALE
