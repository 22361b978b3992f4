"""What was said in a session of NanoClaw by its two databases, as events that a page can be made of (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.export.events import event

RECEIVED, SENT = "messages_in", "messages_out"
_ROLES = {RECEIVED: "user", SENT: "assistant"}


def events(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the messages among lines of rows as events, each a line of JSON."""
    for line in lines:
        found = event(line) or {}
        row, role = found.get("row"), _ROLES.get(str(found.get("table")))
        if role is not None and isinstance(row, dict):
            message = {"role": role, "content": _content(row)}
            made = {"type": "message", "id": str(row.get("id")), "timestamp": row.get("timestamp"), "message": message}
            yield json.dumps(made).encode() + b"\n"


def _content(row: Mapping[str, Any]) -> list[Any]:
    """Return the blocks of a message: its text, and what came with it."""
    content = row.get("content")
    found = event(content.encode("utf-8", "replace")) if isinstance(content, str) else None
    if found is None:
        return [{"type": "text", "text": content}] if isinstance(content, str) else [content]
    text = found.pop("text", None)
    blocks: list[Any] = [{"type": "text", "text": text}] if isinstance(text, str) else [] if text is None else [text]
    return [*blocks, {**found, "type": row.get("kind")}] if found else blocks
