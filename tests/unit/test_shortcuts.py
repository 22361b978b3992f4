"""What is decided in short upon most of many sessions is what is decided at length."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from session_closer.core import durations, fileplan, keys, kinds, names, planning, selection, verdicts
from session_closer.core.claims import Claims
from session_closer.core.durable import Move
from session_closer.core.export.exported import Exported
from session_closer.core.fileplan import FilePlan
from session_closer.core.keys import Target
from session_closer.core.model import GatewayView, Plan, PlannedRow, Session, Snapshot, Traits
from session_closer.core.planning import Choices
from session_closer.core.policy import Policy, Rules
from session_closer.core.report import Outcome, Report
from session_closer.core.selection import Match
from session_closer.core.status import Life, Route, Status
from session_closer.core.wanted import Wanted
from session_closer.core.words import Kind, Sort
from session_closer.openclaw.attached.words import words
from session_closer.openclaw.files import store
from session_closer.openclaw.undo import until_of
from session_closer.render import excerpt
from session_closer.render.json import as_json, result

STAMP = "2026-11-21T00-41-24.769Z"
ID, OTHER = "0a1b2c3d-1111-4111-8111-000000000001", "0a1b2c3d-1111-4111-8111-000000000002"
OWN = f"{ID}.jsonl"
DOWN = GatewayView()
NOW = 1_790_000_000_000


def owners_of(listed: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the names in a folder by the ids that could call them their own."""
    found: dict[str, tuple[str, ...]] = {}
    for name in listed:
        for owner in names.owners(name):
            found[owner] = (*found.get(owner, ()), name)
    return found


def folders() -> Iterator[tuple[frozenset[str], dict[str, str], str]]:
    """Yield what may lie in a folder: files, what is none, and the folder of an index elsewhere."""
    fork = f"2026-11-21T00-41-24-769Z_{ID}.jsonl"
    several = (
        [],
        ["x.trajectory.jsonl"],
        [OWN],
        [OWN, f"{ID}.trajectory.jsonl"],
        [f"{ID}-topic-5.jsonl"],
        [fork],
        ["plain.jsonl"],
    )
    for live in (*several, [OWN, f"{OTHER}.jsonl"], [f"{ID.upper()}.jsonl"]):
        yield frozenset(live), {}, ""
    yield frozenset(), {OWN: "link"}, ""
    yield frozenset([OWN]), {}, "/b"
    yield frozenset([f"/b/{OWN}"]), {}, "/b"
    yield frozenset([OWN, f"/b/{OWN}"]), {}, "/b"


def stores() -> Iterator[Snapshot]:
    """Yield stores with a session that goes, and one that stays: what each may say of its files."""
    paths = (f"/s/{OWN}", None, "", OWN, f"/s/{OTHER}.jsonl", f"/b/{OWN}", f"/e/{OWN}", "/s/plain.jsonl", "/s/x.txt")
    stays = ((OTHER, None), (ID, None), (None, f"/s/{OWN}"), (None, f"/b/{OWN}"))
    for (live, odd, beside), session_id, path, other in product(
        folders(), (ID, "plain", "x.trajectory", None), paths, stays
    ):
        going = Session("lead", "agent:lead:a", session_id, path, id_usable=names.is_session_id(session_id))
        rows = {"agent:lead:a": going, "agent:lead:b": Session("lead", "agent:lead:b", *other)}
        outside = {path: path} if path is not None and path.startswith("/e") else {}
        by_owner = owners_of([*live, *odd])
        yield Snapshot(
            "lead", "/s/sessions.json", "/s", rows, live, odd, by_owner=by_owner, beside=beside, outside=outside
        )
    # A database does not say whose the names in its folder are.
    rows = {"agent:lead:a": Session("lead", "agent:lead:a", ID, f"/s/{OWN}")}
    yield Snapshot("lead", "/s/sessions.json", "/s", rows, frozenset([OWN]))


def files_of(snapshot: Snapshot, lent: Mapping[str, Claims]) -> FilePlan:
    """Return what becomes of the files of the session that goes."""
    row = PlannedRow("a", "lead", "agent:lead:a", Status.WOULD_CLOSE, session=snapshot.sessions["agent:lead:a"])
    return fileplan.of([row], snapshot, DOWN, lent=lent, stamp=STAMP)


@pytest.mark.parametrize("ids", [frozenset[str](), frozenset([ID])])
@pytest.mark.parametrize("files", [frozenset[str](), frozenset([OWN])])
def test_files_in_short_are_those_at_length(ids: frozenset[str], files: frozenset[str]) -> None:
    lent = {"other": Claims(ids, files)} if ids or files else {}
    in_short = [files_of(snapshot, lent) for snapshot in stores()]
    assert any(plan.rows[0].moves for plan in in_short)
    with mock.patch.object(fileplan._Folder, "usual", return_value=None):
        assert in_short == [files_of(snapshot, lent) for snapshot in stores()]


