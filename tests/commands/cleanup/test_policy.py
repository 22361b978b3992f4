"""A policy as data: printed, read again, and what openclaw.json says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.operations import by_policy
from support.cleanup import LONG_AGO, OLD_CHILD, STALE, YOUNG_CHILD, clean, gone, summary, unchanged
from support.commands import run
from support.keys import LEAD
from support.stores import Store
from support.trees import tree, write

# A policy as data


POLICIES: list[tuple[str, ...]] = [
    (),
    ("--unknown-age-is-old",),
    ("--stale", "cron-run=36h", "--stale", "other=90s", "--stale", "hook=1.5h"),
    ("--orphans",),
    ("--orphans", "0s"),
    ("--orphans", "3d", "--expire-archives", "45d"),
    ("--stale", "cron-run=1234567.25s", "--orphans", "1ms"),
    ("--stale", "cron-run=0.7d", "--orphans", "0.01ms"),
    ("--stale", "cron-run=0s", "--stale", "subagent=5200w"),
    ("--fix-missing", "--fix-dm-scope"),
    ("--older-than", "20d"),
    ("--only", "orphans,fix-missing"),
    ("--maintenance",),
    ("--maintenance", "--stale", "project=90d"),
    ("--max-entries", "12", "--max-disk", "500mb"),
    ("--max-disk", "1b"),
    ("--max-disk", "1234567"),
]


@pytest.mark.parametrize("words", POLICIES)
def test_a_policy_that_was_printed_means_the_same_when_it_is_read(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    seen = []
    real = by_policy.holding

    def noted(*words: Any) -> Any:
        found = real(*words)
        seen.append({**found.policy._asdict(), "stale": dict(found.policy.stale)})
        return found

    monkeypatch.setattr(by_policy, "holding", noted)
    filled.configure(session={"maintenance": {"pruneAfter": "50d", "maxEntries": 900}})
    before = tree(filled.state)
    printed = run(CleanupSessions, *words, "--print-policy", state=filled.state)
    assert (printed.code, printed.stderr, tree(filled.state)) == (0, "", before)
    path = tmp_path / "policy.toml"
    write(path, printed.stdout)
    again = run(CleanupSessions, "--policy", str(path), "--print-policy", state=filled.state)
    assert again.stdout == printed.stdout
    assert seen[0] == seen[1]


def test_a_policy_file_is_the_whole_policy_and_options_are_added(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    write(path, '[stale]\nsubagent = "30m"\n')
    assert gone(clean(filled, "--policy", str(path), "--dry-run"), "would_close") == {OLD_CHILD, YOUNG_CHILD}
    words = ("--policy", str(path), "--stale", "subagent=2h", "--stale", "hook=1d")
    assert gone(clean(filled, *words)) == {OLD_CHILD, LEAD + "hook:mail"}
    write(path, "")
    assert clean(filled, "--policy", str(path)).data["results"] == []


# What openclaw.json says


@pytest.mark.parametrize("rows", [3, 150])
def test_mode_warn_changes_nothing_and_says_so(filled: Store, rows: int) -> None:
    many = {f"{LEAD}subagent:many-{at}": {"sessionId": f"m{at}", "updatedAt": LONG_AGO} for at in range(rows)}
    filled.add(*many.items())
    filled.configure(session={"maintenance": {"mode": "warn"}})
    answer = unchanged(filled, "--maintenance", code=0)
    assert "mode is warn: nothing was changed" in " ".join(answer.data["warnings"])
    assert (summary(answer)["mode"], summary(answer)["applied"]) == ("warn", False)
    assert answer.data["resultsTotal"] == len(STALE) + rows
    enforced = clean(filled, "--enforce", "--yes")
    assert (enforced.code, enforced.data["resultsTotal"]) == (0, len(STALE) + rows)
    assert summary(enforced)["mode"] == "enforce"


def test_a_policy_is_printed_as_toml_only(filled: Store) -> None:
    answer = clean(filled, "--print-policy")
    assert (answer.code, answer.data["error"]["name"]) == (2, "usage")
