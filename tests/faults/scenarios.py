"""What a sweep is run over: stores, what is asked of them, and who else writes meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import listdir
from typing import TYPE_CHECKING, Any

from faults.image import file_bytes
from faults.injection import At, Bare, Counting, Plain
from faults.oracle import default_index, sessions_folder
from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.openclaw import sample
from session_closer.openclaw.home import Home
from session_closer.operations import restore
from session_closer.operations.close import execute
from session_closer.system.disk import Disk

if TYPE_CHECKING:
    from faults.sweep import Bench


TARGETS = (
    "kelly-dashboard",
    "hydration-tracker",
    "cron:nightly-report",
    "invoice-import",
    "agent:researcher:kelly-dashboard",
)
CLOSING = {
    "project-lead": {
        "agent:project-lead:kelly-dashboard",
        "agent:project-lead:project-kelly-dashboard",
        "agent:project-lead:project-hydration-tracker",
        "project-hydration-tracker",
        "agent:project-lead:cron:nightly-report",
        "agent:project-lead:invoice-import",
    },
    "researcher": {"agent:researcher:kelly-dashboard"},
}


def batch(state: str, disk: Disk) -> Report:
    """Run the batch of every sweep: two agents, bare and legacy keys, shared transcripts."""
    return BATCH.run(state, disk)


def in_json(rows: Mapping[str, Any]) -> bytes:
    """Return a store as OpenClaw writes it."""
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Scenario:
    """A store, what is asked of it, and who else writes: `meddle(bench, index, agent)` while a new store waits."""

    name: str
    wish: Wish
    closing: dict[str, set[str]]
    build: Callable[[str], None] = sample.build
    index: Callable[[str, str], str] = default_index
    disk: Callable[[At], Counting] = Counting
    meddle: Callable[[Bench, str, str], None] | None = None
    meddle_at: tuple[tuple[str, str], ...] = (("exchange", "before"), ("rename", "before"))

    restores: bool = False
    # Kills and errors of its recovery, and power cuts, only with everything.
    rare: bool = False

    def begin(self, state: str) -> None:
        """Bring the state to where the scenario begins, once the world was looked at."""
        if self.restores:
            assert exit_code(execute(Home(state, "demo", {}, isolated=True), self.wish, Options())) == 0

    def run(self, state: str, disk: Disk) -> Report:
        if self.restores:
            # Not a look of the run's own.
            receipt = min(listdir(os.path.join(state, "session-closer", "receipts")))
            ask = restore.Ask(receipt.removesuffix(".json"))
            return restore.execute(Home(state, "demo", {}, isolated=True), ask, Options(), disk=disk)
        return execute(Home(state, "demo", {}, isolated=True), self.wish, Options(), disk=disk)


def _custom_index(state: str, agent: str) -> str:
    return os.path.join(state, "stores", f"{agent}.json")


def _build_custom(state: str) -> None:
    """Put the indexes of all agents into one folder, each readable by its group."""
    sample.build(state)
    os.mkdir(os.path.join(state, "stores"), 0o700)
    for agent in os.listdir(os.path.join(state, "agents")):
        os.rename(default_index(state, agent), _custom_index(state, agent))
        os.chmod(_custom_index(state, agent), 0o640)
    with open(os.path.join(state, "openclaw.json"), "w") as file:
        json.dump({"session": {"store": _custom_index(state, "{agentId}")}}, file)


def _build_shared(state: str) -> None:
    """Give two entries that are closed the same transcript, and the archive name of another is taken already."""
    sample.build(state)
    folder = sessions_folder(state, "project-lead")
    path = os.path.join(folder, "sessions.json")
    rows = json.loads(file_bytes(path))
    rows["agent:project-lead:twin"] = dict(rows["agent:project-lead:invoice-import"])
    rows["agent:project-lead:topics"] = {"sessionId": "topics"}
    for name in ("topics-topic-7.jsonl", "topics-topic-7%3Ax.jsonl", "orphan.jsonl.reset.2016-11-01T00-00-00.000Z"):
        with open(os.path.join(folder, name), "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(name)
    with open(path, "w") as file:
        json.dump(rows, file, indent=2, ensure_ascii=False)


def _others_write(bench: Bench, index: str, agent: str) -> None:
    """Write as a gateway without locks does: a new entry, a kept one changed, a closed one in use again."""
    number = sum(owner == agent for owner, _, _ in bench.written()) // 3
    if number >= 2:
        return
    rows = json.loads(file_bytes(index))
    closing = sorted(bench.scenario.closing.get(agent, set()))
    kept = next(key for key in rows if key not in closing)
    changes = {
        f"agent:{agent}:written-{number}": {"sessionId": f"written-{number}"},
        kept: {**rows[kept], "label": f"written {number}"},
        closing[0]: {**bench.was(agent)[closing[0]], "label": f"in use again {number}"},
    }
    bench.write(index, agent, {**rows, **changes}, changes)


def _write_stale(bench: Bench, index: str, agent: str) -> None:
    """Write what was read before the exchange back after it, with a new entry: what a cache does."""
    if any(owner == agent for owner, _, _ in bench.written()):
        return
    added = {f"agent:{agent}:written": {"sessionId": "written"}}
    bench.write(index, agent, {**bench.was(agent), **added}, added)


def _wish(*words: str, keep: str | None = None) -> Wish:
    return Wish("close-project-batch", tuple(keys.target(word, keep) for word in words), keep=bool(keep), agent=keep)


_KEPT = {"agent:project-lead:main", "agent:project-lead:invoice-import", "agent:project-lead:never-spoken"}
_ALL = [
    "agent:project-lead:invoice-import-review",
    "agent:project-lead:telegram:group:-1001234",
    "agent:project-lead:cron:nightly-report:run:7f3a",
    "agent:project-lead:subagent:2b1c",
]
BATCH = Scenario("batch", _wish(*TARGETS), CLOSING)
SCENARIOS = (
    BATCH,
    Scenario(
        "keep-only",
        _wish("invoice-import", "never-spoken", keep="project-lead"),
        {"project-lead": (CLOSING["project-lead"] | set(_ALL)) - _KEPT},
    ),
    Scenario(
        "shared transcripts",
        _wish("invoice-import", "twin", "topics", "cron:nightly-report", "agent:project-lead:invoice-import-review"),
        {
            "project-lead": {
                f"agent:project-lead:{tail}"
                for tail in ("invoice-import", "twin", "topics", "cron:nightly-report", "invoice-import-review")
            }
        },
        build=_build_shared,
    ),
    Scenario("custom session.store", _wish(*TARGETS), CLOSING, build=_build_custom, index=_custom_index),
    Scenario("displaced", _wish(*TARGETS), CLOSING, meddle=_others_write),
    Scenario("stale", _wish(*TARGETS), CLOSING, meddle=_write_stale, meddle_at=(("exchange", "after"),)),
    Scenario("no renameat2", _wish(*TARGETS), CLOSING, disk=Plain),
    Scenario("no links", _wish(*TARGETS), CLOSING, disk=Bare),
    Scenario("restore", _wish(*TARGETS), CLOSING, restores=True),
    Scenario("restore, custom session.store", _wish(*TARGETS), CLOSING, _build_custom, _custom_index, restores=True),
    Scenario("restore, no renameat2", _wish(*TARGETS), CLOSING, disk=Plain, restores=True),
    Scenario("restore, no links", _wish(*TARGETS), CLOSING, disk=Bare, restores=True, rare=True),
)
