"""A conversation with all that OpenClaw writes into a transcript, and stores of either kind that hold it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.keys import LEAD, session_id
from support.sqlite import Bases, packed, window
from support.stores import Store
from support.trees import write

KEY = LEAD + "export-me"
IMAGE = "aGVsbG8gd29ybGQ="
INBOUND = "0f5c1c6e-7d3a-4b6e-9a53-1d2c3b4a5f60.png"
# Halves of surrogates, line separators and what a terminal would heed, in a text that is long when it is packed.
ODD = "“ñ” \u2028 \x1b[31m \\ " * 400


def _message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "message": {"role": role, "content": content, **more}}


def _call(own: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": own, "name": name, "arguments": arguments}


def _result(own: str, text: str, **more: Any) -> dict[str, Any]:
    return _message("toolResult", [{"type": "text", "text": text}], toolCallId=own, toolName="bash", **more)


def events(own: str) -> list[dict[str, Any]]:
    """Return the events of a session with this id, in the order of its transcript."""
    usage = {"input": 1200, "output": 30, "totalTokens": 1230, "cost": {"total": 0.0125}}
    said = [
        _message("user", [{"type": "text", "text": "What is in the folder?\n```\n# not a heading\n"}]),
        _message(
            "assistant",
            [{"type": "thinking", "thinking": "I should look."}, _call("call-1", "bash", command="ls -l")],
            provider="openai", model="gpt-5", usage=usage,
        ),
        _result("call-1", "a ```` b\n" + "x" * 3000),
        _message("assistant", [{"type": "text", "text": "An abandoned answer."}]),
        _message("assistant", [{"type": "text", "text": "One file."}], provider="openai", model="gpt-5", usage=usage),
        {"type": "compaction", "summary": "They looked at a folder.", "firstKeptEntryId": "e5", "tokensBefore": 5000},
        _message(
            "user",
            [{"type": "text", "text": "And this?"}, {"type": "image", "data": IMAGE, "mimeType": "image/png"}],
            MediaPath=f"/home/somebody/.openclaw/media/inbound/{INBOUND}",
        ),
        {"type": "model_change", "provider": "anthropic", "modelId": "opus"},
        {"type": "brand_new", "data": {"who": "knows"}},
        _message("user", ODD),
    ]  # fmt: skip
    moments = [f"2020-11-28T10:00:{at:02}.000Z" for at in range(len(said) + 1)]
    linked = [{"type": "session", "version": 3, "id": own, "timestamp": moments[0], "cwd": "/home/kelly"}]
    parents = [None, "e1", "e2", "e3", "e3", "e5", "e6", "e7", "e8", "e8"]
    for at, (event, above) in enumerate(zip(said, parents, strict=True), 1):
        linked.append({"type": event["type"], "id": f"e{at}", "parentId": above, "timestamp": moments[at], **event})
    return linked


def lines(some: Sequence[dict[str, Any]]) -> bytes:
    """Return events as a transcript."""
    return b"".join(json.dumps(each, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for each in some)


def _more(text: str) -> str:
    return json.dumps({"type": "message", "id": "more", "message": {"role": "user", "content": text}})


class InFiles:
    """A session in files: `transcript` is its text, `beside` what else it has, by the path in a bundle."""

    def __init__(self, store: Store) -> None:
        entry = store.session("export-me", label="A *label*")
        store.add((KEY, entry))
        self.store, self.own, self.path = store, str(entry["sessionId"]), Path(entry["sessionFile"])
        checkpoint = f"{self.own}.checkpoint.{session_id('c')}.jsonl"
        old = f"{self.own}.jsonl.reset.2020-11-27T10-00-00.000Z"
        self.beside = {
            "trajectory.jsonl": self._put(f"{self.own}.trajectory.jsonl", b'{"run":1}\n'),
            f"checkpoints/{checkpoint}": self._put(checkpoint, lines(events(self.own)[:3])),
            f"windows/{old}": self._put(old, b'{"type":"session","id":"older"}\n'),
        }
        self.transcript = self._put(self.path.name, lines(events(self.own)) + b"{ a torn line\n")
        self.entry = json.dumps(store.entries()[KEY], indent=2, ensure_ascii=False).replace("\n", "\n  ").encode()
        add_media(store)

    def _put(self, name: str, text: bytes) -> bytes:
        write(self.store.folder() / name, text)
        return text

    def grow(self, text: str = "more") -> None:
        """Let somebody say more."""
        with self.path.open("ab") as file:
            file.write(_more(text).encode() + b"\n")


class InDatabase:
    """The same in a database, large events packed as OpenClaw packs them."""

    def __init__(self, store: Store) -> None:
        self.store, self.bases = store, Bases(store)
        self.bases.create("project-lead")
        self.own = self.bases.add(KEY, events=0, label="A *label*")
        older = session_id("older")
        with self.bases.open("project-lead") as connection:
            connection.execute(*window(older, KEY))
        self.transcript = self._add(self.own, lines(events(self.own)))
        self.beside = {
            f"windows/{older}.jsonl": self._add(older, lines(events(older)[:3])),
            "trajectory.jsonl": b'{"run":1}\n{"run":2}\n',
        }
        with self.bases.open("project-lead") as connection:
            for at, text in enumerate(self.beside["trajectory.jsonl"].decode().splitlines()):
                row = (self.own, at, "run", text, 0)
                connection.execute("insert into trajectory_runtime_events values (?, ?, ?, ?, ?)", row)
        self.entry = self.bases.rows()[KEY]["entry_json"].encode()
        add_media(store)

    def _add(self, own: str, text: bytes) -> bytes:
        with self.bases.open("project-lead") as connection:
            for seq, line in enumerate(text.decode().split("\n")[:-1]):
                size, is_large = len(line.encode()), len(line) > 2000
                row = (own, seq, None if is_large else line, 0, packed(line) if is_large else None, size)
                columns = "session_id, seq, event_json, created_at, event_zstd, event_utf8_bytes"
                connection.execute(f"insert into transcript_events ({columns}) values (?, ?, ?, ?, ?, ?)", row)
        return text

    def grow(self, text: str = "more") -> None:
        """Let somebody say more."""
        with self.bases.open("project-lead") as connection:
            connection.execute(
                "insert into transcript_events (session_id, seq, event_json, created_at)"
                " select session_id, max(seq) + 1, ?, 0 from transcript_events where session_id = ?",
                (_more(text), self.own),
            )


def add_media(store: Store) -> None:
    """Put a file into the folder of what people send, and one that no transcript names."""
    folder = store.state / "media" / "inbound"
    folder.mkdir(mode=0o700, parents=True)
    write(folder / INBOUND, b"the image")
    write(folder / "others.png", b"another one")


Said = InFiles | InDatabase
ERAS: dict[str, type[Said]] = {"files": InFiles, "sqlite": InDatabase}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what is in each file of a bundle, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