def scenes() -> Iterator[tuple[Snapshot, GatewayView, Choices]]:
    """Yield what may be known of a session, of its store and of its gateway."""
    tails = ("a", "main")
    of_row = product(tails, ("done", "running"), (False, True))
    kinds = ((False, True), (True, True), (False, False))
    around = product((frozenset[str](), frozenset([OWN])), (False, True), kinds)
    asked = product(("auto", "files", "gateway"), (frozenset[str](), frozenset(["agent:lead:a"])), (None, frozenset()))
    gateways = ((False, frozenset[str]()), (True, frozenset[str]()), (False, frozenset(["agent:lead:a"])))
    for (tail, status, archived), (locked, double, (hides, by_file)), (via, own, freed) in product(
        list(of_row), list(around), list(asked)
    ):
        rows = {f"agent:lead:{tail}": Session("lead", f"agent:lead:{tail}", ID, None, status, archived=archived)}
        if double:
            rows["agent:lead:A "] = Session("lead", "agent:lead:A ", OTHER, None)
        traits = Traits(hides=hides, writers=frozenset([Route.FILES if by_file else Route.GATEWAY]))
        snapshot = Snapshot("lead", "/s/sessions.json", "/s", rows, locked=locked, traits=traits)
        for usable, active in gateways:
            view = GatewayView(Life.UP if usable else Life.DOWN, usable, active=active)
            yield snapshot, view, Choices(via=via, stamp=STAMP, own=own, freed=freed)


def closed(snapshot: Snapshot, view: GatewayView, choices: Choices) -> list[Plan]:
    """Return the plans that close each session, by a name that may be another's, and of all."""
    named = [Target("a", "lead", (key, "none")) for key in snapshot.sessions]
    plans = [planning.close([target], {"lead": snapshot}, view, choices) for target in named]
    return [*plans, planning.keep_only([], snapshot, view, choices)]


def test_a_decision_in_short_is_the_one_at_length() -> None:
    in_short = [closed(*scene) for scene in scenes()]
    with mock.patch.object(planning, "_is_clear", return_value=False):
        for scene, made in zip(scenes(), in_short, strict=True):
            assert made == closed(*scene), scene


@pytest.mark.parametrize(
    "tail", ["main", "MAIN", "Global", "GLOBAL", "UNKNOWN", "unknown", "", " ", "main ", "main\t", "x", "domain", "é"]
)
@pytest.mark.parametrize("ahead", ["", "agent:lead:", "agent:lead:x:", ":"])
def test_a_main_session_is_told_by_its_whole_key(ahead: str, tail: str) -> None:
    found = keys.is_main(ahead + tail)
    with mock.patch.object(keys, "_NO_MAIN", frozenset()):
        assert keys.is_main(ahead + tail) is found


@pytest.mark.parametrize("word", sorted(set(re.findall(r"[a-z-]+", str([shape.pattern for shape in kinds.SHAPES])))))
def test_no_shape_fits_a_project(word: str) -> None:
    assert not any(re.fullmatch(shape.pattern, f"project-{word}") for shape in kinds.SHAPES)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "x", "y", "", None])), max_size=6))
def test_a_word_stands_for_its_key_else_for_the_first_session_of_that_id(known: list[tuple[str, str | None]]) -> None:
    owners: dict[str, str] = {}
    for key, session_id in known:
        owners.setdefault(session_id or key, key)
    assert words(known) == owners | {key: key for key, _ in known}


@given(st.lists(st.text(alphabet="aA \té\0e\u0301", max_size=5)))
def test_keys_are_folded_together_as_one_by_one(many: list[str]) -> None:
    assert keys.all_folded(many) == [keys.folded(key) for key in many]


@pytest.mark.parametrize("name", [OWN, OWN.upper(), "x.jsonl", f"{OWN}.lock", ID, f"{ID}-topic-5.jsonl", f"/b/{OWN}"])
def test_a_usual_name_has_the_owners_of_any_name(name: str) -> None:
    found = names.owners(name)
    with mock.patch.object(names, "USUAL", mock.Mock(fullmatch=mock.Mock(return_value=None))):
        assert names.owners(name) == found


FORK = f"2026-11-21T00-41-24-769Z_{OTHER}"
NAMES = (
    OWN, f"{OTHER}.jsonl", OWN.upper(), "plain.jsonl", f"{ID}.trajectory.jsonl", f"{OTHER}.trajectory-path.json",
    f"{ID}-topic-5.jsonl", f"plain.checkpoint.{ID}.jsonl", f"{FORK}.jsonl", f"/b/{OWN}",
    f"/b/{ID}.trajectory.jsonl", "sessions.json", f"{OWN}.lock", f"{ID}.jsonl.codex-app-server.json", "T" * 12,
)  # fmt: skip


