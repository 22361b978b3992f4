"""What a plan tells apart of its rows: of the same rows once, of others anew."""

from __future__ import annotations

from session_closer.core.findings import Chores
from session_closer.core.model import Plan, PlannedRow
from session_closer.core.status import Status

GOES, STAYS = (PlannedRow(key, "lead", key, status) for key, status in (("a", Status.WOULD_CLOSE), ("b", Status.KEPT)))


def test_of_the_same_rows_it_is_told_apart_once() -> None:
    plan = Plan((GOES, STAYS))
    assert (plan.closing, plan.others, dict(plan.by_agent)) == ((GOES,), (STAYS,), {"lead": [GOES]})
    again = plan._replace(kept=3)
    assert again.kept == 3
    assert again.by_agent is plan.by_agent


def test_of_other_rows_it_is_told_apart_anew() -> None:
    plan = Plan((GOES, STAYS))
    assert plan.by_agent
    less = plan._replace(rows=(STAYS,))
    assert (less.closing, less.others, dict(less.by_agent)) == ((), (STAYS,), {})


def test_chores_are_not_of_the_rows() -> None:
    plan = Plan((GOES,))
    assert (plan.tidying, plan.closing) == ({}, (GOES,))
    more = plan._replace(chores={"lead": Chores(orphans=("x.jsonl",))})
    assert list(more.tidying) == ["lead"]
