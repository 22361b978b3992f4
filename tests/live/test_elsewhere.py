"""Stores that are not where they are by default: what the real gateway writes where, and that all of it is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .lab import Lab, create, run

pytestmark = [pytest.mark.live, pytest.mark.openclaw("files")]
AGENT = "project-lead"
SPOKEN = f"agent:{AGENT}:spoken"


def with_store_elsewhere(lab: Lab) -> Path:
    """Have each agent's index in one folder outside the state directory; return that of one agent."""
    path = lab.state / "openclaw.json"
    data = json.loads(path.read_bytes())
    data["session"]["store"] = str(lab.root / "data" / "{agentId}.json")
    path.write_text(json.dumps(data))
    return lab.root / "data" / f"{AGENT}.json"


@pytest.mark.parametrize("up", [True, pytest.param(False, marks=pytest.mark.depth)])
def test_a_transcript_beside_a_store_elsewhere_goes_and_comes_back(lab: Lab, up: bool) -> None:
    index = with_store_elsewhere(lab)
    lab.start()
    with lab.rpc() as rpc:
        created = create(rpc, SPOKEN)
    if not up:
        lab.stop()
    beside = index.parent / f"{created[SPOKEN]}.jsonl"
    raw = beside.read_bytes()
    listed = run(lab, "list-sessions", "--agent", AGENT).json["sessions"]
    assert {row["key"]: bool(row["transcriptBytes"]) for row in listed}[SPOKEN]
    done = run(lab, "close-project", "--session-key", SPOKEN, *(("--via", "gateway") if up else ()))
    assert done.statuses() == {SPOKEN: "closed"}, done.stderr
    [archive] = done.rows[SPOKEN]["archives"]
    assert (Path(archive).parent, Path(archive).read_bytes(), beside.exists()) == (index.parent, raw, False)
    back = run(lab, "restore-sessions", "last")
    assert back.statuses() == {SPOKEN: "restored"}, back.stderr
    assert beside.read_bytes() == raw
