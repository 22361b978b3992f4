"""One WebSocket connection to a gateway, over which all calls of a run go."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from typing import Any, Protocol
from urllib.parse import urlsplit

from ... import __version__
from ...core import late
from ...system import peers
from ...system.clock import REAL, Clock
from ...system.files import real
from ..versions import is_sqlite_era

PROTOCOLS = (3, 4)
# The rights to archive a session, to take it back and to delete it from the archive; in a file store deleting takes
# an admin's rights.
SCOPES = ("operator.read", "operator.write")
ADMIN = "operator.admin"
_DATABASE = late.pattern(r"(?P<state>/.*)/agents/[^/]+/agent/openclaw-agent\.sqlite")
_CONNECT_SECONDS = 10.0
# Before its hello a peer is a stranger, and gets no more of our memory than a hello needs; a list of all sessions may
# need much.
_HELLO_BYTES = 4 << 20
_ANSWER_BYTES = 512 << 20
# A gateway that has just started says for some seconds that it is not ready, also to `connect`.
_STARTING_SECONDS = 30.0
_LEAST_PAUSE, _MOST_PAUSE = 0.1, 5.0
_LONGEST_MS = 1_000_000
# A gateway whose worker pool is full says so without `retryable`; it needs about a second.
_OVERLOADED = "code=overloaded"
_OVERLOADED_PAUSE = 0.5
_OVERLOADED_SECONDS = 10.0
_NO_ANSWER = "no answer within {:g} s"


class LinkRefused(Exception):
    """The gateway does not let us do this over this link; another link may."""


class LinkLost(Exception):
    """The connection broke or no answer came; whether the call took effect is unknown."""


class CallRefused(Exception):
    """The gateway understood the call and said no; `changed`: because the session is not the one that was meant."""

    def __init__(self, message: str, *, changed: bool = False) -> None:
        super().__init__(message)
        self.changed = changed


class _NotYet(Exception):
    """The gateway asks to be asked again, after so many seconds; `patience`: for how many seconds that makes sense."""

    def __init__(self, message: str, seconds: float, patience: float = math.inf) -> None:
        super().__init__(message)
        self.seconds = min(max(seconds, _LEAST_PAUSE), _MOST_PAUSE)
        self.patience = patience


class Link(Protocol):
    """A way to call the gateway's methods; answers are the payload of a response."""

    version: str | None
    state_dir: str | None

    def call(self, method: str, params: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Return the payload, or raise LinkRefused, LinkLost or CallRefused."""

    def has(self, method: str) -> bool:
        """Tell whether the gateway offers a method, as far as it says."""

    def close(self) -> None:
        """End the connection."""


class SocketLink:
    """A Link over a WebSocket, as `gateway-client` in `backend` mode, which needs no pairing."""

    def __init__(self, url: str, token: str, *, named: bool = False, admin: bool = False, clock: Clock = REAL) -> None:
        self._clock = clock
        self._url = url
        self._token = token
        self._named = named
        self._count = 0
        self.elsewhere = False
        self._begin((*SCOPES, ADMIN) if admin else SCOPES)

    def become_admin(self) -> bool:
        """Connect anew with an admin's rights; False where that was done already. Raises LinkRefused or LinkLost."""
        if ADMIN in self._asked:
            return False
        self.close()
        self._begin((*SCOPES, ADMIN))
        return True

    def as_admin(self) -> SocketLink:
        """Return a link with an admin's rights: this one, or another beside it. Raises LinkRefused or LinkLost."""
        found = self if ADMIN in self._asked else self._beside()
        if not found.may_all:
            raise LinkRefused(f"the gateway does not let us have {ADMIN}")
        return found

    def _beside(self) -> SocketLink:
        return SocketLink(self._url, self._token, named=self._named, admin=True, clock=self._clock)

    @property
    def may_all(self) -> bool:
        """Tell whether the hello gives us an admin's rights, as far as it says."""
        return self._scopes is None or ADMIN in self._scopes

    def learn_state_dir(self) -> None:
        """Ask whose gateway this is: its hello says so to an admin alone. Raises LinkLost."""
        if self.said_state_dir is None:
            # A gateway that does not say it stays unknown, and whoever has to know takes that for a no.
            with contextlib.suppress(CallRefused, LinkRefused):
                self._note_state_dir(_state_dir_of(self.call("health", {}, _CONNECT_SECONDS)))

    def _note_state_dir(self, said: object) -> None:
        self.said_state_dir = said if isinstance(said, str) else None
        self.state_dir = real(said) if isinstance(said, str) else None

    def _begin(self, scopes: tuple[str, ...]) -> None:
        self._asked = scopes
        deadline = self._clock.monotonic() + _STARTING_SECONDS
        while True:
            self._open()
            try:
                hello = self._greet()
                break
            except _NotYet as problem:
                self.close()
                if self._clock.monotonic() + problem.seconds > deadline:
                    raise LinkLost(str(problem)) from None
                self._clock.sleep(problem.seconds)
            except BaseException:
                self.close()
                raise
        snapshot = hello.get("snapshot")
        server = hello.get("server")
        features = hello.get("features")
        state = snapshot.get("stateDir") if isinstance(snapshot, dict) else None
        version = server.get("version") if isinstance(server, dict) else None
        methods = features.get("methods") if isinstance(features, dict) else None
        self._note_state_dir(state)
        self.version: str | None = version if isinstance(version, str) else None
        auth = hello.get("auth")
        said = auth.get("scopes") if isinstance(auth, dict) else None
        self._scopes = frozenset(s for s in said if isinstance(s, str)) if isinstance(said, list) else None
        self._methods = frozenset(m for m in methods if isinstance(m, str)) if isinstance(methods, list) else None

    def _open(self) -> None:
        """Connect, over a socket of our own: no proxy, no redirect, and nobody is asked anything but by us."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        self._broken: tuple[type[Exception], ...] = (WebSocketException, OSError, TimeoutError, EOFError)
        try:
            # ValueError: what is there speaks no WebSocket, or the address is none.
            found = urlsplit(self._url)
            port = found.port or (443 if found.scheme == "wss" else 80)
            line = peers.dial(found.hostname or "", port, _CONNECT_SECONDS)
            line.socket.settimeout(None)
            self._context = connect(
                self._url,
                sock=line.socket,
                max_size=_HELLO_BYTES,
                open_timeout=_CONNECT_SECONDS,
                close_timeout=2,
                # A gateway that is busy answers no ping; how long an answer is waited for is said with each call.
                ping_interval=None,
                compression=None,
                proxy=None,
            )
            self._socket = self._context.__enter__()
        except (*self._broken, ValueError, RuntimeError) as problem:
            # RuntimeError: the system lets us have no thread.
            said = _NO_ANSWER.format(_CONNECT_SECONDS) if isinstance(problem, TimeoutError) else problem
            raise LinkLost(f"no WebSocket at {self._url}: {said}") from None
        # Only now: whoever has answered has taken the connection, and its socket is to be seen.
        why = peers.objection(line, named=self._named)
        if why:
            self.close()
            raise LinkLost(f"what answers at {self._url} is told no token: {why}")
        self.elsewhere = self._named and peers.is_elsewhere(line)

    def _greet(self) -> dict[str, Any]:
        client = {"id": "gateway-client", "mode": "backend", "version": __version__, "platform": sys.platform}
        params = {
            "minProtocol": PROTOCOLS[0],
            "maxProtocol": PROTOCOLS[1],
            "client": client,
            "role": "operator",
            "scopes": list(self._asked),
            "caps": [],
            "auth": {"token": self._token},
        }
        try:
            hello = self._ask("connect", params, self._clock.monotonic() + _CONNECT_SECONDS, _CONNECT_SECONDS)
        except CallRefused as problem:
            raise LinkRefused(str(problem)) from None
        # Up to websockets 15 the limit has another name.
        limit = "max_message_size" if hasattr(self._socket.protocol, "max_message_size") else "max_size"
        setattr(self._socket.protocol, limit, _ANSWER_BYTES)
        return hello

    def call(self, method: str, params: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Return the payload, or raise LinkRefused, LinkLost or CallRefused; `seconds` bound the wait for it."""
        begun = self._clock.monotonic()
        while True:
            try:
                return self._ask(method, params, begun + seconds, seconds)
            except _NotYet as problem:
                if self._clock.monotonic() + problem.seconds > begun + min(seconds, problem.patience):
                    raise CallRefused(str(problem)) from None
                self._clock.sleep(problem.seconds)

    def _ask(self, method: str, params: dict[str, Any], deadline: float, seconds: float) -> dict[str, Any]:
        self._count += 1
        number = str(self._count)
        try:
            self._socket.send(json.dumps({"type": "req", "id": number, "method": method, "params": params}))
            while True:
                frame = json.loads(self._socket.recv(timeout=max(0.0, deadline - self._clock.monotonic())))
                if isinstance(frame, dict) and frame.get("type") == "res" and frame.get("id") == number:
                    return _payload(frame)
        except TimeoutError:
            raise LinkLost(f"{method}: {_NO_ANSWER.format(seconds)}") from None
        except self._broken as problem:
            raise LinkLost(f"{method}: {problem or type(problem).__name__}") from None
        except (ValueError, RecursionError) as problem:
            raise LinkLost(f"{method}: the answer is no JSON: {problem}") from None

    def has(self, method: str) -> bool:
        """Tell whether the gateway offers a method, as far as it says."""
        return self._methods is None or method in self._methods

    @property
    def keeps_files(self) -> bool:
        """Tell whether a gateway of this version keeps its sessions in files, as one does that says no version."""
        return not is_sqlite_era(self.version or "")

    @property
    def says_scopes(self) -> bool:
        """Tell whether the hello says what we may do; an older version's does not."""
        return self._scopes is not None

    @property
    def may_close(self) -> bool:
        """Tell whether the hello gives us what closing a session needs, as far as it says."""
        needed = ADMIN if self.keeps_files else "operator.write"
        return self.has("sessions.delete") and (self._scopes is None or needed in self._scopes)

    def close(self) -> None:
        """End the connection."""
        self._context.__exit__(None, None, None)


def _state_dir_of(health: dict[str, Any]) -> str | None:
    """Return the state directory by the path of a database in what a gateway says of its health (from 2026.8.1 on)."""
    sessions = health.get("sessions")
    path = sessions.get("path") if isinstance(sessions, dict) else None
    found = _DATABASE.fullmatch(path) if isinstance(path, str) else None
    return found["state"] if found else None


def _payload(frame: dict[str, Any]) -> dict[str, Any]:
    if frame.get("ok") is True:
        payload = frame.get("payload")
        return payload if isinstance(payload, dict) else {}
    error = frame.get("error")
    error = error if isinstance(error, dict) else {}
    message = reason(error)
    if "missing scope" in message or "pairing required" in message:
        raise LinkRefused(message)
    if error.get("retryable") is True:
        pause = error.get("retryAfterMs")
        # A number without bounds is none: it could not be divided.
        raise _NotYet(message, min(pause, _LONGEST_MS) / 1000 if type(pause) is int and pause > 0 else 0.0)
    if error.get("code") == "UNAVAILABLE" and _OVERLOADED in message:
        raise _NotYet(message, _OVERLOADED_PAUSE, _OVERLOADED_SECONDS)
    raise CallRefused(message, changed=was_changed(error))


def reason(error: dict[str, Any]) -> str:
    """Return what an error says, a word of ours where that is no text."""
    message = error.get("message")
    return message if isinstance(message, str) else "refused"


def was_changed(error: dict[str, Any]) -> bool:
    """Tell whether an error says that the session is not the one that was meant."""
    details = error.get("details")
    return isinstance(details, dict) and details.get("reason") == "session-changed"
