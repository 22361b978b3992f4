"""Of very many sessions that were named as they were closed only what may be told has a result: it says the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli import app
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.operations import apply
from session_closer.ports.share import Share
from session_closer.render import excerpt, text
from support.clock import Still, handed
from support.commands import run
from support.stores import Store

NOW = Still(datetime.now(UTC))
AGENTS, SESSIONS, TOLD, MOST_BYTES = ("atlas", "bosun"), 9, 4, 3_000


def key(agent: str, number: int) -> str:
    return f"agent:{agent}:job-{number}"


EVERY = [key(agent, number) for number in range(SESSIONS) for agent in reversed(AGENTS)]


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    found = Store(tmp_path / "state", closed_port)
    for agent in AGENTS:
        keys = [key(agent, number) for number in range(SESSIONS)]
        found.write({one: found.session(one, agent=agent) for one in keys}, agent)
    return found


def nothing(_store: Store, _patch: pytest.MonkeyPatch) -> None:
    """Let all go as it was named."""


def one_comes_back(store: Store, patch: pytest.MonkeyPatch) -> None:
    """Let a gateway write one row back once all are closed."""
    before, real = store.entries(AGENTS[1]), apply.restart_once

    def written(*words: Any) -> Any:
        store.write({key(AGENTS[1], 5): before[key(AGENTS[1], 5)]}, AGENTS[1])
        return real(*words)

    patch.setattr(apply, "restart_once", written)


def one_runs(store: Store, _patch: pytest.MonkeyPatch) -> None:
    """Let one be in the middle of a run."""
    entries = store.entries(AGENTS[0])
    entries[key(AGENTS[0], 7)]["status"] = "running"
    store.write(entries, AGENTS[0])


def two_share(store: Store, _patch: pytest.MonkeyPatch) -> None:
    """Let two have the same transcript."""
    entries = store.entries(AGENTS[0])
    entries[key(AGENTS[0], 6)] |= {name: entries[key(AGENTS[0], 1)][name] for name in ("sessionId", "sessionFile")}
    store.write(entries, AGENTS[0])


@pytest.mark.parametrize("change", [nothing, one_comes_back, one_runs, two_share])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (CloseProjectBatch, EVERY),
        (CloseProjectBatch, [*EVERY[4:], "agent:atlas:nobody", *EVERY[:4], EVERY[0]]),
        (CloseProjectBatch, [*EVERY, "--missing-ok", "--verbose"]),
        (CloseProjectBatch, [*EVERY, "--export", "copies"]),
        (CloseProjectBatch, [*EVERY, "--rehearse"]),
        (KeepOnlySessions, ["--agent", AGENTS[0], EVERY[1], "--yes"]),
        (KeepOnlySessions, ["--agent", AGENTS[0], EVERY[1], "--yes", "--dry-run"]),
    ],
    ids=["named", "in another order", "verbose", "export", "rehearsed", "keep", "dry"],
)
def test_it_says_and_does_the_same(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Store, pytest.MonkeyPatch], None],
    command: Any,
    words: Sequence[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(excerpt, "MOST_BYTES", MOST_BYTES)
    monkeypatch.setattr(text, "SHOWN_ROWS", TOLD)
    made: list[int] = []
    real = Share.first_outcomes
    monkeypatch.setattr(Share, "first_outcomes", lambda *args: made.append(len((found := real(*args))[0])) or found)
    shutil.copytree(store.state, tmp_path / "before")
    told = []
    for most in (1 << 20, TOLD):
        monkeypatch.setattr(app, "MOST_TOLD", most)
        made.clear()
        for form in ((), ("--json",)):
            shutil.rmtree(store.state)
            shutil.copytree(tmp_path / "before", store.state)
            shutil.rmtree(tmp_path / "copies", ignore_errors=True)
            with monkeypatch.context() as patch, handed(NOW):
                change(store, patch)
                result = run(command, *words, *form, state=store.state)
            said = re.sub(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}", "RUN", result.stdout + result.stderr)
            [receipt] = store.receipts() or [None]
            kept = (
                [(one["key"], one["status"]) for each in receipt["stores"] for one in each["sessions"]]
                if receipt
                else []
            )
            told.append((result.code, said, sorted(kept)))
    assert told[:2] == told[2:]
    if change is nothing and not {"--dry-run", "--rehearse"}.intersection(words):
        each = SESSIONS if {"--verbose", "--export"}.intersection(words) else TOLD
        assert set(made) == {each}
