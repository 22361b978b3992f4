"""Hostile rows and stores: a cleanup neither breaks on them nor takes one by mistake."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from support.cleanup import (
    BARE_RUN,
    DAY,
    EXPIRE,
    LONG_AGO,
    OLD_CHILD,
    OLD_RUN,
    READER_RUN,
    STALE,
    age,
    clean,
    gone,
    shelve,
    stamp,
    stray,
    summary,
    unchanged,
)
from support.commands import Answer, run
from support.keys import LEAD
from support.stores import Store
from support.trees import write

GHOST = "agent:ghost:subagent:x"


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
        GHOST: {"sessionId": "g", "updatedAt": LONG_AGO},
    }
    for agent in ("project-lead", "researcher", "main"):
        filled.index(agent).unlink()
    write(shared, json.dumps(rows, indent=2))
    filled.configure(session={"store": str(shared)})
    answer = clean(filled)
    # Nobody knows whose the bare key is. Of agent ghost there is nothing but what its key says.
    assert (answer.code, gone(answer)) == (0, STALE - {BARE_RUN} | {GHOST})
    assert {(row["agent"], row["key"]) for row in answer.data["results"]} == {
        ("project-lead", OLD_RUN), ("project-lead", OLD_CHILD), ("researcher", READER_RUN), ("ghost", GHOST),
    }  # fmt: skip
    assert set(json.loads(shared.read_bytes())) == set(rows) - STALE - {GHOST} | {BARE_RUN}
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
