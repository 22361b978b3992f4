"""Stores with stale, young and durable sessions for the tests of cleanup-sessions, and words about what went."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.core import names as archive_names

from support.commands import Answer, run_json
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import tree, write

HOUR, DAY = 3600.0, 86400.0
READER = "agent:researcher:"
OLD_RUN, YOUNG_RUN = LEAD + "cron:nightly:run:old", LEAD + "cron:nightly:run:young"
OLD_CHILD, YOUNG_CHILD = LEAD + "subagent:old", LEAD + "subagent:young"
READER_RUN, BARE_RUN = READER + "cron:weekly:run:old", "cron:bare:run:1"
STALE = {OLD_RUN, OLD_CHILD, READER_RUN, BARE_RUN}
CHECKPOINT = f".checkpoint.{session_id('checkpoint')}.jsonl"
# What no policy may take, and why it is spared.
DURABLE = {
    LEAD + "main": "main",
    LEAD + "telegram:direct:4711": "direct",
    LEAD + "telegram:group:-100": "group",
    LEAD + "slack:channel:c1": "channel",
    LEAD + "telegram:group:-100:topic:7": "thread",
    LEAD + "cron:nightly": "cron",
    LEAD + "main:heartbeat": "heartbeat",
}
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


def ago(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)


def stamp(seconds: float) -> str:
    return archive_names.stamp(datetime.now(UTC) - timedelta(seconds=seconds))


def age(path: Path, seconds: float) -> Path:
    """Give a file the time it would have if it was last written so long ago."""
    moment = time.time() - seconds
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def put(store: Store, key: str, seconds: float, agent: str = "project-lead", **more: Any) -> str:
    """Add a session that was idle for so long; return its id."""
    entry = store.session(key, agent=agent, **{"updatedAt": ago(seconds), **more})
    store.add((key, entry), agent=agent)
    return str(entry["sessionId"])


def stray(store: Store, name: str, seconds: float, agent: str = "project-lead") -> Path:
    return age(store.transcript(name, agent), seconds)


def shelve(store: Store, seconds: float, name: str = "gone", agent: str = "project-lead", how: str = "deleted") -> Path:
    """Write an archive that was made so long ago; its own time is older still."""
    return stray(store, f"{name}.jsonl.{how}.{stamp(seconds)}", seconds + 90 * DAY, agent)


def backup(store: Store, seconds: float, agent: str = "project-lead") -> Path:
    path = store.folder(agent) / f"sessions.json.bak-{stamp(seconds)}"
    write(path, "{}")
    return age(path, seconds)


def fill(store: Store) -> Store:
    """Replace the sample by three agents with stale, young and durable sessions, each with a transcript."""
    for agent in ("project-lead", "researcher", "main"):
        shutil.rmtree(store.folder(agent))
        put(store, f"agent:{agent}:main", 400 * DAY, agent)
    for key in DURABLE:
        put(store, key, 400 * DAY)
    put(store, OLD_RUN, 25 * HOUR)
    put(store, YOUNG_RUN, 23 * HOUR)
    put(store, OLD_CHILD, 300 * HOUR)
    put(store, YOUNG_CHILD, HOUR)
    put(store, BARE_RUN, 25 * HOUR)
    put(store, LEAD + "kelly", 400 * DAY)
    put(store, LEAD + "hook:mail", 400 * DAY)
    put(store, LEAD + "subagent:pinned", 300 * HOUR, pinnedAt=ago(DAY))
    put(store, READER_RUN, 25 * HOUR, "researcher")
    put(store, READER + "kelly", 400 * DAY, "researcher")
    return store


def clean(store: Store, *words: str) -> Answer:
    return run_json(CleanupSessions, *words, state=store.state)


def gone(answer: Answer, status: str = "closed") -> set[str]:
    assert {row["status"] for row in answer.data["results"]} <= {status}, answer.data["results"]
    return {row["key"] or row["input"] for row in answer.data["results"]}


def all_keys(store: Store) -> set[str]:
    return {key for agent in ("project-lead", "researcher", "main") for key in store.listed(agent)}


def summary(answer: Answer, agent: str = "project-lead") -> dict[str, Any]:
    (found,) = [each for each in answer.data["stores"] if each["agent"] == agent]
    return dict(found)


def actions(answer: Answer) -> set[tuple[str, str, str]]:
    return {(row["agent"], row["key"] or row["input"], row["action"]) for row in answer.data["results"]}


def unchanged(store: Store, *words: str, code: int, said: str = "") -> Answer:
    """Run; nothing may have changed, not even a time, and the complaint is one line."""
    before = tree(store.state)
    answer = clean(store, *words)
    assert answer.code == code, answer
    assert tree(store.state) == before
    lines = [line for line in answer.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == (answer.error is not None), answer.stderr
    assert said in "".join(lines)
    return answer


def strange(store: Store) -> set[str]:
    """Add rows whose times are none; return their keys."""
    keys = set()
    for name, value in BAD_TIMES.items():
        key = f"{LEAD}cron:odd:run:{name}"
        entry = store.session(key)
        entry.pop("updatedAt")
        store.add((key, entry if value is ... else {**entry, "updatedAt": value}))
        keys.add(key)
    return keys
