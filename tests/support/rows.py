"""Close sessions of databases, and see what is left of their rows and events."""

from __future__ import annotations

from typing import Any

from session_closer.cli.commands.close_project_batch import CloseProjectBatch

from support.commands import Answer, close
from support.sqlite import Bases

OTHER_PLACE = "/srv/openclaw/state"


def delete(bases: Bases, *words: str, command: Any = CloseProjectBatch) -> Answer:
    return close(bases, "--delete", *words, command=command)


def the_row(answer: Answer) -> dict[str, Any]:
    (row,) = answer.data["results"]
    return dict(row)


def picture(bases: Bases) -> dict[str, Any]:
    """Return all rows and events: what must be as it was where nothing was to be changed."""
    agents = sorted(path.parent.parent.name for path in bases.store.state.glob("agents/*/agent/*.sqlite"))
    return {agent: (bases.rows(agent), bases.events(agent)) for agent in agents}


def others(bases: Bases, before: dict[str, Any], *closed: str) -> bool:
    """Tell whether everything but the closed sessions is as it was."""
    expected = {}
    for agent, (rows, events) in before.items():
        gone = {row["current_session_id"] for key, row in rows.items() if key in closed}
        expected[agent] = (
            {key: row for key, row in rows.items() if key not in closed},
            {at: text for at, text in events.items() if at[0] not in gone},
        )
    return picture(bases) == expected
