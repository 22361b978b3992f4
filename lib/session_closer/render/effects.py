"""What a close changes besides the row and its files, in words and in JSON (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.actions import AGAIN, CHILD, DISABLED, EXACT, KEPT, NONE
from ..core.escape import plain

if TYPE_CHECKING:
    from ..core.effects import Effect, Lost

# What becomes of a message to a session that is archived (docs/measurements.md).
MESSAGE = "refused until the session is restored; a person's message in a channel brings it back"
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
# Named to people although the close leaves them as they are: they go on without the session.
_GO_ON = frozenset({"cron-job", CHILD, "watcher", "binding", "question", "delivery"})


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
    # Of several the first are named, each a key, and a sign for more.
    several = who.split(", ") if effect.kind == CHILD and effect.count > 1 else [who]
    said_of = ", ".join(one if one == "…" else plain(one) for one in several)
    what = named(effect.kind, effect.count) + (f" {said_of}" if who else "")
    back = {EXACT: "", AGAIN: "the undo makes it anew", NONE: "no undo brings it back"}[effect.undo]
    back = "" if effect.action == DISABLED else back
    said = "; ".join(part for part in (effect.note, back if effect.action != KEPT else "") if part)
    return f"{what} {effect.action}{f': {said}' if said else ''}"


def as_json(things: Sequence[Effect | Lost]) -> list[dict[str, Any]]:
    """Return effects, or what an undo left out, as they stand in a result (docs/json.md)."""
    import msgspec  # loaded where there are effects

    return [msgspec.structs.asdict(one) for one in things]
