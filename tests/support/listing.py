"""Stores with sessions of every kind and age, and what list-sessions shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from session_closer.cli.commands.list_sessions import ListSessions

from support.commands import Answer, run_json
from support.keys import LEAD, RESEARCHER
from support.sqlite import Bases
from support.stores import Store

ENVELOPE = {
    "hasMore", "count", "totalCount", "limitApplied", "activeMinutes", "allAgents", "path", "ok", "exitCode",
    "operation", "dryRun", "gateway", "warnings", "error", "stores", "sessions",
}  # fmt: skip
# Of each row; the others are there where they are known.
ALWAYS = {"key", "kind", "archived", "pinned", "running"}
ROW = ALWAYS | {
    "agent", "agentId", "label", "displayName", "title", "channel", "sessionId", "updatedAt", "ageSeconds", "createdAt",
    "status", "model", "modelProvider", "inputTokens", "outputTokens", "totalTokens", "contextTokens", "parentKey",
    "spawnedBy", "transcriptBytes", "protected",
}  # fmt: skip
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
# Key, ms since the last update (None: nobody knows), kind, why it stays.
KNOWN: list[tuple[str, int | None, str, str | None]] = [
    (LEAD + "main", MINUTE, "main", "main"),
    (LEAD + "alpha", 30 * MINUTE, "project", None),
    (LEAD + "subagent:2b1c", 3 * HOUR, "subagent", "pinned"),
    (LEAD + "cron:nightly", 4 * HOUR, "cron", "cron"),
    (LEAD + "cron:nightly:run:7f3a", 25 * HOUR, "cron-run", None),
    (LEAD + "telegram:group:-100", 2 * DAY, "group", "group"),
    (RESEARCHER + "hook:mail", 10 * DAY, "hook", None),
    (RESEARCHER + "acp:one", None, "acp", None),
]
KEYS = [key for key, _, _, _ in KNOWN]


def listed(store: Store, *words: str) -> Answer:
    """List; the answer, whose members are always the same."""
    answer = run_json(ListSessions, *words, state=store.state)
    data = answer.data
    assert set(data) == ENVELOPE
    assert (data["operation"], data["dryRun"], data["exitCode"]) == ("list-sessions", False, answer.code)
    assert data["ok"] is (answer.code == 0) is (data["error"] is None)
    assert all(ALWAYS <= set(row) <= ROW and None not in row.values() for row in data["sessions"])
    assert all(set(each) == {"agent", "agentId", "path", "era"} for each in data["stores"])
    assert data["hasMore"] is (data["totalCount"] > len(data["sessions"]) == data["count"])
    return answer


def keys_of(answer: Answer) -> list[str]:
    return [row["key"] for row in answer.data["sessions"]]


def row_of(answer: Answer, key: str) -> dict[str, Any]:
    """Return the row of a session, None for what is left out."""
    (found,) = [row for row in answer.data["sessions"] if row["key"] == key]
    return {**dict.fromkeys(ROW), **found}


def empty(state: Path, port: int) -> Store:
    """Return a state directory without any session."""
    store = Store(state, port)
    store.configure()
    return store


def fill_files(store: Store, now: int) -> None:
    for key, age, _, _ in KNOWN:
        agent = key.split(":")[1]
        more = {"status": "done", "model": "gpt-5"} if key == LEAD + "alpha" else {}
        more |= {"pinnedAt": now} if "subagent" in key else {}
        updated = "yesterday" if age is None else now - age
        store.add((key, store.session(key, agent=agent, **{**more, "updatedAt": updated})), agent=agent)


def fill_database(store: Store, now: int) -> None:
    bases = Bases(store)
    for agent in ("project-lead", "researcher"):
        bases.create(agent)
    for key, age, _, _ in KNOWN:
        more = {"status": "done", "model": "gpt-5"} if key == LEAD + "alpha" else {}
        bases.add(key, pinned_at=now if "subagent" in key else None, **more)
        updated = 0 if age is None else now - age
        with bases.open(key.split(":")[1]) as connection:
            connection.execute("update session_nodes set updated_at = ? where session_key = ?", (updated, key))


FILL = {"files": fill_files, "sqlite": fill_database}
