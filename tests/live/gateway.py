"""One real gateway process, and a WebSocket to talk to it as its own clients do."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from websockets.sync.client import ClientConnection, connect

# It is at work all the time: beside others it may take minutes.
START_SECONDS = 240.0
STOP_SECONDS = 30.0
SETTLE_SECONDS = 30.0
RETRY_SECONDS = 30.0
SCOPES = ("operator.admin", "operator.read", "operator.write")
# One line each per start of the server, also of a restart within the process.
LISTENING = re.compile(r"\[gateway\] http server listening")
READY = re.compile(r"\[gateway\] ready")
RESTARTING = re.compile(r"\[gateway\] received SIG\w+; restarting")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until a condition holds; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a loopback port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rpc:
    """One connection to a gateway."""

    def __init__(self, connection: ClientConnection, auth: Mapping[str, str], scopes: Sequence[str] = SCOPES) -> None:
        self._socket = connection
        self._count = 0
        self.hello = self(
            "connect",
            minProtocol=3,
            maxProtocol=4,
            client={"id": "gateway-client", "mode": "backend", "version": "0", "platform": "linux"},
            role="operator",
            scopes=list(scopes),
            caps=[],
            auth={name: value for name, value in auth.items() if name != "mode"},
        )

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the payload of a call that the gateway accepts in the end; AssertionError where it does not."""
        deadline = time.monotonic() + RETRY_SECONDS
        answer = self.raw(method, **params)
        # A gateway that is healthy may still be starting what the call needs.
        while _is_passing(error := answer.get("error") or {}) and time.monotonic() < deadline:
            time.sleep(error.get("retryAfterMs", 500) / 1000)
            answer = self.raw(method, **params)
        assert answer.get("ok") is True, f"{method}: {answer.get('error')}"
        payload = answer.get("payload")
        return payload if isinstance(payload, dict) else {}

    def raw(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the response frame of a call, accepted or not."""
        self._count += 1
        number = str(self._count)
        self._socket.send(json.dumps({"type": "req", "id": number, "method": method, "params": params}))
        while True:
            frame = json.loads(self._socket.recv(timeout=60))
            if frame.get("type") == "res" and frame.get("id") == number:
                return dict(frame)


def _is_passing(error: dict[str, Any]) -> bool:
    return error.get("retryable") is True or "code=overloaded" in str(error.get("message"))


class Gateway:
    """A gateway that we started; ended by the process ids that come from it, and by nothing else."""

    def __init__(
        self, command: list[str], environ: Mapping[str, str], log: Path, port: int, auth: Mapping[str, str]
    ) -> None:
        self.port = port
        self._auth = auth
        self.log = log
        self._state = environ["OPENCLAW_STATE_DIR"]
        self._locks = (Path(environ["TMPDIR"]), Path(self._state, "tmp"))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environ),
                cwd=environ["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the gateway answers and says that it is ready."""

        def is_ready() -> bool:
            if self._process.poll() is not None and self._successor() is None:
                raise AssertionError(f"the gateway ended with {self._process.returncode}:\n{self.text()[-3000:]}")
            return self.is_healthy() and len(READY.findall(self.text())) >= max(1, self.starts)

        wait_until(is_ready, START_SECONDS, "a healthy gateway")

    def is_healthy(self) -> bool:
        """Tell whether the gateway answers."""
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)) as connection:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def text(self) -> str:
        """Return what the gateway has logged."""
        return self.log.read_text(errors="replace")

    @property
    def starts(self) -> int:
        """How often this gateway's server has started, the first time included."""
        return len(LISTENING.findall(self.text()))

    @property
    def restarts(self) -> int:
        """How often this gateway was told to restart."""
        return len(RESTARTING.findall(self.text()))

    @contextlib.contextmanager
    def restarting(self, times: int) -> Iterator[None]:
        """Assert that the gateway is told to restart so often meanwhile, and has started again as often."""
        starts, restarts = self.starts, self.restarts
        yield
        # A line in the log may come a moment after the server's first answer.
        wait_until(lambda: self.starts - starts >= times, SETTLE_SECONDS, f"{times} restarts")
        assert (self.starts - starts, self.restarts - restarts) == (times, times)

    @property
    def pid(self) -> int:
        """The process that serves, after a restart its successor."""
        return self._successor() or self._process.pid

    @contextlib.contextmanager
    def rpc(self, scopes: Sequence[str] = SCOPES) -> Iterator[Rpc]:
        """Give a new connection."""
        # A gateway of 2026.5.7 answers no ping for more than 20 s while it takes an image, or compacts.
        with connect(
            f"ws://127.0.0.1:{self.port}", max_size=None, compression=None, proxy=None, ping_interval=None
        ) as connection:
            yield Rpc(connection, self._auth, scopes)

    def stop(self) -> None:
        """End the gateway and wait until it is gone."""
        successor = self._successor()
        if successor is not None and successor != self._process.pid:
            _end(psutil.Process(successor))
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _successor(self) -> int | None:
        """Return the process in the lock file: outside a container a restart goes on under a new process id."""
        # The folders are this lab's own, so only gateways that descend from ours write there.
        for path in [path for folder in self._locks for path in folder.glob("openclaw-*/gateway.*.lock")]:
            try:
                pid = int(json.loads(path.read_text())["pid"])
                if psutil.Process(pid).environ().get("OPENCLAW_STATE_DIR") == self._state:
                    return pid
            except (OSError, ValueError, KeyError, psutil.Error):
                continue
        return None


def _end(process: psutil.Process) -> None:
    try:
        process.terminate()
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        return
