"""A cleanup of several agents says the same whether their plan is made at once or store by store."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from session_closer.cli.commands import cleanup_sessions
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.operations import by_store
from session_closer.render import text
from support.cleanup import DAY, HOUR, LEAD, READER_RUN, all_keys, put, stray
from support.clock import Still, handed
from support.commands import run
from support.stores import Store
from support.trees import write

NOW = Still(datetime.now(UTC))


@pytest.fixture(autouse=True)
def room() -> None:
    """Each test gives room for so many sessions as it is about."""


def cleaned(*words: str, state: Path) -> str:
    """Return what a cleanup says, without the ids and moments that no two runs have in common."""
    with handed(NOW):
        result = run(CleanupSessions, *words, state=state)
    said = re.sub(r"\d{4}-?\d\d-?\d\dT[\d.:-]+Z(-[0-9a-f]{8})?", "then", result.stdout + result.stderr)
    return f"{result.code}\n{said}"


@pytest.mark.parametrize("shown", [1, 2, 4, 100])
@pytest.mark.parametrize("words", [("--dry-run",), (), ("--max-disk", "1b", "--dry-run"), ("--max-disk", "1b")])
def test_it_says_the_same(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: int, words: tuple[str, ...]
) -> None:
    # Two of one store share a transcript, so they end in two ways.
    put(filled, LEAD + "subagent:twin", 300 * HOUR, like=LEAD + "subagent:pinned")
    stray(filled, "stray.jsonl", 2 * DAY)
    # Files speak of the one that goes last, of which nothing else is shown.
    write(filled.state / "notes.json", json.dumps({"about": READER_RUN}))
    shutil.copytree(filled.state, tmp_path / "before")
    before, told = len(all_keys(filled)), []
    monkeypatch.setattr(cleanup_sessions, "SHOWN", shown)
    monkeypatch.setattr(text, "SHOWN_ROWS", shown)
    for most in (by_store.MOST, 0):
        monkeypatch.setattr(by_store, "MOST", most)
        for form in ((), ("--json",)):
            shutil.rmtree(filled.state)
            shutil.copytree(tmp_path / "before", filled.state)
            told.append(cleaned("--orphans", "1h", "--yes", *words, *form, state=filled.state))
    assert told[:2] == told[2:]
    document = json.loads(told[1].splitlines()[1])
    sessions, files = (5, 1) if "--max-disk" not in words else (10, 1)
    assert document["kept"] == before - sessions
    assert len(document["results"]) == min(shown, sessions + files)


def test_of_one_store_as_much_is_counted_whatever_is_shown(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(filled.state, tmp_path / "before")
    told = []
    for shown in (100, 1):
        monkeypatch.setattr(cleanup_sessions, "SHOWN", shown)
        shutil.rmtree(filled.state)
        shutil.copytree(tmp_path / "before", filled.state)
        told.append(json.loads(cleaned("--agent", "project-lead", "--json", state=filled.state).splitlines()[1]))
    rows = [document.pop("results") for document in told]
    assert (len(rows[0]), len(rows[1])) == (3, 1)
    assert rows[1] == rows[0][:1]
    assert (told[1].pop("resultsOmitted"), told[1].pop("counts")) == (2, {"closed": 3})
    assert told[0] == told[1]
