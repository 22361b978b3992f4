"""Chat bindings that OpenClaw keeps in a file: its gateway removes them with a session, the undo puts them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab, Result, create, run
from .test_restore import undo

pytestmark = [pytest.mark.live, pytest.mark.openclaw("2026.5.7")]

ALPHA, BETA = "agent:project-lead:project-alpha", "agent:project-lead:beta"


def path(lab: Lab) -> Path:
    return lab.state / "bindings" / "current-conversations.json"


def bind(lab: Lab, **chats: str) -> bytes:
    """Bind chats to sessions as OpenClaw writes it, while no gateway runs; return the bytes of the file."""
    records: list[dict[str, Any]] = [
        {
            "bindingId": f"generic:telegram␟default␟␟{chat}",
            "targetSessionKey": key,
            "targetKind": "session",
            "conversation": {"channel": "telegram", "accountId": "default", "conversationId": chat},
            "status": "active",
            "boundAt": 1000,
            "metadata": {"label": "Käthe"},
        }
        for chat, key in chats.items()
    ]
    path(lab).parent.mkdir(mode=0o700, exist_ok=True)
    path(lab).write_text(json.dumps({"version": 1, "bindings": records}, indent=2, ensure_ascii=False))
    path(lab).chmod(0o600)
    return path(lab).read_bytes()


def bound(lab: Lab) -> dict[str, str]:
    records = json.loads(path(lab).read_bytes())["bindings"]
    return {record["conversation"]["conversationId"]: record["targetSessionKey"] for record in records}


def closed_through_gateway(lab: Lab) -> Result:
    """Close the one session through the gateway, which forgets its binding; the other one stays bound."""
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, ALPHA, BETA)
    closed = run(lab, "close-project", ALPHA)
    (row,) = closed.json["results"]
    assert (row["status"], row["route"]) == ("closed", "gateway"), closed
    assert {(one["kind"], one["action"], one["undo"]) for one in row["effects"]} == {("binding", "removed", "exact")}
    assert bound(lab) == {"two": BETA}
    return closed


def known_to_the_gateway(lab: Lab) -> dict[str, str]:
    """Return the bindings that a gateway has in mind but for the other session's: what it writes when that one goes."""
    assert run(lab, "close-project", BETA).code == 0
    return bound(lab)


def test_a_gateway_that_starts_after_the_undo_knows_the_binding_again(lab: Lab) -> None:
    before = bind(lab, one=ALPHA, two=BETA)
    closed = closed_through_gateway(lab)
    ends_so = path(lab).read_bytes().endswith(b"\n")
    lab.stop()
    back = undo(lab, closed)
    assert (back.code, back.statuses()) == (0, {ALPHA: "restored"}), back
    assert "notRestored" not in back.json["results"][0]
    assert json.loads(path(lab).read_bytes()) == json.loads(before)
    assert path(lab).read_bytes().endswith(b"\n") == ends_so
    lab.start()
    assert known_to_the_gateway(lab) == {"one": ALPHA}


@pytest.mark.depth
def test_an_undo_says_whether_the_gateway_that_it_restarts_knows_the_binding(lab: Lab) -> None:
    bind(lab, one=ALPHA, two=BETA)
    closed = closed_through_gateway(lab)
    assert lab.gateway is not None
    before = lab.gateway.pid
    back = undo(lab, closed)
    assert back.statuses() == {ALPHA: "restored"}, back
    left = [one["kind"] for one in back.json["results"][0].get("notRestored", [])]
    # In a container it restarts within its process, and reads nothing anew.
    expected = (1, ["binding"]) if lab.gateway.pid == before else (0, [])
    assert (back.code, left) == expected
    assert known_to_the_gateway(lab) == ({} if left else {"one": ALPHA})
