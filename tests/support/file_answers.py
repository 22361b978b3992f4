"""What the gateway of OpenClaw 2026.5 does to sessions in files."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.sqlite_answers import No

METHODS = ("sessions.list", "sessions.delete")
DEFAULT_AGENT = "main"
UNSCOPED = "missing scope: operator.admin"


def list_sessions(order: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return an agent's rows."""
    rows = []
    for key, entry in store_of(order, params["agentId"]).items():
        row = {"key": key, "status": entry.get("status") if isinstance(entry, dict) else None}
        rows.append(row if order.get("old") else {**row, "hasActiveRun": key in order.get("active", [])})
    rows += [row for row in order.get("ghosts", []) if row["key"].split(":")[1] == params["agentId"]]
    return {"sessions": rows}


def delete(order: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Delete a session as 2026.5 does: bare keys are the default agent's, only its main is protected."""
    if set(params) - {"key", "deleteTranscript"}:
        raise No("invalid sessions.delete params: unexpected property")
    if order.get("refuse") == "delete":
        raise No(UNSCOPED)
    key = params["key"] if params["key"].startswith("agent:") else f"agent:{DEFAULT_AGENT}:{params['key']}"
    if key == f"agent:{DEFAULT_AGENT}:main":
        raise No("Cannot delete the main session")
    agent = key.split(":")[1]
    rows = store_of(order, agent)
    if key not in rows or order.get("lie"):
        return {"ok": True, "key": key, "deleted": False, "archived": order.get("names", [])}
    entry = rows.pop(key)
    folder = Path(order["state"], "agents", agent, "sessions")
    fresh = folder / f"sessions.json.{os.getpid()}.{uuid.uuid4()}.tmp"
    fresh.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    fresh.chmod(0o600)
    fresh.replace(folder / "sessions.json")
    archived = archive(folder, entry) if params["deleteTranscript"] else []
    if "renames" in order:
        archived = [f"{path.rpartition('.deleted.')[0]}.deleted.{order['renames']}" for path in archived]
    return {"ok": True, "key": key, "deleted": True, "archived": archived}


def archive(folder: Path, entry: dict[str, Any]) -> list[str]:
    """Rename the transcripts of an entry; whoever else uses them is not asked."""
    live = {folder / f"{entry['sessionId']}.jsonl", *folder.glob(f"{entry['sessionId']}-topic-*.jsonl")}
    if "sessionFile" in entry:
        live.add(Path(entry["sessionFile"]))
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z"
    archived = []
    for path in sorted(live):
        if path.is_file() and not path.is_symlink():
            shutil.move(path, f"{path}.deleted.{stamp}")
            archived.append(f"{path}.deleted.{stamp}")
    return archived


def store_of(order: dict[str, Any], agent: str) -> dict[str, Any]:
    """Return an agent's entries."""
    path = Path(order["state"], "agents", agent, "sessions", "sessions.json")
    return dict(json.loads(path.read_text())) if path.exists() else {}