@given(st.permutations(NAMES), st.integers(0, len(NAMES)))
def test_whose_many_files_are_is_told_as_of_each(listed: list[str], count: int) -> None:
    some = listed[:count]
    found = store.by_owner(some, {ID: ID})
    assert {owner: set(own) for owner, own in found.items()} == {
        owner: set(own) for owner, own in owners_of(some).items()
    }
    assert all(len(set(own)) == len(own) for own in found.values())


@given(st.sets(st.sampled_from([ID, OTHER, ID.upper(), "plain", "a", "x.trajectory", FORK, None, ""])))
def test_a_file_of_a_session_is_among_those_that_are_perhaps_its_own(ids: set[str | None]) -> None:
    perhaps = names.perhaps_of(ids, NAMES)
    assert {name for name in NAMES if names.owners(name) & ids} <= set(perhaps)
    assert len(set(perhaps)) == len(perhaps)


@example([1_700_000_000_000, None])
@given(st.lists(st.sampled_from([1_700_000_000_000, 10**11, 10**11 - 1, 10**18, 1.7e12, math.nan, True, None, "1", 0])))
def test_many_times_are_read_as_each_is(values: list[object]) -> None:
    assert list(durations.moments(values)) == list(map(durations.moment, values))
    times = [value for value in values if type(value) is int]
    assert list(durations.moments(times)) == list(map(durations.moment, times))


@given(
    st.lists(
        st.sampled_from(["agent:a:cron:x", "CRON:y ", "agent:a:Cron:x:run:1", "a", "cron:", "x:cron:y", "k\u212a"])
    )
)
def test_jobs_of_many_keys_are_those_of_each(many: list[str]) -> None:
    each = {key: kinds.job_of(key) for key in many}
    assert kinds.jobs_of(many) == {key: job for key, job in each.items() if job is not None}
    for key, job in each.items():
        assert kinds.jobs_of([key]).get(key) == job


PARTS = ["", "agent", "a", "cron", "run", "topic", "main", "heartbeat", "direct", "group", "slack", "subagent", "x y"]
ENDS = st.sampled_from([ID, ID.upper(), "main".ljust(36), "heartbeat".rjust(36), "\u00e9" * 36, "x" * 35, "topic", ""])


@example(["agent", "project-lead"], ID)
@example(["agent", "a"], f"project-{'x' * 28}")
@example(["agent", "a", "cron", "job", "run"], "heartbeat".ljust(36))
@given(st.lists(st.sampled_from(PARTS), max_size=6), ENDS)
def test_the_kind_of_ids_below_one_name_is_that_of_each(parts: list[str], end: str) -> None:
    key = ":".join([*parts, end])
    in_short = [kinds.kind(key), kinds.kind(key, "Group"), kinds.kind(key, orphaned=True)]
    with mock.patch.object(kinds, "_is_opaque", return_value=False):
        assert in_short == [kinds.kind(key), kinds.kind(key, "Group"), kinds.kind(key, orphaned=True)]


def policies() -> Iterator[Policy]:
    """Yield policies that go by age alone, by other things, too, and by these alone."""
    for stale, unknown, missing, scoped in product(({}, {Kind.CRON_RUN: 60.0}), *[(False, True)] * 3):
        yield Policy(stale=stale, unknown_is_old=unknown, fix_missing=missing, fix_dm_scope=scoped)


@pytest.mark.parametrize("policy", list(policies()))
def test_a_policy_that_goes_by_age_alone_takes_what_it_takes_at_length(policy: Policy) -> None:
    tails = ("cron:j:run:1", "subagent:x", "direct:peer", "project-x")
    ages, marks = (None, NOW, NOW - 61_000, NOW + 10**9), ({}, {"pinned": True}, {"bound": True}, {"status": "running"})
    rows = [
        Session("a", f"agent:a:{tail}{at}", f"{at}", None, updated_at=age, **mark)
        for at, (tail, age, mark) in enumerate(product(tails, ages, marks))
    ]
    snapshot = Snapshot("a", "/s/sessions.json", "/s", {row.key: row for row in rows})
    for scope in ("main", "per-peer"):
        rules = Rules(policy, NOW / 1000, dm_scope=scope)
        found = verdicts.findings(rules, snapshot, GatewayView(Life.UP), {})
        with mock.patch.object(verdicts, "_goes_by_age", return_value=False):
            at_length = verdicts.findings(rules, snapshot, GatewayView(Life.UP), {})
        assert (found.verdicts, found.spared) == (at_length.verdicts, at_length.spared)


