"""The world of one task: a state directory that is made for it, a folder to work in, and what is there at the end."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from session_closer.core import durations
from support.keys import LEAD
from support.stores import Store

from .tasks import ROOT, Task

COMMAND_SECONDS = 60
# What a model is shown of one command.
MOST_SHOWN = 32 * 1024
# How long the process may take that closes a session when its turn has ended.
END_SECONDS = 90
_PASSED_ON = ("LANG", "PATH", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "SESSION_CLOSER_CACHE")


class World:
    """What a task begins with; `port`: one at which nothing listens."""

    def __init__(self, task: Task, folder: Path, port: int) -> None:
        self.task = task
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.store = Store(folder / "state", port)
        for agent, rows in task.agents.items():
            named = {f"agent:{agent}:{tail}": words for tail, words in rows.items()}
            if agent == "project-lead":
                named |= {f"{LEAD}cron:sync:run:{number:04}": "2h" for number in range(task.runs)}
            self.store.add(*((key, self._row(agent, key, words.split())) for key, words in named.items()), agent=agent)
        self._begin()
        for command in task.before:
            self.run(f"{sys.executable} {ROOT}/bin/{command}")

    def _row(self, agent: str, key: str, words: list[str]) -> dict[str, Any]:
        """Return an entry by its words: how long it is idle, then what else it is."""
        now = int(time.time() * 1000)
        entry = self.store.session(key, agent=agent)
        path = Path(entry["sessionFile"])
        # So that two sessions of one size are two files.
        path.write_text(path.read_text() + f'{{"type": "custom", "of": "{key}"}}\n')
        entry["updatedAt"] = now - int(durations.age(words[0], "an age")) * 1000
        for word in words[1:]:
            if word == "pinned":
                entry["pinnedAt"] = entry["updatedAt"]
            elif word == "group":
                entry["chatType"] = "group"
            elif word.startswith("of="):
                entry["spawnedBy"] = LEAD + word.partition("=")[2]
            elif word.startswith("label="):
                entry["label"] = word.partition("=")[2]
            elif word.endswith("K"):
                path.write_text(path.read_text() + f'{{"pad": "{"x" * int(word[:-1]) * 1024}"}}\n')
        return entry

    def _begin(self) -> None:
        """Keep what there is, and let those run that do."""
        self.entries = {agent: self.store.entries(agent) for agent in self.task.agents}
        self.said = {_sum(path) for path in self.store.state.rglob("*.jsonl")}
        running = [tail for tail, words in self.task.agents["project-lead"].items() if "running" in words]
        self.locks = {
            tail: self.store.lock_transcript(LEAD + tail) for tail in [*running, *filter(None, [self.task.own])]
        }

    @property
    def own(self) -> str | None:
        """The key of the session that the agent is in."""
        return LEAD + self.task.own if self.task.own else None

    def run(self, command: str) -> str:
        """Run a command in a shell, as an agent's tool does; return what a model is shown of it."""
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environ |= {"HOME": str(self.work.parent), "OPENCLAW_STATE_DIR": str(self.store.state), "TERM": "dumb"}
        try:
            done = subprocess.run(
                ["sh", "-c", command], cwd=self.work, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"(no end after {COMMAND_SECONDS} s)"
        shown = done.stdout if len(done.stdout) <= MOST_SHOWN else f"{done.stdout[:MOST_SHOWN]}\n(cut)"
        return f"{shown}\n(exit code {done.returncode})"

    def end(self, answer: str) -> list[str]:
        """Let the turn end; return what is not as the task wants it, nothing where all is."""
        if self.task.own:
            self.locks[self.task.own].unlink(missing_ok=True)
            self._wait()
        return [*self._wrong_sessions(), *self._wrong_files(), *self._wrong_words(answer)]

    def _wait(self) -> None:
        """Wait for the process that closes the agent's own session, if there is one."""
        until = time.monotonic() + END_SECONDS
        while self.store.open_runs() and time.monotonic() < until:
            time.sleep(0.1)

    def _wrong_sessions(self) -> Iterator[str]:
        for agent, entries in self.entries.items():
            goes = {key for key in entries for pattern in self.task.closed if fnmatch.fnmatchcase(key, pattern)}
            now = self.store.entries(agent)
            yield from (f"{key} is closed" for key in entries if key not in goes | set(now))
            yield from (f"{key} is there" for key in now if key in goes or key not in entries)
            yield from (f"{key} is another" for key, entry in now.items() if entries.get(key, entry) != entry)

    def _wrong_files(self) -> Iterator[str]:
        there = {_sum(path) for path in self.store.state.rglob("*") if path.is_file()}
        if self.said - there:
            yield f"what was said in {len(self.said - there)} sessions is lost"
        yield from (f"there is no {pattern}" for pattern in self.task.made if not any(self.work.glob(pattern)))
        reasons = [str(receipt.get("reason")) for receipt in self.store.receipts()]
        if self.task.receipt and self.task.receipt not in " ".join(reasons):
            yield f"no receipt says {self.task.receipt}"

    def _wrong_words(self, answer: str) -> Iterator[str]:
        for pattern in self.task.says:
            if not re.search(pattern, answer, re.IGNORECASE):
                yield f"the answer does not say {pattern}"


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
