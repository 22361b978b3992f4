"""Of very many files the first are told that went, and each that did not go as was wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from session_closer.core.artifacts import Artifact, KindRule, Limits, Verdicts
from session_closer.core.report import ArtifactRow, Remainder
from session_closer.core.status import Status
from session_closer.core.wish import Options
from session_closer.journal.record import HOME, StoreRecord
from session_closer.operations import pruned
from session_closer.operations.pruned import NOT_REACHED, Fate, Part

MANY, MOST = 9, 3
RULES = (KindRule("dump", 1.0), KindRule("row", 1.0, returns=False))
ARCHIVED, DELETED, CHANGED = Fate(Status.ARCHIVED), Fate(Status.DELETED), Fate(Status.KEPT, "changed")


def part(fates: Sequence[Fate] | None = None, *, agent: str = "a", folders: bool = False, tidy: bool = True) -> Part:
    """Return a home of which many things go, each of a size of its own; None: nothing was done yet."""
    home: Any = SimpleNamespace(agent=agent, root=f"/{agent}", rules=RULES)
    each = [Artifact("dump", f"f{at}", None, 0.0, 1 << at, folder=folders and at % 2 == 0) for at in range(MANY)]
    stays = Artifact("dump", "stays", None, 0.0, 1 << MANY)
    made = Part(home, Verdicts(tuple((one, "old") for one in each), ((stays, "young"),), 0))
    if fates is not None:
        made.record = StoreRecord(agent, "home", f"/{agent}", {HOME: f"/{agent}"})
        made.fates, made.is_tidy = list(fates), tidy and len(fates) == MANY
    return made


def told(*parts: Part, most: int | None = MOST, delete: bool = False) -> tuple[list[ArtifactRow], list[Remainder]]:
    rows, untold = pruned.rows(parts, Options(most_rows=most, delete=delete), 10.0)
    assert len({more.status for more in untold}) == len(untold)
    return rows, list(untold)


def summed(rows: Sequence[ArtifactRow], untold: Sequence[Remainder]) -> Counter[tuple[Status, int]]:
    """Return how many there are of each status, and how many bytes."""
    number, size = Counter(row.status for row in rows), Counter[Status]()
    for row in rows:
        size[row.status] += row.size or 0
    for more in untold:
        number[more.status] += more.number
        size[more.status] += more.size or 0
    return Counter({(status, number[status]): size[status] for status in number if status is not Status.KEPT})


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize("tidy", [False, True])
@pytest.mark.parametrize("done", [ARCHIVED, DELETED])
@pytest.mark.parametrize("reached", range(MANY + 1))
def test_as_much_is_told_however_many_have_a_row(reached: int, done: Fate, tidy: bool, folders: bool) -> None:
    fates = [CHANGED if at == 1 else done for at in range(reached)]
    one = part(fates, folders=folders, tidy=tidy)
    whole, none = told(one, most=None)
    assert none == []
    assert {row.path for row in whole} == {*(f"/a/f{at}" for at in range(MANY)), "/a/stays"}
    rows, untold = told(one)
    assert summed(rows, untold) == summed(whole, [])
    # Nobody has to see to what went, or to what stays since it is in use.
    lost = [row for row in whole if row.status is Status.FAILED]
    assert [row for row in rows if row.status is Status.FAILED] == lost
    assert {row.why for row in lost} <= {NOT_REACHED}
    went = [row for row in whole if row.status is done.status]
    assert [row for row in rows if row.status is done.status] == went[:MOST]
    assert len(rows) == len(lost) + min(MOST, len(went))
    assert pruned.totals([one], Limits({})).spared == {"young": 1, **({"changed": 1} if reached > 1 else {})}


def test_a_folder_that_lies_aside_still_is_not_called_deleted() -> None:
    gone = [DELETED] * MANY
    rows, _ = told(part(gone, folders=True, tidy=False))
    assert {row.path for row in rows if row.status is Status.FAILED} == {f"/a/f{at}" for at in range(0, MANY, 2)}
    rows, untold = told(part(gone, folders=True))
    assert summed(rows, untold) == {(Status.DELETED, MANY): (1 << MANY) - 1}


@pytest.mark.parametrize(("delete", "status"), [(False, Status.WOULD_ARCHIVE), (True, Status.WOULD_DELETE)])
def test_of_each_home_the_first_are_told(delete: bool, status: Status) -> None:
    rows, untold = told(part(), part(agent="b"), delete=delete)
    assert [row.path for row in rows] == [f"/{agent}/f{at}" for agent in "ab" for at in range(MOST)]
    assert summed(rows, untold) == {(status, 2 * MANY): 2 * ((1 << MANY) - 1)}


def test_why_one_stays_is_told_where_all_is() -> None:
    rows, _ = told(part([CHANGED, *[ARCHIVED] * (MANY - 1)]), most=None)
    assert [(row.path, row.why) for row in rows if row.status is Status.KEPT] == [
        ("/a/f0", "changed"),
        ("/a/stays", "young"),
    ]
