"""What a policy takes: no protected row, nothing that it does not name, the oldest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import chores, durations, keys
from session_closer.core import verdicts as cleaning
from session_closer.core.errors import UsageProblem
from session_closer.core.findings import Action, Findings
from session_closer.core.keys import Target
from session_closer.core.kinds import is_peer_direct, kind
from session_closer.core.model import GatewayView, Session, Snapshot
from session_closer.core.policy import DEFAULT, Policy, Rules, as_toml, from_toml, stale_rule
from session_closer.core.status import Life
from session_closer.core.words import DURABLE, STALE_KINDS, Kind
from session_closer.openclaw import maintenance
from session_closer.openclaw.files.store import TRAITS as IN_FILES
from session_closer.openclaw.sqlite.store import TRAITS as IN_A_DATABASE
from session_closer.operations.sources import Asked, resolved

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0
FOLDER = "/state/agents/a/sessions"
TAILS = (
    "", "main", "cron:j", "cron:j:run:1", "cron:j:run:2", "subagent:u1", "subagent:u2", "hook:x", "acp:u", "heartbeat",
    "telegram:group:-1", "discord:channel:7", "telegram:group:-1:topic:5", "whatsapp:direct:+49", "direct:peer",
    "slack:acct:direct:u", "dreaming-narrative-rem-1", "project-x", "thing", "thing:thread:9",
    "explicit:model-run-01234567-0123-0123-0123-0123456789ab",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A store, what the gateway says of it, and a policy."""

    snapshot: Snapshot
    view: GatewayView
    rules: Rules
    sizes: dict[str, int]

    @property
    def staying(self) -> frozenset[str]:
        """The keys that are to stay."""
        return frozenset(key for target in self.rules.active for key in target.candidates)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any store of a few rows under any policy."""
    sessions = {}
    files = set()
    tails = draw(st.lists(st.sampled_from(TAILS), unique=True, max_size=12))
    for number, tail in enumerate(tails):
        key = draw(st.sampled_from(["agent:a:", "agent:A:", "agent:other:", ""])) + tail if tail else ""
        ages = st.one_of(st.none(), st.sampled_from([-40 * DAY, -HOUR, 0.0, 300.0, HOUR, 2 * DAY, 40 * DAY]))
        age = draw(ages)
        sessions[key] = Session(
            "a",
            key,
            f"id{number}",
            draw(st.sampled_from([None, f"{FOLDER}/id{number}.jsonl", f"/elsewhere/id{number}.jsonl"])),
            draw(st.sampled_from([None, "running", "done"])),
            pinned=draw(st.booleans()),
            id_usable=draw(st.booleans()),
            archived=draw(st.booleans()),
            updated_at=None if age is None else int((NOW - age) * 1000),
            chat_type=draw(st.sampled_from([None, "direct", "group", "channel", "thread"])),
        )
        if draw(st.booleans()):
            files.add(f"id{number}.jsonl")
    locked = draw(st.sets(st.sampled_from(sorted(files)))) if files else set()
    snapshot = Snapshot(
        "a",
        FOLDER + "/sessions.json",
        FOLDER,
        sessions,
        files=frozenset(files),
        locked=frozenset(locked),
        by_owner={name[:-6]: (name,) for name in files},
        own_index=draw(st.booleans()),
        traits=draw(st.sampled_from([IN_FILES, IN_A_DATABASE])),
    )
    known = draw(st.sets(st.sampled_from(sorted(sessions)))) if sessions else set()
    active = draw(st.sets(st.sampled_from(sorted(known)))) if known else set()
    view = GatewayView(draw(st.sampled_from(Life)), True, frozenset(known), frozenset(active))
    policy = Policy(
        draw(st.dictionaries(st.sampled_from(STALE_KINDS), st.sampled_from([0.0, HOUR, DAY]))),
        unknown_is_old=draw(st.booleans()),
        fix_missing=draw(st.booleans()),
        fix_dm_scope=draw(st.booleans()),
        max_entries=draw(st.one_of(st.none(), st.integers(1, 8))),
        max_disk=draw(st.one_of(st.none(), st.integers(0, 500))),
    )
    kept = draw(st.sets(st.sampled_from(sorted(sessions)))) if sessions else set()
    rules = Rules(
        policy, NOW, tuple(Target(key, "a", (key,)) for key in kept), draw(st.sampled_from(["main", "per-peer"]))
    )
    return Case(snapshot, view, rules, dict.fromkeys(sessions, 100))


def found(case: Case) -> Findings:
    return cleaning.findings(case.rules, case.snapshot, case.view, case.sizes)


@given(cases())
def test_no_protected_row_can_be_planned(case: Case) -> None:
    for key, verdict in found(case).verdicts.items():
        session = case.snapshot.sessions[key]
        of_kind = kind(key, session.chat_type)
        assert key
        assert not keys.is_main(key)
        assert not session.pinned
        assert key not in case.view.active
        assert f"{session.session_id}.jsonl" not in case.snapshot.locked
        assert session.status != "running" or case.view.life is Life.DOWN or key in case.view.known
        assert key not in case.staying
        assert keys.agent_of(key) in ("a", None)
        assert keys.agent_of(key) == "a" or case.snapshot.own_index
        if verdict.action is Action.RETIRE_DM_SCOPE:
            assert is_peer_direct(key)
            assert case.rules.policy.fix_dm_scope
            assert case.rules.dm_scope == "main"
        else:
            assert of_kind not in DURABLE


@given(cases(), st.sampled_from(["", " ", "agent:a:"]))
def test_a_row_without_a_name_is_never_taken(case: Case, key: str) -> None:
    nameless = Session("a", key, "nameless", None, updated_at=10**12)
    sessions = {**case.snapshot.sessions, key: nameless}
    policy = case.rules.policy._replace(stale=dict.fromkeys(STALE_KINDS, DAY), unknown_is_old=True, max_entries=1)
    case = Case(case.snapshot._replace(sessions=sessions), case.view, case.rules._replace(policy=policy), case.sizes)
    assert key not in found(case).verdicts


@given(cases())
def test_only_what_is_named_runs(case: Case) -> None:
    policy = case.rules.policy
    named = {
        Action.PRUNE_MISSING: policy.fix_missing,
        Action.RETIRE_DM_SCOPE: policy.fix_dm_scope,
        Action.PRUNE_STALE: bool(policy.stale),
        Action.CAP_OVERFLOW: policy.max_entries is not None,
        Action.EVICT_BUDGET: policy.max_disk is not None,
    }
    assert all(named[verdict.action] for verdict in found(case).verdicts.values())


@given(cases())
def test_a_row_without_a_usable_time_is_not_old(case: Case) -> None:
    for verdict in found(case).verdicts.values():
        by_age = verdict.action is not Action.RETIRE_DM_SCOPE
        assert not by_age or verdict.age is not None or case.rules.policy.unknown_is_old


@given(cases())
def test_a_row_a_little_ahead_of_the_clock_is_not_old_and_one_far_ahead_is_of_unknown_age(case: Case) -> None:
    for key, verdict in found(case).verdicts.items():
        ahead = (case.snapshot.sessions[key].updated_at or 0) - NOW * 1000
        if ahead > DAY * 1000:
            assert verdict.age is None
        elif ahead > 0:
            assert (verdict.age, verdict.action) == (0.0, Action.RETIRE_DM_SCOPE)


@given(cases())
def test_no_limit_takes_what_was_used_within_ten_minutes(case: Case) -> None:
    for verdict in found(case).verdicts.values():
        if verdict.action in (Action.CAP_OVERFLOW, Action.EVICT_BUDGET):
            assert verdict.age is None or verdict.age >= 600


@given(cases(), st.integers(1, 3))
def test_the_newest_of_each_job_or_parent_stay(case: Case, most: int) -> None:
    """Whatever else the policy says, but for those whose transcript is gone."""
    policy = case.rules.policy._replace(keep_last=most, fix_missing=False, stale=dict.fromkeys(STALE_KINDS, 0.0))
    case = Case(case.snapshot, case.view, case.rules._replace(policy=policy), case.sizes)
    own = (key for key in case.snapshot.sessions if keys.agent_of(key) == "a" and kind(key) is Kind.CRON_RUN)
    runs = [key for key in own if not case.snapshot.sessions[key].archived]
    gone = found(case).verdicts
    assert sum(key in gone for key in runs) <= max(0, len(runs) - most)


@given(cases())
def test_a_stale_row_is_older_than_its_kind_may_be(case: Case) -> None:
    for verdict in found(case).verdicts.values():
        if verdict.action is Action.PRUNE_STALE and verdict.age is not None:
            assert verdict.age > case.rules.policy.stale[verdict.kind]


@given(cases())
def test_every_row_that_may_go_and_is_named_does(case: Case) -> None:
    verdicts = found(case).verdicts
    for key, session in case.snapshot.sessions.items():
        of_kind = kind(key, session.chat_type)
        limit = case.rules.policy.stale.get(of_kind)
        if limit is None or session.updated_at is None or keys.agent_of(key) != "a" or session.archived:
            continue
        free = not session.pinned and session.status != "running" and not case.snapshot.locked
        free = free and session.updated_at <= (NOW + DAY) * 1000
        if free and key not in case.view.active | case.staying and NOW - session.updated_at / 1000 > limit:
            assert key in verdicts


@given(cases())
def test_the_oldest_go_first_above_a_number(case: Case) -> None:
    policy = case.rules.policy
    result = found(case)
    capped = [key for key, verdict in result.verdicts.items() if verdict.action is Action.CAP_OVERFLOW]
    if not capped:
        return
    assert policy.max_entries is not None
    cap = case.rules._replace(policy=policy._replace(max_disk=None))
    left = set(case.snapshot.sessions) - set(cleaning.findings(cap, case.snapshot, case.view, case.sizes).verdicts)
    assert len(left) >= policy.max_entries
    youngest = min(_age(case, key) for key in capped)
    for key in left:
        session = case.snapshot.sessions[key]
        free = kind(key, session.chat_type) not in DURABLE and not session.pinned and session.status != "running"
        free = free and not case.snapshot.locked and key not in case.view.active | case.staying
        if free and keys.agent_of(key) == "a" and not session.archived and 600 <= _age(case, key) < math.inf:
            assert _age(case, key) <= youngest


def _age(case: Case, key: str) -> float:
    age = durations.since(case.snapshot.sessions[key].updated_at, NOW)
    return math.inf if age is None else age


def row(key: str, age: float | None, **more: Any) -> Session:
    moment = None if age is None else int((NOW - age) * 1000)
    number = more.pop("id", key.rpartition(":")[2])
    return Session("a", key, number, f"{FOLDER}/{number}.jsonl", updated_at=moment, **more)


def store(*rows: Session, files: tuple[str, ...] = (), **more: Any) -> Snapshot:
    by_owner: dict[str, tuple[str, ...]] = {}
    for name in files:
        for owner in cleaning.names.owners(name):
            by_owner[owner] = (*by_owner.get(owner, ()), name)
    sessions = {session.key: session for session in rows}
    return Snapshot("a", FOLDER + "/sessions.json", FOLDER, sessions, files=frozenset(files), by_owner=by_owner, **more)


def taken(policy: Policy, snapshot: Snapshot, sizes: dict[str, int] | None = None) -> dict[str, str]:
    result = cleaning.findings(Rules(policy, NOW), snapshot, GatewayView(), sizes or {})
    return {key.removeprefix("agent:a:"): str(verdict.action) for key, verdict in result.verdicts.items()}


def test_the_default_takes_cron_runs_and_subagents_idle_for_a_day() -> None:
    rows = [row(f"agent:a:{tail}", 25 * HOUR) for tail in TAILS] + [row("agent:a:cron:j:run:young", 23 * HOUR)]
    assert taken(DEFAULT, store(*rows)) == dict.fromkeys(
        ("cron:j:run:1", "cron:j:run:2", "subagent:u1", "subagent:u2"), "prune-stale"
    )


def test_what_is_spared_is_counted_by_its_reason() -> None:
    rows = (
        row("agent:a:subagent:1", 2 * DAY, pinned=True),
        row("agent:a:subagent:2", None),
        row("agent:a:subagent:3", -DAY),
        row("agent:a:subagent:4", 2 * DAY),
    )
    view = GatewayView(Life.UP, True, frozenset({rows[3].key}), frozenset({rows[3].key}))
    result = cleaning.findings(Rules(DEFAULT, NOW), store(*rows), view, {})
    # The third is ahead of the clock: no policy has it in mind.
    assert result.spared == {"pinned": 1, "unknown-age": 1, "running": 1}
    assert result.verdicts == {}


@pytest.mark.parametrize(
    ("files", "age", "missing"),
    [
        ((), DAY, True),
        (("x.jsonl",), DAY, False),
        (("x.trajectory.jsonl",), DAY, True),
        (("x-topic-4.jsonl",), DAY, False),
        ((), 60.0, False),
        ((), -DAY, False),
        ((), None, False),
    ],
)
def test_missing_is_a_row_whose_transcript_is_gone(files: tuple[str, ...], age: float | None, missing: bool) -> None:
    assert bool(taken(Policy(fix_missing=True), store(row("agent:a:x", age), files=files))) is missing


def test_nothing_is_missing_in_a_database_or_where_it_cannot_be_told() -> None:
    policy = Policy(fix_missing=True)
    assert not taken(policy, store(row("agent:a:x", DAY), traits=IN_A_DATABASE))
    elsewhere = row("agent:a:x", DAY).but(session_file="/elsewhere/x.jsonl")
    assert not taken(policy, store(elsewhere))
    assert not taken(policy, store(row("agent:a:x", DAY).but(id_usable=False)))


def test_above_a_number_the_oldest_go_and_durable_rows_count() -> None:
    rows = [row(f"agent:a:thing-{age}", age * DAY) for age in range(1, 6)]
    assert taken(Policy(max_entries=4), store(row("agent:a:main", 99 * DAY), *rows)) == {
        "thing-5": "cap-overflow",
        "thing-4": "cap-overflow",
    }


def test_of_rows_above_a_number_or_a_size_one_ahead_of_the_clock_goes_last() -> None:
    rows = [row("agent:a:ahead", -DAY), row("agent:a:fresh", HOUR), row("agent:a:none", None)]
    sizes = {session.key: 100 for session in rows}
    asked = Policy(unknown_is_old=True)
    assert list(taken(asked._replace(max_entries=1), store(*rows))) == ["none", "fresh"]
    assert list(taken(asked._replace(max_disk=100), store(*rows), sizes)) == ["none", "fresh"]


def test_above_a_size_the_oldest_go_and_what_weighs_nothing_stays() -> None:
    rows = [row(f"agent:a:thing-{age}", age * DAY) for age in range(1, 6)]
    sizes = {f"agent:a:thing-{age}": 0 if age == 5 else 100 for age in range(1, 6)}
    assert taken(Policy(max_disk=250), store(*rows), sizes) == {"thing-4": "evict-budget", "thing-3": "evict-budget"}


def test_orphans_are_files_of_no_row_and_stay_together() -> None:
    files = (
        "kept.jsonl", "kept-topic-1.jsonl", "kept.trajectory.jsonl",
        "kept.checkpoint.01234567-0123-0123-0123-0123456789ab.jsonl",
        "lost.jsonl", "lost.trajectory.jsonl", "lost-topic-1.jsonl", "busy.jsonl", "busy.jsonl.lock",
        "gone.jsonl.deleted.2026-01-02T03-04-05.678Z", "sessions.json", "notes.txt",
    )  # fmt: skip
    snapshot = store(row("agent:a:x", DAY, id="kept"), files=files, locked=frozenset({"busy.jsonl"}))
    groups = chores.orphan_groups(snapshot)
    assert [set(group) for group in groups] == [{"lost.jsonl", "lost.trajectory.jsonl", "lost-topic-1.jsonl"}]
    rules = Rules(Policy(orphans=DAY), NOW)
    old = dict.fromkeys(groups[0], NOW - 2 * DAY)
    assert set(chores.old_groups(groups, old, rules)) == set(groups[0])
    assert chores.old_groups(groups, {**old, "lost.trajectory.jsonl": NOW - HOUR}, rules) == []
    assert chores.old_groups(groups, {"lost.jsonl": NOW - 2 * DAY}, rules) == []


def test_an_archive_that_a_young_receipt_needs_stays() -> None:
    rules = Rules(Policy(expire_archives=DAY), NOW)
    shelf = {"old": NOW - 2 * DAY, "needed": NOW - 2 * DAY, "young": NOW - HOUR}
    assert chores.expired(shelf, frozenset({"needed"}), rules) == ["old"]


policies = st.builds(
    Policy,
    st.dictionaries(st.sampled_from(STALE_KINDS), st.sampled_from([60.0, HOUR, 36 * HOUR, 14 * DAY])),
    unknown_is_old=st.booleans(),
    orphans=st.sampled_from([None, HOUR, 90 * 60.0]),
    fix_missing=st.booleans(),
    fix_dm_scope=st.booleans(),
    max_entries=st.sampled_from([None, 1, 500]),
    max_disk=st.sampled_from([None, 1, 1 << 30]),
    expire_archives=st.sampled_from([None, 30 * DAY]),
    maintenance=st.booleans(),
    keep_last=st.sampled_from([None, 1, 7]),
)


@given(policies)
def test_a_policy_that_is_printed_reads_back_as_itself(policy: Policy) -> None:
    assert from_toml(as_toml(policy), "p.toml") == policy


@pytest.mark.parametrize(
    "text",
    [
        "stale = 3", "[stale]\nmain = '1d'", "[stale]\nnobody = '1d'", "[stale]\nhook = 5", "orphans = true", "x = 1",
        "max-entries = 0", "max-entries = true", "max-disk = 'much'", "expire-archives = '5m'", "fix-missing = 'yes'",
        "keep-last = 0", "keep-last = true",
        "unknown-age = 'young'", "[", "unknown_is_old = true\n[stale", "_fields = 1",
    ],
)  # fmt: skip
def test_a_bad_policy_file_is_named(text: str) -> None:
    with pytest.raises(UsageProblem, match=r"^p\.toml: "):
        from_toml(text, "p.toml")


def test_an_hour_is_time_enough_for_an_undo() -> None:
    assert from_toml("expire-archives = '1h'", "p.toml").expire_archives == HOUR


@pytest.mark.parametrize("text", ["main=1d", "direct=1d", "cron=1d", "foo=1d", "cron-run", "cron-run=", "cron-run=3"])
def test_a_bad_rule_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        stale_rule(text)


@pytest.mark.parametrize(
    ("settings", "after", "most"),
    [
        (None, None, None),
        ({"mode": "enforce"}, None, None),
        ({"pruneAfter": "10d"}, 10 * DAY, None),
        ({"pruneAfter": "1d12h"}, 36 * HOUR, None),
        ({"pruneAfter": 7}, 7 * DAY, None),
        ({"pruneDays": 5}, 5 * DAY, None),
        ({"maxEntries": 50}, None, 50),
    ],
)
def test_openclaw_s_own_settings_count_where_they_are_asked_for(
    settings: Any, after: float | None, most: int | None
) -> None:
    found = maintenance.read(settings)
    policy = resolved(Asked(maintenance=True), found)
    assert policy.stale == (DEFAULT.stale if after is None else dict.fromkeys(STALE_KINDS, after))
    assert policy.max_entries == most
    assert resolved(Asked(), found) == DEFAULT


def test_rows_that_are_archived_or_another_agent_s_are_left_out() -> None:
    hidden = row("agent:a:subagent:1", 2 * DAY).but(archived=True)
    bare, foreign = row("subagent:2", 2 * DAY), row("agent:b:subagent:3", 2 * DAY)
    assert taken(DEFAULT, store(hidden, bare, foreign)) == {"subagent:2": "prune-stale"}
    assert taken(DEFAULT, store(hidden, bare, foreign, own_index=False)) == {}


@pytest.mark.parametrize(("scope", "goes"), [("main", True), ("per-peer", False)])
def test_direct_messages_go_only_where_their_scope_is_main(scope: str, goes: bool) -> None:
    rules = Rules(Policy(fix_dm_scope=True), NOW, dm_scope=scope)
    rows = store(row("agent:a:whatsapp:direct:+49", HOUR), row("agent:a:whatsapp:direct:+50", HOUR, pinned=True))
    result = cleaning.findings(rules, rows, GatewayView(), {})
    assert set(result.verdicts) == ({"agent:a:whatsapp:direct:+49"} if goes else set())


def test_a_row_goes_when_it_is_older_than_the_limit_not_before() -> None:
    rows = store(row("agent:a:subagent:1", DAY), row("agent:a:subagent:2", DAY + 1))
    assert set(taken(DEFAULT, rows)) == {"subagent:2"}


def test_what_is_stale_counts_towards_the_number() -> None:
    rows = [row(f"agent:a:subagent:{age}", age * DAY) for age in range(2, 5)]
    rows += [row(f"agent:a:thing-{age}", age * DAY) for age in range(1, 4)]
    policy = DEFAULT._replace(max_entries=3)
    assert set(taken(policy, store(*rows))) == {"subagent:2", "subagent:3", "subagent:4"}


def test_of_each_job_and_of_each_parent_the_newest_stay() -> None:
    rows = [row(f"agent:a:cron:{job}:run:{age}", age * DAY) for job in "ij" for age in (2, 3, 4)]
    rows += [row(f"agent:a:subagent:{who}-{age}", age * DAY, parents=(who,)) for who in "pq" for age in (2, 3, 4)]
    rows += [row(f"agent:a:subagent:r:subagent:{age}", age * DAY) for age in (2, 3, 4)]
    rows += [row(f"agent:a:hook:{age}", age * DAY) for age in (2, 3)]
    policy = Policy(dict.fromkeys((Kind.CRON_RUN, Kind.SUBAGENT, Kind.HOOK), DAY), keep_last=2)
    gone = {"cron:i:run:4", "cron:j:run:4", "subagent:p-4", "subagent:q-4", "subagent:r:subagent:4", "hook:2", "hook:3"}
    assert set(taken(policy, store(*rows))) == gone
    assert set(taken(policy._replace(max_entries=1), store(*rows))) == gone
    result = cleaning.findings(Rules(policy, NOW), store(*rows), GatewayView(), {})
    assert result.spared["newest"] == len(rows) - len(gone)


def test_what_is_protected_stays_though_it_is_the_newest_and_has_lost_its_transcript() -> None:
    rows = [row(f"agent:a:cron:i:run:{age}", age * DAY, pinned=age == 1) for age in (1, 2)]
    policy = Policy(fix_missing=True, keep_last=1)
    result = cleaning.findings(Rules(policy, NOW), store(*rows), GatewayView(), {})
    assert set(result.verdicts) == {"agent:a:cron:i:run:2"}
    assert result.spared == {"pinned": 1}


def test_a_limit_that_cannot_be_met_is_said() -> None:
    rows = store(row("agent:a:thing-1", 60.0), row("agent:a:main", DAY), row("agent:a:thing-2", DAY))
    sizes = dict.fromkeys(rows.sessions, 100)
    result = cleaning.findings(Rules(Policy(max_entries=1, max_disk=50), NOW), rows, GatewayView(), sizes)
    assert set(result.verdicts) == {"agent:a:thing-2"}
    assert [said.partition(",")[0] for said in result.unmet] == [
        "2 sessions stay",
        "the transcripts that stay take 200B",
    ]
    assert not cleaning.findings(Rules(Policy(max_entries=3), NOW), rows, GatewayView(), sizes).unmet


def test_an_active_key_stays_and_an_unknown_age_is_not_the_oldest() -> None:
    rows = store(row("agent:a:thing-1", DAY), row("agent:a:thing-2", 2 * DAY), row("agent:a:thing-3", None))
    rules = Rules(Policy(max_entries=1), NOW, (Target("thing-2", "a", ("agent:a:thing-2",)),))
    assert set(cleaning.findings(rules, rows, GatewayView(), {}).verdicts) == {"agent:a:thing-1"}
    old = rules._replace(policy=rules.policy._replace(unknown_is_old=True, max_entries=2))
    assert set(cleaning.findings(old, rows, GatewayView(), {}).verdicts) == {"agent:a:thing-3"}
