"""A model that plays a script: OpenAI's chat completions on loopback, and what OpenClaw sends there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from .loopback import Loopback, events

NAME = "scripted"
PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


@dataclass(frozen=True)
class Call:
    """An answer that asks for a tool."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request: the conversation so far, and the tools that the model may call."""

    body: dict[str, Any]

    @property
    def tools(self) -> set[str]:
        """The names of the tools."""
        return {str(tool["function"]["name"]) for tool in self.body.get("tools", ())}

    @property
    def prompt(self) -> str:
        """What the model is told before the conversation."""
        return "\n".join(self.said("system", "developer"))

    @property
    def result(self) -> str:
        """What the tool that was called last has answered."""
        return self.said("tool")[-1]

    def call(self, tool: str, **arguments: Any) -> Call:
        """Return a call of a tool, by way of OpenClaw's catalogue where the tool is not offered by itself."""
        if tool in self.tools:
            return Call(tool, arguments)
        assert "tool_call" in self.tools, f"no {tool} among {sorted(self.tools)}"
        return Call("tool_call", {"id": tool, "args": arguments})

    def said(self, *roles: str) -> list[str]:
        """Return what has been said in these roles, in its order."""
        contents = [message.get("content") or "" for message in self.body["messages"] if message["role"] in roles]
        return [content if isinstance(content, str) else _joined(content) for content in contents]


def _joined(parts: list[dict[str, Any]]) -> str:
    return "".join(str(part.get("text", "")) for part in parts)


# Takes the first request, gives an answer, is sent the next request.
Script = Callable[[Asked], Generator[Call | str, Asked, None]]


class Model(Loopback):
    """The server; what went wrong while the script was played is raised by `finish`."""

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self._script = script
        self._playing: Generator[Call | str, Asked, None] | None = None
        self._answer: Call | str | None = None
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def provider(self) -> dict[str, Any]:
        """Return the provider's entry in OpenClaw's configuration."""
        model = {"id": NAME, "name": NAME, "input": ["text"], "contextWindow": 200_000, "maxTokens": 4000}
        return {"baseUrl": self.address, "apiKey": "none", "api": "openai-completions", "models": [model]}

    def finish(self) -> None:
        """Raise what failed in the script; AssertionError if the model has not said its last word."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            assert self._answer is not None, "nobody has asked the model"
            assert isinstance(self._answer, str), f"the model never heard what came of {self._answer}"

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
        """Return status, content type and content for a request; after a failure every request fails."""
        with self._lock:
            try:
                if self._failure is not None:
                    raise self._failure
                self._answer = self._next(path, body)
                return 200, "text/event-stream", _stream(self._answer)
            except Exception as error:
                self._failure = error
                return 400, "application/json", json.dumps({"error": {"message": repr(error)}})

    def _next(self, path: str, body: dict[str, Any]) -> Call | str:
        assert (path, body.get("stream")) == (PATH, True), f"asked for {path}, stream {body.get('stream')}"
        asked = Asked(body)
        self.asked.append(asked)
        try:
            if self._playing is None:
                self._playing = self._script(asked)
                return next(self._playing)
            return self._playing.send(asked)
        except StopIteration:
            raise AssertionError(f"asked once more than the script has answers: {body['messages'][-1]}") from None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: object) -> None:
                """Keep the log of the tests to itself."""

            def _answer(self, body: dict[str, Any]) -> None:
                status, kind, text = answer(self.path, body)
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


def _stream(answer: Call | str) -> str:
    """Return an answer as the events of a stream."""
    said: dict[str, Any] = {"role": "assistant", "content": answer}
    reason = "stop"
    if isinstance(answer, Call):
        function = {"name": answer.tool, "arguments": json.dumps(answer.arguments)}
        call = {"index": 0, "id": f"call_{id(answer)}", "type": "function", "function": function}
        said, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    return events(NAME, said, reason, USAGE)