ARCHIVES = (
    (OWN, f"{OWN}.deleted.{STAMP}"),
    (f"{ID}.trajectory.jsonl", f"{ID}.trajectory.jsonl.bak.{STAMP}"),
    (OWN, f"{OTHER}.jsonl.deleted.{STAMP}"),
    (OWN, f"{OWN}.reset.{STAMP}"),
    (OWN, f"{OWN}.deleted.yesterday"),
    (f"/b/{OWN}", f"/b/{OWN}.deleted.{STAMP}"),
)


@pytest.mark.parametrize("kept", [None, 60.0])
@pytest.mark.parametrize(("source", "target"), ARCHIVES)
def test_until_when_one_archive_is_kept_is_until_when_several_are(source: str, target: str, kept: float | None) -> None:
    move = Move(source, target)
    assert until_of([move], kept) == until_of([move, move], kept)


LOCKED = (frozenset[str](), frozenset([OWN]))
ACTIVE = (frozenset[str](), frozenset(["agent:a:cron:j:run:1"]))


@pytest.mark.parametrize(("life", "locked", "active"), list(product(Life, LOCKED, ACTIVE)))
def test_where_nothing_can_run_no_session_does(life: Life, locked: frozenset[str], active: frozenset[str]) -> None:
    keys_of = ("agent:a:cron:j:run:1", "agent:a:cron:j:run:2")
    rows = {
        key: Session("a", key, ID, None, status, updated_at=NOW - 10**9)
        for key, status in zip(keys_of, ("done", "running"), strict=True)
    }
    snapshot = Snapshot("a", "/s/sessions.json", "/s", rows, locked=locked)
    rules = Rules(Policy(stale={Kind.CRON_RUN: 60.0}), NOW / 1000)
    found = verdicts.findings(rules, snapshot, GatewayView(life, active=active), {})
    with mock.patch.object(verdicts, "is_idle", return_value=False):
        at_length = verdicts.findings(rules, snapshot, GatewayView(life, active=active), {})
    assert (found.verdicts, found.spared) == (at_length.verdicts, at_length.spared)


TIMES = (None, NOW, NOW - 1, NOW + 1, NOW + 86_400_000, NOW + 86_400_001, 10**11)
SORTS = st.sampled_from([Sort.AGE, Sort.SIZE, Sort.KEY])


def named(one: Match) -> tuple[str, int]:
    return one.key, one.place


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.sampled_from(TIMES))), SORTS, st.data())
def test_the_first_of_many_are_those_of_all_in_order(
    rows: list[tuple[int, str, int | None]], sort: Sort, data: st.DataObject
) -> None:
    matches = [Match(place, key, at, {}) for (place, key), at in {row[:2]: row[2] for row in rows}.items()]
    sizes = {named(one): data.draw(st.sampled_from([None, 0, 1, 2])) for one in matches}
    reverse = data.draw(st.booleans())

    def size(one: Match) -> int | None:
        return sizes[named(one)]

    every = selection.ordered(matches, Wanted(limit=None, sort=sort, reverse=reverse), NOW, size)

    def rank(one: Match) -> tuple[float, str, int]:
        known = durations.since(one.updated_at, NOW / 1000) is not None
        value = size(one) if sort is Sort.SIZE else one.updated_at if known else None
        return math.inf if value is None else value if reverse else -value, *named(one)

    assert every == (sorted(matches, key=named, reverse=reverse) if sort is Sort.KEY else sorted(matches, key=rank))
    for limit in range(len(matches) + 2):
        wanted = Wanted(limit=limit, sort=sort, reverse=reverse)
        assert selection.ordered(matches, wanted, NOW, size) == every[:limit]


def test_a_document_that_leaves_rows_out_is_made_of_those_that_it_may_tell() -> None:
    numbers = {Status.CLOSED: 450, Status.ALREADY_CLOSED: 500, Status.KEPT: 3, Status.FAILED: 2, Status.NOT_FOUND: 210}
    rows = [Outcome(f"{at}", "lead", f"{at}", status) for status, number in numbers.items() for at in range(number)]
    # What goes with some of them has been left.
    rows = [row._replace(error="left") if at % 40 == 1 else row for at, row in enumerate(rows)]
    for order in (rows, rows[::-1], rows[::2], rows[:250], [*rows[:210], *rows[-220:]]):
        copies = tuple(Exported("lead", row.key, f"/e/{row.key}", 1, 2, "", 3) for row in order[::3])
        for missing_ok, exported in product((False, True), (None, copies)):
            report = Report("close-project", results=tuple(order), missing_ok=missing_ok, exported=exported)
            in_short = as_json(report)
            with mock.patch.object(excerpt, "perhaps_told", list):
                assert as_json(report) == in_short


def test_no_row_of_a_document_is_so_short_that_more_of_one_status_fit() -> None:
    row = result(Outcome("", "", "", min(Status, key=len)), missing_ok=False)
    assert len(json.dumps(row)) * excerpt.MOST_ALIKE > excerpt.MOST_BYTES
