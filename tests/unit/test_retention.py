"""Which kinds of artifacts go, and from which age on, by what a command line and a policy file say together."""

from __future__ import annotations

import pytest
from session_closer.core.artifacts import ROW, KindRule
from session_closer.core.errors import UsageProblem
from session_closer.core.retention import Asked, limits

DAY = 86400.0
RULES = (KindRule("dump", 9 * DAY), KindRule("json", 30 * DAY), KindRule("tree", 5 * DAY, on=False))
FILE = '[stale]\ntree = "4d"\n'
SETTINGS = 'max-disk = "1gb"\nkeep-last = 3\nexpire-archives = "40d"\n'


@pytest.mark.parametrize(
    ("asked", "ages"),
    [
        (Asked(), {"dump": 9, "json": 30}),
        (Asked(kinds=("tree",)), {"tree": 5}),
        (Asked(kinds=("tree, dump",)), {"tree": 5, "dump": 9}),
        (Asked(older_than="3d"), {"dump": 3, "json": 3}),
        (Asked(older_than="3d", kinds=("tree",)), {"tree": 3}),
        (Asked(stale=("tree=7d",)), {"tree": 7}),
        (Asked(stale=("tree=7d",), older_than="3d"), {"dump": 3, "json": 3, "tree": 7}),
        (Asked(stale=("dump=7d",), kinds=("dump,json",)), {"dump": 7, "json": 30}),
        (Asked(path="p", file=FILE), {"tree": 4}),
        (Asked(path="p", file=FILE, kinds=("tree,json",)), {"tree": 4, "json": 30}),
        (Asked(path="p", file=FILE, older_than="3d"), {"tree": 3}),
        (Asked(path="p", file=FILE, stale=("dump=7d",)), {"tree": 4, "dump": 7}),
        (Asked(path="p", file=SETTINGS), {}),
        (Asked(path="p", file=SETTINGS, older_than="3d"), {"dump": 3, "json": 3}),
    ],
)
def test_what_is_said_closest_holds_and_what_nobody_names_is_as_usual(asked: Asked, ages: dict[str, float]) -> None:
    assert limits(asked, RULES).ages == {kind: days * DAY for kind, days in ages.items()}


def test_a_word_of_the_command_line_holds_ahead_of_the_file() -> None:
    of_file = limits(Asked(path="p", file=SETTINGS), RULES)
    assert of_file[1:4] == (1 << 30, 3, 40 * DAY)
    assert limits(Asked(path="p", file=SETTINGS, max_disk="2gb"), RULES)[1:4] == (2 << 30, 3, 40 * DAY)
    assert limits(Asked(path="p", file=SETTINGS, keep_last=7), RULES)[1:4] == (1 << 30, 7, 40 * DAY)
    assert limits(Asked(path="p", file=SETTINGS, expire="2h"), RULES)[1:4] == (1 << 30, 3, 2 * 3600)
    assert limits(Asked(max_disk="2gb", keep_last=7, expire="2h"), RULES)[1:4] == (2 << 30, 7, 2 * 3600)
    assert limits(Asked(), RULES)[1:4] == (None, None, None)


def test_rows_go_by_the_source_of_their_session_and_only_where_one_is_named() -> None:
    found = limits(Asked(rows=("cron=7d, cli = 30d", "x=10m")), RULES)
    assert found.rows == {"cron": 7 * DAY, "cli": 30 * DAY, "x": 600.0}
    assert ROW in found.ages
    assert ROW not in limits(Asked(), RULES).ages


@pytest.mark.parametrize(
    "asked",
    [
        Asked(older_than="599s"),
        Asked(stale=("dump=599s",)),
        Asked(stale=("dump=7d",), kinds=("json",)),
        Asked(rows=("=7d",)),
        Asked(rows=(" =7d",)),
        Asked(rows=("cron",)),
        Asked(path="p", file="keep-last = true"),
        Asked(path="p", file='keep-last = "3"'),
        Asked(path="p", file="stale = []"),
        Asked(path="p", file="x = " + "[" * 100_000),
    ],
)
def test_what_contradicts_itself_or_makes_no_sense_is_refused(asked: Asked) -> None:
    with pytest.raises(UsageProblem) as problem:
        limits(asked, RULES)
    assert asked.file is None or problem.value.message.startswith("p: ")


def test_ten_minutes_are_an_age() -> None:
    assert limits(Asked(older_than="10m"), RULES).ages == {"dump": 600.0, "json": 600.0}
