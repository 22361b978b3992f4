"""A real OpenClaw's own bundles for its support, above its gateway and below it; its sessions stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .lab import Lab, create, run
from .snapshots import settled

pytestmark = pytest.mark.live

AGENT = "project-lead"
KEY, OTHER = f"agent:{AGENT}:project-alpha", f"agent:{AGENT}:beta"
FILES = {"manifest.json", "events.jsonl", "session-branch.json"}


@pytest.mark.depth("2026.9.6")
def test_its_bundle_is_made_above_the_gateway_and_below_it(lab: Lab, tmp_path: Path) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY, OTHER, messages=2)
    settled(lab)
    entries, said = lab.entries(AGENT), lab.store.said(AGENT, KEY)
    (tmp_path / "workspace").mkdir(mode=0o700)
    words = ("export-sessions", "--trajectory", "--workspace", str(tmp_path / "workspace"))
    for name, keys in (("running", (KEY, OTHER)), ("stopped", ("project-alpha", "nowhere"))):
        answer = run(lab, *words, *keys)
        found = answer.json["trajectories"]
        assert [row["key"] for row in found] == [key for key in (KEY, OTHER) if key.endswith(keys)], answer
        assert len(found) + len(answer.json["failed"]) == len(keys)
        assert answer.json["exported"] == []
        for row in found:
            folder = Path(row["path"])
            assert folder.parent == tmp_path / "workspace" / ".openclaw" / "trajectory-exports"
            assert set(row["openclaw"]["files"]) >= FILES, name
            assert json.loads((folder / "manifest.json").read_bytes())["sessionKey"] == row["key"]
            assert row["openclaw"]["eventCount"] == len((folder / "events.jsonl").read_text().splitlines()) > 0
        if name == "running":
            lab.stop()
    assert (lab.entries(AGENT), lab.store.said(AGENT, KEY)) == (entries, said)


@pytest.mark.depth
def test_a_name_is_taken_once_and_then_it_says_so(lab: Lab, tmp_path: Path) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY)
    settled(lab)
    lab.stop()
    words = ("export-sessions", "--trajectory", "--workspace", str(tmp_path), "--name", "for-support", KEY)
    first = run(lab, *words)
    assert (first.code, len(first.json["trajectories"])) == (0, 1), first
    assert Path(first.json["trajectories"][0]["path"]).name == "for-support"
    again = run(lab, *words)
    assert (again.code, again.json["trajectories"]) == (1, []), again
    [row] = again.json["failed"]
    assert row["error"].startswith("openclaw has made no bundle: ")
    assert "\n" not in row["error"]
