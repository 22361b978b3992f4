"""Archives and backups older than an age are freed; what a young receipt can restore never is."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.cleanup import DAY, EXPIRE, HOUR, age, backup, clean, gone, shelve, stamp, stray, summary
from support.commands import run, run_json
from support.keys import LEAD
from support.stores import Store, picture
from support.trees import write


def test_archives_and_backups_older_than_an_age_are_freed_and_nothing_younger(filled: Store) -> None:
    old = [shelve(filled, 31 * DAY), backup(filled, 31 * DAY), shelve(filled, 40 * DAY, "a", "researcher")]
    old += [stray(filled, f"b.trajectory.jsonl.bak.{stamp(31 * DAY)}", HOUR)]
    old += [stray(filled, f"c.jsonl.deleted.{stamp(50 * DAY)}.{'0' * 32}.zst", HOUR)]
    # The windows of a session before a reset, and before a compaction.
    old += [shelve(filled, 60 * DAY, how="reset"), stray(filled, f"plain.jsonl.bak.{stamp(60 * DAY)}", 60 * DAY)]
    kept = [shelve(filled, 29 * DAY), backup(filled, 29 * DAY), stray(filled, "x.deleted.yesterday", 60 * DAY)]
    kept += [age(filled.index("researcher"), 60 * DAY)]
    kept[-1].touch()
    folder = filled.folder() / f"dir.jsonl.deleted.{stamp(60 * DAY)}"
    folder.mkdir()
    size = sum(path.stat().st_size for path in old if path.parent == filled.folder())
    answer = clean(filled, *EXPIRE, "30d")
    assert (answer.code, gone(answer, "expired")) == (0, {path.name for path in old})
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (*kept, folder))
    assert summary(answer)["expiredArchives"] == {"removedFiles": 6, "freedBytes": size}
    assert {row["action"] for row in answer.data["results"]} == {"expire-archive"}
    assert answer.data["undo"] is None
    assert {name for each in filled.receipts() for found in each["stores"] for name in found["removes"]} == {
        path.name for path in old
    }


def older(store: Store, seconds: float) -> dict[str, str]:
    """Make every archive and backup of this store look so old by its name; return the new names by the old ones."""
    moved = {}
    for path in [*store.folder().iterdir()]:
        for mark in (".deleted.", ".bak-", ".bak."):
            head, found, _ = path.name.rpartition(mark)
            if found:
                moved[path.name] = path.rename(path.with_name(f"{head}{mark}{stamp(seconds)}")).name
    return moved


def rewrite(store: Store, seconds: float | None, names: dict[str, str] | None = None) -> None:
    """Make the receipts so old, and rename what they speak of."""
    for path in (store.state / "session-closer" / "receipts").iterdir():
        text = path.read_text()
        for was, now in (names or {}).items():
            text = text.replace(was, now)
        data = json.loads(text)
        if seconds is not None:
            data["finishedAt"] = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        path.write_text(json.dumps(data))


@pytest.mark.parametrize("young", [True, False])
def test_what_a_young_receipt_can_restore_is_never_freed(filled: Store, young: bool) -> None:
    kelly = filled.entries()[LEAD + "kelly"]["sessionId"]
    stray(filled, f"{kelly}.trajectory.jsonl", 2 * DAY)
    stray(filled, "one.jsonl", 2 * DAY)
    before = picture(filled)
    assert clean(filled, "--agent", "project-lead", "--stale", "project=1d", "--orphans").code == 0
    changed = older(filled, 40 * DAY)
    assert len(changed) >= 4
    # The stamps are as long as they were, so the offsets in the receipt hold.
    rewrite(filled, 29 * DAY if young else 31 * DAY, changed)
    answer = clean(filled, *EXPIRE, "30d")
    assert answer.code == 0
    if young:
        assert answer.data["results"] == []
        assert run_json(RestoreSessions, "last", state=filled.state).code == 0
        assert picture(filled) == before
    else:
        assert gone(answer, "expired") == set(changed.values())


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("hours", [-2, 2])
def test_a_receipt_that_names_no_zone_is_as_old_in_all(
    filled: Store, monkeypatch: pytest.MonkeyPatch, zone: str, hours: int
) -> None:
    assert clean(filled, "--agent", "project-lead", "--stale", "project=1d").code == 0
    rewrite(filled, 30 * DAY + hours * 3600, older(filled, 40 * DAY))
    for path in (filled.state / "session-closer" / "receipts").iterdir():
        path.write_text(json.dumps({**(data := json.loads(path.read_text())), "finishedAt": data["finishedAt"][:-1]}))
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        answer = clean(filled, *EXPIRE, "30d")
    time.tzset()
    assert (answer.code, bool(gone(answer, "expired"))) == (0, hours > 0)


def test_what_a_damaged_receipt_says_harms_nobody(filled: Store) -> None:
    clean(filled, "--agent", "researcher")
    old = shelve(filled, 40 * DAY)
    folder = filled.state / "session-closer" / "receipts"
    (good,) = folder.iterdir()
    data = json.loads(good.read_bytes())
    bad: list[tuple[str, Any]] = [("finishedAt", 5), ("finishedAt", "soon"), ("finishedAt", "0001-01-01T00:00:00")]
    for at, (name, value) in enumerate([*bad, ("stores", [{}]), ("format", "else/1")]):
        run_id = data["id"][:-1] + str(at)
        write(folder / f"{run_id}.json", json.dumps({**data, "id": run_id, name: value}))
    answer = clean(filled, *EXPIRE, "30d")
    assert (answer.code, gone(answer, "expired")) == (0, {old.name})


def test_a_backup_of_a_person_is_told_by_its_time(filled: Store) -> None:
    mine = filled.folder() / "sessions.json.bak-before-i-tried"
    write(mine, "{}")
    assert clean(filled, *EXPIRE, "30d").data["results"] == []
    age(mine, 31 * DAY)
    assert gone(clean(filled, *EXPIRE, "30d"), "expired") == {mine.name}


def test_what_a_receipt_names_that_cannot_be_read_is_not_freed(filled: Store) -> None:
    kept, freed = shelve(filled, 40 * DAY, "kept"), shelve(filled, 40 * DAY, "freed")
    folder = filled.state / "session-closer" / "receipts"
    folder.mkdir(parents=True, mode=0o700)
    write(folder / "20200101T000000.000Z-0123abcd.json", json.dumps({"format": "session-closer/9", "x": [kept.name]}))
    assert clean(filled, *EXPIRE, "30d").code == 0
    assert (kept.exists(), freed.exists()) == (True, False)


def test_a_refusal_of_nothing_but_old_archives_says_that_nothing_was_changed(filled: Store) -> None:
    for number in range(3):
        shelve(filled, 40 * DAY, f"old-{number}")
    refused = run(CleanupSessions, *EXPIRE, "30d", "--max", "2", state=filled.state)
    assert (refused.code, refused.stdout.splitlines()[1].partition(":")[0]) == (3, "nothing changed")
