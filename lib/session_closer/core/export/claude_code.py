"""What Claude Code writes of a session, one JSON object a line, as events that a page can be made of (pure).

Its lines are in the order in which things were said. Answers to a resumed point hang on an earlier one, as do the
results of several calls at once, so what is on the page is told by no link: all is, but for what a subagent said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .events import event

_USAGE = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cacheRead",
    "cache_creation_input_tokens": "cacheWrite",
}


def events(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the events of a transcript's lines, each a line of JSON; a line that holds none as it is."""
    counted: Any = None
    for line in lines:
        found = event(line)
        if found is None:
            yield line
            continue
        message = found.get("message")
        if found.get("type") not in ("user", "assistant") or not isinstance(message, dict):
            yield _line(_other(found))
            continue
        # An answer is written in several lines, each of which has the usage of all of it.
        answer = message.get("id")
        is_more = answer is not None and answer == counted
        counted = answer
        yield from map(_line, _messages(found, message, {} if is_more else message.get("usage")))


def _line(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found).encode() + b"\n"


def _aside(found: Mapping[str, Any]) -> dict[str, str]:
    return {"appendMode": "side"} if found.get("isSidechain") is True else {}


def _other(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event that is no message under a name that none of OpenClaw's has."""
    kind = found.get("type")
    if kind == "system" and found.get("subtype") == "compact_boundary":
        about = found.get("compactMetadata")
        before = about.get("preTokens") if isinstance(about, dict) else None
        told = {"summary": found.get("content"), "tokensBefore": before}
        return {"type": "compaction", "id": found.get("uuid"), "timestamp": found.get("timestamp"), **told}
    return {**found, "type": f"claude-code {kind if isinstance(kind, str) else 'event'}", "id": found.get("uuid")}


def _messages(found: Mapping[str, Any], message: Mapping[str, Any], usage: object) -> Iterator[dict[str, Any]]:
    """Give what a line says, and each result of a tool in it, as a message of its own."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else [content]
    results = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    said = [block for block in blocks if block not in results]
    shared = {"type": "message", "timestamp": found.get("timestamp"), **_aside(found)}
    for at, block in enumerate(results):
        result = {"role": "toolResult", "toolCallId": block.get("tool_use_id"), "isError": block.get("is_error")}
        yield {**shared, "id": f"{found.get('uuid')}/{at}", "message": {**result, "content": _given(block)}}
    if said or not results:
        told = {"role": message.get("role"), "model": message.get("model"), "content": list(map(_block, said))}
        tokens = (
            {ours: usage[name] for name, ours in _USAGE.items() if name in usage} if isinstance(usage, dict) else {}
        )
        yield {**shared, "id": found.get("uuid"), "message": {**told, "usage": tokens}}


def _given(block: Mapping[str, Any]) -> list[Any]:
    content = block.get("content")
    return list(map(_block, content if isinstance(content, list) else [] if content is None else [content]))


def _block(block: object) -> object:
    """Return a block of a message as OpenClaw would write it; as it is where it has none of that kind."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or kind not in ("tool_use", "image"):
        return block
    if kind == "tool_use":
        return {"type": "toolCall", "id": block.get("id"), "name": block.get("name"), "arguments": block.get("input")}
    source = block.get("source")
    given = source if isinstance(source, dict) else {}
    return {"type": "image", "mimeType": given.get("media_type"), "data": given.get("data")}
