"""The stores that the benchmark closes sessions in: entries of a size, each with a small transcript."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
import uuid
from pathlib import Path

AGENT = "main"
# The lines of a real skillsSnapshot of 2026.5.7 are 79 bytes long.
_LINE = "    <description>Use when a session is to be closed, or looked at.</description>\n"
_TRANSCRIPT = '{"type":"session","version":3}\n' + '{"type":"message"}\n' * 20


def build(made: Path, final: Path, sessions: int, entry_bytes: int) -> list[str]:
    """Write a state directory, as it is to be used at `final`; return the ids of its sessions, in file order.

    The session keys are `agent:main:project-<number>`, after that of the main session.
    """
    dice, now = random.Random(7), int(time.time() * 1000)
    folder, real = made / "agents" / AGENT / "sessions", final / "agents" / AGENT / "sessions"
    folder.mkdir(parents=True)
    ids = [str(uuid.UUID(int=dice.getrandbits(128))) for _ in range(sessions)]
    prompt = {"prompt": _LINE * (max(0, entry_bytes - 280) // len(json.dumps(_LINE)))}
    with folder.joinpath("sessions.json").open("w") as file:
        file.write("{")
        for number, session_id in enumerate(ids):
            key = f"agent:{AGENT}:project-{number}" if number else f"agent:{AGENT}:main"
            entry = {
                "sessionId": session_id,
                "updatedAt": now - 60_000 * (sessions - number),
                "sessionFile": str(real / f"{session_id}.jsonl"),
                "status": "done",
                "model": "m",
                "skillsSnapshot": prompt,
            }
            indented = json.dumps(entry, indent=2).replace("\n", "\n  ")
            file.write(f"{',' if number else ''}\n  {json.dumps(key)}: {indented}")
            folder.joinpath(f"{session_id}.jsonl").write_text(_TRANSCRIPT)
        file.write("\n}\n")
    folder.joinpath("sessions.json").chmod(0o600)
    return ids


def place(made: Path, final: Path) -> None:
    """Make the state directory as it was made, where it is to be used; many thousand files are moved once only."""
    if not final.exists():
        shutil.copytree(made, final)
        return
    for records in ("session-closer", "records"):
        shutil.rmtree(final / records, ignore_errors=True)
    for index in made.glob("agents/*/sessions/sessions.json"):
        real = final / index.relative_to(made).parent
        for name in os.listdir(real):
            live, mark, _ = name.partition(".deleted.")
            if mark:
                os.rename(real / name, real / live)
            elif name.startswith("sessions.json"):
                os.unlink(real / name)
        shutil.copy2(index, real)
