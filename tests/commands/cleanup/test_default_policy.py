"""What the default policy of cleanup-sessions takes, what it leaves, and what counts as old."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from support.cleanup import (
    ALL_KINDS,
    BARE_RUN,
    DAY,
    DURABLE,
    HOUR,
    OLD_CHILD,
    OLD_RUN,
    READER,
    READER_RUN,
    STALE,
    YOUNG_RUN,
    ago,
    all_keys,
    clean,
    gone,
    put,
    shelve,
    strange,
    stray,
    summary,
    unchanged,
)
from support.commands import run
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import write

# The default policy


def test_by_default_cron_runs_and_subagents_of_all_agents_go_after_a_day(filled: Store) -> None:
    before = all_keys(filled)
    answer = clean(filled)
    assert (answer.code, gone(answer)) == (0, STALE)
    assert before - all_keys(filled) == STALE
    assert answer.data["resultsTotal"] == len(STALE)
    counts = summary(answer)
    rows = len(before) - 4
    assert (counts["beforeCount"], counts["afterCount"], counts["pruned"]) == (rows, rows - 3, 3)
    assert (counts["missing"], counts["dmScopeRetired"], counts["capped"], counts["diskBudget"]) == (0, 0, 0, None)
    assert counts["unreferencedArtifacts"] == {"removedFiles": 0, "bytes": 0}
    assert (counts["mode"], counts["dryRun"], counts["applied"], counts["wouldMutate"]) == (
        "enforce",
        False,
        True,
        True,
    )
    assert counts["spared"] == {"pinned": 1}
    assert (summary(answer, "main")["pruned"], summary(answer, "main")["applied"]) == (0, False)
    row = next(row for row in answer.data["results"] if row["key"] == OLD_RUN)
    assert (row["action"], row["kind"]) == ("prune-stale", "cron-run")
    assert 25 * HOUR <= row["ageSeconds"] < 25 * HOUR + 60
    assert row["bytes"] == Path(row["archives"][0]).stat().st_size > 0


def test_each_row_says_the_bytes_of_its_session_also_of_a_file_that_two_share(filled: Store) -> None:
    # Two that go share a transcript; that of a third stays for another session, so it takes nothing with it.
    twin, tied = LEAD + "subagent:twin", LEAD + "subagent:tied"
    put(filled, twin, 300 * HOUR, like=OLD_CHILD)
    put(filled, tied, 300 * HOUR, like=LEAD + "subagent:pinned")
    write(Path(filled.entries()[OLD_RUN]["sessionFile"]).with_suffix(".trajectory.jsonl"), "x" * 700)
    entries = {**filled.entries("researcher"), **filled.entries()}
    files = {key: Path(entries[key]["sessionFile"]) for key in (*STALE, twin) if "sessionFile" in entries[key]}
    takes = {key: sum(one.stat().st_size for one in path.parent.glob(f"{path.stem}*")) for key, path in files.items()}
    assert takes[OLD_RUN] > 700
    for words in (("--dry-run",), ()):
        told = {row["key"]: row["bytes"] for row in clean(filled, *words).data["results"]}
        assert told == {**takes, tied: None}


def test_a_second_run_has_nothing_to_do_and_changes_nothing(filled: Store) -> None:
    stray(filled, f"{session_id('stray')}.jsonl", 2 * DAY)
    shelve(filled, 40 * DAY)
    words = ("--stale", "cron-run=24h", "--orphans", "--expire-archives", "30d")
    assert clean(filled, *words).data["resultsTotal"] == 5
    answer = unchanged(filled, *words, code=0)
    assert (answer.data["results"], answer.data["receipt"], answer.data["undo"]) == ([], None, None)
    assert run(CleanupSessions, *words, state=filled.state).stdout.splitlines()[1] == "nothing to clean up"


@pytest.mark.parametrize("words", [(), ("--archive",)])
def test_an_empty_place_has_nothing_to_clean_up(tmp_path: Path, closed_port: int, words: tuple[str, ...]) -> None:
    store = Store(tmp_path / "state", closed_port)
    assert unchanged(store, *words, code=0).data["results"] == []


def test_what_is_durable_pinned_or_running_stays_whatever_is_asked(filled: Store) -> None:
    filled.lock_transcript(LEAD + "hook:mail")
    stale = [word for kind in ALL_KINDS for word in ("--stale", f"{kind}=0s")]
    limits = ("--max-entries", "1", "--max-disk", "1b", "--fix-missing", "--unknown-age-is-old")
    answer = clean(filled, *stale, *limits, "--yes")
    assert answer.code == 0
    kept = {*DURABLE, LEAD + "subagent:pinned", LEAD + "hook:mail", READER + "main", "agent:main:main"}
    assert all_keys(filled) == kept
    assert summary(answer)["spared"] == {"pinned": 1, "running": 1}


def test_an_active_key_stays(filled: Store) -> None:
    answer = clean(filled, "--active-key", OLD_RUN, "--active-key", "subagent:old", "--max-entries", "1")
    assert gone(answer).isdisjoint({OLD_RUN, OLD_CHILD})
    assert {OLD_RUN, OLD_CHILD} <= all_keys(filled)


def test_an_active_project_id_is_that_of_each_agent(filled: Store) -> None:
    put(filled, READER + "subagent:old", 300 * HOUR, "researcher")
    put(filled, READER + "subagent:alone", 300 * HOUR, "researcher")
    answer = clean(filled, "--active-key", "subagent:old", "--active-key", "subagent:alone")
    assert (answer.data["warnings"], gone(answer)) == ([], STALE - {OLD_CHILD})
    assert {READER + "subagent:old", READER + "subagent:alone", OLD_CHILD} <= all_keys(filled)


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("subagent:odl", "agents main, project-lead, researcher have"),
        (LEAD + "subagent:odl", "agent project-lead has"),
        ("agent:nobody:subagent:old", "agent nobody has"),
    ],
)
def test_an_active_key_that_is_not_there_is_said(filled: Store, word: str, who: str) -> None:
    answer = clean(filled, "--dry-run", "--active-key", word, "--active-key", OLD_RUN)
    assert answer.data["warnings"] == [f"--active-key {word}: {who} no such session"]


def test_a_rule_names_a_kind_and_an_age(filled: Store) -> None:
    answer = clean(filled, "--stale", "project=30d", "--stale", "hook=500d", "--stale", "cron-run=1h")
    assert gone(answer) == {LEAD + "kelly", OLD_RUN, YOUNG_RUN, BARE_RUN, READER_RUN}


@pytest.mark.parametrize(
    ("words", "agents"),
    [
        (("--agent", "researcher"), {"researcher"}),
        (("--all-agents",), {"project-lead", "researcher"}),
        (("--store", "researcher"), {"researcher"}),
    ],
)
def test_only_the_agents_that_are_meant(filled: Store, words: tuple[str, ...], agents: set[str]) -> None:
    if words[0] == "--store":
        words = ("--store", str(filled.index("researcher")))
    others = {agent: filled.index(agent).read_bytes() for agent in {"project-lead", "researcher"} - agents}
    answer = clean(filled, *words)
    assert {row["agent"] for row in answer.data["results"]} == agents
    assert all(filled.index(agent).read_bytes() == raw for agent, raw in others.items())


# Times that are none


def test_a_row_without_a_usable_time_is_kept_unless_asked(filled: Store) -> None:
    keys = strange(filled)
    for at, value in enumerate((b"NaN", b"1e999", b"-Infinity")):
        raw = filled.index().read_bytes()
        entry = json.dumps(filled.session(f"{LEAD}subagent:float{at}"))[:-1].encode()
        mark = b'"updatedAt": '
        entry = entry.replace(mark, mark + value + b', "was": ')
        text = raw.rstrip()[:-1].rstrip() + b',\n  "' + f"{LEAD}subagent:float{at}".encode() + b'": ' + entry + b"}\n}"
        if value == b"1e999":  # the others are no JSON
            write(filled.index(), text)
            keys.add(f"{LEAD}subagent:float{at}")
    answer = clean(filled)
    assert (answer.code, gone(answer)) == (0, STALE)
    assert summary(answer)["spared"] == {"pinned": 1, "unknown-age": len(keys)}
    assert gone(clean(filled, "--unknown-age-is-old")) == keys


def test_a_time_as_a_float_is_a_time(filled: Store) -> None:
    filled.add((OLD_RUN, {**filled.entries()[OLD_RUN], "updatedAt": ago(25 * HOUR) + 0.5}))
    assert OLD_RUN in gone(clean(filled))
