"""A model that does what it is told: OpenAI's chat completions on loopback, for agents that ask at any moment.

A message `call TOOL {…}` is answered by that call, and what the tool has answered by `Done.`; `calls [[TOOL, {…}], …]`
asks for several at once; `refuse` is answered by HTTP 400, of which Hermes keeps a dump; anything else by `Noted.`
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from ..loopback import Loopback, events

NAME = "obedient"
CONTEXT = 200_000
USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}


class Model(Loopback):
    """The server; `asked` holds the bodies of all requests, `pause` holds every answer back while it is clear."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.pause = threading.Event()
        self.pause.set()
        super().__init__(_handler(self))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause.set()
        super().__exit__(kind, error, trace)


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": NAME, "object": "model", "context_length": CONTEXT}]}
            found = self.path == "/v1/models"
            self._send(200 if found else 404, "application/json", json.dumps(listed if found else {}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.path != "/v1/chat/completions":
                self._send(404, "application/json", "{}")
                return
            model.asked.append(body)
            model.pause.wait(120)
            said = _said(body["messages"])
            if said.startswith("refuse"):
                self._send(400, "application/json", json.dumps({"error": {"message": "refused, as it was told"}}))
            elif body.get("stream"):
                self._send(200, "text/event-stream", _stream(said))
            else:
                self._send(200, "application/json", json.dumps(_whole(said)))

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

        def _send(self, status: int, kind: str, content: str) -> None:
            data = content.encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                # An agent that was ended asks no more.
                self.close_connection = True

    return Handler


def _said(messages: list[dict[str, Any]]) -> str:
    """Return the last message if a person has said it; of what a tool has answered nothing."""
    last = messages[-1]
    content = last.get("content") or ""
    text = content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)
    return text.strip() if last["role"] == "user" else "done"


def _calls(said: str) -> Iterator[dict[str, Any]]:
    word, _, rest = said.partition(" ")
    if word not in {"call", "calls"}:
        return
    tool, _, arguments = rest.partition(" ")
    wanted = json.loads(rest) if word == "calls" else [(tool, json.loads(arguments))]
    for at, (name, values) in enumerate(wanted):
        function = {"name": name, "arguments": json.dumps(values)}
        yield {"index": at, "id": f"call_{at}_{abs(hash(said)):x}", "type": "function", "function": function}


def _message(said: str) -> tuple[dict[str, Any], str]:
    if calls := list(_calls(said)):
        return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    return {"role": "assistant", "content": "Done." if said == "done" else "Noted."}, "stop"


def _whole(said: str) -> dict[str, Any]:
    message, reason = _message(said)
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "answer", "object": "chat.completion", "created": 1, "model": NAME, "choices": [choice],
            "usage": USAGE}  # fmt: skip


def _stream(said: str) -> str:
    message, reason = _message(said)
    return events(NAME, message, reason, USAGE)
