"""How a rehearsal ended, for people and as JSON (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.shown import Rehearsal

_SHOWN = 20


def lines(found: Rehearsal | None, *, verbose: bool) -> list[Any]:
    """Return what a person reads of a rehearsal, ahead of the plan; nothing where there was none."""
    if found is None:
        return []
    if not (found.sessions or found.files or found.left_out):
        return ["nothing to rehearse; your store was not touched"]
    files = f"{found.files} file{'' if found.files == 1 else 's'}"
    what = f"{found.sessions} session{'' if found.sessions == 1 else 's'}, {files}"
    exactly = "restored exactly" if not found.differences else "NOT restored exactly"
    out = [f"{what}: {exactly}; your store was not touched"]
    shown = found.differences if verbose else found.differences[:_SHOWN]
    out += [f"  differs  {line}" for line in shown]
    if len(found.differences) > len(shown):
        out.append(f"  … and {len(found.differences) - len(shown)} more (--verbose shows all)")
    return out + [f"  left out  {line}" for line in found.left_out]


def members(found: Rehearsal) -> dict[str, Any]:
    """Return the members of `rehearsal` (docs/json.md)."""
    return {
        "exact": not found.differences,
        "sessions": found.sessions,
        "files": found.files,
        "bytes": found.size,
        "differences": list(found.differences),
        "leftOut": list(found.left_out),
    }
