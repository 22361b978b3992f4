"""--with-children closes what a session has spawned, in all stores; without it what stays is counted."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import Answer, run, run_json
from support.gateway import StubGateway
from support.keys import LEAD, RESEARCHER
from support.sqlite import BORN, Bases, build_sqlite
from support.stores import TOKEN, Store, picture
from support.worker import Between, Left

PARENT, ONE, TWO = LEAD + "parent", LEAD + "subagent:one", LEAD + "subagent:two"
FAR, OTHER = RESEARCHER + "subagent:far", LEAD + "subagent:of-another"
# Each with its parent: PARENT -> ONE -> FAR (another agent's) -> TWO (back here).
PARENTS = {PARENT: None, ONE: PARENT, FAR: ONE, TWO: FAR, OTHER: LEAD + "paren"}


def put(store: Store, key: str, parent: str | None, **more: Any) -> None:
    agent = key.split(":")[1]
    if parent is not None:
        more = {"parentSessionKey" if key == FAR else "spawnedBy": parent, **more}
    store.add((key, store.session(key.rpartition(":")[2], agent=agent, **more)), agent=agent)


@pytest.fixture
def family(store: Store) -> Store:
    """A store of each agent: a session, its child, a child of that in another agent's store, one of that here."""
    store.write({})
    store.write({}, agent="researcher")
    for key, parent in PARENTS.items():
        put(store, key, parent)
    return store


def close(store: Store, *words: str) -> Answer:
    """Close; what a dry run says before is the same."""
    dry = run_json(CloseProjectBatch, "--dry-run", *words, state=store.state)
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    done = {"would_close": "closed", "would_defer": "deferred"}
    assert {(key, done.get(status, status)) for key, status in dry.rows} == set(answer.rows)
    assert [key for key, _ in dry.rows] == [key for key, _ in answer.rows]
    assert dry.data["children"] == answer.data["children"]
    assert {text for text in dry.data["warnings"] if "stays" in text} <= set(answer.data["warnings"])
    return answer


def whose(answer: Answer) -> dict[str, str | None]:
    return {row["key"]: row.get("parentKey") for row in answer.data["results"]}


def test_children_go_along_at_every_depth_in_every_store_and_come_back(family: Store) -> None:
    before = picture(family)
    answer = close(family, "parent", "--with-children")
    assert (answer.code, answer.data["children"]) == (0, 0)
    assert dict(answer.rows) == dict.fromkeys((PARENT, ONE, FAR, TWO), "closed")
    assert whose(answer) == {PARENT: None, ONE: PARENT, FAR: ONE, TWO: FAR}
    assert {row["input"] for row in answer.data["results"]} == {"parent", ONE, FAR, TWO}
    assert not any(one["kind"] == "child" for row in answer.data["results"] for one in row["effects"])
    assert (set(family.entries()), family.entries("researcher")) == ({OTHER}, {})
    undone = run_json(RestoreSessions, "last", state=family.state)
    assert {key for key, status in undone.rows if status == "restored"} == {PARENT, ONE, FAR, TWO}
    after = picture(family)
    assert {name: after[name] for name in before if not name.endswith("sessions.json")} == {
        name: shown for name, shown in before.items() if not name.endswith("sessions.json")
    }
    assert set(family.entries()) == {PARENT, ONE, TWO, OTHER}


def test_children_are_told_in_the_order_of_the_dry_run(family: Store) -> None:
    theirs = "agent:main:subagent:theirs"
    put(family, RESEARCHER + "parent", None)
    put(family, theirs, RESEARCHER + "parent")
    put(family, LEAD + "subagent:three", RESEARCHER + "parent")
    answer = close(family, "parent", RESEARCHER + "parent", "--with-children")
    assert [key for key, _ in answer.rows[:2]] == [PARENT, RESEARCHER + "parent"]
    assert len(answer.rows) == 7


