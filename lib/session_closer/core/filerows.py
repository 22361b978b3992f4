"""What becomes of files without a session, as rows of a report (pure)."""

from __future__ import annotations

from . import durations
from .findings import Action, Chores
from .names import archive_name
from .report import Outcome, Why
from .status import Reason, Status


def refused(agent: str, chores: Chores) -> Outcome:
    """Return the row of archives that stay, as nothing but the clock calls them old."""
    assert chores.doubt is not None
    count, ahead = len(chores.doubted), durations.shown(chores.doubt.seconds)
    files = "1 archive stays" if count == 1 else f"{count} archives stay"
    what = f"the clock was set ahead by {ahead} since run {chores.doubt.run}, without a restart of the machine"
    why = f"{files}, which only that makes old enough: {what}; set it right, then run the same command again"
    return Outcome(agent, agent, "", Status.REFUSED, Reason.CLOCK, error=why)


def preview(agent: str, chores: Chores, folder: str, stamp: str) -> list[Outcome]:
    """Return the rows of a dry run for an agent's files; `stamp` is what their archives would have in their names."""
    # What lies beside an index elsewhere has a whole path.
    wholes = {name: name if name.startswith("/") else f"{folder}/{name}" for name in chores.orphans}
    archives = {name: archive_name(whole, stamp) for name, whole in wholes.items()}
    return [
        *(row(agent, chores, name, Status.WOULD_ARCHIVE, archives[name]) for name in chores.orphans),
        *(row(agent, chores, name, Status.WOULD_EXPIRE) for name in chores.expired),
    ]


def row(agent: str, chores: Chores, name: str, status: Status, archive: str | None = None) -> Outcome:
    """Return the row of a file that is put away, or deleted for good; `archive`: its whole path then."""
    action = Action.ARCHIVE_ORPHAN if status in (Status.ARCHIVED, Status.WOULD_ARCHIVE) else Action.EXPIRE_ARCHIVE
    why = Why(str(action), None, chores.ages.get(name), chores.sizes.get(name))
    archives = (archive,) if archive is not None else ()
    return Outcome(name, agent, "", status, archives=archives, why=why, size=why.size)
