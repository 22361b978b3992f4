"""Memory search finds what was said in a closed session, and the command that the result names makes it forget."""

from __future__ import annotations

import json

import pytest

from .lab import Lab, create, run

pytestmark = pytest.mark.live

KEY, OTHER = "agent:project-lead:alpha", "agent:project-lead:beta"


def indexed(lab: Lab) -> list[tuple[int, str]]:
    """Return what a dry run says of the session in the memory index: how many files, and what becomes of them."""
    lab.openclaw("memory", "index", "--agent", "project-lead")
    row = run(lab, "close-project", KEY, "--dry-run", "--delete").rows[KEY]
    return [(int(one["count"]), str(one["note"])) for one in row["effects"] if one["kind"] == "memory"]


@pytest.mark.depth
@pytest.mark.openclaw("2026.9.6")
def test_the_command_that_is_named_takes_a_session_out_of_the_index(lab: Lab) -> None:
    config = json.loads((lab.state / "openclaw.json").read_bytes())
    del config["memory"]
    (lab.state / "openclaw.json").write_text(json.dumps(config))
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY, OTHER, messages=2)
    [(count, note)] = indexed(lab)
    assert count == 1
    words = note.partition("; openclaw ")[2].partition(" makes it forget")[0].split()
    assert words[:2] == ["memory", "forget"]
    done = lab.openclaw(*words)
    assert done.returncode == 0, done
    assert indexed(lab) == []
