"""A session that has all that a version of OpenClaw attaches to one: what a close may take along."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from .gateway import Rpc
from .install import Install
from .lab import Lab, laboratory
from .model import NAME as MODEL
from .model import Asked, Call, Model

AGENT = "project-lead"
WATCHER = f"agent:{AGENT}:watcher"
TURN_SECONDS = 120
INDEX_SECONDS = 240
IGNORED = "ignored.txt"
UNTRACKED = "untracked.txt"
# OpenClaw joins the parts of a binding's key by this.
SEPARATOR = "\u241f"


@contextlib.contextmanager
def furnished(install: Install, keys: Sequence[str]) -> Iterator[Lab]:
    """Give a laboratory with a running gateway, in which each session has all that this version knows."""
    with laboratory(install) as lab, Model(answers) as model:
        _configure(lab, model)
        if _is_old(lab):
            _write_bindings(lab, keys)
        lab.start()
        if not _is_old(lab):
            _insert_rows(lab, keys)
        with lab.rpc() as rpc:
            rpc("sessions.create", key=WATCHER)
            for key in keys:
                _furnish(lab, rpc, key)
            if lab.era == "sqlite":
                rpc("memory.search", query="answered", agentId=AGENT)
        if lab.era == "files":
            done = lab.openclaw("memory", "index", "--agent", AGENT, seconds=INDEX_SECONDS)
            assert done.returncode == 0, done.stderr
        yield lab


def name_of(key: str) -> str:
    """Return the part of a key that names what belongs to the session."""
    return key.rpartition("-")[2]


def answers(_: Asked) -> Generator[Call | str, Asked, None]:
    """Answer whatever is asked."""
    while True:
        yield "answered"


def _is_old(lab: Lab) -> bool:
    """Tell whether a version keeps jobs and bindings in files, and knows neither pins nor worktrees."""
    return lab.install.version == "2026.5.7"


def _configure(lab: Lab, model: Model) -> None:
    path = lab.state / "openclaw.json"
    config = json.loads(path.read_text())
    config["models"]["providers"] = {MODEL: model.provider()}
    config.pop("memory", None)
    search: dict[str, Any] = {"enabled": True, "sources": ["memory", "sessions"]}
    search["experimental"] = {"sessionMemory": True}
    if not _is_old(lab):
        search["provider"] = "none"
    config["agents"]["defaults"] |= {
        "model": {"primary": f"{MODEL}/{MODEL}"},
        "heartbeat": {"every": "0m"},
        "memorySearch": search,
    }
    path.write_text(json.dumps(config))
    repository = lab.workspace(AGENT)
    repository.mkdir()
    (repository / ".gitignore").write_text(f"{IGNORED}\n")
    git = ("git", "-c", "user.name=lab", "-c", "user.email=lab@localhost")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")):
        subprocess.run([*git, *words], cwd=repository, check=True, env={**lab.environ(), "GIT_CONFIG_NOSYSTEM": "1"})


def _furnish(lab: Lab, rpc: Rpc, key: str) -> None:
    more: dict[str, Any] = {} if _is_old(lab) else {"worktree": True}
    rpc("sessions.create", key=key, label=f"Laboratory {name_of(key)}", **more)
    rpc("sessions.create", key=f"agent:{AGENT}:child-{name_of(key)}", parentSessionKey=key)
    turn = rpc("agent", sessionKey=key, message="hello there", idempotencyKey=str(uuid.uuid4()))
    _wait(rpc, turn)
    if not _is_old(lab):
        rpc("sessions.patch", key=key, pinned=True, category="laboratory")
        _write_in_worktree(lab, key)
    for name, enabled in (("on", True), ("off", False)):
        rpc(
            "cron.add",
            name=f"{name}-{name_of(key)}",
            agentId=AGENT,
            enabled=enabled,
            sessionTarget=f"session:{key}",
            wakeMode="now",
            schedule={"kind": "every", "everyMs": 3_600_000},
            payload={"kind": "agentTurn", "message": "report"},
        )
    if lab.era == "sqlite":
        rpc("board.widget.put", sessionKey=key, name="widget", content={"kind": "html", "html": "<p>widget</p>"})
        rpc("progressCard.put", sessionKey=key, markdown="half done")
        _wait(rpc, rpc("chat.send", sessionKey=key, message="/goal start be done", idempotencyKey=str(uuid.uuid4())))


def _wait(rpc: Rpc, turn: dict[str, Any]) -> None:
    ended = rpc("agent.wait", runId=turn["runId"], timeoutMs=TURN_SECONDS * 1000)
    assert ended["status"] == "ok", ended


def worktree(lab: Lab, key: str) -> Path:
    """Return the checkout of a session."""
    path = lab.state / "state" / "openclaw.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        (found,) = connection.execute("select path from worktrees where owner_id = ?", [key]).fetchone()
    return Path(found)


def _write_in_worktree(lab: Lab, key: str) -> None:
    folder = worktree(lab, key)
    for name in (IGNORED, UNTRACKED):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)


def _binding(key: str) -> dict[str, Any]:
    """Return a chat's binding to a session as OpenClaw records it."""
    conversation = {"channel": "webchat", "accountId": "default", "conversationId": f"chat-{name_of(key)}"}
    return {
        "bindingId": f"generic:{SEPARATOR.join(['webchat', 'default', '', conversation['conversationId']])}",
        "targetSessionKey": key,
        "targetKind": "session",
        "conversation": conversation,
        "status": "active",
        "boundAt": 1,
    }


def _write_bindings(lab: Lab, keys: Sequence[str]) -> None:
    path = lab.state / "bindings" / "current-conversations.json"
    path.parent.mkdir(mode=0o700)
    path.write_text(json.dumps({"version": 1, "bindings": [_binding(key) for key in keys]}))
    path.chmod(0o600)


def _insert_rows(lab: Lab, keys: Sequence[str]) -> None:
    """Write bindings and watchers, which only a channel's own messages make, before the gateway first reads them."""
    path = lab.state / "state" / "openclaw.sqlite"
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        for key in keys:
            record = _binding(key)
            row = {
                "binding_key": record["bindingId"].partition(":")[2],
                "binding_id": record["bindingId"],
                "target_session_key": key,
                "channel": "webchat",
                "account_id": "default",
                "conversation_kind": "current",
                "conversation_id": record["conversation"]["conversationId"],
                "target_kind": "session",
                "status": "active",
                "bound_at": record["boundAt"],
                "record_json": json.dumps(record),
                "updated_at": now,
            }
            if lab.era == "files":
                row["target_agent_id"] = AGENT
            _insert(connection, "current_conversation_bindings", row)
            for watcher, target in ((WATCHER, key), (key, WATCHER)) if lab.era == "sqlite" else ():
                cursor = {"watcher_session_key": watcher, "target_session_key": target, "updated_at": now}
                _insert(connection, "session_watch_cursors", cursor)


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))
