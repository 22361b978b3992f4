"""An agent that closes its own session: everything else at once, its own when its turn has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .gateway import wait_until
from .lab import Lab, create, end_run, run, start_run
from .snapshots import change, digests, rows

pytestmark = pytest.mark.live

ME = "agent:project-lead:project-me"
OTHER = "agent:project-lead:project-other"
STAYS = "agent:project-lead:main"
# The process looks every two seconds.
LOOKS = 3


@pytest.mark.depth("2026.5.7")
def test_the_own_session_is_closed_when_its_run_has_ended_and_not_before(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ME, OTHER, STAYS)
        start_run(rpc, shared, "project-lead", ME)
        session_id = str(shared.entries("project-lead")[ME]["sessionId"])
        with shared.restarting(0):
            result = run(shared, "close-project-batch", "--delete", "--self", ME, "me", "other")
            assert (result.code, result.statuses()) == (0, {ME: "deferred", OTHER: "closed"}), result
            receipt = Path(str(result.json["receipt"]))
            record = shared.state / "session-closer" / "open" / receipt.stem / "record.json"
            assert OTHER not in rows(rpc)
            assert record.is_file()

            # A run in flight is looked at again and again, and left alone.
            refused = [run(shared, "close-project", "--delete", "me") for _ in range(LOOKS)]
            assert {one.rows[ME]["reason"] for one in refused} == {"running"}
            assert record.is_file()
            assert shared.entries("project-lead")[ME]["sessionId"] == session_id
            assert shared.store.remains("project-lead", session_id)

            end_run(rpc, shared, "project-lead", ME)
            wait_until(lambda: receipt.is_file() and not record.exists(), 60, "the receipt")
        ended = {row["key"]: row for row in json.loads(receipt.read_bytes())["results"]}[ME]
        assert (ended["status"], ended["route"], ended["error"]) == ("closed", "gateway", None)
        assert ME not in rows(rpc)
        assert ME not in shared.entries("project-lead")
        assert not shared.store.remains("project-lead", session_id)
        own = json.loads(Path(str(ended["receipt"])).read_bytes())
        assert [session["key"] for store in own["stores"] for session in store["sessions"]] == [ME]
        assert STAYS in rows(rpc)
    files = digests(shared)
    assert any(session_id in path and ".deleted." in path for path in files)
    assert change(files, digests(shared)).archived == {}


@pytest.mark.depth
@pytest.mark.openclaw("files")
def test_the_own_session_is_closed_by_the_file_after_the_last_write_of_its_run(shared: Lab) -> None:
    with shared.restarting(1):
        with shared.rpc() as rpc:
            create(rpc, ME, STAYS)
            start_run(rpc, shared, "project-lead", ME)
            session_id = str(shared.entries("project-lead")[ME]["sessionId"])
            result = run(shared, "close-project", "--via", "files", "--self", ME, "me")
            assert (result.code, result.statuses()) == (0, {ME: "deferred"}), result
            receipt = Path(str(result.json["receipt"]))
            end_run(rpc, shared, "project-lead", ME)
        wait_until(receipt.is_file, 180, "the receipt")
    data = json.loads(receipt.read_bytes())
    (ended,) = data["results"]
    assert (ended["status"], ended["route"], ended["error"]) == ("closed", "files", None)
    assert data["restart"]["result"] == "restarted"
    with shared.rpc() as rpc:
        assert ME not in rows(rpc)
    assert ME not in shared.entries("project-lead")
    assert not shared.store.remains("project-lead", session_id)
