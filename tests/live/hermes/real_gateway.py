"""One real gateway of Hermes, asked over its own HTTP server as any client of OpenAI's would."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..gateway import free_port, wait_until
from .lab import Lab

START_SECONDS = 90
STOP_SECONDS = 60
TURN_SECONDS = 120
KEY = "a-key-of-this-test-and-of-nothing-else"


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens."""

    port: int
    process: subprocess.Popen[bytes]

    def say(self, session: str, message: str) -> str:
        """Say something in a session, which begins with that if it is not there; what the agent answers."""
        body = {"model": "hermes-agent", "messages": [{"role": "user", "content": message}]}
        code, answer = self.ask("POST", "/v1/chat/completions", body, session)
        assert code == 200, answer
        return str(answer["choices"][0]["message"]["content"])

    def ask(self, method: str, path: str, body: Any = None, session: str = "") -> tuple[int, Any]:
        """Return status and answer of one request."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        named = {"X-Hermes-Session-Id": session} if session else {}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TURN_SECONDS)) as connection:
            connection.request(method, path, json.dumps(body) if body else None, {**headers, **named})
            found = connection.getresponse()
            return found.status, json.loads(found.read())

    def listens(self) -> bool:
        """Tell whether it answers."""
        assert self.process.poll() is None, "the gateway has ended"
        try:
            return self.ask("GET", "/v1/models")[0] == 200
        except OSError:
            return False


@contextlib.contextmanager
def running(lab: Lab) -> Iterator[Gateway]:
    """Give a gateway of the lab's home, which is asked to end afterwards as its service manager would ask it."""
    port = free_port()
    server = {"API_SERVER_ENABLED": "true", "API_SERVER_HOST": "127.0.0.1", "API_SERVER_PORT": str(port),
              "API_SERVER_KEY": KEY}  # fmt: skip
    log = Path(lab.root, "tmp", "gateway.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(lab.hermes.shims / "hermes"), "gateway", "run"],
            env={**lab.environ(), **server},
            cwd=lab.root / "home",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    gateway = Gateway(port, process)
    try:
        wait_until(gateway.listens, START_SECONDS, f"a gateway:\n{log.read_text()[-2000:]}")
        yield gateway
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