def test_without_it_they_are_counted_and_nothing_else_is_read(family: Store) -> None:
    answer = close(family, "parent")
    assert (answer.rows, answer.data["children"]) == ([(PARENT, "closed")], 1)
    assert [store["agent"] for store in answer.data["stores"]] == ["project-lead"]
    text = run(CloseProject, "--dry-run", ONE, state=family.state).stdout
    assert "children 1 kept: --with-children closes what is spawned, too" in text.splitlines()
    assert not any(line.startswith("children") for line in _text(family, ONE, "--with-children"))


def _text(store: Store, *words: str) -> list[str]:
    return run(CloseProject, "--dry-run", *words, state=store.state).stdout.splitlines()


def test_only_stores_that_children_are_in_are_told(family: Store) -> None:
    for agent in ("main", "third"):
        family.write({f"agent:{agent}:x": family.session("x", agent=agent)}, agent=agent)
    answer = close(family, ONE, "--with-children")
    assert {store["agent"] for store in answer.data["stores"]} == {"project-lead", "researcher"}
    assert answer.data["kept"] == 2


def test_a_circle_harms_nobody(family: Store) -> None:
    put(family, PARENT, TWO)
    put(family, ONE, ONE, parentSessionKey=PARENT)
    assert {key for key, _ in close(family, "parent", "--with-children").rows} == {PARENT, ONE, FAR, TWO}


@pytest.mark.parametrize("more", [{"pinnedAt": int(time.time() * 1000)}, "running"])
def test_a_protected_child_stays_with_all_that_it_has_spawned_and_is_said(family: Store, more: Any) -> None:
    if more == "running":
        family.lock_transcript(ONE)
    else:
        put(family, ONE, PARENT, **more)
    answer = close(family, "parent", "--with-children")
    assert (answer.code, answer.rows) == (0, [(PARENT, "closed"), (ONE, "kept")])
    (row,) = [row for row in answer.data["results"] if row["key"] == ONE]
    assert (row["reason"], row["ok"], row["parentKey"]) == ("protected", True, PARENT)
    assert [text for text in answer.data["warnings"] if text.startswith(f"{ONE} stays, though its parent {PARENT}")]
    assert answer.data["children"] == 1
    assert set(family.entries("researcher")) == {FAR}


def test_where_people_talk_is_no_child_that_goes(family: Store) -> None:
    thread = LEAD + "slack:channel:c1:thread:1"
    put(family, thread, PARENT)
    answer = close(family, "parent", "--with-children")
    assert dict(answer.rows)[thread] == "kept"
    assert thread in family.entries()


def test_force_closes_a_running_child_too(family: Store) -> None:
    family.lock_transcript(ONE)
    assert (ONE, "closed") in close(family, "parent", "--with-children", "--force").rows


def test_of_a_session_that_stays_no_child_goes(family: Store) -> None:
    family.lock_transcript(PARENT)
    answer = close(family, "parent", "--with-children")
    assert (answer.code, answer.rows) == (3, [(PARENT, "refused")])
    assert set(family.entries()) == {PARENT, ONE, TWO, OTHER}


def test_children_of_what_was_closed_before_can_still_go(family: Store) -> None:
    close(family, "parent")
    answer = close(family, "parent", "--with-children")
    assert dict(answer.rows) == {PARENT: "already_closed", **dict.fromkeys((ONE, FAR, TWO), "closed")}


def test_children_count_for_max(family: Store) -> None:
    answer = run_json(CloseProjectBatch, "parent", "--with-children", "--max", "3", state=family.state)
    assert (answer.code, answer.error) == (3, "too_many")
    assert "4 sessions would be closed" in answer.data["error"]["message"]


def test_filters_choose_parents_and_not_their_children(family: Store) -> None:
    answer = close(family, "--match", "*:parent", "--kind", "project", "--with-children")
    assert {key for key, status in answer.rows if status == "closed"} == {PARENT, ONE, FAR, TWO}
    assert "by kind: 3 subagent, 1 project" in answer.data["warnings"]


