"""Exporting: every event of a real OpenClaw is in the folder, and what was closed comes back out of it as it was."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .install import BETWEEN
from .lab import Lab, Result, create, run
from .snapshots import settled
from .stores import CAPTURE

pytestmark = pytest.mark.live

AGENT = "project-lead"
KEY, OTHER = f"agent:{AGENT}:project-alpha", f"agent:{AGENT}:beta"
# OpenClaw packs an event of this length where sessions are in a database.
LONG = "what was said at length, “ñ” and 日本 — " * 300


def furnish(lab: Lab) -> None:
    """Have a session that was reset once and then said long and short things, and another one."""
    with lab.rpc() as rpc:
        create(rpc, KEY, OTHER, messages=2)
        rpc("sessions.reset", key=KEY)
        for number in range(3):
            rpc("chat.inject", sessionKey=KEY, message=f"message {number} of {KEY}")
            rpc("chat.inject", sessionKey=KEY, message=f"{number} {LONG}")
    if lab.era == "files":
        lab.add_companions(AGENT, KEY)
    settled(lab)


def exported(answer: Result, key: str = KEY) -> Path:
    """Return the folder of a session that was exported, its hashes checked by somebody else."""
    assert answer.code == 0, answer
    [row] = [row for row in answer.json["exported"] if row["key"] == key]
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=row["path"], check=True)
    return Path(str(row["path"]))


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a transcript."""
    return [json.loads(line) for line in text.splitlines()]


def test_every_event_is_in_the_folder_with_the_gateway_running_and_stopped(lab: Lab, tmp_path: Path) -> None:
    lab.start()
    furnish(lab)
    for name in ("running", "stopped"):
        folder = exported(run(lab, "export-sessions", KEY, OTHER, "--output", str(tmp_path / name)))
        text = (folder / "transcript.jsonl").read_text()
        assert events(text) == events(lab.store.said(AGENT, KEY))
        assert len(events(text)) > 6
        assert LONG in json.dumps(events(text), ensure_ascii=False)
        row = json.loads((folder / "entry.json").read_bytes())
        row.pop(CAPTURE, None)
        assert row == lab.entries(AGENT)[KEY]
        page = (folder / "transcript.md").read_text()
        assert all(f"> message {number} of {KEY}" in page for number in range(3))
        if lab.era == "files":
            assert (folder / "transcript.jsonl").read_bytes() == lab.transcript(AGENT, KEY).read_bytes()
        # In a database the transcript goes on; a version in between does not note whose it was before a reset.
        if lab.era == "sqlite":
            assert "## reset" in page
            assert f"> message 0 of {KEY}" in page.partition("## reset")[0]
        elif lab.install.version not in BETWEEN:
            assert any(f"message 0 of {KEY}" in path.read_text() for path in (folder / "windows").iterdir())
        if name == "running":
            lab.stop()


@pytest.mark.depth("2026.5.7", "2026.7.35")
def test_what_was_closed_comes_back_from_its_folder_as_it_was(lab: Lab, tmp_path: Path) -> None:
    lab.start()
    furnish(lab)
    entry, text = lab.entries(AGENT)[KEY], lab.store.said(AGENT, KEY)
    words = ["--export", str(tmp_path / "out"), *(["--delete"] if lab.era == "sqlite" else [])]
    if lab.era == "files":
        lab.stop()
    closed = run(lab, "close-project-batch", KEY, *words)
    folder = exported(closed)
    assert KEY not in lab.entries(AGENT)
    # As on another machine, or after years: nothing of it is left but the folder.
    for path in lab.sessions(AGENT).glob("*.deleted.*"):
        path.unlink()
    with contextlib.suppress(RuntimeError):
        lab.stop()
    look = run(lab, "restore-sessions", str(folder), "--check")
    assert (look.code, look.statuses()) == (0, {KEY: "would_restore"}), look
    back = run(lab, "restore-sessions", str(folder))
    assert (back.code, back.statuses()) == (0, {KEY: "restored"}), back
    assert lab.entries(AGENT)[KEY] == entry
    assert events(lab.store.said(AGENT, KEY)) == events(text)
    lab.start()
    with lab.rpc() as rpc:
        assert f"message 2 of {KEY}" in str(rpc("chat.history", sessionKey=KEY)["messages"])
        rpc("chat.inject", sessionKey=KEY, message="one more")
    assert "one more" in lab.store.said(AGENT, KEY)
