"""What Hermes' own commands take from a home and what they leave, counted, as the table of docs/hermes.md has it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..lab import REPOSITORY
from .story import Told

PAGE = REPOSITORY / "docs" / "hermes.md"
# Each row of the table: the commands in their order.
COMMANDS = (
    ("sessions prune --older-than 30 --yes",),
    ("sessions prune --older-than 30 --include-archived --yes",),
    ("sessions delete foo --yes",),
    ("sessions delete foo --yes", "sessions delete foo --yes"),
    ("checkpoints prune --retention-days 14 --keep-orphans",),
)
HEAD = (
    "| command | rows deleted | of them in use | files deleted | of them to be kept | old ones left |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Losses:
    """What is not there any more, and what is though nobody needs it."""

    rows: set[str]
    rows_in_use: set[str]
    files: set[str]
    files_to_keep: set[str]
    left: set[str]

    def line(self, name: str) -> str:
        """Return the row of the table."""
        counts = (self.rows, self.rows_in_use, self.files, self.files_to_keep, self.left)
        return f"| {name} | {' | '.join(str(len(each)) for each in counts)} |"


def losses(told: Told, rows: set[str]) -> Losses:
    """Return what a home has lost that was told anew, and had these rows, before something was done to it."""
    there = {path for path in {**told.stays, **told.goes} if os.path.lexists(told.lab.home / path)}
    gone_rows = rows - sessions(told)
    gone = {*told.stays, *told.goes} - there
    return Losses(gone_rows, gone_rows & told.kept.keys(), gone, gone & told.stays.keys(), there & told.goes.keys())


def sessions(told: Told) -> set[str]:
    """Return the ids of all rows."""
    return {session for (session,) in told.lab.rows("select id from sessions")}


def measured(told: Told) -> list[str]:
    """Return the table, each row on a home that was told anew."""
    lines = []
    for commands in COMMANDS:
        told.anew()
        rows = sessions(told)
        for command in commands:
            assert told.lab.command(*command.split()).returncode == 0
        name = f"`hermes {commands[0]}`" + (", twice" if len(commands) > 1 else "")
        lines.append(losses(told, rows).line(name))
    return [*HEAD, *lines]
