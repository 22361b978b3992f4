"""cleanup-sessions of a Hermes: what is old and nobody needs goes, kind by kind, and nothing else does."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.hermes.home import HermesHome
from session_closer.journal import clocks
from session_closer.system.disk import Disk
from support.clock import Ahead, handed
from support.commands import run, run_json
from support.hermes import DAY
from support.leavings import FREE, OPEN, OPTIONAL, OVER, BeforeChanging, Leavings, by_status
from support.terminal import on_terminal

pytestmark = pytest.mark.usefixtures("no_power_is_cut")
DUE = {"session_json": 30, "request_dump": 30, "transcript_jsonl": 30, "delegation_log": 7}
DUE |= {"checkpoint_v1": 14, "checkpoint_legacy": 14}


def test_a_dry_run_changes_nothing_and_says_what_would_go(home: Leavings) -> None:
    paths = home.lay_all(optional=True)
    before = home.tree()
    answer = home.run(CleanupSessions, "--dry-run")
    assert answer.code == 0
    assert by_status(answer) == {"would_archive": sorted(set(paths) - set(OPTIONAL.values()))}
    assert answer.data["putAway"]["count"] == len(FREE)
    assert answer.data["putAway"]["bytes"] == sum(row["bytes"] for row in answer.data["results"]) > 0
    assert answer.data["freed"] == {"count": 0, "bytes": 0}
    assert home.tree() == before
    assert not home.has("session-closer")


def test_a_table_of_files_has_heads_in_a_pipe_and_on_a_terminal(home: Leavings) -> None:
    home.lay_all()
    piped = run(CleanupSessions, "--dry-run", state=home.path)
    assert piped.stdout.splitlines()[2].split() == ["STATUS", "KIND", "AGE", "SIZE", "PATH"]
    drawn = on_terminal("cleanup-sessions", "--dry-run", state=home.path, width=400)
    assert sorted(drawn.words.split()) == sorted((piped.stdout + piped.stderr).split())


def test_what_is_old_is_put_away_within_the_home_and_comes_back_as_it_was(home: Leavings) -> None:
    paths = home.lay_all()
    os.chmod(home.path / FREE["session_json"], 0o640)
    before = home.tree()
    answer = home.run(CleanupSessions)
    assert (answer.code, by_status(answer)) == (0, {"archived": sorted(paths)})
    assert not any(map(home.has, paths))
    assert all(any(f"{put}/".startswith(f"{path}/") for put in home.archived()) for path in paths)
    back = home.run(RestoreSessions, "last")
    assert (back.code, by_status(back)) == (0, {"restored": sorted(paths)})
    assert home.tree() == before
    assert home.archived() == []


@pytest.mark.parametrize("kind", DUE)
def test_each_kind_goes_at_its_age_and_not_before(home: Leavings, kind: str) -> None:
    home.lay_kind(kind, FREE[kind], age=DUE[kind] * DAY - 60)
    answer = home.run(CleanupSessions, "--verbose")
    assert by_status(answer) == {"kept": [FREE[kind]]}
    assert [(row["kind"], row["reason"]) for row in answer.data["results"]] == [(kind, "young")]
    assert answer.data["spared"] == {"young": 1}
    with handed(Ahead(seconds=120)):
        assert by_status(home.run(CleanupSessions)) == {"archived": [FREE[kind]]}


@pytest.mark.skipif(not clocks.uptime().boot, reason="nobody says how long the machine has been up")
def test_what_a_clock_that_was_set_ahead_alone_makes_old_stays(home: Leavings) -> None:
    home.lay_kind("request_dump", FREE["request_dump"])
    assert by_status(home.run(CleanupSessions)) == {"archived": [FREE["request_dump"]]}
    home.lay_kind("request_dump", FREE["request_dump"])
    home.lay_kind("session_json", FREE["session_json"], age=0.0)
    with handed(Ahead(days=40)):
        dry, answer = home.run(CleanupSessions, "--dry-run"), home.run(CleanupSessions)
    assert (dry.code, by_status(dry)) == (0, {"would_archive": [FREE["request_dump"]]})
    assert (answer.code, by_status(answer)) == (0, {"archived": [FREE["request_dump"]]})
    assert home.has(FREE["session_json"])
    [said] = answer.data["warnings"]
    assert said.startswith("1 file or folder stays, which only that makes old enough: the clock was set ahead by ")
    with handed(Ahead(days=80)):
        assert by_status(home.run(CleanupSessions)) == {}


@pytest.mark.parametrize("kind", OPTIONAL)
def test_what_is_off_by_default_goes_where_it_is_named(home: Leavings, kind: str) -> None:
    home.lay_all(optional=True)
    assert by_status(home.run(CleanupSessions, "--kind", kind)) == {"archived": [OPTIONAL[kind]]}
    home.lay_kind(kind, OPTIONAL[kind])
    assert by_status(home.run(CleanupSessions, "--stale", f"{kind}=9d")) == {"archived": [OPTIONAL[kind]]}


def test_checkpoint_names_all_kinds_of_checkpoints(home: Leavings) -> None:
    home.lay_all()
    wanted = [FREE["checkpoint_v1"], FREE["checkpoint_legacy"]]
    assert by_status(home.run(CleanupSessions, "--kind", "checkpoint")) == {"archived": sorted(wanted)}


def test_what_a_session_in_use_has_stays_by_its_name_and_by_what_is_in_it(home: Leavings) -> None:
    by_name = home.lay(f"sessions/session_{OPEN}.json", "{}")
    by_text = home.lay("sessions/session_a copy of it.json", json.dumps({"session_id": OPEN}))
    dump = home.lay("sessions/request_dump_x_20200101_000000_abcdef.json", json.dumps({"session_id": OPEN}))
    transcript = home.lay(f"sessions/{OPEN}.jsonl", "")
    answer = home.run(CleanupSessions, "--verbose")
    stays = (by_name, by_text, dump, transcript)
    assert {row["path"] for row in answer.data["results"]} == set(map(str, stays))
    assert {(row["status"], row["reason"], row["sessionId"]) for row in answer.data["results"]} == {
        ("kept", "open", OPEN)
    }
    assert answer.data["receipt"] is None


def test_an_index_that_cannot_be_read_keeps_everything_and_is_said(home: Leavings) -> None:
    paths = home.lay_all()
    home.lay("sessions/sessions.json", "{")
    answer = home.run(CleanupSessions, "--verbose")
    assert by_status(answer) == {"kept": sorted(paths)}
    assert answer.data["spared"] == {"index": len(paths)}
    assert "sessions.json is no JSON" in "".join(answer.data["warnings"])
    assert answer.code == 0


def test_a_transcript_that_has_more_than_its_row_stays(home: Leavings) -> None:
    path = FREE["transcript_jsonl"]
    home.lay(path, "{}\n" * 3)
    answer = home.run(CleanupSessions, "--verbose")
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("kept", "unsaved")]
    home.lay(path, "{}\n" * 2)
    assert by_status(home.run(CleanupSessions)) == {"archived": [path]}


def test_a_checkpoint_of_a_folder_that_an_open_session_works_in_stays(home: Leavings) -> None:
    home.session("at-work", ended_at=None, age=DAY, cwd="/nowhere/at")
    home.lay_all()
    answer = home.run(CleanupSessions, "--kind", "checkpoint_v1", "--verbose")
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("kept", "workdir")]


def test_the_database_of_a_hermes_that_was_killed_is_read_and_stays_as_it_is(home: Leavings, tmp_path: Path) -> None:
    home.lay_all()
    home.session("late", ended_at=None)
    kept = home.lay("sessions/late.jsonl")
    # Its newest rows are in the -wal alone, and nobody has it open.
    left = tmp_path / "left"
    shutil.copytree(home.path, left)
    before = [(left / f"state.db{side}").read_bytes() for side in ("", "-wal")]
    answer = run_json(CleanupSessions, state=left)
    assert by_status(answer) == {"archived": sorted(FREE.values())}
    assert (left / kept.relative_to(home.path)).exists()
    assert [(left / f"state.db{side}").read_bytes() for side in ("", "-wal")] == before
    assert before[1]


def test_names_that_are_no_sessions_are_never_touched(home: Leavings) -> None:
    never = [
        "sessions/sessions.json", "sessions/SESSION_x.json", "sessions/session_x.json.bak",
        "sessions/saved/session_x.json", "sessions/.sessions_x.tmp", "sessions/.hidden.jsonl",
        "sessions/request_dump_x.json_", "session_x.json",
        "checkpoints/0123456789abcde/HEAD", "checkpoints/0123456789abcdef/HEAD",
        "checkpoints/0123456789abcdee/HERMES_WORKDIR", "checkpoints/legacy-1/x",
        "cache/delegation/live/deleg_XYZ/log", "cache/delegation/deleg_01234567/log", "memories/m.md",
        "skills/s/SKILL.md", "cron/jobs.json", "logs/a.log", "backups/b.zip", "state-snapshots/s/state.db",
        "config.yaml", "processes.json",
    ]  # fmt: skip
    for path in never:
        home.lay(path, "{}")
    (home.path / "sessions" / "session_folder.json").mkdir()
    (home.path / "sessions" / "session_link.json").symlink_to(home.path / "memories" / "m.md")
    home.age("", 60 * DAY)
    before = home.tree()
    options = ("--older-than", "1d", "--max-disk", "1b", "--verbose")
    assert by_status(home.run(CleanupSessions, *options)) == {}
    assert home.tree() == before


@pytest.mark.parametrize("folder", ["sessions", "checkpoints", "cache", "cache/delegation", "spawn-trees"])
def test_a_link_on_the_way_is_never_followed(home: Leavings, tmp_path: Path, folder: str) -> None:
    home.lay_all(optional=True)
    elsewhere = tmp_path / "elsewhere"
    (home.path / folder).rename(elsewhere)
    (home.path / folder).symlink_to(elsewhere)
    before = sorted(each.relative_to(elsewhere) for each in elsewhere.rglob("*"))
    answer = home.run(CleanupSessions, "--older-than", "1d", "--delete")
    assert not any(path.startswith(f"{folder}/") for path in by_status(answer).get("deleted", []))
    assert sorted(each.relative_to(elsewhere) for each in elsewhere.rglob("*")) == before


def test_delete_frees_at_once_and_leaves_a_receipt_that_says_so(home: Leavings) -> None:
    paths = home.lay_all(optional=True)
    free = sorted(set(paths) - set(OPTIONAL.values()))
    assert by_status(home.run(CleanupSessions, "--delete", "--dry-run")) == {"would_delete": free}
    answer = home.run(CleanupSessions, "--delete")
    assert (answer.code, by_status(answer)) == (0, {"deleted": free})
    assert (answer.data["freed"]["count"], answer.data["putAway"]["count"]) == (len(free), 0)
    assert answer.data["undo"] is None
    assert (home.archived(), any(map(home.has, free))) == ([], False)
    assert home.run(RestoreSessions, "last").code == 3
    listed = run(RestoreSessions, "--list", state=home.path)
    assert f"{len(free)} deleted" in listed.stdout


def test_a_deletion_that_has_no_room_for_its_record_changes_nothing(
    home: Leavings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = home.lay_all()
    real = Disk.write

    def full(disk: Disk, descriptor: int, data: memoryview) -> int:
        if not any(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(disk, descriptor, data)

    monkeypatch.setattr(Disk, "write", full)
    answer = home.run(CleanupSessions, "--delete")
    assert (answer.code, answer.error, answer.data["receipt"]) == (1, "storage", None)
    assert answer.data["error"]["message"].startswith("nothing was changed: ")
    assert set(by_status(answer)) == {"would_delete"}
    assert all(map(home.has, paths))
    monkeypatch.undo()
    # Once it has begun, it needs no more.
    assert not os.listdir(home.path / "session-closer" / "open")
    assert home.run(CleanupSessions, "--delete").code == 0


def test_old_archives_are_freed_and_young_ones_stay(home: Leavings) -> None:
    home.lay_all()
    home.run(CleanupSessions)
    put_away = home.archived()
    assert by_status(home.run(CleanupSessions, "--expire-archives", "7d")) == {}
    assert home.archived() == put_away
    home.age_receipts(8 * DAY)
    dry = home.run(CleanupSessions, "--expire-archives", "7d", "--dry-run")
    answer = home.run(CleanupSessions, "--expire-archives", "7d")
    assert [row["status"] for row in dry.data["results"]] == ["would_expire"]
    assert [(row["status"], row["kind"]) for row in answer.data["results"]] == [("expired", "archive")]
    assert answer.data["freed"]["bytes"] == dry.data["freed"]["bytes"] > 0
    assert home.archived() == []
    back = home.run(RestoreSessions, "last")
    assert (back.code, {row["status"] for row in back.data["results"]}) == (1, {"failed"})


def test_the_oldest_go_until_no_more_stays_than_may(home: Leavings) -> None:
    for number in range(4):
        home.lay(f"sessions/session_n{number}.json", "x" * 100, age=(number + 1) * DAY)
    home.lay(f"sessions/session_{OPEN}.json", "x" * 100)
    answer = home.run(CleanupSessions, "--max-disk", "250b")
    assert by_status(answer) == {"archived": [f"sessions/session_n{number}.json" for number in (1, 2, 3)]}
    assert {row["reason"] for row in answer.data["results"]} == {"over_budget"}
    assert answer.data["overBudget"] is False
    assert home.run(CleanupSessions, "--max-disk", "50b").data["overBudget"] is True


def test_what_was_written_to_a_moment_ago_is_taken_by_no_limit(home: Leavings) -> None:
    home.lay("sessions/session_fresh.json", "x" * 100, age=9 * 60)
    home.lay("sessions/session_young.json", "x" * 100, age=11 * 60)
    answer = home.run(CleanupSessions, "--max-disk", "1b", "--verbose")
    assert by_status(answer) == {
        "archived": ["sessions/session_young.json"],
        "kept": ["sessions/session_fresh.json"],
    }
    assert answer.data["overBudget"] is True


def test_the_newest_of_each_kind_stay(home: Leavings) -> None:
    for number in range(3):
        home.lay(f"sessions/session_n{number}.json", age=(60 + number) * DAY)
        home.lay(f"sessions/n{number}.jsonl", age=(60 + number) * DAY)
    answer = home.run(CleanupSessions, "--keep-last", "2")
    assert by_status(answer) == {"archived": ["sessions/n2.jsonl", "sessions/session_n2.json"]}
    assert answer.data["spared"] == {"newest": 4}


def test_more_than_max_is_refused_and_nothing_goes(home: Leavings) -> None:
    paths = home.lay_all()
    for words in (("--dry-run",), ()):
        answer = home.run(CleanupSessions, "--max", "3", *words)
        assert (answer.code, answer.error) == (3, "too_many")
        assert all(map(home.has, paths))
    assert home.run(CleanupSessions, "--max", "3", "--yes").code == 0


def test_a_policy_file_says_what_goes(home: Leavings, tmp_path: Path) -> None:
    home.lay_all(optional=True)
    policy = tmp_path / "policy.toml"
    policy.write_text('keep-last = 1\nmax-disk = "1gb"\n[stale]\nsession_json = "20d"\nspawn_tree = "20d"\n')
    home.lay("sessions/session_older.json", age=70 * DAY)
    home.lay("spawn-trees/older/x", age=70 * DAY)
    home.age("spawn-trees/older", 70 * DAY)
    answer = home.run(CleanupSessions, "--policy", str(policy))
    assert by_status(answer) == {"archived": ["sessions/session_older.json", "spawn-trees/older"]}
    assert answer.data["rules"].startswith(f"policy file {policy}: session_json 20d, spawn_tree 20d, keep-last 1")


def test_a_quiet_run_says_nothing_where_nothing_was_to_be_done(home: Leavings) -> None:
    assert run(CleanupSessions, "--quiet", state=home.path) == (0, "", "")
    home.lay_all()
    lines = run(CleanupSessions, "--quiet", state=home.path).stdout.splitlines()
    assert re.fullmatch(r"[\d,]+ archived, [\d,]+ kept; put away [\d.]+ K?B, freed 0 B now", lines[1])
    assert lines[2].split() == ["STATUS", "KIND", "AGE", "SIZE", "PATH"]
    assert run(CleanupSessions, "--quiet", state=home.path) == (0, "", "")


def test_what_has_come_into_use_or_changed_since_it_was_looked_at_stays(
    home: Leavings, before_changing: BeforeChanging
) -> None:
    home.lay_all()
    other = home.lay("sessions/session_changed.json")
    home.lay("sessions/session_copy.json", json.dumps({"session_id": OVER}))
    folder = home.path / FREE["checkpoint_v1"]

    def meanwhile() -> None:
        home.database.execute("update sessions set ended_at = null where id = ?", (OVER,))
        other.write_text("something new")
        (folder / "objects" / "aa" / "new").write_text("a commit")
        home.age(FREE["checkpoint_v1"], 60 * DAY)

    before_changing(meanwhile)
    answer = home.run(CleanupSessions, "--verbose")
    kept = {row["path"].rpartition("/")[2]: row["reason"] for row in answer.data["results"] if row["status"] == "kept"}
    assert kept == {
        f"session_{OVER}.json": "open",
        f"request_dump_{OVER}_20200101_000000_abcdef.json": "open",
        f"{OVER}.jsonl": "open",
        "session_copy.json": "open",
        "session_changed.json": "changed",
        "0123456789abcdef": "changed",
    }
    assert answer.code == 0


@pytest.mark.parametrize(("kind", "why"), [("checkpoint_v1", "workdir"), ("delegation_log", "pending")])
def test_what_somebody_works_in_or_waits_for_since_it_was_looked_at_stays(
    home: Leavings, before_changing: BeforeChanging, kind: str, why: str
) -> None:
    home.lay_kind(kind, FREE[kind])

    def meanwhile() -> None:
        home.session("at-work", ended_at=None, age=DAY, cwd="/nowhere/at")
        home.delegate("01234567", parent_session_id="at-work", delivery_state="pending")

    before_changing(meanwhile)
    answer = home.run(CleanupSessions, "--verbose")
    assert [(row["kind"], row["status"], row["reason"]) for row in answer.data["results"]] == [(kind, "kept", why)]
    assert home.has(FREE[kind])


def test_of_many_each_is_asked_for_that_has_come_into_use_since_it_was_looked_at(
    home: Leavings, before_changing: BeforeChanging
) -> None:
    home.lay_all()
    other = "checkpoints/fedcba9876543210"
    home.lay_kind("checkpoint_v1", other)

    def meanwhile() -> None:
        home.session("at-work", ended_at=None, age=DAY, cwd="/nowhere/at")
        home.delegate("01234567", parent_session_id="at-work", delivery_state="pending")

    before_changing(meanwhile)
    home.run(CleanupSessions)
    assert all(map(home.has, (FREE["checkpoint_v1"], other, FREE["delegation_log"])))


def test_rows_name_the_owner_where_it_is_known(home: Leavings) -> None:
    home.lay_all()
    home.lay("sessions/session_nobodys.json")
    owners = {row["kind"]: row["sessionId"] for row in home.run(CleanupSessions, "--dry-run").data["results"]}
    assert owners["transcript_jsonl"] == owners["request_dump"] == OVER
    rows = home.run(CleanupSessions, "--dry-run").data["results"]
    assert {row["sessionId"] for row in rows if "nobodys" in row["path"]} == {None}


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_a_run_that_takes_nothing_after_all_has_no_receipt(
    home: Leavings, before_changing: BeforeChanging, words: tuple[str, ...]
) -> None:
    path = home.lay(FREE["session_json"], "{}", age=60 * DAY)
    before_changing(lambda: path.write_text("another"))
    answer = home.run(CleanupSessions, *words)
    assert (answer.code, answer.data["receipt"], answer.data["undo"]) == (0, None, None), answer
    assert path.read_text() == "another"
    ours = home.path / "session-closer"
    assert [each for name in ("receipts", "open", "archives") for each in (ours / name).glob("*")] == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EBUSY])
def test_what_nobody_may_move_or_remove_stays_and_holds_up_nothing_else(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    paths, held = home.lay_all(), os.path.basename(FREE["request_dump"])
    real = {name: getattr(Disk, name) for name in ("move_exclusive", "move", "unlink_in")}

    def hold(name: str) -> None:
        def step(self: Disk, folder: int, path: str, *more: int | str) -> object:
            if path == held:
                raise OSError(number, os.strerror(number), path)
            return real[name](self, folder, path, *more)

        monkeypatch.setattr(Disk, name, step)

    for name in real:
        hold(name)
    rest = sorted(set(paths) - {FREE["request_dump"]})
    answer = home.run(CleanupSessions, "--verbose")
    assert (answer.code, by_status(answer)) == (0, {"archived": rest, "kept": [FREE["request_dump"]]})
    assert answer.data["spared"] == {"immovable": 1}
    assert home.has(FREE["request_dump"])
    held = os.path.basename(FREE["session_json"])
    back = home.run(RestoreSessions, "last")
    assert (back.code, by_status(back)["failed"]) == (1, [FREE["session_json"]])
    assert sorted(by_status(back)["restored"]) == [path for path in rest if path != FREE["session_json"]]
    held = os.path.basename(FREE["request_dump"])
    deleted = home.run(CleanupSessions, "--delete", "--yes", "--verbose")
    assert (deleted.code, by_status(deleted)["kept"]) == (0, [FREE["request_dump"]])
    assert home.has(FREE["request_dump"])


def test_rows_are_in_the_order_of_their_paths_and_their_notes_are_text(
    home: Leavings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"sessions/session_{name}.json" for name in "dacb"]
    for path in paths:
        home.lay(path, "{}", age=60 * DAY)
    real = HermesHome.look
    monkeypatch.setattr(HermesHome, "look", lambda *given: [*reversed(real(*given))])
    for mode in (("--dry-run",), ()):
        answer = home.run(CleanupSessions, *mode)
        assert [row["path"] for row in answer.data["results"]] == [str(home.path / path) for path in sorted(paths)]
    back = run(RestoreSessions, "last", "zz", state=home.path)
    assert "zz  the receipt put nothing of this name away\n" in back.stdout
