"""One task with one model: an endpoint that speaks as OpenAI's chat completions do, one tool, bounded turns."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, NamedTuple

from .tasks import ROOT
from .world import World

MOST_TURNS = 12
TASK_SECONDS = 300
ANSWER_SECONDS = 120
_TOOL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Runs a command in sh; returns what it prints and its exit code.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}
_WHO = (
    "You are an agent of OpenClaw on this machine, and do what the person asks with the tool `shell`. The state"
    " directory of OpenClaw is {state}. Nobody answers questions in between: where you have to ask, your last message"
    " is the question. Your last message is what the person reads."
)


class Endpoint(NamedTuple):
    """Where a model is: the URL that ends with /v1, its name there, and what to show at the door."""

    url: str
    model: str
    key: str = ""

    def answer(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the next message of the model; OSError, ValueError where there is none."""
        body = {"model": self.model, "messages": messages, "tools": [_TOOL], "temperature": 0}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        asked = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as response:
            return dict(json.load(response)["choices"][0]["message"])


class Talk(NamedTuple):
    """How a talk went: the last message, how many commands there were, how much of them the model has read."""

    answer: str
    commands: int
    shown: int


def system(world: World, *, skill: bool) -> str:
    """Return what a model is told ahead of a task, with the page of the skill or without it."""
    lines = [_WHO.format(state=world.store.state)]
    if world.own:
        lines.append(f"The key of your own session is {world.own}; session_status would show it.")
    if skill:
        page = (ROOT / "SKILL.md").read_text(encoding="utf-8").split("---\n", 2)[2]
        lines.append(
            f"You have the skill session-closer, in the folder {ROOT}:\n{page.replace('{baseDir}', str(ROOT))}"
        )
    return "\n\n".join(lines)


def talk(world: World, endpoint: Endpoint, *, skill: bool) -> Talk:
    """Let a model do a task; what it has not done when its turns or its time are over stays undone."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system(world, skill=skill)},
        {"role": "user", "content": world.task.prompt},
    ]
    until, commands, shown = time.monotonic() + TASK_SECONDS, 0, 0
    for _ in range(MOST_TURNS):
        said = endpoint.answer(messages)
        messages.append(said)
        calls = said.get("tool_calls") or []
        if not calls or time.monotonic() > until:
            return Talk(str(said.get("content") or ""), commands, shown)
        for call in calls:
            result = world.run(_command(call))
            commands, shown = commands + 1, shown + len(result)
            messages.append({"role": "tool", "tool_call_id": call.get("id", ""), "content": result})
    return Talk("", commands, shown)


def _command(call: dict[str, Any]) -> str:
    """Return the command of a call; one that makes no sense is told so."""
    try:
        return str(json.loads(call["function"]["arguments"])["command"])
    except (KeyError, TypeError, ValueError):
        return 'echo \'the tool shell wants {"command": "..."}\'; exit 2'
