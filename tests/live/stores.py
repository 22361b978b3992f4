"""What lies on the disk of the sessions, whichever way a version of OpenClaw keeps them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATABASE = "openclaw-agent.sqlite"
# Something that the gateway finds out about a session after it has been made.
CAPTURE = "sessionDiffBaselineCapture"
EXPAND = """
const { createHash } = require("crypto"), { readFileSync } = require("fs"), { zstdDecompressSync } = require("zlib");
const hash = (path) => createHash("sha256").update(zstdDecompressSync(readFileSync(path))).digest("hex");
process.stdout.write(JSON.stringify(process.argv.slice(1).map(hash)));
"""


class Store(Protocol):
    """The sessions of all agents of one state directory, read beside a gateway that runs or does not."""

    def entries(self, agent: str) -> dict[str, dict[str, Any]]:
        """Return the entry of each session of an agent."""

    def said(self, agent: str, key: str) -> str:
        """Return the transcript of a session."""

    def remains(self, agent: str, session_id: str) -> set[str]:
        """Return what is live of a session beside its entry: names of files, or of tables."""

    def saved(self, answer: Mapping[str, Any], agent: str) -> dict[str, dict[str, Any]]:
        """Return the entries that an answer of ours says to have kept a copy of."""

    def digests(self) -> dict[str, str]:
        """Return the sha256 of all there is, by path below the state directory; of an archive, of what is in it."""


class Files:
    """Sessions in `sessions.json` and a transcript file each."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def entries(self, agent: str) -> dict[str, dict[str, Any]]:
        return dict(json.loads((self._folder(agent) / "sessions.json").read_bytes()))

    def said(self, agent: str, key: str) -> str:
        return Path(str(self.entries(agent)[key]["sessionFile"])).read_text()

    def remains(self, agent: str, session_id: str) -> set[str]:
        return {path.name for path in self._folder(agent).glob(f"{session_id}*") if path.suffix in (".jsonl", ".json")}

    def saved(self, answer: Mapping[str, Any], agent: str) -> dict[str, dict[str, Any]]:
        (backup,) = [store["backup"] for store in answer["stores"] if store["agent"] == agent]
        assert Path(backup).stat().st_mode & 0o777 == 0o600
        return dict(json.loads(Path(backup).read_bytes()))

    def digests(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.state)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.state.glob("agents/*/sessions/**/*"))
            if path.is_file()
        }

    def _folder(self, agent: str) -> Path:
        return self.state / "agents" / agent / "sessions"


class Database:
    """Sessions in a database of each agent, which writes an archive file of every transcript that it deletes."""

    def __init__(self, state: Path, node: Path) -> None:
        self.state = state
        self._node = node

    def entries(self, agent: str) -> dict[str, dict[str, Any]]:
        with self._reading(agent) as connection:
            return {key: _entry(text) for key, text in _entries(connection)}

    def said(self, agent: str, key: str) -> str:
        with self._reading(agent) as connection:
            query = "select current_session_id from session_nodes where session_key = ?"
            (session_id,) = connection.execute(query, [key]).fetchone()
            return _transcripts(connection)[session_id]

    def remains(self, agent: str, session_id: str) -> set[str]:
        with self._reading(agent) as connection:
            tables = ("transcript_events", "session_windows")
            query = "select 1 from {} where session_id = ? limit 1"
            return {table for table in tables if connection.execute(query.format(table), [session_id]).fetchone()}

    def saved(self, answer: Mapping[str, Any], agent: str) -> dict[str, dict[str, Any]]:
        receipt = Path(answer["receipt"])
        assert receipt.stat().st_mode & 0o777 == 0o600
        (store,) = [store for store in json.loads(receipt.read_bytes())["stores"] if store["agent"] == agent]
        return {session["key"]: _entry(session["entry"]) for session in store["sessions"]}

    def digests(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.state.glob(f"agents/*/agent/{DATABASE}")):
            agent = path.parts[-3]
            with self._reading(agent) as connection:
                for key, text in _entries(connection):
                    found[f"{path.relative_to(self.state)}#{key}"] = _hash(json.dumps(_entry(text)))
                for session_id, text in _transcripts(connection).items():
                    found[f"agents/{agent}/sessions/{session_id}.jsonl"] = _hash(text)
        files = [path for path in sorted(self.state.glob("agents/*/sessions/**/*")) if path.is_file()]
        archives = [path for path in files if path.suffix == ".zst"]
        hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        hashes.update(zip(archives, self._expanded(archives), strict=True))
        return found | {str(path.relative_to(self.state)): digest for path, digest in hashes.items()}

    def _expanded(self, archives: Sequence[Path]) -> list[str]:
        if not archives:
            return []
        command = [str(self._node), "-e", EXPAND, *map(str, archives)]
        return list(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))

    @contextlib.contextmanager
    def _reading(self, agent: str) -> Iterator[sqlite3.Connection]:
        path = self.state / "agents" / agent / "agent" / DATABASE
        # Without a log nobody has the database open, and a plain look would leave one behind.
        is_open = path.with_name(f"{DATABASE}-wal").exists()
        mode = "mode=ro" if is_open else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"file:{path}?{mode}", uri=True, timeout=10)) as connection:
            yield connection


def _entries(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("select session_key, entry_json from session_nodes").fetchall()


def _entry(text: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(text).items() if name != CAPTURE}


def _transcripts(connection: sqlite3.Connection) -> dict[str, str]:
    found: dict[str, str] = {}
    query = "select session_id, event_json, event_zstd from transcript_events order by session_id, seq"
    for session_id, event, packed in connection.execute(query):
        text = zstd.decompress(packed).decode() if event is None else event
        found[session_id] = found.get(session_id, "") + text + "\n"
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