def test_children_of_what_a_filter_took_go_from_a_store_that_has_changed(family: Store, between: Between) -> None:
    between(lambda: put(family, RESEARCHER + "by-the-way", None))
    answer = close(family, "--match", "*:parent", "--with-children")
    assert (answer.code, dict(answer.rows)) == (0, dict.fromkeys((PARENT, ONE, FAR, TWO), "closed"))


def test_children_of_what_a_filter_took_go_from_databases(bases: Bases) -> None:
    answer = run_json(CloseProjectBatch, "--match", "*:parent", "--with-children", state=bases.store.state)
    assert (answer.code, dict(answer.rows)) == (0, dict.fromkeys((PARENT, ONE, FAR, TWO), "archived"))


def test_a_child_that_appears_before_the_lock_stays_since_nobody_saw_it_planned(
    family: Store, between: Between
) -> None:
    new = LEAD + "subagent:new"
    between(lambda: put(family, new, ONE))
    answer = run_json(CloseProjectBatch, "parent", "--with-children", state=family.state)
    assert (answer.code, dict(answer.rows)[new]) == (0, "kept")
    (row,) = [row for row in answer.data["results"] if row["key"] == new]
    assert (row["reason"], row["error"]) == ("child", "it has appeared in this moment: look again")
    assert set(family.entries()) == {new, OTHER}
    assert [text for text in answer.data["warnings"] if text.startswith(f"{new} stays")]


def test_a_child_stays_whose_parent_turns_out_to_be_running_under_the_lock(family: Store, between: Between) -> None:
    between(lambda: family.lock_transcript(PARENT))
    answer = run_json(CloseProjectBatch, "parent", "--with-children", state=family.state)
    assert dict(answer.rows) == {PARENT: "refused", ONE: "kept", FAR: "kept", TWO: "kept"}
    assert all(row["reason"] == "child" for row in answer.data["results"] if row["status"] == "kept")
    assert set(family.entries()) == {PARENT, ONE, TWO, OTHER}
    assert set(family.entries("researcher")) == {FAR}


def test_what_is_no_child_any_more_under_the_lock_stays(family: Store, between: Between) -> None:
    between(lambda: put(family, ONE, LEAD + "another"))
    answer = run_json(CloseProjectBatch, "parent", "--with-children", state=family.state)
    assert dict(answer.rows)[ONE] == "kept"
    assert ONE in family.entries()
    assert FAR in family.entries("researcher")


def test_a_bare_key_is_a_parent_in_its_own_store_alone(family: Store) -> None:
    family.add(("lonely", family.session("lonely")))
    put(family, LEAD + "subagent:here", "lonely")
    put(family, RESEARCHER + "subagent:there", "lonely")
    answer = close(family, "lonely", "--with-children")
    assert {key for key, _ in answer.rows} == {"lonely", LEAD + "subagent:here"}


def test_a_store_that_cannot_be_read_is_said_and_the_others_are_searched(family: Store) -> None:
    (family.state / "agents" / "third" / "sessions").mkdir(parents=True)
    family.index("third").write_text("{")
    answer = close(family, "parent", "--with-children")
    assert (answer.code, len(answer.rows)) == (0, 4)
    assert [text for text in answer.data["warnings"] if "children among the sessions of agent third" in text]


def test_in_a_file_for_all_agents_children_are_their_own_agent_s(family: Store) -> None:
    rows = {**family.entries(), **family.entries("researcher")}
    index = family.state / "all.json"
    index.write_text(json.dumps(rows))
    for agent in ("project-lead", "researcher", "main"):
        family.index(agent).unlink(missing_ok=True)
    family.configure(session={"store": str(index)})
    answer = close(family, "parent", "--with-children")
    assert {key for key, _ in answer.rows} == {PARENT, ONE, FAR, TWO}
    assert set(json.loads(index.read_bytes())) == {OTHER}


def test_keep_only_takes_no_such_option(family: Store) -> None:
    answer = run_json(KeepOnlySessions, "parent", "--with-children", state=family.state)
    assert answer.code == 2
    kept = run_json(KeepOnlySessions, "parent", "--dry-run", state=family.state)
    assert dict(kept.rows) == dict.fromkeys((ONE, TWO, OTHER), "would_close")
    assert kept.data["children"] == 1


