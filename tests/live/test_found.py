"""What OpenClaw itself has deleted or reset is found, and comes back with its whole history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .gateway import Rpc
from .lab import Lab, create, run
from .snapshots import everything

pytestmark = pytest.mark.live

KEY, BESIDE = "agent:project-lead:alpha", "agent:project-lead:alpha-before"
MESSAGES = 3


def said(rpc: Rpc, key: str) -> list[str]:
    """Return what the gateway has of a session, word by word."""
    messages = rpc("chat.history", sessionKey=key)["messages"]
    return [str(part["text"]) for message in messages for part in message["content"]]


def the_find(lab: Lab) -> dict[str, Any]:
    """Return the one session that is found, looked for beside the running gateway: nothing is touched."""
    before = everything(lab)
    answer = run(lab, "restore-sessions", "--found")
    assert everything(lab) == before
    [row] = answer.json["found"]
    assert (answer.code, row["receipt"]) == (0, None)
    return dict(row)


def goes_on(rpc: Rpc, lab: Lab, key: str, before: list[str]) -> None:
    """The history is whole, and the session takes what is said next."""
    assert said(rpc, key) == before
    rpc("chat.inject", sessionKey=key, message="one more")
    assert said(rpc, key) == [*before, "one more"]


@pytest.mark.depth
@pytest.mark.openclaw("2026.7.35")
def test_what_the_gateway_deleted_from_a_file_comes_back_below_it(lab: Lab) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY, messages=MESSAGES)
        before = said(rpc, KEY)
        assert len(before) == MESSAGES
        assert rpc("sessions.delete", key=KEY, deleteTranscript=True)["deleted"] is True
        row = the_find(lab)
        assert (row["key"], row["reason"]) == (None, "deleted")
    with lab.restarting(1):
        restored = run(lab, "restore-sessions", f"found:{row['id']}", "--as", KEY)
    assert (restored.code, restored.statuses()) == (0, {KEY: "restored"}), restored
    with lab.rpc() as rpc:
        goes_on(rpc, lab, KEY, before)
    undone = run(lab, "restore-sessions", Path(str(restored.json["receipt"])).stem)
    assert (undone.code, undone.statuses()) == (0, {KEY: "closed"}), undone


@pytest.mark.openclaw("2026.5.7")
def test_what_was_there_before_a_reset_comes_back_beside_what_has_its_file_name_now(lab: Lab) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY, messages=MESSAGES)
        before = said(rpc, KEY)
        rpc("sessions.reset", key=KEY)
        rpc("chat.inject", sessionKey=KEY, message="after it")
        row = the_find(lab)
        assert row["reason"] == "reset"
    with lab.restarting(1):
        restored = run(lab, "restore-sessions", f"found:{row['id']}", "--as", BESIDE)
    assert (restored.code, restored.statuses()) == (0, {BESIDE: "restored"}), restored
    with lab.rpc() as rpc:
        goes_on(rpc, lab, BESIDE, before)
        assert said(rpc, KEY) == ["after it"]


@pytest.mark.openclaw("2026.9.6")
def test_what_the_gateway_deleted_from_a_database_comes_back(lab: Lab) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, KEY, messages=MESSAGES)
        before, transcript = said(rpc, KEY), lab.store.said("project-lead", KEY)
        assert len(before) == MESSAGES
        assert rpc("sessions.delete", key=KEY, deleteTranscript=True)["deleted"] is True
        row = the_find(lab)
        assert (row["key"], row["reason"], row["settings"]) == (KEY, "deleted", False)
        # A new session took its key.
        create(rpc, KEY)
        refused = run(lab, "restore-sessions", f"found:{row['id']}", "--check")
        assert (refused.code, refused.statuses()) == (1, {KEY: "conflict"}), refused
    # The database alone has it.
    Path(row["archive"]).unlink()
    lab.stop()
    restored = run(lab, "restore-sessions", f"found:{row['id']}", "--as", BESIDE)
    assert (restored.code, restored.statuses()) == (0, {BESIDE: "restored"}), restored
    assert not [warning for warning in restored.json["warnings"] if "changed the entry" in warning]
    assert lab.store.said("project-lead", BESIDE) == transcript
    lab.start()
    with lab.rpc() as rpc:
        goes_on(rpc, lab, BESIDE, before)
    undone = run(lab, "restore-sessions", Path(str(restored.json["receipt"])).stem)
    assert (undone.code, undone.statuses()) == (0, {BESIDE: "archived"}), undone
