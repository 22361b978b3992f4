"""What a cleanup takes and why: the default, what openclaw.json says, what options add, what --only leaves out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from support.cleanup import (
    BARE_RUN,
    DAY,
    OLD_CHILD,
    OLD_RUN,
    READER,
    READER_RUN,
    STALE,
    YOUNG_CHILD,
    actions,
    clean,
    gone,
    put,
    shelve,
    stray,
    summary,
    unchanged,
)
from support.commands import run, run_json
from support.keys import LEAD
from support.programs import ROOT
from support.stores import Store
from support.trees import write

OTHERS = {LEAD + "kelly", LEAD + "hook:mail", READER + "kelly"}


def first_line(store: Store, *words: str) -> str:
    """Return the first line that a person reads; the document says the same."""
    shown = run(CleanupSessions, *words, "--dry-run", state=store.state).stdout.splitlines()[0]
    assert shown == "rules    " + str(clean(store, *words, "--dry-run").data["rules"])
    return shown


def planned(store: Store, *words: str) -> set[str]:
    answer = clean(store, *words, "--dry-run")
    assert answer.code == 0, answer
    return {row["key"] or row["input"] for row in answer.data["results"]}


# openclaw.json


@pytest.mark.parametrize("setting", [{"pruneAfter": "200d"}, {"pruneDays": 12, "maxEntries": 3}, {"mode": "warn"}])
def test_what_openclaw_json_sets_counts_only_where_it_is_asked_for(filled: Store, setting: dict[str, Any]) -> None:
    filled.configure(session={"maintenance": setting})
    assert "; openclaw.json: session.maintenance not used, see --maintenance" in first_line(filled)
    answer = clean(filled)
    assert (answer.code, gone(answer)) == (0, STALE)
    assert summary(answer)["mode"] == "enforce"


def test_maintenance_is_used_where_an_option_or_a_policy_file_says_so(filled: Store, tmp_path: Path) -> None:
    filled.configure(session={"maintenance": {"pruneAfter": "200d"}})
    path = tmp_path / "policy.toml"
    write(path, "maintenance = true\n")
    for words in (("--maintenance",), ("--enforce",), ("--policy", str(path))):
        assert planned(filled, *words) == OTHERS
        assert "session.maintenance of openclaw.json: every kind that may be stale 200d" in first_line(filled, *words)
    write(path, 'maintenance = true\n[stale]\nproject = "500d"\n')
    assert planned(filled, "--policy", str(path)) == OTHERS - {LEAD + "kelly"}
    write(path, 'maintenance = false\n[stale]\nsubagent = "1d"\n')
    assert planned(filled, "--policy", str(path)) == {OLD_CHILD}


def test_maintenance_that_is_not_set_leaves_the_default(filled: Store) -> None:
    assert planned(filled, "--maintenance") == STALE
    assert first_line(filled, "--maintenance").endswith("; openclaw.json sets no session.maintenance")
    filled.configure(session={"maintenance": {"maxEntries": 500}})
    assert planned(filled, "--maintenance") == STALE
    assert "default policy, session.maintenance of openclaw.json: cron-run 24h" in first_line(filled, "--maintenance")


def test_stale_beside_maintenance_that_sets_no_age_is_in_place_of_the_default(filled: Store) -> None:
    filled.configure(session={"maintenance": {"maxEntries": 500}})
    assert planned(filled, "--maintenance", "--stale", "project=30d") == {LEAD + "kelly"}


def test_options_beside_maintenance_win(filled: Store) -> None:
    filled.configure(session={"maintenance": {"pruneAfter": "200d", "maxEntries": 1}})
    words = ("--maintenance", "--max-entries", "500", "--stale", "project=500d,cron-run=24h")
    assert planned(filled, *words) == OTHERS - {LEAD + "kelly"} | {OLD_RUN, BARE_RUN, READER_RUN}


@pytest.mark.parametrize(
    ("words", "mode"), [((), "enforce"), (("--maintenance",), "warn"), (("--enforce",), "enforce")]
)
def test_the_mode_of_openclaw_json_counts_only_with_maintenance(
    filled: Store, words: tuple[str, ...], mode: str
) -> None:
    filled.configure(session={"maintenance": {"mode": "warn"}})
    answer = clean(filled, *words)
    assert (answer.code, summary(answer)["mode"]) == (0, mode)
    assert (answer.data["receipt"] is None) == (mode == "warn")


def test_what_is_not_used_of_maintenance_is_said_in_the_line(filled: Store) -> None:
    setting = {"maxDiskBytes": "1gb", "pruneAfter": "30d", "resetArchiveRetention": False, "mode": "enforce"}
    filled.configure(session={"maintenance": setting})
    line = first_line(filled, "--maintenance")
    assert line.endswith("; openclaw.json: not used of session.maintenance: maxDiskBytes, resetArchiveRetention")


# The command line


def test_the_default_is_named(filled: Store) -> None:
    assert first_line(filled) == "rules    default policy: cron-run 24h, subagent 24h"


def test_stale_names_kinds_in_place_of_the_default(filled: Store) -> None:
    assert planned(filled, "--stale", "project=30d") == {LEAD + "kelly"}
    assert first_line(filled, "--stale", "project=30d") == "rules    --stale: project 30d"


def test_one_age_for_every_kind_that_may_be_stale(filled: Store) -> None:
    assert planned(filled, "--older-than", "200d") == OTHERS
    assert planned(filled, "--older-than", "200d", "--stale", "subagent=30m") == OTHERS | {OLD_CHILD, YOUNG_CHILD}
    assert first_line(filled, "--older-than", "200d") == "rules    --older-than: every kind that may be stale 200d"


def wants(store: Store) -> dict[str, str]:
    """Make something for every rule to take; return by rule what it takes."""
    store.configure(session={"dmScope": "main"})
    stray(store, "lost.jsonl", 2 * DAY)
    archive = shelve(store, 40 * DAY)
    put(store, LEAD + "gone", 2 * DAY)
    (store.folder() / f"{store.entries()[LEAD + 'gone']['sessionId']}.jsonl").unlink()
    return {
        "orphans": "lost.jsonl",
        "fix-missing": LEAD + "gone",
        "fix-dm-scope": LEAD + "telegram:direct:4711",
        "expire-archives": archive.name,
    }


ADDING = {
    "orphans": ("--orphans",),
    "fix-missing": ("--fix-missing",),
    "fix-dm-scope": ("--fix-dm-scope",),
    "expire-archives": ("--expire-archives", "30d"),
}


@pytest.mark.parametrize("rule", ADDING)
def test_a_rule_is_added_to_those_that_hold(filled: Store, rule: str) -> None:
    taken = wants(filled)[rule]
    assert planned(filled, *ADDING[rule]) == STALE | {taken}
    assert planned(filled, *ADDING[rule], "--stale", "project=30d") == {LEAD + "kelly", taken}
    assert first_line(filled, *ADDING[rule]).startswith(
        f"rules    default policy, --{rule}: cron-run 24h, subagent 24h"
    )


@pytest.mark.parametrize("rule", ADDING)
def test_only_restricts_to_what_it_names(filled: Store, rule: str) -> None:
    taken = wants(filled)[rule]
    bare = () if rule == "expire-archives" else ("--only", rule)
    for words in filter(None, (("--only", rule, *ADDING[rule]), bare)):
        assert planned(filled, *words) == {taken}
        assert first_line(filled, *words).startswith("rules    --")


def test_limits_are_added_and_restricted_to_likewise(filled: Store) -> None:
    total = len(filled.listed())
    words = ("--agent", "project-lead", "--max-entries", str(total - 4))
    assert {action for _, _, action in actions(clean(filled, *words, "--dry-run"))} == {"prune-stale", "cap-overflow"}
    limited = clean(filled, *words, "--only", "max-entries", "--dry-run")
    assert {action for _, _, action in actions(limited)} == {"cap-overflow"}
    both = clean(filled, "--only", "stale,max-disk", "--max-disk", "1b", "--dry-run")
    assert {action for _, _, action in actions(both)} == {"prune-stale", "evict-budget"}


def test_only_restricts_a_policy_file_too(filled: Store, tmp_path: Path) -> None:
    taken = wants(filled)
    path = tmp_path / "policy.toml"
    write(path, 'orphans = "24h"\nexpire-archives = "30d"\n[stale]\nproject = "30d"\n')
    assert planned(filled, "--policy", str(path)) == {taken["orphans"], taken["expire-archives"], LEAD + "kelly"}
    assert planned(filled, "--policy", str(path), "--only", "orphans") == {taken["orphans"]}
    assert first_line(filled, "--policy", str(path)).startswith(
        f"rules    policy file {path}: project 30d, orphans 24h"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "everything"), ("--only", ""), ("--only", "expire-archives"), ("--only", "max-entries"),
        ("--only", "max-disk"), ("--only", "orphans", "--stale", "hook=1d"), ("--only", "stale", "--orphans"),
        ("--only", "orphans", "--older-than", "1d"), ("--older-than", "soon"), ("--max-disk", "0"),
    ],
)  # fmt: skip
def test_rules_that_contradict_each_other_change_nothing(filled: Store, words: tuple[str, ...]) -> None:
    unchanged(filled, *words, code=2)


def test_the_line_is_there_whatever_becomes_of_the_run(filled: Store, tmp_path: Path) -> None:
    limited = run(CleanupSessions, "--max", "1", state=filled.state)
    nowhere = run(CleanupSessions, state=tmp_path / "nowhere")
    for shown in (limited, nowhere, run(CleanupSessions, state=filled.state), run(CleanupSessions, state=filled.state)):
        assert shown.stdout.startswith("rules    default policy: cron-run 24h, subagent 24h\n")
    assert run_json(CleanupSessions, state=tmp_path / "nowhere").data["rules"].startswith("default policy")


@pytest.mark.parametrize("last", ["--reason nightly", "--quiet"])
def test_a_nightly_line_of_the_readme_takes_what_is_stale_and_old_archives(filled: Store, last: str) -> None:
    readme = (ROOT / "README.md").read_text()
    lines = re.findall(r"^\d[^\n]*/cleanup-sessions (?!--runtime hermes|--home)(.*)$", readme, re.MULTILINE)
    (line,) = (line for line in lines if line.endswith(last))
    archive = shelve(filled, 100 * DAY)
    done = run(CleanupSessions, *shlex.split(line), state=filled.state)
    taken = {session["key"] for store in filled.receipts()[0]["stores"] for session in store["sessions"]}
    assert (done.code, taken) == (0, STALE)
    assert not archive.exists()


# Values that mean the opposite


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"pruneAfter": 0}, "pruneAfter"),
        ({"pruneAfter": "0d"}, "pruneAfter"),
        ({"pruneAfter": "0.0001ms"}, "pruneAfter"),
        ({"pruneAfter": "-1d"}, "pruneAfter"),
        ({"pruneAfter": "soon"}, "pruneAfter"),
        ({"pruneAfter": False}, "pruneAfter"),
        ({"pruneAfter": "9" * 400}, "pruneAfter"),
        ({"pruneAfter": "2w"}, "refuses w"),
        ({"pruneDays": 0}, "pruneDays"),
        ({"pruneDays": "7d"}, "pruneDays"),
        ({"maxEntries": 0}, "maxEntries"),
        ({"maxEntries": "9"}, "maxEntries"),
        ({"mode": "wran"}, "mode"),
        (True, "session.maintenance of openclaw.json"),
    ],
)
@pytest.mark.parametrize("words", [(), ("--maintenance",), ("--only", "orphans")])
def test_a_setting_that_is_wrong_is_named_also_where_it_is_not_used(
    filled: Store, setting: Any, said: str, words: tuple[str, ...]
) -> None:
    filled.configure(session={"maintenance": setting})
    assert unchanged(filled, *words, code=3, said=said).error == "config"


@pytest.mark.parametrize("value", ["99999d", 30, "1d12h", 0.5, None])
def test_a_setting_that_openclaw_takes_is_taken(filled: Store, value: Any) -> None:
    filled.configure(session={"maintenance": {"pruneAfter": value}})
    assert clean(filled, "--maintenance", "--dry-run").code == 0
