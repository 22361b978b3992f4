"""What is said of a gateway that is slow, that has gone, or that could not be restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.core.status import Life
from session_closer.openclaw.gateway import client, connection, link
from session_closer.openclaw.gateway.find import Found
from support.commands import run_json
from support.gateway import StubGateway, StubOpenClaw, stub_gateway
from support.keys import LEAD
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store, build

TOPICS, ALPHA = LEAD + "topics", LEAD + "alpha"
AGAIN = "then the same command again: it finishes what was begun"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StubGateway]:
    """A gateway that nobody else waits for while it is slow."""
    folder = tmp_path / "own"
    folder.mkdir()
    with stub_gateway(folder) as made:
        yield made


@pytest.fixture
def slow(tmp_path: Path, own: StubGateway, monkeypatch: pytest.MonkeyPatch) -> Bases:
    """Databases whose gateway needs longer for the second deletion than a call may take."""
    made = build_sqlite(Store(tmp_path / "state", own.port))
    own.serve(made.store.state, TOKEN)
    own.tell(faults=[{"method": "sessions.delete", "call": [2], "do": "wait", "seconds": 30}])
    monkeypatch.setattr(client, "CALL_SECONDS", 1.5)
    return made


@pytest.mark.long
def test_of_a_slow_gateway_it_is_said_what_was_waited_for_how_long_and_that_it_runs(
    slow: Bases, own: StubGateway
) -> None:
    answer = run_json(CloseProjectBatch, "--delete", "alpha", "beta", state=slow.store.state)
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert answer.data["error"]["message"].endswith("sessions.delete: no answer within 1.5 s")
    assert answer.data["error"]["remedy"] == f"the gateway runs, process {own.process.pid}: wait, {AGAIN}"


@pytest.mark.long
def test_of_a_slow_gateway_below_a_file_store_it_is_said_that_it_runs(
    tmp_path: Path, own: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build(tmp_path / "state", own.port)
    own.serve(store.state, TOKEN, faults=[{"method": "sessions.delete", "do": "wait", "seconds": 30}])
    monkeypatch.setattr(client, "CALL_SECONDS", 1.5)
    answer = run_json(CloseProjectBatch, "topics", state=store.state)
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "no answer within 1.5 s" in answer.data["error"]["message"]
    assert "gateway start" not in answer.data["error"]["remedy"]


@pytest.mark.long
def test_a_gateway_that_lets_nobody_in_yet_is_not_said_to_refuse(
    tmp_path: Path, own: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_sqlite(Store(tmp_path / "state", own.port))
    own.serve(made.store.state, TOKEN, faults=[{"method": "connect", "do": "wait", "seconds": 30}])
    monkeypatch.setattr(link, "_CONNECT_SECONDS", 1.5)
    answer = run_json(CloseProjectBatch, "alpha", state=made.store.state)
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert answer.data["error"]["message"].endswith(": connect: no answer within 1.5 s")
    assert answer.data["error"]["remedy"] == f"env OPENCLAW_STATE_DIR={made.store.state} openclaw gateway status"


@pytest.mark.parametrize(
    ("found", "first"),
    [
        (Found(Life.UP, 7), "the gateway runs, process 7: wait"),
        (Found(Life.DOWN), "env OPENCLAW_STATE_DIR={state} openclaw gateway start"),
        (Found(Life.UNKNOWN), "env OPENCLAW_STATE_DIR={state} openclaw gateway status"),
    ],
)
def test_what_to_do_about_a_gateway_that_stopped_answering_depends_on_whether_it_runs(
    tmp_path: Path, stub: StubGateway, found: Found, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "drop-before"}])
    seen: list[Found] = []
    real = connection.find

    def look(home: object) -> Found:
        seen.append(real(home) if not seen else found)  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(connection, "find", look)
    answer = run_json(CloseProjectBatch, "--delete", "alpha", state=made.store.state)
    assert (answer.code, answer.data["error"]["remedy"]) == (6, f"{first.format(state=made.store.state)}, {AGAIN}")


@pytest.mark.parametrize("life", ["mute", "down"])
def test_nobody_is_told_to_start_a_gateway_that_runs(
    served: Store, stub: StubGateway, life: str, closed_port: int
) -> None:
    if life == "mute":
        stub.tell(refuse="connect")
    else:
        served.port = closed_port
        served.configure()
        assert stub.lock is not None
        stub.lock.unlink()
    answer = run_json(CloseProjectBatch, "topics", "--via", "gateway", state=served.state)
    assert answer.code == 6
    first = {"mute": "gateway status", "down": "gateway start"}[life]
    called = f"env OPENCLAW_STATE_DIR={served.state} openclaw"
    assert answer.data["error"]["remedy"] == f"{called} {first}, or leave out --via gateway"


# A restart that did not happen


@pytest.mark.parametrize(
    ("stale", "noticed"),
    [
        ((), "it has noticed already, and lists none of them"),
        ((TOPICS,), "it still lists 1 of the 2 closed"),
    ],
)
def test_a_gateway_that_no_service_runs_is_restarted_where_it_was_started(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway, stale: tuple[str, ...], noticed: str
) -> None:
    openclaw.answers("restart", {"ok": True, "result": "not-loaded", "message": "Gateway service not loaded."})
    stub.tell(ghosts=[{"key": key, "hasActiveRun": False} for key in stale])
    answer = run_json(CloseProjectBatch, "topics", "alpha", "--via", "files", state=served.state)
    assert (answer.code, dict(answer.rows)) == (1, {TOPICS: "closed", ALPHA: "closed"})
    where = f"no service runs the gateway, process {stub.process.pid}: restart it where you started it"
    assert answer.data["restart"]["detail"] == f"{where}; {noticed}"


@pytest.mark.parametrize("code", [0, 1])
def test_what_has_just_failed_is_no_remedy(served: Store, openclaw: StubOpenClaw, code: int) -> None:
    openclaw.answers("restart", {"ok": False, "error": "no systemd"}, code=code)
    answer = run_json(CloseProjectBatch, "topics", "--via", "files", state=served.state)
    detail = answer.data["restart"]["detail"]
    assert (answer.code, "openclaw gateway restart" in detail) == (1, False)
    assert detail.startswith("no systemd; ")
    assert "restart it where you started it; it has noticed already" in detail


def test_a_gateway_that_cannot_be_asked_whether_it_has_noticed(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway
) -> None:
    openclaw.answers("restart", {"ok": True, "result": "not-loaded"})
    stub.tell(refuse="connect")
    answer = run_json(CloseProjectBatch, "topics", "--via", "files", state=served.state)
    assert answer.data["restart"]["detail"].endswith("; whether it has noticed already cannot be told")
