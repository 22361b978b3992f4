"""cleanup-sessions over file stores: what goes, what stays, what is only told, and the way back."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names as archive_names
from support.cleanup import (
    BARE_RUN,
    CHECKPOINT,
    DAY,
    DURABLE,
    HOUR,
    OLD_CHILD,
    OLD_RUN,
    READER,
    READER_RUN,
    STALE,
    YOUNG_CHILD,
    YOUNG_RUN,
    actions,
    age,
    ago,
    all_keys,
    backup,
    clean,
    fill,
    gone,
    picture,
    put,
    shelve,
    stamp,
    stray,
    summary,
    unchanged,
)
from support.commands import Answer, run, run_json, run_process
from support.gateway import StubGateway
from support.interrupted import Killed, KilledDisk
from support.keys import LEAD, session_id
from support.programs import LIB
from support.stores import Stage, Store
from support.trees import tree, write

# In 2001: no time of the store is older.
LONG_AGO = 10**12
EXPIRE = ("--only", "expire-archives", "--expire-archives")
ALL_KINDS = ("cron-run", "subagent", "hook", "dreaming", "acp", "probe", "project", "other")
BAD_TIMES: dict[str, Any] = {
    "none": ...,
    "text": "2020-01-01T00:00:00Z",
    "negative": -5,
    "zero": 0,
    "seconds": int(time.time() - 400 * DAY),
    "below": 10**11 - 1,
    "ahead": int((time.time() + 40 * DAY) * 1000),
    "true": True,
    "never": 260_000_000_000_000,
    "huge": 10**400,
    "list": [1],
    "null": None,
}


pytestmark = pytest.mark.usefixtures("no_power_is_cut")


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)


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


@pytest.mark.parametrize(
    ("word", "agent"),
    [
        ("subagent:odl", "project-lead"),
        (LEAD + "subagent:odl", "project-lead"),
        ("agent:nobody:subagent:old", "nobody"),
    ],
)
def test_an_active_key_that_is_not_there_is_said(filled: Store, word: str, agent: str) -> None:
    answer = clean(filled, "--dry-run", "--active-key", word, "--active-key", OLD_RUN)
    assert answer.data["warnings"] == [f"--active-key {word}: agent {agent} has no such session"]


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


def strange(store: Store) -> set[str]:
    keys = set()
    for name, value in BAD_TIMES.items():
        key = f"{LEAD}cron:odd:run:{name}"
        entry = store.session(key)
        entry.pop("updatedAt")
        store.add((key, entry if value is ... else {**entry, "updatedAt": value}))
        keys.add(key)
    return keys


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


# Hostile rows


def test_odd_keys_and_values_neither_break_nor_go_by_mistake(filled: Store) -> None:
    odd: dict[str, Any] = {
        "": {"sessionId": "x", "updatedAt": LONG_AGO},
        LEAD + "cron:a:run:\u2028\x1b[2J": {"sessionId": "y", "updatedAt": LONG_AGO},
        LEAD + "subagent:" + "s" * 3000: {"sessionId": "z", "updatedAt": LONG_AGO},
        "agent:researcher:subagent:foreign": {"sessionId": "w", "updatedAt": LONG_AGO},
        LEAD + "subagent:Twin": {"sessionId": "t1", "updatedAt": LONG_AGO},
        LEAD + "subagent:twin": {"sessionId": "t2", "updatedAt": LONG_AGO},
        LEAD + "subagent:text": "no object",
        LEAD + "subagent:list": [1, 2],
        LEAD + "subagent:outside": {"sessionId": "o", "updatedAt": LONG_AGO, "sessionFile": "/etc/hostname"},
        LEAD + "subagent:up": {"sessionId": "../../etc/passwd", "updatedAt": LONG_AGO},
    }
    filled.add(*odd.items())
    answer = clean(filled)
    assert answer.code == 0
    expected = {key for key in odd if key.startswith(LEAD)} - {LEAD + "subagent:text", LEAD + "subagent:list"}
    assert gone(answer) == STALE | expected
    assert Path("/etc/hostname").exists()
    assert summary(answer)["spared"] == {"pinned": 1, "unknown-age": 2}
    shown = run(CleanupSessions, "--unknown-age-is-old", "--dry-run", state=filled.state)
    assert "\x1b" not in shown.stdout + shown.stderr


def test_what_is_in_the_way_of_a_transcript_is_left_where_it_is(filled: Store, tmp_path: Path) -> None:
    folder = filled.folder()
    target = tmp_path / "elsewhere.jsonl"
    write(target, "theirs")
    for name in ("link", "dir"):
        filled.add((f"{LEAD}subagent:{name}", {"sessionId": name, "updatedAt": LONG_AGO}))
    (folder / "link.jsonl").symlink_to(target)
    (folder / "dir.jsonl").mkdir()
    (folder / "stray-link.jsonl").symlink_to(target)
    (folder / "stray-dir.jsonl").mkdir()
    os.mkfifo(folder / "stray-pipe.jsonl")
    for path in folder.glob("stray-*"):
        age(path, 30 * DAY)
    answer = clean(filled, "--stale", "subagent=24h", "--orphans", "--fix-missing", "--expire-archives", "1h")
    assert answer.code == 0
    assert {f"{LEAD}subagent:link", f"{LEAD}subagent:dir"} <= gone_any(answer)
    assert {path.name for path in folder.glob("stray-*")} == {"stray-link.jsonl", "stray-dir.jsonl", "stray-pipe.jsonl"}
    assert ((folder / "link.jsonl").is_symlink(), (folder / "dir.jsonl").is_dir()) == (True, True)
    assert target.read_text() == "theirs"


def gone_any(answer: Answer) -> set[str]:
    return {row["key"] or row["input"] for row in answer.data["results"] if row["ok"]}


def test_in_one_file_for_all_agents_each_row_is_counted_and_taken_for_its_own_agent(filled: Store) -> None:
    shared = filled.state / "all.json"
    rows = {
        **filled.entries(),
        **filled.entries("researcher"),
        "agent:ghost:subagent:x": {"sessionId": "g", "updatedAt": LONG_AGO},
    }
    for agent in ("project-lead", "researcher", "main"):
        filled.index(agent).unlink()
    write(shared, json.dumps(rows, indent=2))
    filled.configure(session={"store": str(shared)})
    answer = clean(filled)
    # Nobody knows whose the bare key is, and there is no agent ghost.
    assert (answer.code, gone(answer)) == (0, STALE - {BARE_RUN})
    assert {(row["agent"], row["key"]) for row in answer.data["results"]} == {
        ("project-lead", OLD_RUN), ("project-lead", OLD_CHILD), ("researcher", READER_RUN),
    }  # fmt: skip
    assert set(json.loads(shared.read_bytes())) == set(rows) - STALE | {BARE_RUN}
    assert summary(answer, "researcher")["beforeCount"] == 3
    assert summary(answer, "researcher")["afterCount"] == 2
    # The rows of the others do not count against an agent.
    assert clean(filled, "--max-entries", "16").data["results"] == []
    one = clean(filled, "--store", str(shared), "--stale", "other=0s", "--stale", "project=0s", "--dry-run")
    assert {row["agent"] for row in one.data["results"]} == {"project-lead", "researcher"}


def test_a_transcript_of_one_agent_is_no_orphan_of_another_in_one_file_for_all(filled: Store) -> None:
    shared = filled.state / "all.json"
    write(shared, json.dumps({**filled.entries(), **filled.entries("researcher"), **filled.entries("main")}))
    for agent in ("project-lead", "researcher", "main"):
        filled.index(agent).unlink()
        for path in filled.folder(agent).iterdir():
            age(path, 30 * DAY)
    filled.configure(session={"store": str(shared)})
    assert clean(filled, "--only", "orphans").data["results"] == []


def test_archives_beside_one_file_for_all_agents_are_told_once(filled: Store) -> None:
    shared = filled.state / "all.json"
    write(shared, json.dumps({**filled.entries(), **filled.entries("researcher"), **filled.entries("main")}))
    for agent in ("project-lead", "researcher", "main"):
        filled.index(agent).unlink()
    filled.configure(session={"store": str(shared)})
    path = filled.state / f"all.json.bak-{stamp(40 * DAY)}"
    write(path, "{}")
    shutil.rmtree(filled.folder("main"))
    planned = clean(filled, *EXPIRE, "30d", "--dry-run")
    assert gone(planned, "would_expire") == {path.name}
    done = clean(filled, *EXPIRE, "30d")
    assert (done.code, done.error, path.exists()) == (0, None, False)
    assert planned.data["resultsTotal"] == done.data["resultsTotal"] == 1


def test_a_corrupt_store_is_refused_and_told_and_keeps_no_other_from_being_cleaned(filled: Store) -> None:
    raw, orphan = b'{"agent:researcher:main": {', stray(filled, "one.jsonl", 30 * DAY, "researcher")
    shelf = shelve(filled, 90 * DAY, agent="researcher")
    write(filled.index("researcher"), raw)
    words = ("--stale", "cron-run=24h", "--orphans", "--expire-archives", "30d")
    answer = unchanged(filled, "--agent", "researcher", *words, code=3, said=str(filled.index("researcher")))
    assert answer.error == "corrupt_store"
    planned = unchanged(filled, *words, "--dry-run", code=1)
    done = clean(filled, *words)
    for answer, status in ((planned, "would_close"), (done, "closed")):
        assert (answer.code, answer.error) == (1, None)
        assert {(row["agent"], row["key"]) for row in answer.data["results"] if row["status"] == status} == {
            ("project-lead", OLD_RUN), ("project-lead", BARE_RUN),
        }  # fmt: skip
        assert str(filled.index("researcher")) in json.dumps(answer.data["results"])
        assert [row["status"] for row in answer.data["results"] if row["agent"] == "researcher"] == ["failed"]
    assert (filled.index("researcher").read_bytes(), orphan.exists(), shelf.exists()) == (raw, True, True)
    assert filled.backups("researcher") == []


# Rows whose transcript is gone


def test_rows_whose_transcript_is_gone_go_and_nothing_else(filled: Store) -> None:
    keys = [LEAD + "gone", LEAD + "only-companion", LEAD + "just-made", LEAD + "gone-elsewhere", LEAD + "telegram:dm:5"]
    for key in keys:
        put(filled, key, 60.0 if "just" in key else DAY)
    for key in keys:
        Path(filled.entries()[key]["sessionFile"]).unlink()
    companion = filled.transcript(session_id(f"project-lead {LEAD}only-companion") + ".trajectory.jsonl")
    filled.add((keys[3], {**filled.entries()[keys[3]], "sessionFile": "/nowhere/at-all.jsonl"}))
    filled.add((LEAD + "no-id", {"updatedAt": ago(DAY)}))
    topics = put(filled, LEAD + "topics", DAY)
    Path(filled.entries()[LEAD + "topics"]["sessionFile"]).unlink()
    filled.transcript(f"{topics}-topic-4.jsonl")
    answer = clean(filled, "--only", "fix-missing")
    assert gone(answer) == {LEAD + "gone", LEAD + "only-companion"}
    assert {row["action"] for row in answer.data["results"]} == {"prune-missing"}
    assert (summary(answer)["missing"], summary(answer)["spared"]) == (2, {"direct": 1})
    assert not companion.exists()


# Direct messages that dmScope has left behind


DIRECT = [LEAD + tail for tail in ("direct:anna", "telegram:direct:4711", "telegram:work:direct:4711")]
NO_PEER = [LEAD + "telegram:dm:5", LEAD + "subagent:direct:x", LEAD + "hook:direct:y", LEAD + "a:b:c:direct:z"]


@pytest.mark.parametrize("scope", [None, "main", "per-peer", "per-channel-peer", "per-account-channel-peer"])
def test_peers_rows_go_only_where_direct_messages_share_the_main_session(filled: Store, scope: str | None) -> None:
    if scope is not None:
        filled.configure(session={"dmScope": scope})
    for key in (*DIRECT, *NO_PEER):
        put(filled, key, 60)
    put(filled, LEAD + "signal:direct:pinned", 60, pinnedAt=1)
    put(filled, LEAD + "signal:direct:busy", 60)
    put(filled, LEAD + "signal:direct:active", 60)
    put(filled, LEAD + "signal:direct:silent", DAY, spoken=False)
    filled.lock_transcript(LEAD + "signal:direct:busy")
    rules = ("--only", "fix-dm-scope,fix-missing")
    answer = clean(filled, *rules, "--active-key", LEAD + "signal:direct:active")
    assert answer.code == 0
    if scope not in (None, "main"):
        assert answer.data["results"] == []
        assert scope in answer.data["warnings"][0]
        return
    assert gone(answer) == {*DIRECT, LEAD + "signal:direct:silent"}
    assert summary(answer)["dmScopeRetired"] == 4
    assert summary(answer)["spared"] == {"active": 1, "pinned": 1, "running": 1}


def test_a_peer_s_row_goes_by_no_other_rule(filled: Store) -> None:
    put(filled, DIRECT[0], 400 * DAY, spoken=False)
    stale = [word for kind in ALL_KINDS for word in ("--stale", f"{kind}=0s")]
    clean(filled, *stale, "--fix-missing", "--max-entries", "1", "--max-disk", "1", "--yes")
    assert DIRECT[0] in filled.listed()


# Limits


def test_the_oldest_above_a_number_go_and_durable_ones_count(filled: Store) -> None:
    lead = ("--agent", "project-lead", "--only", "max-entries")
    total = len(filled.listed())
    answer = clean(filled, *lead, "--max-entries", str(total - 3))
    # Of the same age, the first in the file goes first.
    assert gone(answer) == {LEAD + "kelly", LEAD + "hook:mail", OLD_CHILD}
    assert {row["action"] for row in answer.data["results"]} == {"cap-overflow"}
    assert (summary(answer)["capped"], summary(answer)["afterCount"]) == (3, total - 3)
    assert clean(filled, *lead, "--max-entries", str(total - 3)).data["results"] == []


def test_what_is_stale_makes_room_before_a_number_does(filled: Store) -> None:
    total = len(filled.listed())
    answer = clean(filled, "--agent", "project-lead", "--stale", "cron-run=24h", "--max-entries", str(total - 2))
    assert actions(answer) == {
        ("project-lead", OLD_RUN, "prune-stale"),
        ("project-lead", BARE_RUN, "prune-stale"),
    }


def test_rows_of_unknown_age_are_not_taken_for_room(filled: Store) -> None:
    keys = strange(filled)
    assert gone(clean(filled, "--max-entries", "1", "--max-disk", "1b", "--only", "max-entries,max-disk")).isdisjoint(
        keys
    )
    assert gone(clean(filled, "--max-entries", "1", "--only", "max-entries", "--unknown-age-is-old")) == keys


def size_of(store: Store, *keys: str) -> int:
    return sum(Path(store.entries()[key]["sessionFile"]).stat().st_size for key in keys)


def weigh(store: Store, key: str, count: int) -> None:
    path = Path(store.entries()[key]["sessionFile"])
    write(path, "x" * count)


def test_the_oldest_go_until_the_transcripts_fit(filled: Store) -> None:
    for key, count in ((LEAD + "kelly", 50_000), (OLD_CHILD, 30_000), (YOUNG_RUN, 9_000)):
        weigh(filled, key, count)
    total = size_of(filled, *filled.listed())
    kelly, hook = LEAD + "kelly", LEAD + "hook:mail"
    limit = total - 50_000 - size_of(filled, hook) - 1
    answer = clean(filled, "--agent", "project-lead", "--max-disk", f"{limit}b", "--only", "max-disk")
    assert gone(answer) == {kelly, hook, OLD_CHILD}
    assert {row["action"] for row in answer.data["results"]} == {"evict-budget"}
    left = size_of(filled, *filled.listed())
    assert summary(answer)["diskBudget"] == {
        "totalBytesBefore": total,
        "totalBytesAfter": left,
        "removedEntries": 3,
        "maxBytes": limit,
        "overBudget": False,
    }
    assert next(row["bytes"] for row in answer.data["results"] if row["key"] == kelly) == 50_000
    tight = clean(filled, "--agent", "project-lead", "--max-disk", "1b", "--only", "max-disk", "--dry-run")
    assert summary(tight)["diskBudget"]["overBudget"] is True


def test_a_transcript_of_two_rows_is_weighed_once(filled: Store) -> None:
    """The template of a cron job and its last run share one: taking the run would free nothing."""
    twin = LEAD + "cron:nightly:run:twin"
    put(filled, twin, 500 * DAY, like=LEAD + "cron:nightly")
    weigh(filled, LEAD + "cron:nightly", 100_000)
    assert clean(filled, "--agent", "project-lead", "--max-disk", "150000b", "--only", "max-disk").data["results"] == []


# Orphans


def test_files_that_no_row_refers_to_are_archived_and_come_back(filled: Store) -> None:
    kelly = filled.entries()[LEAD + "kelly"]["sessionId"]
    for path in filled.folder().glob("*.jsonl"):
        age(path, 30 * DAY)
    alive = [
        stray(filled, f"{kelly}{end}", 30 * DAY)
        for end in ("-topic-4.jsonl", ".trajectory.jsonl", ".trajectory-path.json", CHECKPOINT)
    ]  # fmt: skip
    filled.add((LEAD + "other-name", {"sessionId": "idle", "updatedAt": LONG_AGO, "sessionFile": "named.jsonl"}))
    alive += [stray(filled, "named.jsonl", 30 * DAY), stray(filled, "named-topic-1.jsonl", 30 * DAY)]
    x, y = session_id("x"), session_id("y")
    wanted = [f"{x}.jsonl", f"{x}-topic-1.jsonl", f"{x}.trajectory.jsonl", f"{x}.trajectory-path.json"]
    wanted += [x + CHECKPOINT, f"{y}-topic-9.jsonl"]
    for name in wanted:
        stray(filled, name, 25 * HOUR)
    kept = [stray(filled, "young.jsonl", 23 * HOUR), stray(filled, "notes.txt", 30 * DAY)]
    # One young file of a session keeps the others of it.
    kept += [stray(filled, "half.jsonl", 30 * DAY), stray(filled, "half-topic-1.jsonl", HOUR)]
    kept += [stray(filled, f"z.jsonl.reset.{stamp(90 * DAY)}", 90 * DAY), shelve(filled, 90 * DAY)]
    kept += [stray(filled, "future.jsonl", -30 * DAY), stray(filled, ".hidden.jsonl", 30 * DAY)]
    before, inodes = picture(filled), {name: (filled.folder() / name).stat().st_ino for name in wanted}
    answer = clean(filled, "--only", "orphans")
    assert (answer.code, gone(answer, "archived")) == (0, set(wanted))
    assert all(path.exists() for path in (*alive, *kept))
    for row in answer.data["results"]:
        assert (row["key"], row["action"], row["kind"]) == (None, "archive-orphan", None)
        (archive,) = row["archives"]
        assert not (filled.folder() / row["input"]).exists()
        assert os.stat(archive).st_ino == inodes[row["input"]]
        how = ".bak." if archive_names.is_companion(row["input"]) else ".deleted."
        assert Path(archive).name.startswith(row["input"] + how)
        assert row["bytes"] == os.stat(archive).st_size
    found = summary(answer)["unreferencedArtifacts"]
    assert (found["removedFiles"], found["bytes"]) == (6, sum(row["bytes"] for row in answer.data["results"]))
    assert summary(answer)["beforeCount"] == summary(answer)["afterCount"] == len(filled.listed())
    back = run_json(RestoreSessions, "last", state=filled.state)
    assert (back.code, {row["status"] for row in back.data["results"]}) == (0, {"restored"})
    assert picture(filled) == before


def test_one_file_that_came_back_is_named_by_its_name(filled: Store) -> None:
    for name in ("one", "two"):
        stray(filled, f"{name}.jsonl", 2 * DAY)
    clean(filled, "--only", "orphans")
    back = run_json(RestoreSessions, "last", "two.jsonl", state=filled.state)
    assert (back.code, [row["status"] for row in back.data["results"]]) == (0, ["restored"])
    assert {"two.jsonl"} == {"one.jsonl", "two.jsonl"} & filled.names()
    rest = run_json(RestoreSessions, filled.receipts()[0]["id"], state=filled.state)
    assert {row["input"]: row["status"] for row in rest.data["results"]} == {
        "one.jsonl": "restored",
        "two.jsonl": "already_restored",
    }


def test_a_file_that_is_there_again_is_not_overwritten_by_a_restore(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    clean(filled, "--only", "orphans")
    write(filled.folder() / "one.jsonl", "new")
    back = run_json(RestoreSessions, "last", state=filled.state)
    assert (back.code, [row["status"] for row in back.data["results"]]) == (1, ["conflict"])
    assert (filled.folder() / "one.jsonl").read_text() == "new"


def test_an_age_of_orphans_is_taken_and_a_locked_one_stays(filled: Store) -> None:
    stray(filled, "old.jsonl", 10 * DAY)
    stray(filled, "busy.jsonl", 10 * DAY)
    stray(filled, "busy-topic-1.jsonl", 10 * DAY)
    lock = filled.lock_transcript(LEAD + "kelly")
    lock.rename(filled.folder() / "busy.jsonl.lock")
    assert clean(filled, "--only", "orphans", "--orphans", "2w").data["results"] == []
    assert gone(clean(filled, "--only", "orphans", "--orphans", "9d"), "archived") == {"old.jsonl"}


def test_a_name_too_long_to_be_archived_stays_and_keeps_nothing_else(filled: Store) -> None:
    long = stray(filled, f"long-topic-{'t' * 230}.jsonl", 30 * DAY)
    stray(filled, "short.jsonl", 30 * DAY)
    answer = clean(filled, "--only", "orphans")
    assert (answer.code, gone(answer, "archived")) == (0, {"short.jsonl"})
    assert long.exists()
    unchanged(filled, "--only", "orphans", code=0)


def test_a_closed_session_s_files_are_archived_as_its_own_and_not_as_orphans(filled: Store) -> None:
    for path in filled.folder().glob("*.jsonl"):
        age(path, 30 * DAY)
    answer = clean(filled, "--stale", "cron-run=24h", "--orphans")
    assert gone(answer) == {OLD_RUN, BARE_RUN, READER_RUN}


# Archives


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


# Bad words


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
    real = CleanupSessions._policy

    def noted(self: CleanupSessions, where: Any) -> Any:
        found = real(self, where)
        seen.append({**found[0]._asdict(), "stale": dict(found[0].stale)})
        return found

    monkeypatch.setattr(CleanupSessions, "_policy", noted)
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


# Dry run, limits, words for people and machines


EVERYTHING = ("--stale", "cron-run=24h", "--stale", "subagent=24h", "--orphans", "--fix-missing", "--max-entries", "10",
              "--expire-archives", "30d")  # fmt: skip


def everything(store: Store) -> None:
    stray(store, "one.jsonl", 2 * DAY)
    stray(store, "two.trajectory.jsonl", 2 * DAY, "researcher")
    shelve(store, 40 * DAY)
    backup(store, 40 * DAY, "researcher")
    put(store, LEAD + "silent", DAY, spoken=False)


@pytest.mark.parametrize("life", ["down", "up"])
def test_a_dry_run_changes_nothing_and_the_real_one_does_what_it_said(
    stage: Stage, life: str, stub: StubGateway
) -> None:
    store = fill(stage(life))
    everything(store)
    planned = unchanged(store, *EVERYTHING, "--dry-run", code=0)
    assert (planned.data["dryRun"], planned.data["receipt"], planned.data["undo"]) == (True, None, None)
    done = clean(store, *EVERYTHING)
    assert (done.code, done.data["dryRun"]) == (0, False)
    assert actions(planned) == actions(done)
    assert {action for _, _, action in actions(done)} == {
        "prune-stale", "prune-missing", "cap-overflow", "archive-orphan", "expire-archive",
    }  # fmt: skip
    counted = [
        {name: value for name, value in each.items() if name not in ("backup", "applied", "dryRun")}
        for answer in (planned, done)
        for each in answer.data["stores"]
    ]
    assert counted[:3] == counted[3:]
    if life == "up":
        assert {call["key"] for call in stub.calls("sessions.delete")} == {
            key for _, key, action in actions(done) if key.startswith("agent:") and "e" in action
        }  # fmt: skip


@pytest.mark.parametrize("life", ["down", "up", "mute"])
def test_a_restore_after_a_cleanup_is_the_identity(stage: Stage, life: str) -> None:
    store = fill(stage(life))
    everything(store)
    before, entries = picture(store), {agent: store.entries(agent) for agent in ("project-lead", "researcher")}
    words = [word for word in EVERYTHING if word not in ("--expire-archives", "30d")]
    assert clean(store, *words).code == 0
    assert picture(store) != before
    back = run_json(RestoreSessions, "last", "--no-restart", state=store.state)
    assert back.code == 0, back
    assert {row["status"] for row in back.data["results"]} == {"restored"}
    assert {agent: store.entries(agent) for agent in entries} == entries
    if life == "up":  # its rows come back at the end
        assert {name: found for name, found in picture(store).items() if not name.endswith("sessions.json")} == {
            name: found for name, found in before.items() if not name.endswith("sessions.json")
        }
    else:
        assert picture(store) == before


def test_more_than_max_is_refused_with_the_exact_next_command(filled: Store) -> None:
    stray(filled, "it's.jsonl", 2 * DAY)
    stray(filled, "one.jsonl", 2 * DAY)
    words = ("--orphans", "--stale", "cron-run=24h", "--max", "3", "--reason", "it's late")
    answer = unchanged(filled, *words, code=3)
    assert (answer.error, answer.data["resultsTotal"]) == ("too_many", 4)
    assert "3 sessions and 1 files" in answer.data["error"]["message"]
    assert summary(answer)["applied"] is False
    program = str(LIB.parent / "bin" / "cleanup-sessions")
    ahead, _, command = answer.data["error"]["remedy"].partition(": ")
    assert ahead == "if all of them are meant"
    told = shlex.split(command)
    assert told[0] == "cleanup-sessions"
    done = subprocess.run([program, *told[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["resultsTotal"] == 4
    assert filled.receipts()[0]["reason"] == "it's late"


def test_a_hundred_rows_are_shown_and_all_with_verbose(filled: Store) -> None:
    many = {f"{LEAD}subagent:many-{at}": {"sessionId": f"m{at}", "updatedAt": LONG_AGO} for at in range(140)}
    filled.add(*many.items())
    short = clean(filled, "--dry-run", "--yes")
    assert (len(short.data["results"]), short.data["resultsTotal"]) == (100, 140 + len(STALE))
    whole = clean(filled, "--dry-run", "--yes", "--verbose")
    assert len(whole.data["results"]) == 140 + len(STALE) == whole.data["resultsTotal"]


def test_what_a_person_reads(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    planned = run(CleanupSessions, "--stale", "cron-run=24h", "--orphans", "--dry-run", state=filled.state)
    assert (planned.code, planned.stderr) == (0, "")
    assert planned.stdout.splitlines()[1].startswith("dry run, nothing changed: 3 would close, 1 would archive")
    line = next(line for line in planned.stdout.splitlines() if OLD_RUN in line)
    assert line.split()[:5] == ["would_close", OLD_RUN, "prune-stale", "cron-run", "25h"]
    line = next(line for line in planned.stdout.splitlines() if "one.jsonl" in line)
    assert line.split()[:5] == ["would_archive", "one.jsonl", "archive-orphan", "file", "2d"]
    done = run(CleanupSessions, "--stale", "cron-run=24h", "--orphans", state=filled.state)
    assert "undo     restore-sessions --state-dir" in done.stdout
    assert "agent    project-lead: 15 -> 13 sessions" in done.stdout


def test_one_document_whatever_happens(filled: Store) -> None:
    """run_json wants exactly one; here through the program itself, and where the words are wrong."""
    for words, code in ((("--dry-run",), 0), (("--stale", "main=1h"), 2), (("--max", "1"), 3), ((), 0)):
        done = run_process("cleanup-sessions", "--json", *words, state=filled.state)
        assert done.code == code, done
        assert json.loads(done.stdout)["operation"] == "cleanup-sessions"


# Gateways


@pytest.mark.parametrize(
    ("life", "code"), [("down", 0), ("up", 0), ("mute", 0), ("no-openclaw", 0), ("no-delete", 0), ("unknown", 6)]
)  # fmt: skip
def test_whatever_the_gateway_is_like_the_same_goes_or_nothing(stage: Stage, life: str, code: int) -> None:
    store = fill(stage(life))
    before = all_keys(store)
    planned = unchanged(store, "--dry-run", code=code)
    answer = clean(store)
    if life in ("mute", "no-openclaw", "no-delete"):
        assert answer.code in (0, 1)
    else:
        assert answer.code == code
    assert before - all_keys(store) == (STALE if code == 0 else set())
    assert actions(planned) == actions(answer) or code != 0


def test_what_the_gateway_calls_running_stays(stage: Stage) -> None:
    store = fill(stage("up", active=[OLD_RUN]))
    answer = clean(store)
    assert gone(answer) == STALE - {OLD_RUN}
    assert summary(answer)["spared"] == {"pinned": 1, "running": 1}


def test_via_gateway_without_one_is_6_and_via_files_edits(stage: Stage) -> None:
    store = fill(stage("down"))
    unchanged(store, "--via", "gateway", code=6)
    answer = clean(store, "--via", "files")
    assert {row["route"] for row in answer.data["results"]} == {"files"}


# Interrupted runs


def kill(store: Store, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, *words: str) -> None:
    from session_closer.operations import close

    with monkeypatch.context() as patch:
        patch.setattr(close, "Disk", lambda: KilledDisk(step, after=after))
        with pytest.raises(Killed):
            clean(store, *words)
    assert store.open_runs()


@pytest.mark.parametrize("step", ["exchange", "unlink"])
@pytest.mark.parametrize("other", [False, True])
def test_the_next_changing_command_finishes_what_was_interrupted(
    filled: Store, monkeypatch: pytest.MonkeyPatch, step: str, other: bool
) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    shelve(filled, 40 * DAY)
    words = ("--agent", "project-lead", "--orphans", "--expire-archives", "30d")
    if step == "exchange":
        words = ("--agent", "project-lead")
    kill(filled, monkeypatch, step, True, *words)
    (open_run,) = filled.open_runs()
    looked = unchanged(filled, *words, "--dry-run", code=0)
    assert open_run in " ".join(looked.data["warnings"])
    if other:
        run_json(CloseProject, "kelly", state=filled.state)
    else:
        assert clean(filled, *words).code == 0
    assert filled.open_runs() == []
    assert open_run in {each["id"] for each in filled.receipts()}


def test_an_interrupted_run_of_files_alone_does_not_hold_up_others_where_the_index_has_gone(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray(filled, "one.jsonl", 2 * DAY, "researcher")
    kill(filled, monkeypatch, "rename_exclusive", True, "--agent", "researcher", "--only", "orphans")
    filled.index("researcher").unlink()
    assert gone(clean(filled)) == STALE - {READER_RUN}


def test_a_row_of_another_agent_keeps_a_file_from_being_an_orphan(filled: Store) -> None:
    path = stray(filled, "theirs.jsonl", 3 * DAY)
    stray(filled, "nobodys.jsonl", 3 * DAY)
    filled.add(
        ("agent:main:borrows", {"sessionId": "theirs", "sessionFile": str(path), "updatedAt": LONG_AGO}), agent="main"
    )
    for words in ((), ("--agent", "project-lead")):
        answer = clean(filled, "--only", "orphans", "--dry-run", *words)
        assert [row["input"] for row in answer.data["results"]] == ["nobodys.jsonl"], words


def test_a_policy_is_printed_as_toml_only(filled: Store) -> None:
    answer = clean(filled, "--print-policy")
    assert (answer.code, answer.data["error"]["name"]) == (2, "usage")


def test_a_restore_of_nothing_but_files_offers_no_undo(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    assert clean(filled, "--only", "orphans").data["undo"]
    answer = run_json(RestoreSessions, "last", state=filled.state)
    assert [row["status"] for row in answer.data["results"]] == ["restored"]
    assert answer.data["undo"] is None


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
