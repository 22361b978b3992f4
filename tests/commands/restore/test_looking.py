"""--dry-run, --check and --list of restore-sessions change nothing and say what the real run does."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import restore, run
from support.interrupted import interrupt
from support.keys import LEAD
from support.restore import DAY, KELLY, LEGACY, MANY, READER, TOPICS, close, purged, receipt_of, rows, statuses
from support.stores import Store
from support.trees import tree


@pytest.mark.parametrize("word", ["--dry-run", "--check"])
def test_a_look_leaves_every_byte_as_it_is_and_says_what_the_real_run_does(store: Store, word: str) -> None:
    close(store, *MANY)
    before = tree(store.state)
    answer = restore(store, word, "last", "topics", READER)
    assert tree(store.state) == before
    assert (answer.code, statuses(answer)) == (0, {TOPICS: "would_restore", READER: "would_restore"})
    assert (answer.data["dryRun"], answer.data["receipt"], answer.data["undo"]) == (True, None, None)
    assert statuses(restore(store, "last", "topics", READER)) == {TOPICS: "restored", READER: "restored"}


MAINTENANCE: list[tuple[dict[str, Any] | None, timedelta | None]] = [
    (None, 30 * DAY),
    ({}, 30 * DAY),
    ({"pruneAfter": "7d"}, 7 * DAY),
    ({"pruneAfter": 3}, 3 * DAY),
    ({"pruneDays": 7}, 7 * DAY),
    ({"pruneAfter": "3d", "pruneDays": 7}, 3 * DAY),
    ({"pruneAfter": "soon", "pruneDays": 7}, 30 * DAY),
    ({"resetArchiveRetention": "soon", "pruneAfter": "7d"}, 7 * DAY),
    ({"resetArchiveRetention": "1d12h"}, 1.5 * DAY),
    ({"resetArchiveRetention": "12h"}, DAY / 2),
    ({"resetArchiveRetention": "2w", "pruneAfter": "7d"}, 14 * DAY),
    ({"resetArchiveRetention": False}, None),
    ({"resetArchiveRetention": False, "pruneAfter": "7d"}, None),
    ({"mode": "enforce", "pruneAfter": "7d"}, 7 * DAY),
    ({"mode": "warn"}, None),
    ({"mode": "warn", "resetArchiveRetention": "12h"}, None),
]


def test_check_says_until_when_openclaw_keeps_the_archives(store: Store) -> None:
    close(store, "topics", "never-spoken")
    stamp = next(iter(store.folder().glob("*topic-42.jsonl.deleted.*"))).name.rpartition(".deleted.")[2]
    archived = datetime.strptime(stamp + "+0000", "%Y-%m-%dT%H-%M-%S.%fZ%z")
    for maintenance, kept in MAINTENANCE:
        if maintenance is not None:
            store.configure(session={"maintenance": maintenance})
        answer = restore(store, "last", "--check")
        assert answer.code == 0
        assert "until" not in rows(answer)[LEAD + "never-spoken"]
        until = rows(answer)[TOPICS].get("until")
        end = None if kept is None else (archived + kept).replace(microsecond=0)
        assert (until and datetime.fromisoformat(until)) == end, maintenance
        assert ("until " in run(RestoreSessions, "last", "--check", state=store.state).stdout) is (kept is not None)


def test_check_of_what_is_back_or_lost_says_so(store: Store) -> None:
    close(store, "topics", "kelly-dashboard")
    purged(store)
    assert restore(store, "last", "topics").code == 0
    answer = restore(store, "last", "--check")
    assert answer.code == 1
    assert statuses(answer) == {KELLY: "failed", LEGACY: "would_restore", TOPICS: "already_restored"}


LIST_ROW = {
    "id", "operation", "state", "startedAt", "ageSeconds", "reason", "agents", "sessions", "names", "closed",
    "restored", "expired", "freed", "path",
}  # fmt: skip


def test_the_list_shows_every_receipt_newest_first_and_runs_that_were_interrupted(store: Store) -> None:
    assert restore(store, "--list").data["receipts"] == []
    assert run(RestoreSessions, "--list", state=store.state).stdout == "no receipts\n"
    one = receipt_of(store, close(store, "topics", READER, "--reason", "spring \x1b[31mcleaning"))
    two = receipt_of(store, restore(store, "last", "--reason", "regret").data)
    interrupt(store, "alpha", committed=True)
    (three,) = store.open_runs()
    before = tree(store.state)
    answer = restore(store, "--list")
    found = answer.data["receipts"]
    assert (answer.code, answer.data["results"], answer.data["error"]) == (0, [], None)
    assert [row["id"] for row in found] == [three, two, one]
    assert all(set(row) == LIST_ROW for row in found)
    assert [row["state"] for row in found] == ["interrupted", "done", "done"]
    assert [row["closed"] for row in found] == [0, 0, 2]
    assert [row["restored"] for row in found] == [0, 2, 2]
    assert [row["sessions"] for row in found] == [1, 2, 2]
    assert [row["names"] for row in found] == [[LEAD + "alpha"], [TOPICS, READER], [TOPICS, READER]]
    assert [row["reason"] for row in found] == [None, "regret", "spring \x1b[31mcleaning"]
    ran = ["close-project-batch", "restore-sessions", "close-project-batch"]
    assert [row["operation"] for row in found] == ran
    assert found[2]["agents"] == ["project-lead", "researcher"]
    assert [Path(row["path"]).is_file() for row in found] == [True, True, True]
    shown = run(RestoreSessions, "--list", state=store.state).stdout
    assert [line.split()[0] for line in shown.splitlines()[2:]] == [three, two, one]
    ended = [re.split("  +", line)[3] for line in shown.splitlines()[2:]]
    assert ended == ["interrupted", "2 restored", "2 of 2 closed, 2 back"]
    assert "\x1b" not in shown
    assert tree(store.state) == before


def test_a_large_run_names_its_first_ten(store: Store) -> None:
    keys = [f"{LEAD}many-{number:02}" for number in range(12)]
    store.add(*((key, store.session(key)) for key in keys))
    close(store, *keys)
    (row,) = restore(store, "--list").data["receipts"]
    assert (row["sessions"], row["names"]) == (12, keys[:10])


def test_a_long_list_is_cut_for_people(store: Store) -> None:
    path = Path(close(store, "topics")["receipt"])
    data = json.loads(path.read_bytes())
    for number in range(30):
        name = f"20151121T0640{number:02}.544Z-c21858e1"
        path.with_name(f"{name}.json").write_text(json.dumps({**data, "id": name}))
    assert len(restore(store, "--list").data["receipts"]) == 20
    shown = run(RestoreSessions, "--list", state=store.state).stdout.splitlines()
    assert len(shown) < 31
    assert "11 more" in shown[-1]
    assert len(run(RestoreSessions, "--list", "--verbose", state=store.state).stdout.splitlines()) == 33
