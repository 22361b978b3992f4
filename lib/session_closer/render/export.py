"""What an export has to say, as one JSON document and as lines for people (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import durations
from ..core.escape import plain, shown
from ..core.report import Report
from .json import exported, shared

if TYPE_CHECKING:
    from ..core.errors import Ours
    from ..core.export.result import ExportReport, Trajectory
    from .grid import Block

EXPORT = "export-sessions"


def as_json(report: ExportReport, called: Callable[[Ours], str] = str) -> str:
    """Return the document (docs/json.md) as one line of JSON; `called` tells how a command of ours is called."""
    told = Report(EXPORT, warnings=report.warnings, error=report.error)
    return json.dumps(
        {
            **shared(told, report.exit_code, called),
            "output": report.output or None,
            "exported": [exported(row) for row in report.exported],
            "failed": [
                {"input": row.given, "agent": row.agent, "key": row.key, "status": str(row.status), "error": row.error}
                for row in report.failed
            ],
            **({} if report.trajectories is None else {"trajectories": list(map(_trajectory, report.trajectories))}),
        }
    )


def _trajectory(row: Trajectory) -> dict[str, Any]:
    return {"agent": row.agent, "key": row.key, "path": row.path, "openclaw": row.answer}


def lines(report: ExportReport, *, verbose: bool) -> list[Block]:
    """Return what a person reads on stdout."""
    if report.error is not None:
        return []
    made = report.trajectories
    count = f"{len(report.exported)} exported" if made is None else f"{len(made)} for support, no copies"
    more = f", {len(report.failed)} not" if report.failed else ""
    out: list[Block] = [f"{count}{more}"]
    for left in report.failed:
        out += [f"  {left.status}  {plain(left.given if left.key == '' else left.key)}  {left.error}"]
    for row in report.exported:
        events = f"{row.events} event{'' if row.events == 1 else 's'}"
        kept = f"{row.files} file{'' if row.files == 1 else 's'}, {durations.shown_size(row.size)}"
        out += [f"  exported  {plain(row.key)}  {events}, {kept}", f"            {plain(row.path)}"]
        if verbose:
            out.append(f"            sha256 {row.sha256}")
    for each in made or ():
        out += [f"  trajectory  {plain(each.key)}", f"              {plain(each.path)}"]
        out += [f"              {shown(json.dumps(each.answer))}"] if verbose else []
    if any(row.files > 1 for row in report.exported):
        out.append("check    sha256sum -c SHA256SUMS, in each of these folders")
    return out
