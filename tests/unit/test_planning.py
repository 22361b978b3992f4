"""What no plan may ever do, for any store and any wish."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from session_closer.core import keys, names, planning
from session_closer.core.claims import Claims
from session_closer.core.durable import Move
from session_closer.core.model import GatewayView, Plan, PlannedRow, Session, Snapshot
from session_closer.core.planning import Choices
from session_closer.core.status import Life, Reason, Route, Status
from session_closer.core.transcripts import is_running

STAMP = "2026-11-21T00-41-24.769Z"
ids = st.sampled_from(["a1", "b2", "c3", "a1-topic-5", "x.trajectory", "..", "../../x", "n o", ""])
tails = st.sampled_from(
    [
        "main",
        "MAIN",
        "kelly",
        "project-kelly",
        "Kelly",
        "main:thread:1",
        "cron:x",
        "cron:x:run:1",
        "global",
        "subagent:z",
    ]
)
stored_keys = st.one_of(
    st.builds(lambda agent, tail: f"agent:{agent}:{tail}", st.sampled_from(["lead", "other"]), tails),
    st.sampled_from(["global", "unknown", "kelly", "project-kelly", "main", ""]),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    sessions = {}
    for key in draw(st.lists(stored_keys, unique=True, max_size=8)):
        session_id = draw(ids)
        named = draw(
            st.sampled_from([None, f"/s/{session_id}.jsonl", "/s/b2.jsonl", "/elsewhere/a1.jsonl", "b2.jsonl"])
        )
        status = draw(st.sampled_from([None, "running", "done"]))
        usable = names.is_session_id(session_id)
        sessions[key] = Session("lead", key, session_id, named, status, id_usable=usable)
    live = draw(st.sets(st.sampled_from(FILES)))
    odd = dict.fromkeys(draw(st.sets(st.sampled_from(FILES), max_size=2)) - live, "link")
    by_owner: dict[str, tuple[str, ...]] = {}
    for name in (*live, *odd):
        for owner in names.owners(name):
            by_owner[owner] = (*by_owner.get(owner, ()), name)
    locked = frozenset(draw(st.sets(st.sampled_from(["a1.jsonl", "b2.jsonl"]), max_size=1)))
    return Snapshot("lead", "/s/sessions.json", "/s", sessions, frozenset(live), odd, locked, by_owner)


FILES = (
    "a1.jsonl",
    "b2.jsonl",
    "c3.jsonl",
    "a1-topic-5.jsonl",
    "a1.trajectory.jsonl",
    "a1.trajectory-path.json",
    "b2.checkpoint.12345678-1234-4123-8123-123456789012.jsonl",
    "x.trajectory.jsonl",
    "a1.jsonl.deleted.2026-01-01T00-00-00.000Z",
)
views = st.builds(
    GatewayView,
    st.sampled_from(list(Life)),
    st.booleans(),
    st.frozensets(stored_keys, max_size=3),
    st.frozensets(stored_keys, max_size=2),
)
choices = st.builds(Choices, st.booleans(), st.sampled_from(["auto", "gateway", "files"]), st.just(STAMP))
words = st.lists(st.sampled_from(["kelly", "main", "project-kelly", "cron:x", "agent:lead:Kelly", "nope"]), min_size=1)


def plan_for(snapshot: Snapshot, given_words: list[str], view: GatewayView, choice: Choices, *, keep: bool) -> Plan:
    targets = [keys.target(word, "lead") for word in given_words]
    if keep:
        return planning.keep_only(targets, snapshot, view, choice)
    return planning.close(targets, {"lead": snapshot}, view, choice)


@given(snapshots(), words, views, choices, st.booleans())
def test_no_plan_breaks_a_promise(
    snapshot: Snapshot, given_words: list[str], view: GatewayView, choice: Choices, keep: bool
) -> None:
    plan = plan_for(snapshot, given_words, view, choice, keep=keep)
    closing = {row.key for row in plan.closing}
    assert closing <= set(snapshot.sessions)
    assert len(closing) == len(plan.closing)
    assert not any(keys.is_main(key) for key in closing)
    assert "" not in closing
    if not choice.force:
        assert not any(is_running(snapshot.sessions[key], snapshot, view) for key in closing)
    moves = {move for row in plan.closing for move in row.moves}
    assert len({move.source for move in moves}) == len({move.target for move in moves}) == len(moves)
    survivors = Claims.of(session for key, session in snapshot.sessions.items() if key not in closing)
    for move in moves:
        assert move.source in snapshot.files
        assert not survivors.cover(move.source)
        assert names.archived_from(move.target) == move.source
        assert not names.is_archive(move.source)
    assert plan == plan_for(snapshot, given_words, view, choice, keep=keep)


@given(snapshots(), words, views, choices)
def test_keep_only_with_an_unknown_name_plans_nothing(
    snapshot: Snapshot, given_words: list[str], view: GatewayView, choice: Choices
) -> None:
    plan = plan_for(snapshot, given_words, view, choice, keep=True)
    for word in given_words:
        if not any(key in snapshot.sessions for key in keys.target(word, "lead").candidates):
            assert plan.closing == ()
            assert {row.status for row in plan.rows} == {Status.NOT_FOUND}
            assert plan.kept == len(snapshot.sessions)


@given(snapshots(), words, views, choices)
def test_keep_only_keeps_the_named_and_the_rows_of_others(
    snapshot: Snapshot, given_words: list[str], view: GatewayView, choice: Choices
) -> None:
    closing = {row.key for row in plan_for(snapshot, given_words, view, choice, keep=True).closing}
    named = {key for word in given_words for key in keys.target(word, "lead").candidates}
    assert closing.isdisjoint(named)
    assert not any(keys.agent_of(key) == "other" for key in closing)


def test_a_session_whose_worktree_holds_what_would_be_lost_keeps_its_files_too() -> None:
    move = Move("a.jsonl", f"a.jsonl.deleted.{STAMP}")
    row = PlannedRow("a", "lead", "agent:lead:a", Status.WOULD_CLOSE, moves=(move,))
    refused = planning.refused_for(row, "it holds what git ignores")
    assert (refused.status, refused.reason, refused.moves) == (Status.REFUSED, Reason.WORKTREE, ())
    assert planning.refused_for(row, "") is row


def test_a_session_that_is_named_twice_is_told_once_by_the_first_of_its_names() -> None:
    snapshot = Snapshot("lead", "/s/i", "/s", {"agent:lead:kelly": Session("lead", "agent:lead:kelly", None, None)})
    plan = plan_for(snapshot, ["kelly", "agent:lead:kelly"], GatewayView(), Choices(stamp=STAMP), keep=False)
    assert [(row.given, row.key) for row in plan.rows] == [("kelly", "agent:lead:kelly")]


def test_of_what_is_archived_keep_only_takes_what_is_to_be_freed() -> None:
    rows = {key: Session("lead", key, None, None, archived=True) for key in ("agent:lead:ours", "agent:lead:theirs")}
    snapshot = Snapshot("lead", "/s/i", "/s", {"kelly": Session("lead", "kelly", None, None), **rows})
    freeing = Choices(stamp=STAMP, freeing=frozenset([("lead", "agent:lead:ours")]))
    for choice, gone in ((freeing, ["agent:lead:ours"]), (Choices(stamp=STAMP), [])):
        plan = plan_for(snapshot, ["kelly"], GatewayView(), choice, keep=True)
        assert ([row.key for row in plan.closing], plan.kept) == (gone, 3 - len(gone))


@given(snapshots(), views, choices, st.sampled_from(["", " ", "agent:lead:"]))
def test_a_row_without_a_name_is_never_taken(
    snapshot: Snapshot, view: GatewayView, choice: Choices, nameless: str
) -> None:
    rows = {"kelly": Session("lead", "kelly", "k", None), nameless: Session("lead", nameless, "n", None)}
    snapshot = snapshot._replace(sessions={**snapshot.sessions, **rows})
    assert nameless not in {row.key for row in plan_for(snapshot, ["kelly"], view, choice, keep=True).closing}


@given(snapshots(), words, choices)
def test_the_gateway_is_never_sent_a_key_it_would_take_for_another(
    snapshot: Snapshot, given_words: list[str], choice: Choices
) -> None:
    view = GatewayView(Life.UP, True, frozenset(snapshot.sessions))
    for row in plan_for(snapshot, given_words, view, choice._replace(force=True), keep=False).closing:
        if row.route is Route.GATEWAY:
            assert row.key.startswith("agent:lead:")
            assert row.key == row.key.lower()
            assert choice.via != "files"


def test_a_project_id_that_fits_two_keys_is_refused() -> None:
    rows = {key: Session("lead", key, None, None) for key in ("agent:lead:kelly", "agent:lead:Kelly")}
    snapshot = Snapshot("lead", "/s/sessions.json", "/s", rows)
    plan = plan_for(snapshot, ["kelly"], GatewayView(), Choices(stamp=STAMP), keep=False)
    assert [(row.status, row.reason) for row in plan.rows] == [(Status.REFUSED, Reason.AMBIGUOUS)]
    assert "agent:lead:Kelly" in plan.rows[0].hint


def test_a_project_id_closes_canonical_legacy_and_bare_rows_and_nothing_that_merely_contains_it() -> None:
    present = [
        "agent:lead:kelly", "agent:lead:project-kelly", "kelly", "project-kelly",
        "agent:lead:kelly-two", "agent:lead:x:kelly", "agent:other:kelly", "agent:lead:kellyx",
    ]  # fmt: skip
    snapshot = Snapshot("lead", "/s/i", "/s", {key: Session("lead", key, None, None) for key in present})
    plan = plan_for(snapshot, ["kelly"], GatewayView(), Choices(stamp=STAMP), keep=False)
    assert {row.key for row in plan.closing} == set(present[:4])


OWNED = st.sampled_from(["a1", "..", "a1-topic-5", "b.trajectory", "c d", "a1.checkpoint.x"])


@example(frozenset({"c d"}), "c d", ".jsonl")
@given(st.frozensets(OWNED), OWNED, st.sampled_from([".jsonl", "-topic-5.jsonl", ".trajectory.jsonl", ".txt", ""]))
def test_a_file_is_covered_where_an_id_owns_it(ids: frozenset[str], stem: str, ending: str) -> None:
    name = stem + ending
    assert Claims(ids, frozenset()).cover(name) is bool(ids & names.owners(name))
    assert Claims(frozenset(), frozenset({name})).cover(name)


@given(snapshots(), views, choices, words, st.booleans())
def test_planning_again_makes_the_plan_that_was_made_first(
    snapshot: Snapshot, view: GatewayView, chosen: Choices, named: list[str], keep: bool
) -> None:
    def plan(how: Choices) -> Plan:
        targets = [keys.target(word, "lead") for word in named if word != "agent:lead:Kelly" or not keep]
        if keep:
            return planning.keep_only(targets, snapshot, view, how)
        return planning.close(targets, {"lead": snapshot}, view, how)

    first = plan(chosen)
    only = frozenset((row.agent, row.key) for row in first.closing)
    again = plan(chosen._replace(only=only))
    assert first.closing == again.closing
    assert set(again.warnings) == set(first.warnings)


def test_what_stays_of_an_index_that_agents_share_is_counted_once() -> None:
    shared = {key: Session("one", key, None, None) for key in ("agent:one:a", "agent:one:b", "agent:two:a")}
    own = {"agent:other:a": Session("other", "agent:other:a", None, None)}
    found = {
        "one": Snapshot("one", "/s/sessions.json", "/s", shared, frozenset()),
        "two": Snapshot("two", "/s/sessions.json", "/s", shared, frozenset()),
        "other": Snapshot("other", "/t/sessions.json", "/t", own, frozenset()),
    }
    wanted = {"one": ["agent:one:a"], "two": ["agent:two:a"]}
    plan = planning.chosen(wanted, found, GatewayView(), Choices(stamp=STAMP))
    assert [row.key for row in plan.closing] == ["agent:one:a", "agent:two:a"]
    assert plan.kept == 2
