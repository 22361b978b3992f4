"""The tasks of evals/evals.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "evals" / "evals.json"


class Task(NamedTuple):
    """A task: what is asked, of which store, and what is to have become of it.

    closed: keys, or patterns of keys, that are gone at the end; all others are there, as they were. says: patterns that
    the answer holds. made: patterns of files in the folder where the agent works. before: commands that were run
    earlier. own: the rest of the key of the agent's own session. runs: how many cron runs there are besides.
    """

    number: int
    prompt: str
    agents: dict[str, dict[str, str]]
    closed: tuple[str, ...]
    says: tuple[str, ...]
    made: tuple[str, ...]
    before: tuple[str, ...]
    trap: str | None
    receipt: str | None
    own: str | None
    runs: int


def tasks() -> list[Task]:
    """Return all tasks, in their order."""
    page = json.loads(PAGE.read_text(encoding="utf-8"))
    return [_task(row, page["stores"]) for row in page["evals"]]


def _task(row: dict[str, Any], stores: dict[str, Any]) -> Task:
    lists = (tuple(row.get(name, ())) for name in ("closed", "says", "made", "before"))
    more = (row.get(name) for name in ("trap", "receipt", "own"))
    return Task(row["id"], row["prompt"], stores[row["store"]], *lists, *more, row.get("runs", 0))