@pytest.fixture
def bases(store: Store, stub: StubGateway) -> Bases:
    """The same family in databases."""
    made = build_sqlite(Store(store.state.parent / "packed", stub.port))
    for key, parent in PARENTS.items():
        more = {} if parent is None else {"parentSessionKey" if key == FAR else "spawnedBy": parent}
        made.add(key, **more)
    stub.serve(made.store.state, TOKEN)
    return made


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_children_in_databases_go_along_too(bases: Bases, words: tuple[str, ...]) -> None:
    named = (PARENT, "--with-children", *words)
    answer = run_json(CloseProjectBatch, *named, state=bases.store.state)
    status = "closed" if words else "archived"
    assert (answer.code, dict(answer.rows)) == (0, dict.fromkeys((PARENT, ONE, FAR, TWO), status))
    again = run_json(CloseProjectBatch, *named, state=bases.store.state)
    assert (again.code, again.rows) == (0, [(PARENT, "already_closed")])
    assert OTHER in bases.listed()


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_children_of_what_was_archived_before_can_still_go(bases: Bases, words: tuple[str, ...]) -> None:
    assert run_json(CloseProjectBatch, "parent", state=bases.store.state).rows == [(PARENT, "archived")]
    dry = run_json(CloseProjectBatch, "--dry-run", "parent", "--with-children", *words, state=bases.store.state)
    answer = run_json(CloseProjectBatch, "parent", "--with-children", *words, state=bases.store.state)
    own = ("closed", "would_close") if words else ("already_closed",) * 2
    gone = ("closed", "would_close") if words else ("archived", "would_archive")
    assert dict(answer.rows) == {PARENT: own[0], **dict.fromkeys((ONE, FAR, TWO), gone[0])}
    assert dict(dry.rows) == {PARENT: own[1], **dict.fromkeys((ONE, FAR, TWO), gone[1])}


def test_a_child_stays_whose_parent_is_back_by_the_time_the_lock_is_held(bases: Bases, between: Between) -> None:
    assert run_json(CloseProjectBatch, "parent", state=bases.store.state).rows == [(PARENT, "archived")]

    def back() -> None:
        with bases.open("project-lead") as connection:
            connection.execute("update session_nodes set archived_at = null where session_key = ?", (PARENT,))

    between(back)
    answer = run_json(CloseProjectBatch, "parent", "--with-children", state=bases.store.state)
    assert dict(answer.rows)[ONE] == "kept"
    assert bases.rows()[ONE]["archived_at"] is None


def test_a_child_that_somebody_else_has_archived_is_not_deleted_with_its_parent(bases: Bases) -> None:
    child = LEAD + "subagent:put-away"
    bases.add(child, archived_at=BORN + 5, spawnedBy=PARENT)
    answer = run_json(CloseProjectBatch, PARENT, "--with-children", "--delete", state=bases.store.state)
    closed = dict.fromkeys((PARENT, ONE, FAR, TWO), "closed")
    assert (answer.code, dict(answer.rows)) == (0, {**closed, child: "kept"})
    assert bases.rows()[child]["archived_at"] == BORN + 5


def test_the_own_session_that_goes_last_is_no_child_that_stays(family: Store, left: Left) -> None:
    for words, staying in ((("parent", ONE, FAR, TWO), 0), (("parent", "--with-children"), 0), (("parent", ONE), 1)):
        answer = run_json(CloseProjectBatch, "--dry-run", "--self", ONE, *words, state=family.state)
        assert (answer.data["children"], dict(answer.rows)[ONE]) == (staying, "would_defer")
    # It keeps what it has spawned until it goes.
    answer = run_json(CloseProjectBatch, "--self", ONE, "parent", ONE, FAR, state=family.state)
    assert (answer.data["children"], dict(answer.rows)[ONE]) == (1, "deferred")
    assert [one["id"] for row in answer.data["results"] for one in row["effects"] if one["kind"] == "child"] == [TWO]


