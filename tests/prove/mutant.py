"""What a mutant is: a safety step taken out of the program, and which part of the proof should notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One safety step taken out: edits of files as (file, text there now, text instead), and who should notice."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    seen_by: tuple[str, ...]


def one(name: str, file: str, old: str, new: str, *seen_by: str) -> Mutant:
    """Return a mutant with a single edit."""
    return Mutant(name, ((file, old, new),), seen_by)
