"""The stub gateway of the other tests answers as a real one does, call by call, with the rights that we ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway import stub_gateway
from support.sqlite import Bases
from support.stores import Store
from websockets.sync.client import connect

from .gateway import Rpc
from .lab import Lab, create

pytestmark = [pytest.mark.live, pytest.mark.openclaw("sqlite")]

SCOPES = ("operator.read", "operator.write")


def asked(frame: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return what the program reads of an answer, of a list what it says of these sessions."""
    error, payload = frame.get("error") or {}, frame.get("payload") or {}
    sessions = payload.get("sessions")
    return {
        "ok": frame.get("ok"),
        "code": error.get("code"),
        "changed": (error.get("details") or {}).get("reason"),
        "scope": "missing scope" in str(error.get("message")),
        "deleted": payload.get("deleted"),
        "archived": [Path(path).suffix for path in payload.get("archived") or ()],
        "outcomes": [
            (one["key"], one["ok"], (one.get("error") or {}).get("code"), ((one.get("error") or {}).get("details")
             or {}).get("reason"))
            for one in payload.get("outcomes") or ()
        ],
        "listed": sorted(
            (row["key"], row.get("sessionId") is not None, row.get("hasActiveRun"), row.get("archived"))
            for row in (sessions if isinstance(sessions, list) else ())
            if row["key"] in keys
        ),
        "path": Path(str((sessions or {}).get("path", ""))).name if isinstance(sessions, dict) else None,
    }  # fmt: skip


def conversation(ids: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every call that the program makes, and those that it must be refused, as they come in a run."""
    one, two, main, gone = "agent:project-lead:one", "agent:project-lead:two", "agent:project-lead:main", "nobody"
    target = {"key": one, "expectedSessionId": ids[one]}
    absent = {"key": "agent:project-lead:absent", "expectedSessionId": gone}
    listing = {"agentId": "project-lead", "limit": 1_000_000, "includeGlobal": True, "includeUnknown": True}
    delete: dict[str, Any] = {"deleteTranscript": True, "archivedOnly": True}
    yield "health", {}
    yield "sessions.list", listing
    yield "sessions.patchMany", {"targets": [target], "patch": {"archived": True}}
    yield "sessions.list", listing
    yield "sessions.patchMany", {"targets": [target], "patch": {"archived": True}}
    yield "sessions.patchMany", {"targets": [target], "patch": {"archived": False, "pinned": True}}
    yield "sessions.patchMany", {"targets": [target | {"expectedSessionId": gone}, absent], "patch": {"archived": True}}
    yield "sessions.patchMany", {"targets": [target | {"key": f"{one}-{at}"} for at in range(101)], "patch": {}}
    yield "sessions.delete", {"key": one, "expectedSessionId": ids[one], **delete}
    yield "sessions.delete", {"key": two, "expectedSessionId": ids[two], "deleteTranscript": True}
    yield "sessions.patchMany", {"targets": [target], "patch": {"archived": True}}
    yield "sessions.delete", {"key": one, "expectedSessionId": gone, **delete}
    yield "sessions.delete", {"key": one, "expectedSessionId": ids[one], **delete}
    yield "sessions.delete", {"key": one, "expectedSessionId": ids[one], **delete}
    yield "sessions.delete", {"key": one, **delete}
    yield "sessions.delete", {"key": main, "expectedSessionId": ids[main], **delete}
    yield "sessions.list", listing


def test_the_stub_of_the_other_tests_answers_as_a_real_gateway_does(
    shared: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stub has a lock file there, as a gateway has.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    keys = ("agent:project-lead:one", "agent:project-lead:two", "agent:project-lead:main")
    with shared.rpc() as rpc:
        ids = create(rpc, *keys)
    assert shared.gateway is not None
    with shared.gateway.rpc(SCOPES) as rpc:
        real = [(method, asked(rpc.raw(method, **params), keys)) for method, params in conversation(ids)]
    with stub_gateway(tmp_path) as stub:
        bases = Bases(Store(tmp_path / "state", stub.port))
        bases.create("project-lead")
        made = {key: bases.add(key) for key in keys}
        stub.serve(tmp_path / "state", shared.auth["token"])
        with connect(f"ws://127.0.0.1:{stub.port}", compression=None, proxy=None) as connection:
            connection.recv(timeout=10)
            rpc = Rpc(connection, shared.auth, SCOPES)
            stubs = [(method, asked(rpc.raw(method, **params), keys)) for method, params in conversation(made)]
    unlike = [(at, one, other) for at, (one, other) in enumerate(zip(stubs, real, strict=True)) if one != other]
    assert "\n".join(f"call {at}: the stub {one}, OpenClaw {other}" for at, one, other in unlike) == ""