def test_what_the_own_session_leaves_behind_is_told_as_in_the_dry_run(family: Store, left: Left) -> None:
    answer = close(family, "--self", ONE, ONE)
    [row] = answer.data["results"]
    assert (row["status"], answer.data["children"]) == ("deferred", 1)
    assert [one["id"] for one in row["effects"] if one["kind"] == "child"] == [FAR]


def test_children_of_the_own_session_that_goes_last_go_now(family: Store, left: Left, between: Between) -> None:
    between(lambda: put(family, LEAD + "by-the-way", None))
    answer = close(family, "--self", PARENT, "parent", "--with-children")
    assert dict(answer.rows) == {PARENT: "deferred", **dict.fromkeys((ONE, FAR, TWO), "closed")}
    assert not [said for said in answer.data["warnings"] if "stays" in said]


def test_so_do_those_in_a_database(bases: Bases, left: Left) -> None:
    words = ("--self", PARENT, PARENT, "--with-children")
    dry = run_json(CloseProjectBatch, "--dry-run", *words, state=bases.store.state)
    answer = run_json(CloseProjectBatch, *words, state=bases.store.state)
    assert dict(dry.rows) == {PARENT: "would_defer", **dict.fromkeys((ONE, FAR, TWO), "would_archive")}
    assert dict(answer.rows) == {PARENT: "deferred", **dict.fromkeys((ONE, FAR, TWO), "archived")}
    assert (answer.code, answer.data["children"]) == (0, dry.data["children"])


def test_a_child_stays_whose_parent_that_was_to_go_last_is_gone_by_itself(
    family: Store, left: Left, between: Between
) -> None:
    between(lambda: family.write({key: entry for key, entry in family.entries().items() if key != PARENT}))
    answer = run_json(CloseProjectBatch, "--self", PARENT, "parent", "--with-children", state=family.state)
    assert dict(answer.rows)[ONE] == "kept"
    assert ONE in family.entries()


def test_the_own_session_goes_last_as_another_agent_s_child_too(family: Store, left: Left) -> None:
    agent, _, own = FAR.partition(":")[2].partition(":")
    assert agent != "project-lead"
    answer = run_json(CloseProjectBatch, "--dry-run", "--self", own, "parent", "--with-children", state=family.state)
    assert (dict(answer.rows)[FAR], [said for said in answer.data["warnings"] if "--self" in said]) == (
        "would_defer",
        [],
    )


def test_several_children_are_named_without_quotes(family: Store) -> None:
    for name in ("three", "four", "five"):
        put(family, f"{LEAD}subagent:{name}", PARENT)
    shown = run(CloseProject, "--dry-run", "parent", state=family.state).stdout
    assert f"4 child sessions {ONE}, {LEAD}subagent:three, {LEAD}subagent:four, … kept" in shown


def test_with_the_option_nobody_is_told_to_give_it(family: Store) -> None:
    put(family, ONE, PARENT, pinnedAt=int(time.time() * 1000))
    lines = run(CloseProjectBatch, "--dry-run", "--with-children", "parent", state=family.state).stdout.splitlines()
    assert "children 1 kept: their rows say why" in lines


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_line_in_which_all_is_kept_begins_with_a_number(family: Store, words: tuple[str, ...]) -> None:
    result = run(CloseProjectBatch, *words, "--label", "nobody's", ONE, state=family.state)
    said = "dry run, nothing changed: " if words else ""
    assert result.stdout.splitlines()[0] == f"{said}4 kept"


@pytest.mark.parametrize("words", [(PARENT,), (PARENT, FAR), (PARENT, OTHER)])
def test_what_stays_is_counted_in_all_stores_that_are_named(family: Store, words: tuple[str, ...]) -> None:
    there = sum(len(family.entries(agent)) for agent in {key.split(":")[1] for key in words})
    for more in ((), ("--with-children",)):
        answer = run_json(CloseProjectBatch, *words, "--kind", "subagent", "--dry-run", *more, state=family.state)
        going = sum(status == "would_close" for _, status in answer.rows)
        assert answer.data["kept"] == there - going
