"""Whether an answer names a difference: by the session's row itself, by an effect, by what an undo left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .difference import INDEX, Difference

# What a table's rows are called; any other one is `table:NAME`.
KINDS = {
    "trajectory_runtime_events": "trajectory",
    "board_tabs": "board",
    "board_widgets": "board",
    "session_participants": "participant",
    "session_watch_cursors": "watcher",
    "current_conversation_bindings": "binding",
    "worktrees": "worktree",
    "cron_jobs": "cron-job",
}
PATHS = (
    (re.compile(r"^worktrees/"), "worktree"),
    (re.compile(r"^bindings/current-conversations\.json$"), "binding"),
    (re.compile(r"^cron/"), "cron-job"),
)
PIN = {"pinnedAt", "pinned_at", "entry_json.pinnedAt"}
# How a row says that it is archived: the status says it.
ARCHIVED = {"archived_at", "entry_json.archivedAt", "entry_json.archiveReason"}
# What is made of the transcript, goes and comes with it, and holds nothing else.
TRANSCRIPT = re.compile(r"^(session_windows|transcript_\w+|session_transcript_\w+)$")
# What the importer and the next start write about a session that is back, beside its row.
BOOKKEEPING = {
    "session_windows": {"session_entry_provenance", "transcript_updated_at", "transcript_observed_at"},
    "transcript_rewrite_watermarks": {"generation", "updated_at"},
    "session_canonical_validation_pending": set(),
}
OURS = re.compile(r"^session-closer(/|$)")
BACKUP = re.compile(r"/sessions\.json\.bak-[^/]+$")


@dataclass(frozen=True)
class Session:
    """Who was closed: key, session id, and the paths below the state directory that its row names."""

    key: str
    session_id: str
    archives: frozenset[str]


def kind_of(difference: Difference) -> str:
    """Return the kind of effect that names a difference."""
    if difference.table:
        if difference.change == "changed" and set(difference.columns) - ARCHIVED <= PIN:
            return "pin"
        return KINDS.get(difference.table, f"table:{difference.table}")
    found = next((kind for pattern, kind in PATHS if pattern.search(difference.place)), None)
    return found or f"file:{difference.place}"


def unnamed(found: Iterable[Difference], session: Session, *effects: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the differences around a close that one of these lists of effects does not name.

    An effect that is `kept` names no difference, and one counts as many rows as have changed.
    """
    rest = [one for one in found if not _is_the_close(one, session)]
    return [problem for listed in effects for problem in _missing(rest, listed)]


def _missing(rest: Sequence[Difference], listed: Sequence[Mapping[str, Any]]) -> list[str]:
    named: Counter[str] = Counter()
    for effect in listed:
        if effect["action"] != "kept":
            named[effect["kind"]] += effect["count"]
    problems = [f"not named: {one}" for one in rest if not named[kind_of(one)]]
    rows = Counter(kind_of(one) for one in rest if one.table and one.change == "gone" and one.table in KINDS)
    counted = {kind: (named[kind], rows[kind]) for kind in rows if named[kind]}
    return problems + [f"{kind}: {said} said, {are} gone" for kind, (said, are) in counted.items() if said != are]


def _is_the_close(one: Difference, session: Session) -> bool:
    """Tell whether a difference is what was asked for: row, transcript, archive, backup, receipt."""
    if OURS.search(one.place) or one.place in session.archives or BACKUP.search(one.place):
        return True
    if one.place.endswith(f"/{INDEX}") or one.table == "session_nodes":
        return one.item == session.key and (one.change == "gone" or set(one.columns) <= ARCHIVED)
    if TRANSCRIPT.search(one.table):
        return session.session_id in (one.before.get("session_id"), one.after.get("session_id"))
    if one.place.endswith("/sessions"):
        return one.change == "new"
    return any(path.startswith(f"{one.place}.") for path in session.archives)


def unsaid(
    found: Iterable[Difference],
    session: Session,
    effects: Sequence[Mapping[str, Any]],
    lost: Sequence[Mapping[str, Any]],
    text: str,
) -> list[str]:
    """Return the differences that an undo leaves and that neither `notRestored` nor, of a file, its text names.

    A row that an effect says to be made `again` may have changed; it may not be gone.
    """
    kinds = {one["kind"] for one in lost if one["count"] > 0 and one["why"]}
    kinds |= {"worktree"} if "ignored-file" in kinds else set()
    again = {one["kind"] for one in effects if one["undo"] == "again"}

    def is_said(one: Difference) -> bool:
        anew = one.table != "" and one.change == "changed" and kind_of(one) in again
        return kind_of(one) in kinds or anew or (one.table == "" and one.place in text)

    return [f"not said: {one}" for one in found if not _is_left_over(one, session) and not is_said(one)]


def _is_left_over(one: Difference, session: Session) -> bool:
    """Tell whether a difference is a record of what has happened, and takes nothing from the session."""
    if OURS.search(one.place) or BACKUP.search(one.place):
        return True
    if one.place in session.archives or one.table == "session_transcript_archives":
        return one.change == "new"
    if one.place.endswith("/sessions"):
        return one.change == "new"
    if one.table == "worktrees":
        return set(one.columns) <= {"snapshot_ref", "last_active_at"}
    return one.table in BOOKKEEPING and (one.change == "new" or set(one.columns) <= BOOKKEEPING[one.table])
