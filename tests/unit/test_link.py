"""The connection to a gateway: what is asked again, for how long, and what every answer means."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import websockets.sync.client
from session_closer.core.status import Life
from session_closer.openclaw.gateway import client, connection
from session_closer.openclaw.gateway.find import Found
from session_closer.openclaw.gateway.link import CallRefused, LinkLost, LinkRefused, SocketLink
from session_closer.openclaw.home import Home
from session_closer.system import clock as machine
from session_closer.system import peers

LATER = {"code": "UNAVAILABLE", "message": "the gateway is starting", "retryable": True}
Script = Callable[[dict[str, Any]], list[Any]]


class Clock(machine.Clock):
    """Time that passes only while somebody sleeps or waits."""

    def __init__(self) -> None:
        self.passed = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.passed += seconds


class Socket:
    """A socket whose other end follows a script: what it says to each request; an exception is raised."""

    def __init__(self, clock: Clock, script: Script) -> None:
        self.clock, self.script = clock, script
        self.asked: list[dict[str, Any]] = []
        self.waiting: list[Any] = []
        self.closed = 0
        self.protocol = SimpleNamespace(max_message_size=0)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def send(self, text: str) -> None:
        self.asked.append(json.loads(text))
        self.waiting = self.script(self.asked[-1])

    def recv(self, timeout: float) -> str:
        if not self.waiting:
            self.clock.passed += timeout
            raise TimeoutError("timed out")
        found = self.waiting.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found if isinstance(found, str) else json.dumps(found)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    line = peers.Line(SimpleNamespace(settimeout=lambda _: None), (b"", 1), (b"", 1))
    monkeypatch.setattr(peers, "dial", lambda *_: line)
    monkeypatch.setattr(peers, "objection", lambda *_, named: "")
    monkeypatch.setattr(peers, "is_elsewhere", lambda _: False)
    return made


@pytest.fixture
def dial(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], tuple[SocketLink, list[Socket]]]:
    """Connect to a gateway that follows a script; return the link and every socket that was opened."""

    def make(script: Script) -> tuple[SocketLink, list[Socket]]:
        sockets: list[Socket] = []

        def connect(url: str, **_: Any) -> Socket:
            sockets.append(Socket(clock, script))
            return sockets[-1]

        monkeypatch.setattr(websockets.sync.client, "connect", connect)
        return SocketLink("ws://127.0.0.1:1", "token", clock=clock), sockets

    return make


Dial = Callable[[Script], tuple[SocketLink, list[Socket]]]


def yes(frame: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return {"type": "res", "id": frame["id"], "ok": True, "payload": payload}


def no(frame: dict[str, Any], error: Any) -> dict[str, Any]:
    return {"type": "res", "id": frame["id"], "ok": False, "error": error}


def hello_then(script: Script, **hello: Any) -> Script:
    return lambda frame: [yes(frame, **hello)] if frame["method"] == "connect" else script(frame)


def times(count: int, error: dict[str, Any]) -> Script:
    """Refuse so many times, then do it."""
    left = [count]

    def script(frame: dict[str, Any]) -> list[Any]:
        left[0] -= 1
        return [no(frame, error)] if left[0] >= 0 else [yes(frame, done=True)]

    return script


def test_a_call_is_asked_again_until_it_is_done(dial: Dial, clock: Clock) -> None:
    made, (socket,) = dial(hello_then(times(3, {**LATER, "retryAfterMs": 500})))
    assert made.call("sessions.delete", {"key": "x"}) == {"done": True}
    assert clock.slept == [0.5] * 3
    assert [frame["params"] for frame in socket.asked[1:]] == [{"key": "x"}] * 4
    assert len({frame["id"] for frame in socket.asked}) == 5


@pytest.mark.parametrize(
    ("after", "pause"),
    [(None, 0.1), (0, 0.1), (-5, 0.1), (1, 0.1), (250, 0.25), (3_600_000, 5.0), ("soon", 0.1), (0.5, 0.1)],
)
def test_the_pause_is_what_the_gateway_says_within_bounds(dial: Dial, clock: Clock, after: Any, pause: float) -> None:
    made, _ = dial(hello_then(times(1, {**LATER, "retryAfterMs": after})))
    made.call("x", {})
    assert clock.slept == [pause]


def test_a_gateway_that_is_never_ready_refuses_the_call_in_the_end(dial: Dial, clock: Clock) -> None:
    made, _ = dial(hello_then(times(10**6, {**LATER, "retryAfterMs": 1000})))
    begun = clock.passed
    with pytest.raises(CallRefused, match="starting"):
        made.call("x", {}, seconds=20)
    assert 15 < clock.passed - begun <= 20


@pytest.mark.parametrize("retryable", [False, None, "true", 1])
def test_a_refusal_that_is_not_to_be_asked_again_is_final(dial: Dial, clock: Clock, retryable: Any) -> None:
    made, (socket,) = dial(hello_then(lambda frame: [no(frame, {**LATER, "retryable": retryable})]))
    with pytest.raises(CallRefused):
        made.call("x", {})
    assert clock.slept == []
    assert len(socket.asked) == 2


OVERLOADED = {"code": "UNAVAILABLE", "message": "WorkerTaskError: worker task capacity reached: code=overloaded"}


def test_a_gateway_that_is_overloaded_is_asked_again(dial: Dial, clock: Clock) -> None:
    made, (socket,) = dial(hello_then(times(2, OVERLOADED)))
    assert made.call("x", {}) == {"done": True}
    assert clock.slept == [0.5, 0.5]
    assert len(socket.asked) == 4


def test_a_gateway_that_stays_overloaded_is_not_waited_for_as_long_as_one_that_starts(dial: Dial, clock: Clock) -> None:
    made, _ = dial(hello_then(times(10**6, OVERLOADED)))
    begun = clock.passed
    with pytest.raises(CallRefused, match="overloaded"):
        made.call("x", {}, seconds=60)
    assert 8 < clock.passed - begun <= 10


@pytest.mark.parametrize("other", [{"code": "INTERNAL"}, {"message": "worker gone: code=closed"}])
def test_what_is_not_said_to_be_overload_is_final(dial: Dial, clock: Clock, other: dict[str, str]) -> None:
    made, _ = dial(hello_then(times(1, OVERLOADED | other)))
    with pytest.raises(CallRefused):
        made.call("x", {})
    assert clock.slept == []


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        ({"message": "Session k changed before deletion. Retry.", "details": {"reason": "session-changed"}}, True),
        ({"message": "no", "details": {"reason": "something-else"}}, False),
        ({"message": "no", "details": "session-changed"}, False),
        ({}, False),
        (None, False),
        ("no", False),
    ],
)
def test_a_refusal_tells_whether_the_session_has_changed(dial: Dial, error: Any, changed: bool) -> None:
    made, _ = dial(hello_then(lambda frame: [no(frame, error)]))
    with pytest.raises(CallRefused) as caught:
        made.call("x", {})
    assert caught.value.changed is changed


@pytest.mark.parametrize("message", ["missing scope: operator.admin", "pairing required: scope upgrade"])
def test_a_scope_that_we_do_not_have_is_a_matter_of_the_link(dial: Dial, message: str) -> None:
    made, _ = dial(hello_then(lambda frame: [no(frame, {"message": message, "retryable": True})]))
    with pytest.raises(LinkRefused):
        made.call("x", {})


DEEP = 200_000 * "["


@pytest.mark.parametrize("broken", [ConnectionResetError("reset"), EOFError(), "{", "\u0000", DEEP, "9" * 5000])
def test_a_connection_that_breaks_leaves_it_open_what_was_done(dial: Dial, broken: Any) -> None:
    made, (socket,) = dial(hello_then(lambda _: [broken]))
    with pytest.raises(LinkLost):
        made.call("x", {})
    assert len(socket.asked) == 2, "nothing is sent twice"


@pytest.mark.parametrize("text", [DEEP, "9" * 5000, "\u0000", ConnectionResetError("reset"), EOFError()])
def test_a_hello_that_is_none_is_one_line_and_the_socket_is_closed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, text: Any
) -> None:
    socket = Socket(clock, lambda _: [text])
    monkeypatch.setattr(websockets.sync.client, "connect", lambda *_, **__: socket)
    with pytest.raises(LinkLost) as caught:
        SocketLink("ws://127.0.0.1:1", "token", clock=clock)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert socket.closed == 1


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


# What could stand where a gateway has a text, a number or an object.
ANYTHING = [None, True, 7, -1, 10**400, 1.5, math.inf, math.nan, "", "\0", "\ud83d", "x\n", [], {}, [None], nested(900)]


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["type", "ok", "payload", "error", "code", "message", "retryable", "retryAfterMs",
                                  "details", "reason"])  # fmt: skip
def test_any_member_of_an_answer_may_be_anything(dial: Dial, name: str, value: Any) -> None:
    def script(frame: dict[str, Any]) -> list[Any]:
        details = {"reason": "session-changed"} | ({name: value} if name == "reason" else {})
        error = {**LATER, "retryAfterMs": 5, "details": details} | ({name: value} if name in LATER else {})
        error |= {name: value} if name in ("retryAfterMs", "details") else {}
        return [no(frame, error) | ({name: value} if name in ("type", "ok", "payload", "error") else {})]

    made, _ = dial(hello_then(script))
    with contextlib.suppress(LinkLost, LinkRefused, CallRefused):
        assert made.call("x", {}, seconds=1) == {}


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("path", ["snapshot", "snapshot.stateDir", "server", "server.version", "features",
                                  "features.methods", "auth", "auth.scopes"])  # fmt: skip
def test_any_member_of_a_hello_may_be_anything(dial: Dial, path: str, value: Any) -> None:
    name, _, inner = path.partition(".")
    made, _ = dial(lambda frame: [yes(frame, **{name: {inner: value} if inner else value})])
    assert isinstance(made.state_dir, str | None)
    assert isinstance(made.version, str | None)
    assert isinstance(made.may_close, bool)


def test_without_a_thread_there_is_no_link(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(websockets.sync.client, "connect", connect)
    with pytest.raises(LinkLost, match="can't start new thread"):
        SocketLink("ws://127.0.0.1:1", "token", clock=clock)


def test_no_answer_at_all_ends_the_wait(dial: Dial, clock: Clock) -> None:
    made, _ = dial(hello_then(lambda _: []))
    begun = clock.passed
    with pytest.raises(LinkLost):
        made.call("x", {}, seconds=7)
    assert clock.passed - begun == pytest.approx(7)


def test_events_and_answers_to_other_calls_are_passed_over(dial: Dial) -> None:
    others = [{"type": "event", "event": "tick"}, {"type": "res", "id": "99", "ok": True, "payload": {}}, [], "5"]
    made, _ = dial(hello_then(lambda frame: [*others, yes(frame, mine=True)]))
    assert made.call("x", {}) == {"mine": True}


def test_a_gateway_that_is_starting_is_dialled_again(dial: Dial, clock: Clock) -> None:
    made, sockets = dial(times(2, {**LATER, "retryAfterMs": 50}))
    assert len(sockets) == 3
    assert [socket.closed for socket in sockets] == [1, 1, 0]
    assert clock.slept == [0.1, 0.1]
    made.close()
    assert sockets[-1].closed == 1


def test_a_gateway_that_never_lets_us_in_is_given_up_and_every_socket_closed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets: list[Socket] = []

    def connect(url: str, **_: Any) -> Socket:
        sockets.append(Socket(clock, times(10**6, {**LATER, "retryAfterMs": 4000})))
        return sockets[-1]

    monkeypatch.setattr(websockets.sync.client, "connect", connect)
    begun = clock.passed
    with pytest.raises(LinkLost, match="starting"):
        SocketLink("ws://127.0.0.1:1", "token", clock=clock)
    assert 20 < clock.passed - begun <= 30
    assert all(socket.closed == 1 for socket in sockets)


def test_a_wrong_token_is_refused_at_once_and_the_socket_closed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = Socket(clock, lambda frame: [no(frame, {"message": "unauthorized: gateway token mismatch"})])
    monkeypatch.setattr(websockets.sync.client, "connect", lambda *_, **__: socket)
    with pytest.raises(LinkRefused, match="token mismatch"):
        SocketLink("ws://127.0.0.1:1", "a-secret", clock=clock)
    assert (clock.slept, socket.closed) == ([], 1)


def test_the_hello_says_whom_the_gateway_serves_and_what_it_lets_us_do(dial: Dial, tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    hello = {"snapshot": {"stateDir": str(tmp_path / "link")}, "server": {"version": "2026.9.6"},
             "features": {"methods": ["sessions.delete"]}, "auth": {"scopes": ["operator.write"]}}  # fmt: skip
    made, (socket,) = dial(lambda frame: [yes(frame, **hello)])
    assert (made.said_state_dir, made.state_dir) == (str(tmp_path / "link"), str(tmp_path.resolve()))
    assert (made.version, made.may_close, made.has("sessions.patchMany")) == ("2026.9.6", True, False)
    params = socket.asked[0]["params"]
    assert params["auth"] == {"token": "token"}
    assert params["scopes"] == ["operator.read", "operator.write"], "closing in a database needs no admin"
    assert (params["minProtocol"], params["maxProtocol"]) == (3, 4)


@pytest.mark.parametrize(
    "hello",
    [{}, {"snapshot": [], "server": 5, "features": "x", "auth": None}, {"snapshot": {"stateDir": 5}}],
)
def test_a_hello_that_says_nothing_names_nobody(dial: Dial, hello: dict[str, Any]) -> None:
    made, _ = dial(lambda frame: [yes(frame, **hello)])
    assert (made.said_state_dir, made.state_dir, made.version) == (None, None, None)
    assert made.may_close


@pytest.mark.parametrize(
    ("version", "scopes", "may"),
    [
        ("2026.7.35", ["operator.read", "operator.write"], False),
        ("2026.7.35", ["operator.read", "operator.write", "operator.admin"], True),
        ("2026.8.1-beta.2", ["operator.read", "operator.write"], True),
        ("2026.10.1", ["operator.read"], False),
        ("2027.1.1", ["operator.write"], True),
        (None, ["operator.write"], False),
        ("2026.7.35", [], False),
        ("2026.9.6", [5], False),
    ],
)
def test_a_link_may_close_with_what_its_version_asks_for(
    dial: Dial, version: str | None, scopes: list[Any], may: bool
) -> None:
    made, _ = dial(lambda frame: [yes(frame, server={"version": version}, auth={"scopes": scopes})])
    assert made.may_close is may


def test_an_admins_rights_are_asked_for_once_and_over_a_connection_of_their_own(dial: Dial) -> None:
    made, sockets = dial(lambda frame: [yes(frame)])
    assert (made.become_admin(), made.become_admin()) == (True, False)
    assert [socket.asked[0]["params"]["scopes"] for socket in sockets] == [
        ["operator.read", "operator.write"],
        ["operator.read", "operator.write", "operator.admin"],
    ]
    assert sockets[0].closed


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({"sessions": {"path": "/srv/state/agents/main/agent/openclaw-agent.sqlite"}}, "/srv/state"),
        ({"sessions": {"path": "/srv/agents/x/agents/y/agent/openclaw-agent.sqlite"}}, "/srv/agents/x"),
        ({"sessions": {"path": "(multiple)"}}, None),
        ({"sessions": {"path": 5}}, None),
        ({"sessions": []}, None),
        ({}, None),
    ],
)
def test_a_gateway_that_names_its_folder_to_admins_alone_is_told_by_its_database(
    dial: Dial, health: dict[str, Any], said: str | None
) -> None:
    made, (socket,) = dial(lambda frame: [yes(frame, **(health if frame["method"] == "health" else {}))])
    made.learn_state_dir()
    assert made.said_state_dir == said
    assert [frame["method"] for frame in socket.asked] == ["connect", "health"]
    assert socket.asked[0]["params"]["scopes"] == ["operator.read", "operator.write"]


def test_a_gateway_that_knows_no_health_names_nobody(dial: Dial) -> None:
    unknown = {"message": "unknown method: health"}
    made, _ = dial(lambda frame: [yes(frame) if frame["method"] == "connect" else no(frame, unknown)])
    made.learn_state_dir()
    assert made.said_state_dir is None


def test_where_an_admins_rights_are_refused_the_next_link_is_tried(dial: Dial) -> None:
    def script(frame: dict[str, Any]) -> list[Any]:
        if frame["method"] == "connect" and "operator.admin" not in frame["params"]["scopes"]:
            return [yes(frame)]
        return [no(frame, {"message": "missing scope: operator.admin"})]

    made, _ = dial(script)
    asked: list[str] = []

    def call(method: str, *_: Any) -> dict[str, Any]:
        asked.append(method)
        return {"archived": []}

    other: Any = SimpleNamespace(call=call, close=lambda: None)
    gateway = connection.Gateway(Home("/nowhere", "demo", {}), Found(Life.UP), [made, other], [])
    assert client.delete(gateway, "agent:a:b", delete_transcript=True) == []
    assert (asked, gateway.links) == (["sessions.delete"], [other])
