"""The page of a transcript: what was said, for people, in Markdown; the transcript itself has all of it (pure).

The text of a message is a quotation and what tools were given and gave is code in a fold, so nothing that was said can
pass for a part of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from .events import KNOWN, Survey, event
from .head import NAMED, Heading, head, moment
from .markdown import END, code, fenced, fold, quoted, visible, word

# So many parts are held, and of a line that is as large none.
_TOGETHER, _LARGE = 32, 64 << 10
# Data of an image is not text, and not for a page.
_BASE64 = 3 / 4


class _Message(msgspec.Struct, gc=False):
    """What a page has of a message: anything may be anything."""

    role: Any = None
    content: Any = None
    timestamp: Any = None
    tool: Any = msgspec.field(default=None, name="toolName")
    call: Any = msgspec.field(default=None, name="toolCallId")
    is_error: Any = msgspec.field(default=None, name="isError")
    stop: Any = msgspec.field(default=None, name="stopReason")
    why: Any = msgspec.field(default=None, name="errorMessage")
    paths: Any = msgspec.field(default=None, name="MediaPaths")
    path: Any = msgspec.field(default=None, name="MediaPath")
    own: Any = msgspec.field(default=None, name="__openclaw")

    @property
    def has_attachments(self) -> bool:
        """Whether there is anything that may name some."""
        return not (self.paths is self.path is self.own is None)


class _Event(msgspec.Struct, gc=False):
    """What a page has of an event: of one that is no message it has all, which is looked at again."""

    type: Any = None
    timestamp: Any = None
    message: _Message | None = None


_EVENT = msgspec.json.Decoder(_Event).decode


def _odd(line: bytes) -> _Event | None:
    """Return the event of a line that has something else where that is expected, None where the line holds none."""
    found = event(line)
    return None if found is None else _Event(found.get("type"), found.get("timestamp"), _message(found.get("message")))


def _message(found: object) -> _Message | None:
    # Not converted: a name may have half a surrogate pair, which msgspec takes for no text.
    return _Message(*map(found.get, _Message.__struct_encode_fields__)) if isinstance(found, dict) else None


def page(lines: Iterable[bytes], seen: Survey, heading: Heading, *, thinking: bool = False) -> Iterator[bytes]:
    """Give the page of a transcript that was looked through before: its active branch, in the order of the file."""
    yield "".join(head(heading, seen, thinking=thinking)).encode()
    parts: list[str] = []
    writer = _Writer(parts.append, thinking=thinking)
    for line, is_active in zip(lines, seen.active, strict=True):
        if is_active:
            writer.line(line)
            if len(parts) > _TOGETHER or len(line) > _LARGE:
                yield _joined(parts)
                parts.clear()
    writer.end()
    yield _joined(parts)


def _joined(parts: Iterable[str]) -> bytes:
    # Most parts are ASCII, which is told at once; all of them together are not.
    return b"".join(map(str.encode, parts))


class _Writer:
    """Puts one event after the other into parts of a page; a tool call waits for its result, as far as it is shown."""

    def __init__(self, put: Callable[[str], None], *, thinking: bool) -> None:
        self._put = put
        self._thinking = thinking
        self._number = 0
        self._waiting: dict[str, tuple[str, str]] = {}
        self._seen: Callable[[str], str] = visible

    def line(self, line: bytes) -> None:
        """Write a line of the transcript."""
        try:
            found: _Event | None = _EVENT(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = _odd(line)
        if found is None:
            self._no_event(line)
            return
        # What its text can hold that is to be made visible is escaped in JSON, but for this character.
        is_plain = b"\\" not in line and line.isascii() and b"\x7f" not in line
        self._seen = str if is_plain else visible
        if found.type == "message" and found.message is not None:
            self._message(found.message, found.timestamp, line)
        elif found.type not in ("session", "leaf"):
            self._other(line)

    def _no_event(self, line: bytes) -> None:
        if line.strip():
            self._seen = visible
            self._folded("a line that holds no event", line.decode("utf-8", "backslashreplace"))

    def end(self) -> None:
        """Write the calls that no result has come for."""
        if not self._waiting:
            return
        for name, given in self._waiting.values():
            self._call(name, given, None, "no result")
        self._waiting.clear()

    def _message(self, message: _Message, when: object, line: bytes) -> None:
        role = message.role
        if role == "toolResult":
            self._result(message)
            return
        self.end()
        self._number += 1
        shown = word(role[:NAMED]) if isinstance(role, str) else "unknown role"
        self._put(f"## {self._number} · {shown} · {moment(message.timestamp if when is None else when)}\n\n")
        self._content(message.content)
        if message.has_attachments:
            self._attached(message)
        stop = message.stop
        if stop in ("error", "aborted"):
            why = message.why
            self._put(f"*ended: {stop}:* {code(why[:NAMED])}\n\n" if isinstance(why, str) else f"*ended: {stop}*\n\n")
        if role not in ("user", "assistant"):
            self._rest(role, line)

    def _rest(self, role: object, line: bytes) -> None:
        """Write what a message of an unknown kind has besides."""
        all_of_it = (event(line) or {}).get("message") or {}
        rest = {name: value for name, value in all_of_it.items() if name not in ("role", "content", "timestamp")}
        if rest:
            self._folded(f"the rest of this {role} message", _json(rest))

    def _content(self, content: object) -> None:
        if isinstance(content, str):
            self._block({"type": "text", "text": content})
        elif isinstance(content, list):
            for block in content:
                self._block(block)
        elif content is not None:
            self._folded("content of an unknown kind", _json(content))

    def _block(self, block: object) -> None:
        if not isinstance(block, dict):
            self._folded("a block of an unknown kind", _json(block))
            return
        kind = block.get("type")
        if kind == "text" and isinstance(text := block.get("text"), str):
            if text:
                self._put(quoted(text, self._seen))
        elif kind == "toolCall":
            self._called(block)
        elif kind == "thinking":
            if self._thinking:
                said = block.get("thinking")
                self._put(f"*thinking*\n\n{quoted(said if isinstance(said, str) else _json(block))}")
        elif kind == "image":
            self._put(f"*image {_image(block)}*\n\n")
        else:
            self._folded(f"block {kind}", _json(block))

    def _called(self, block: dict[str, Any]) -> None:
        name, own = block.get("name"), block.get("id")
        arguments = block.get("arguments", block.get("partialArgs"))
        given = fenced(arguments if isinstance(arguments, str) else _json(arguments), "json", self._seen)
        shown = name[:NAMED] if isinstance(name, str) else "unknown tool"
        if not isinstance(own, str) or own in self._waiting:
            self._call(shown, given, None, "no id")
            return
        self._waiting[own] = shown, given

    def _result(self, message: _Message) -> None:
        own, tool = message.call, message.tool
        called = self._waiting.pop(own, None) if isinstance(own, str) else None
        failed = "failed" if message.is_error is True else ""
        if called is not None:
            name, given = called
        else:
            name, given = tool[:NAMED] if isinstance(tool, str) else "unknown tool", ""
            failed = f"{failed} result without its call".strip()
        self._call(name, given, self._given_back(message.content), failed)
        if message.has_attachments:
            self._attached(message)

    def _other(self, line: bytes) -> None:
        found = event(line)
        if found is None:
            self._no_event(line)
            return
        kind, when = found.get("type"), moment(found.get("timestamp"))
        if kind == "message":
            self._folded("a message without content", _json(found))
            return
        self.end()
        shown = word(kind[:NAMED]) if isinstance(kind, str) else "event without a type"
        if kind in ("compaction", "branch_summary"):
            before = found.get("tokensBefore")
            self._put(f"## {shown} · {when}\n\n")
            if isinstance(before, int):
                self._put(f"*{before:,} tokens before*\n\n")
            summary = found.get("summary")
            if isinstance(summary, str):
                self._put(quoted(summary))
            else:
                self._folded("no summary", _json(found))
        elif kind == "model_change":
            self._put(f"*{shown}: {code(_named(found, 'provider', 'modelId', 'model'))} · {when}*\n\n")
        elif kind == "reset":
            self._put(f"## {shown} · {when}\n\n*what follows began without what came before*\n\n")
        elif kind == "thinking_level_change":
            self._put(f"*{shown}: {code(_named(found, 'thinkingLevel', 'level'))} · {when}*\n\n")
        elif isinstance(kind, str) and kind in KNOWN:
            self._folded(f"{kind} · {when}", _json(found))
        else:
            self._put(f"*unknown event {shown} · {when}*\n\n")
            self._folded("as it is", _json(found))

    def _call(self, name: str, given: str, result: str | None, note: str) -> None:
        self._put(f"{fold(f'{name} · {note}' if note else name)}{given}{result or ''}{END}")

    def _folded(self, title: str, text: str) -> None:
        self._put(f"{fold(title)}{fenced(text, seen=self._seen)}{END}")

    def _given_back(self, content: object) -> str:
        """Return what a tool gave, as a part of a page."""
        if isinstance(content, str):
            return fenced(content, seen=self._seen)
        found: list[str] = []
        for block in content if isinstance(content, list) else [content]:
            kind = block.get("type") if isinstance(block, dict) else None
            if not isinstance(block, dict):
                found.append(fenced(_json(block), seen=self._seen))
            elif kind == "text" and isinstance(block.get("text"), str):
                found.append(fenced(block["text"], seen=self._seen))
            elif kind == "image":
                found.append(f"*image {_image(block)}*\n\n")
            else:
                found.append(fenced(_json(block), seen=self._seen))
        return "".join(found)

    def _attached(self, message: _Message) -> None:
        """Name the attachments of a message, wherever OpenClaw notes them."""
        paths = message.paths or message.path or []
        named = [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else []
        media = message.own.get("media") if isinstance(message.own, dict) else None
        urls = [each.get("url") for each in media if isinstance(each, dict)] if isinstance(media, list) else []
        for name in [*named, *urls]:
            if isinstance(name, str):
                self._put(f"*attachment* {code(name.rpartition('/')[2][:NAMED] or name[:NAMED])}\n\n")


def _image(block: dict[str, Any]) -> str:
    kind, data = block.get("mimeType"), block.get("data")
    size = f"{int(len(data) * _BASE64):,} bytes" if isinstance(data, str) else "size unknown"
    return f"{word(kind[:NAMED]) if isinstance(kind, str) else 'of an unknown kind'}, {size}"


def _named(found: dict[str, Any], *names: str) -> str:
    return "/".join(found[name] for name in names if isinstance(found.get(name), str))[:NAMED]


def _json(value: object) -> str:
    try:
        # The other one leaves circles behind, which nothing collects while a command runs.
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except RecursionError:
        return "nested too deeply to be shown"
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, ensure_ascii=False, indent=2)
