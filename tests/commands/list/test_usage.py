"""list-sessions --usage: what takes the disk, by agent and kind, archives, backups and receipts of ours among it."""

from __future__ import annotations

from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run, run_json
from support.stores import Store, picture

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


def used(store: Store, *words: str) -> list[dict[str, Any]]:
    answer = run_json(ListSessions, "--usage", *words, state=store.state)
    assert (answer.code, answer.stderr) == (0, "")
    assert not {"sessions", "count", "totalCount"} & set(answer.data)
    found = answer.data["usage"]
    assert isinstance(found, list)
    return found


def on_disk(store: Store) -> int:
    """Return the bytes of all files of sessions, and of their indexes and databases."""
    agents = store.state / "agents"
    folders = [*agents.glob("*/sessions"), *agents.glob("*/agent")]
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    own = [path for path in files if path.parent.name == "sessions" or ".sqlite" in path.name]
    return sum(path.stat().st_size for path in own)


def test_all_that_is_there_is_counted_once_and_nothing_is_written(filled: Store) -> None:
    before = picture(filled)
    rows = used(filled)
    assert sum(row["bytes"] for row in rows) == on_disk(filled) > 0
    assert {row["agent"] for row in rows} == {"project-lead", "researcher"}
    assert len({(row["agent"], row["kind"]) for row in rows}) == len(rows)
    assert picture(filled) == before
    shown = run(ListSessions, "--usage", state=filled.state).stdout
    assert shown.startswith("AGENT")
    assert "\ntotal " in shown
    assert {row["agent"] for row in used(filled, "--agent", "researcher")} == {"researcher"}


def test_what_a_close_leaves_is_counted_by_its_kind(store: Store) -> None:
    kinds = {(row["agent"], row["kind"]): row["count"] for row in used(store)}
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    after = {(row["agent"], row["kind"]): row["count"] for row in used(store)}
    gone = kinds["project-lead", "transcript"] - after["project-lead", "transcript"]
    assert gone > 0
    assert after["project-lead", "archive"] - kinds.get(("project-lead", "archive"), 0) >= gone
    assert after["project-lead", "backup"] == kinds.get(("project-lead", "backup"), 0) + 1
    assert after[None, "receipts"] == 1


USELESS = [
    "kelly",
    "--older-than 0s",
    "--kind cron",
    "--label x",
    "--sort size",
    "--limit 5",
    "--limit all",
    "--reverse",
]


@pytest.mark.parametrize("words", USELESS)
def test_what_chooses_or_orders_sessions_means_nothing_there(store: Store, words: str) -> None:
    result = run(ListSessions, "--usage", *words.split(), state=store.state)
    assert (result.code, result.stdout) == (2, "")
    assert "--usage counts everything" in result.stderr
