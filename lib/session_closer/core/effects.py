"""What a close changes besides the row and its files, by kind: how it is named, and what an undo makes of it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from .escape import plain

# What becomes of a message to a session that is archived (docs/measurements.md).
MESSAGE = "refused until the session is restored; a person's message in a channel brings it back"


class How(StrEnum):
    """How a session is put away: which of its belongings go depends on that."""

    ARCHIVE = "archive"
    DELETE = "delete"
    GATEWAY = "gateway"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Attached:
    """What refers to a session, or belongs to it: `count` rows or files of one kind.

    `id` and `name` where it is one thing that has them; `detail` is a clause for people. `destroyed`: a deletion by the
    gateway takes it along. Of a cron job `off`: it is to be switched off; `runs`: in this session, else it only reports
    to it.
    """

    kind: str
    id: str = ""
    name: str = ""
    count: int = 1
    detail: str = ""
    destroyed: bool = False
    off: bool = False
    runs: bool = True


@dataclass(frozen=True, slots=True)
class Effect:
    """What a close makes of one thing that is attached: `action` is disabled, removed or kept.

    `undo`: exact (it is as it was, or always stays so), again (made anew, not the same in every respect), none.
    `note` says in plain words what that means for the person.
    """

    kind: str
    id: str
    name: str
    count: int
    action: str
    undo: str
    note: str = ""


DISABLED, REMOVED, KEPT = "disabled", "removed", "kept"
CHILD = "child"
EXACT, AGAIN, NONE = "exact", "again", "none"

# What each kind is, in words for one and for many; an unknown one is `table:NAME` or `file:PATH`.
KINDS: Mapping[str, tuple[str, str]] = {
    "cron-job": ("cron job", "cron jobs"),
    "trajectory": ("trajectory event", "trajectory events"),
    "binding": ("chat binding", "chat bindings"),
    "board": ("board part", "board parts"),
    "worktree": ("worktree", "worktrees"),
    "pin": ("pin", "pins"),
    CHILD: ("child session", "child sessions"),
    "watcher": ("watcher", "watchers"),
    "participant": ("participant", "participants"),
    "question": ("open question", "open questions"),
    "delivery": ("queued delivery", "queued deliveries"),
    "ignored-file": ("file that git ignores", "files that git ignores"),
    "file-mode": ("file mode", "file modes"),
    "memory": ("memory index entry", "memory index entries"),
    "settings": ("session's settings", "sessions' settings"),
    "transcript": ("transcript", "transcripts"),
}
# What the gateway does in each way of closing, where it is not what `destroyed` says (docs/undo.md).
_OTHERWISE: Mapping[tuple[str, How], tuple[str, str]] = {
    ("pin", How.ARCHIVE): (REMOVED, AGAIN),
    ("pin", How.DELETE): (REMOVED, EXACT),
    ("worktree", How.ARCHIVE): (REMOVED, AGAIN),
    ("worktree", How.DELETE): (REMOVED, NONE),
    ("ignored-file", How.ARCHIVE): (REMOVED, NONE),
    ("ignored-file", How.DELETE): (REMOVED, NONE),
}
# Named to people although the close leaves them as they are: they go on without the session.
_GO_ON = frozenset({"cron-job", CHILD, "watcher", "binding", "question", "delivery"})


def of(attached: Iterable[Attached], how: How) -> tuple[Effect, ...]:
    """Return what a way of closing makes of what is attached to one session."""
    return tuple(_effect(one, how) for one in attached)


def _effect(one: Attached, how: How) -> Effect:
    if one.off:
        return Effect(one.kind, one.id, one.name, one.count, DISABLED, AGAIN, _SWITCHED)
    lost = one.destroyed and how is How.DELETE
    if one.kind == "binding" and how is How.GATEWAY:
        # One that is kept in a file can be written back, one in a database cannot.
        return Effect(one.kind, one.id, one.name, one.count, REMOVED, NONE if one.destroyed else EXACT, one.detail)
    action, undo = _OTHERWISE.get((one.kind, how), (REMOVED, NONE) if lost else (KEPT, EXACT))
    return Effect(one.kind, one.id, one.name, one.count, action, undo, _note(one, how))


def _note(one: Attached, how: How) -> str:
    if one.kind == "cron-job":
        run = "makes the key anew" if how is not How.ARCHIVE else "fails while the key is archived"
        run = run if one.runs else "goes on in a session of its own, and cannot report here"
        return "; ".join(part for part in (one.detail, f"it stays on: each run {run}") if part)
    if one.kind == "binding" and how is How.FILES:
        return "; ".join(part for part in (one.detail, "it stays, and leads to a key that is closed") if part)
    if one.kind == "worktree":
        back = f", and brings it back: openclaw worktrees restore {one.id}" if how is How.DELETE else ""
        return "; ".join(part for part in (f"OpenClaw keeps its snapshot for 30 days{back}", one.detail) if part)
    return one.detail


_SWITCHED = "the undo switches it on again, unless somebody has changed it since"


def spoken_of(effects: Iterable[Effect]) -> list[Effect]:
    """Return those that a person should hear of: all that is changed, and what goes on without the session."""
    return [one for one in effects if one.action != KEPT or one.kind in _GO_ON]


def named(kind: str, count: int) -> str:
    """Return a count of one kind in words."""
    if kind in KINDS:
        return f"{count} {KINDS[kind][count != 1]}"
    where, _, name = kind.partition(":")
    things = {"table": "row", "file": "file"}.get(where, where) + ("s" if count != 1 else "")
    if where == "file" and count == 1 and not name.endswith("/"):
        return f"file {plain(name)}"
    return f"{count} {things} of {plain(name)}" if name else f"{count} of {plain(kind)}"


def line(effect: Effect) -> str:
    """Return an effect in words, one line."""
    who = effect.name or effect.id
    what = named(effect.kind, effect.count) + (f" {plain(who)}" if who else "")
    back = {EXACT: "", AGAIN: "the undo makes it anew", NONE: "no undo brings it back"}[effect.undo]
    back = "" if effect.action == DISABLED else back
    said = "; ".join(part for part in (effect.note, back if effect.action != KEPT else "") if part)
    return f"{what} {effect.action}{f': {said}' if said else ''}"


@dataclass(frozen=True, slots=True)
class Lost:
    """What an undo has not brought back: `count` of one kind, and why."""

    kind: str
    count: int
    why: str


# Why there is no way back, in a database and in a file store.
WHY = "its rows were deleted with the session, and OpenClaw's importer takes none"
_WHY_OF = {
    "worktree": "OpenClaw's importer makes no checkout; within 30 days of the close: openclaw worktrees restore {}",
    "ignored-file": "git ignores them, so OpenClaw's snapshot of the worktree did not keep them",
}
WHY_IN_FILES = "the gateway removed it from its database, where nothing but the gateway may write: bind the chat anew"


def lost(effects: Iterable[Effect], how: How, left_out: Mapping[str, str]) -> tuple[Lost, ...]:
    """Return what an undo of a close leaves out; `left_out`: by kind or id why what has a way back did not come back.

    `how` the session had been put away when the undo began: what was archived may have been deleted since.
    """
    found: dict[tuple[str, str], int] = {}
    never = WHY if how in (How.ARCHIVE, How.DELETE) else WHY_IN_FILES
    for one in effects:
        destroyed = one.action == KEPT and one.kind in _DESTROYED
        undo = NONE if how is How.DELETE and (destroyed or one.kind == "worktree") else one.undo
        no_way = _WHY_OF.get(one.kind, never).format(one.id)
        why = left_out.get(one.id) or left_out.get(one.kind) or (no_way if undo == NONE else "")
        if why:
            found[one.kind, why] = found.get((one.kind, why), 0) + one.count
    return tuple(Lost(kind, count, why) for (kind, why), count in found.items())


_DESTROYED = frozenset({"trajectory", "board", "participant", "watcher", "binding"})


def as_json(things: Sequence[Effect | Lost]) -> list[dict[str, Any]]:
    """Return effects, or what an undo left out, as they stand in a result (docs/json.md)."""
    return [asdict(one) for one in things]
