"""What a close changes besides the row and its files, by kind, and what an undo makes of it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .actions import AGAIN, DISABLED, EXACT, KEPT, NONE, REMOVED, How


class Attached(msgspec.Struct, frozen=True):
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


class Effect(msgspec.Struct, frozen=True):
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


# What the gateway does in each way of closing, where it is not what `destroyed` says (docs/undo.md).
_OTHERWISE: Mapping[tuple[str, How], tuple[str, str]] = {
    ("pin", How.ARCHIVE): (REMOVED, AGAIN),
    ("pin", How.DELETE): (REMOVED, EXACT),
    ("worktree", How.ARCHIVE): (REMOVED, AGAIN),
    ("worktree", How.DELETE): (REMOVED, NONE),
    ("ignored-file", How.ARCHIVE): (REMOVED, NONE),
    ("ignored-file", How.DELETE): (REMOVED, NONE),
}


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


class Lost(msgspec.Struct, frozen=True):
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
