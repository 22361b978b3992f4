"""The page of a transcript: what was said, for people, in Markdown; the transcript itself has all of it (pure).

The text of a message is a quotation and what tools were given and gave is code in a fold, so nothing that was said can
pass for a part of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from .events import KNOWN, Survey, Totals, event
from .markdown import END, code, fenced, fold, quoted, word

_MILLISECONDS = 1000
_LATEST_MS = 253402300799999
_NAMED = 80
# So many parts are held, and of a line that is as large none.
_TOGETHER, _LARGE = 256, 64 << 10
_ATTACHED = frozenset({"MediaPaths", "MediaPath", "__openclaw"})
# Data of an image is not text, and not for a page.
_BASE64 = 3 / 4


class Heading(NamedTuple):
    """What stands at the top of a page besides the totals; what is not known is None and left out.

    `notes` are lines about what is not on the page.
    """

    key: str
    agent: str
    session_id: str | None = None
    label: str | None = None
    version: str | None = None
    notes: Sequence[str] = ()


def page(lines: Iterable[bytes], seen: Survey, heading: Heading, *, thinking: bool = False) -> Iterator[str]:
    """Give the page of a transcript that was looked through before: its active branch, in the order of the file."""
    yield from _top(heading, seen, thinking=thinking)
    parts: list[str] = []
    writer = _Writer(parts.append, thinking=thinking)
    for line, is_active in zip(lines, seen.active, strict=True):
        if is_active:
            writer.line(line)
            if len(parts) > _TOGETHER or len(line) > _LARGE:
                yield "".join(parts)
                parts.clear()
    writer.end()
    yield "".join(parts)


def _top(heading: Heading, seen: Survey, *, thinking: bool) -> Iterator[str]:
    totals = seen.totals
    yield f"# {code(heading.key)}\n\n"
    facts = {
        "label": code(heading.label) if heading.label else "",
        "agent": code(heading.agent),
        "session": code(heading.session_id) if heading.session_id else "",
        "OpenClaw": word(heading.version) if heading.version else "",
        "from": f"{_moment(totals.first)} to {_moment(totals.last)}" if totals.first is not None else "",
        "model": ", ".join(map(code, totals.models)),
        "messages": _counted(totals),
        "tokens": _tokens(totals),
    }
    yield "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    notes = [*heading.notes]
    if seen.aside:
        notes.append(f"events of other branches, which are not on this page: {seen.aside}")
    if totals.broken:
        notes.append(f"lines that hold no event, shown as they are: {totals.broken}")
    if not thinking:
        notes.append("what the model thought is left out")
    yield "".join(f"- {note}\n" for note in notes) + "\n"


def _counted(totals: Totals) -> str:
    roles = ", ".join(f"{count} {word(role[:_NAMED])}" for role, count in totals.roles.most_common())
    return f"{totals.roles.total()} ({roles})" if roles else "none"


def _tokens(totals: Totals) -> str:
    known = [f"{count:,} {name}" for name, count in totals.usage.items()]
    return ", ".join([*known, *([f"cost {totals.cost:.4f}"] if totals.cost else [])])


def _moment(value: object) -> str:
    """Return when an event was: ISO 8601 text, or milliseconds since 1970; as it is where it is neither."""
    if isinstance(value, str):
        if len(value) >= 20 and value[10] == "T" and value[-1] == "Z" and value[:10].replace("-", "").isdecimal():
            return f"{value[:10]} {word(value[11:19])}Z"
        return code(value[:_NAMED])
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LATEST_MS:
        return f"{datetime.fromtimestamp(value / _MILLISECONDS, UTC):%Y-%m-%d %H:%M:%S}Z"
    return "no time"


class _Writer:
    """Puts one event after the other into parts of a page; a tool call waits for its result, as far as it is shown."""

    def __init__(self, put: Callable[[str], None], *, thinking: bool) -> None:
        self._put = put
        self._thinking = thinking
        self._number = 0
        self._waiting: dict[str, tuple[str, str]] = {}

    def line(self, line: bytes) -> None:
        """Write a line of the transcript."""
        found = event(line)
        if found is None:
            if line.strip():
                self._folded("a line that holds no event", line.decode("utf-8", "backslashreplace"))
            return
        kind = found.get("type")
        if kind == "message" and isinstance(found.get("message"), dict):
            self._message(found, found["message"])
        elif kind not in ("session", "leaf", "message"):
            self.end()
            self._other(found, kind)
        elif kind == "message":
            self._folded("a message without content", _json(found))

    def end(self) -> None:
        """Write the calls that no result has come for."""
        for name, given in self._waiting.values():
            self._call(name, given, None, "no result")
        self._waiting.clear()

    def _message(self, found: dict[str, Any], message: dict[str, Any]) -> None:
        role = message.get("role")
        if role == "toolResult":
            self._result(message)
            return
        self.end()
        self._number += 1
        shown = word(role[:_NAMED]) if isinstance(role, str) else "unknown role"
        when = found.get("timestamp")
        self._put(f"## {self._number} · {shown} · {_moment(message.get('timestamp') if when is None else when)}\n\n")
        self._content(message.get("content"))
        self._attached(message)
        stop = message.get("stopReason")
        if stop in ("error", "aborted"):
            why = message.get("errorMessage")
            self._put(f"*ended: {stop}:* {code(why[:_NAMED])}\n\n" if isinstance(why, str) else f"*ended: {stop}*\n\n")
        if role not in ("user", "assistant"):
            rest = {name: value for name, value in message.items() if name not in ("role", "content", "timestamp")}
            if rest:
                self._folded(f"the rest of this {role} message", _json(rest))

    def _content(self, content: object) -> None:
        if isinstance(content, str):
            self._text(content)
        elif isinstance(content, list):
            for block in content:
                self._block(block)
        elif content is not None:
            self._folded("content of an unknown kind", _json(content))

    def _text(self, text: str) -> None:
        if text:
            self._put(quoted(text))

    def _block(self, block: object) -> None:
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(block, dict):
            self._folded("a block of an unknown kind", _json(block))
        elif kind == "text" and isinstance(block.get("text"), str):
            self._text(block["text"])
        elif kind == "thinking":
            if self._thinking:
                said = block.get("thinking")
                self._put(f"*thinking*\n\n{quoted(said if isinstance(said, str) else _json(block))}")
        elif kind == "image":
            self._put(f"*image {_image(block)}*\n\n")
        elif kind == "toolCall":
            self._called(block)
        else:
            self._folded(f"block {kind}", _json(block))

    def _called(self, block: dict[str, Any]) -> None:
        name, own = block.get("name"), block.get("id")
        arguments = block.get("arguments", block.get("partialArgs"))
        given = arguments if isinstance(arguments, str) else _json(arguments)
        shown = name[:_NAMED] if isinstance(name, str) else "unknown tool"
        if not isinstance(own, str) or own in self._waiting:
            self._call(shown, given, None, "no id")
            return
        self._waiting[own] = shown, given

    def _result(self, message: dict[str, Any]) -> None:
        own, tool = message.get("toolCallId"), message.get("toolName")
        called = self._waiting.pop(own, None) if isinstance(own, str) else None
        name = called[0] if called else tool[:_NAMED] if isinstance(tool, str) else "unknown tool"
        failed = "failed" if message.get("isError") is True else ""
        if called is None:
            failed = f"{failed} result without its call".strip()
        self._call(name, called[1] if called else None, _given_back(message), failed)
        self._attached(message)

    def _other(self, found: dict[str, Any], kind: object) -> None:
        when = _moment(found.get("timestamp"))
        shown = word(kind[:_NAMED]) if isinstance(kind, str) else "event without a type"
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

    def _call(self, name: str, given: str | None, result: Sequence[str] | None, note: str) -> None:
        self._put(fold(f"{name} · {note}" if note else name))
        if given is not None:
            self._put(fenced(given, "json"))
        self._put("".join([*(result or ()), END]))

    def _folded(self, title: str, text: str) -> None:
        self._put(f"{fold(title)}{fenced(text)}{END}")

    def _attached(self, message: dict[str, Any]) -> None:
        """Name the attachments of a message, wherever OpenClaw notes them."""
        if message.keys().isdisjoint(_ATTACHED):
            return
        paths = message.get("MediaPaths") or message.get("MediaPath") or []
        named = [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else []
        own = message.get("__openclaw")
        media = own.get("media") if isinstance(own, dict) else None
        urls = [each.get("url") for each in media if isinstance(each, dict)] if isinstance(media, list) else []
        for name in [*named, *urls]:
            if isinstance(name, str):
                self._put(f"*attachment* {code(name.rpartition('/')[2][:_NAMED] or name[:_NAMED])}\n\n")


def _given_back(message: dict[str, Any]) -> list[str]:
    """Return what a tool gave, as parts of a page."""
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    found: list[str] = []
    for block in blocks if isinstance(blocks, list) else [blocks]:
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(block, dict):
            found.append(fenced(_json(block)))
        elif kind == "image":
            found.append(f"*image {_image(block)}*\n\n")
        elif kind == "text" and isinstance(block.get("text"), str):
            found.append(fenced(block["text"]))
        else:
            found.append(fenced(_json(block)))
    return found


def _image(block: dict[str, Any]) -> str:
    kind, data = block.get("mimeType"), block.get("data")
    size = f"{int(len(data) * _BASE64):,} bytes" if isinstance(data, str) else "size unknown"
    return f"{word(kind[:_NAMED]) if isinstance(kind, str) else 'of an unknown kind'}, {size}"


def _named(found: dict[str, Any], *names: str) -> str:
    return "/".join(found[name] for name in names if isinstance(found.get(name), str))[:_NAMED]


def _json(value: object) -> str:
    try:
        # The other one leaves circles behind, which nothing collects while a command runs.
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except RecursionError:
        return "nested too deeply to be shown"
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, ensure_ascii=False, indent=2)
