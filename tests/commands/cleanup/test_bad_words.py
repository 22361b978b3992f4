"""Words and policies that make no sense are told in one line and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cleanup import unchanged
from support.stores import Store
from support.trees import write


@pytest.mark.parametrize(
    "words",
    [
        ("--expire-archives",),
        ("--expire-archives", "59m"),
        ("--expire-archives", "0s"),
        ("--expire-archives", "soon"),
        ("--stale", "cron-run"),
        ("--stale", "cron-run="),
        ("--stale", "cron-run=-5h"),
        ("--stale", "cron-run=5"),
        ("--stale", "cron-run=1e3h"),
        ("--stale", "cron-run=nan"),
        ("--stale", "main=1h"),
        ("--stale", "direct=1h"),
        ("--stale", "group=1h"),
        ("--stale", "cron=1h"),
        ("--stale", "heartbeat=1h"),
        ("--stale", "cows=1h"),
        ("--stale", "=1h"),
        ("--orphans", "soon"),
        ("--orphans", "5"),
        ("--max-entries", "0"),
        ("--max-entries", "-1"),
        ("--max-entries", "9" * 400),
        ("--max-disk", "much"),
        ("--max-disk", "-1mb"),
        ("--max-disk", "9" * 400),
        ("--max-disk", "nan"),
        ("--max", "0"),
        ("--agent", "No Agent"),
        ("--agent", "main", "--all-agents"),
        ("--agent", "main", "--store", "x"),
        ("--active-key", "../x"),
        ("--active-key", "agent:researcher:kelly", "--agent", "main"),
        ("--policy", "/does/not/exist"),
        ("--policy", "/"),
        ("--via", "pigeon"),
        ("kelly-dashboard",),
        ("--force",),
    ],
)  # fmt: skip
def test_words_that_make_no_sense_change_nothing(filled: Store, words: tuple[str, ...]) -> None:
    unchanged(filled, *words, code=2)


def test_a_store_that_is_none_of_this_place_is_refused(filled: Store, tmp_path: Path) -> None:
    other = tmp_path / "sessions.json"
    write(other, "{}")
    assert unchanged(filled, "--store", str(other), code=3).error == "no_store"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "unknown-age = []",
        'unknown-age = "perhaps"',
        "unknown-age = true",
        'unknown-is-old = "1h"',
        'unknown_is_old = "1h"',
        "stale = 5",
        "[stale]\nmain = '1h'",
        "[stale]\ncron-run = 5",
        "[stale]\ncron-run = '5'",
        "[stale.cron-run]\nage = '5h'",
        "orphans = true",
        "orphans = 1979-05-27",
        'expire-archives = "1s"',
        'expire_archives = "1s"',
        'fix_missing = "1h"',
        "fix-missing = 1",
        'max_entries = "1h"',
        "max-entries = true",
        "max-entries = 0",
        "max-disk = 1.5",
        "max-disk = " + "9" * 400,
        'max-disk = "' + "9" * 400 + '"',
        "cows = 1",
        "a = " + "[" * 5000 + "]" * 5000,
        "\udcff",
    ],
)
def test_a_policy_that_is_none_is_named_in_one_line_and_changes_nothing(
    filled: Store, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "policy.toml"
    write(path, text.encode("utf-8", "surrogateescape"))
    answer = unchanged(filled, "--policy", str(path), code=2, said=str(path))
    assert len(answer.stderr) < 2000


def test_what_is_said_of_a_bad_value_shows_how_it_is_meant(filled: Store, tmp_path: Path) -> None:
    answer = unchanged(filled, "--stale", "cron-run=5x", code=2)
    assert "next: --stale KIND=24h, with one of s, m, h, d, w" in answer.stderr
    policy = tmp_path / "policy.toml"
    policy.write_text("orphans = true\n")
    assert 'orphans is "true"; next: an age' in unchanged(filled, "--policy", str(policy), code=2).stderr
