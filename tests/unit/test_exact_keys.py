"""Keys that a person could mistake for each other are different sessions: an exact one is that row and no other."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import escape, keys, planning
from session_closer.core.keys import Target
from session_closer.core.model import GatewayView, Plan, Session, Snapshot
from session_closer.core.planning import Choices
from session_closer.core.status import Life, Reason, Route, Status
from session_closer.openclaw.files import store as in_files
from session_closer.openclaw.sqlite import store as in_a_database

TRAITS = {"files": in_files.TRAITS, "sqlite": in_a_database.TRAITS}
LOWER, MIXED = "agent:lead:matrix:channel:!roomabc:example.org", "agent:lead:matrix:channel:!RoomAbc:example.org"
ROOM = "matrix:channel:!roomabc:example.org"
PAIRS = [(LOWER, MIXED), ("agent:lead:r\u00e9sum\u00e9", "agent:lead:re\u0301sume\u0301"), ("a/b", "A/b")]
DOWN, UP = GatewayView(), GatewayView(Life.UP, True)


def store(*present: str, era: str = "files", own_index: bool = True, same_id: bool = False) -> Snapshot:
    rows = {key: Session("lead", key, "s" if same_id else f"s{at}", None) for at, key in enumerate(present)}
    return Snapshot("lead", "/s/i", "/s", rows, traits=TRAITS[era], own_index=own_index)


def close(found: Snapshot, *targets: Target, view: GatewayView = DOWN, via: str = "auto") -> Plan:
    return planning.close(targets, {"lead": found}, view, Choices(stamp="x", via=via, freed=None))


@pytest.mark.parametrize("pair", [*PAIRS, *(pair[::-1] for pair in PAIRS)], ids=ascii)
@pytest.mark.parametrize("era", ["files", "sqlite"])
def test_an_exact_key_is_that_row_alone(pair: tuple[str, str], era: str) -> None:
    plan = close(store("agent:lead:other", *pair, era=era), keys.exactly(pair[0], "lead"))
    bare_in_database = era == "sqlite" and not pair[0].startswith("agent:")
    assert [row.key for row in plan.rows] == [pair[0]]
    assert plan.rows[0].status is (Status.FAILED if bare_in_database else Status.WOULD_CLOSE)


@pytest.mark.parametrize("pair", PAIRS, ids=ascii)
def test_both_close_where_both_are_named(pair: tuple[str, str]) -> None:
    assert {row.key for row in close(store(*pair), *(keys.exactly(key, "lead") for key in pair)).closing} == {*pair}


@pytest.mark.parametrize("word", [ROOM, "kelly"])
def test_a_project_id_that_fits_both_is_ambiguous_and_the_rows_are_named_for_a_shell(word: str) -> None:
    twins = [f"agent:lead:{word}", f"agent:lead:{word}".replace("room", "Room").replace("kelly", "Kelly")]
    (row,) = close(store(*twins), keys.target(word, "lead")).rows
    assert (row.status, row.reason) == (Status.REFUSED, Reason.AMBIGUOUS)
    assert set(twins) <= set(shlex.split(row.hint.replace(":  ", " ").replace(": give", " give")))


def test_a_project_id_beside_the_exact_key_of_the_same_row_is_that_row() -> None:
    plan = close(store(LOWER, MIXED), keys.target(ROOM, "lead"), keys.target(LOWER, None))
    assert [row.key for row in plan.closing] == [LOWER]


def test_keep_only_closes_the_twin_of_an_exact_key_and_spares_that_of_a_project_id() -> None:
    found = store(LOWER, MIXED, "agent:lead:old")

    def kept(word: str) -> set[str]:
        plan = planning.keep_only([keys.target(word, "lead")], found, GatewayView(), Choices(stamp="x"))
        return {*found.sessions} - {row.key for row in plan.closing}

    assert kept(LOWER) == {LOWER}
    assert kept(MIXED) == {MIXED}
    assert kept(ROOM) == {LOWER, MIXED}


def test_a_policy_takes_each_row_for_itself() -> None:
    plan = planning.chosen({"lead": [MIXED]}, {"lead": store(LOWER, MIXED)}, GatewayView(), Choices(stamp="x"))
    assert [row.key for row in plan.closing] == [MIXED]


@pytest.mark.parametrize("key", [LOWER, MIXED])
def test_a_gateway_of_the_file_era_would_take_out_both_so_it_is_not_asked(key: str) -> None:
    (row,) = close(store(LOWER, MIXED), keys.target(key, None), view=UP).closing
    assert row.route is Route.FILES
    (row,) = close(store(LOWER, MIXED), keys.target(key, None), view=UP, via="gateway").rows
    assert row.status is Status.FAILED


def test_a_key_without_a_twin_goes_by_the_gateway() -> None:
    assert close(store(LOWER, "agent:lead:x"), keys.target(LOWER, None), view=UP).closing[0].route is Route.GATEWAY


def test_in_a_database_the_session_id_tells_twins_apart_and_where_it_is_the_same_nothing_does() -> None:
    assert close(store(LOWER, MIXED, era="sqlite"), keys.target(MIXED, None), view=UP).closing
    (row,) = close(store(LOWER, MIXED, era="sqlite", same_id=True), keys.target(MIXED, None), view=UP).rows
    assert row.status is Status.FAILED


def test_a_bare_key_is_that_row_and_no_other_of_its_project() -> None:
    found = store("kelly", "agent:lead:kelly", "project-kelly", "agent:other:x")
    assert [row.key for row in close(found, keys.exactly("kelly", "lead")).rows] == ["kelly"]
    assert [row.key for row in close(found, keys.exactly("agent:other:x", "lead")).rows] == ["agent:other:x"]
    (row,) = close(store("agent:lead:kelly"), keys.exactly("kelly", "lead")).rows
    assert row.status is Status.NOT_FOUND


def test_a_project_id_that_is_a_bare_key_is_that_one_of_two() -> None:
    found = store("kelly", "Kelly", "agent:lead:kelly")
    assert {row.key for row in close(found, keys.target("kelly", "lead")).closing} == {"kelly", "agent:lead:kelly"}
    plan = planning.keep_only([keys.target("kelly", "lead")], found, GatewayView(), Choices(stamp="x"))
    assert [row.key for row in plan.closing] == ["Kelly"]


def test_in_a_store_for_all_agents_a_full_key_is_its_own_agents() -> None:
    found = store("agent:other:x", "agent:lead:x", "bare", own_index=False)
    assert [row.status for row in close(found, keys.target("agent:other:x", "lead")).rows] == [Status.NOT_FOUND]
    assert {row.key for row in close(found, keys.target("bare", "lead"), keys.target("x", "lead")).closing} == {
        "bare",
        "agent:lead:x",
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(lambda key: "\0" not in key))
def test_what_is_shown_of_a_key_names_it_in_a_shell(key: str) -> None:
    said = subprocess.run(
        ["bash", "-c", f"printf %s {escape.plain(key)}"], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )  # fmt: skip
    assert said.stdout.decode() == key
    assert keys.target(key, "lead").given == key


@pytest.mark.parametrize("word", ["!abc", "matrix:channel:!r:x", "a$HOME", "`id`", "a b", "it's", 'say "x"', "a\\b"])
def test_no_shell_eats_anything_of_a_word_in_a_message(word: str) -> None:
    for shown in (escape.quoted(word), escape.plain(word)):
        assert shlex.split(shown) == [word]
        assert not shown.startswith('"') or not {"!", "$", "`", "\\"} & set(shown)


@pytest.mark.parametrize(
    "word", [".", "..", "a/b", "a\\b", "a\nb", "a\0b", "a\x1b[31m", "x" * 129, "agent:", "agent::b", "agent:a"]
)
def test_a_name_that_only_a_slip_would_be_is_taken_where_there_is_such_a_row(word: str) -> None:
    assert [row.key for row in close(store(word), keys.target(word, "lead")).closing] == [word]
    assert keys.slip(word, "lead") is not None


@pytest.mark.parametrize("word", ["kelly", "matrix:channel:!r:x", "x" * 128, "agent:lead:" + "x" * 300, "agent:lead:/"])
def test_a_name_that_a_session_may_have_is_no_slip(word: str) -> None:
    assert keys.slip(word, "lead") is None
