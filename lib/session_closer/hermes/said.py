"""What was said in a session of Hermes: the messages among its rows, as events that a page can be made of (pure)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Before content that is no text.
_STRUCTURED = "\x00json:"
_MILLISECONDS = 1000
_REASONING = ("reasoning", "reasoning_content")


def events(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the messages among lines of rows as events, each a line of JSON; what Hermes has put aside is aside."""
    model: Any = None
    for line in lines:
        found = json.loads(line)
        table = found.get("table")
        if table == "sessions":
            model = found["row"].get("model")
        elif table == "messages":
            yield json.dumps(_event(found["row"], model)).encode()


def _event(row: Mapping[str, Any], model: object) -> dict[str, Any]:
    at = row.get("timestamp")
    is_time = isinstance(at, int | float) and math.isfinite(at)
    # A message that was taken back, or compressed, is no longer what the session goes on from.
    aside = {} if row.get("active", 1) else {"appendMode": "side"}
    message = _message(row, model)
    when = int(at * _MILLISECONDS) if is_time and at is not None else at
    return {"type": "message", "id": str(row.get("id")), "timestamp": when, "message": message, **aside}


def _message(row: Mapping[str, Any], model: object) -> dict[str, Any]:
    role, content = row.get("role"), _content(row.get("content"))
    if role == "tool":
        called = {"toolCallId": row.get("tool_call_id"), "toolName": row.get("tool_name")}
        return {"role": "toolResult", **called, "content": content}
    if role != "assistant":
        return {"role": role, "content": content}
    thought = next((text for name in _REASONING if isinstance(text := row.get(name), str) and text), None)
    thinking = [] if thought is None else [{"type": "thinking", "thinking": thought}]
    return {"role": role, "model": model, "content": [*thinking, *content, *_calls(row.get("tool_calls"))]}


def _content(found: object) -> list[Any]:
    """Return the blocks of a message: its text, or what stands for several parts of it."""
    if found is None or found == "":
        return []
    if not isinstance(found, str):
        return [found]
    if not found.startswith(_STRUCTURED):
        return [{"type": "text", "text": found}]
    several = _json(found.removeprefix(_STRUCTURED))
    return list(map(_block, several)) if isinstance(several, list) else [several]


def _block(part: object) -> object:
    """Return a part of a message; an image in it as one whose size can be told."""
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str) or not url.startswith("data:"):
        return part
    head, _, data = url.partition(",")
    return {"type": "image", "mimeType": head.removeprefix("data:").partition(";")[0], "data": data}


def _calls(found: object) -> list[Any]:
    calls = _json(found) if isinstance(found, str) else found
    if calls is None:
        return []
    return list(map(_call, calls)) if isinstance(calls, list) else [calls]


def _call(call: object) -> object:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        return call
    return {
        "type": "toolCall",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments"),
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
