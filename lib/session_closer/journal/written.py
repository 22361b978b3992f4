"""The files that a record is in: one, but for a run over several stores, while it lasts. Nothing here writes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..core import late
from ..core.tuples import NamedTuple
from ..system.files import listed, read

RECORD = "record.json"
LIMIT = 256 << 20
# What a run that lasts says of its stores, beside its record.
_PART = late.pattern(r"store-\d{6}\.json")

_NO_STORES = late.pattern(rb'"stores":\s*\[\s*\]\s*\}\s*\Z')


def part_name(number: int) -> str:
    """Return the name of the file that holds the part of a run's store, while the run lasts."""
    return f"store-{number:06d}.json"


def parts(folder: str) -> list[str]:
    """Return the names of such files in the folder of a run, in order."""
    return sorted(filter(_PART.fullmatch, listed(folder)))


class Written(NamedTuple):
    """A record on disk: its text, the uids that it belongs to, and the files that its stores are in, none: its own."""

    raw: bytes
    owners: frozenset[int]
    parts: tuple[str, ...] = ()


def read_record(path: str) -> Written:
    """Return the record of a run that lasts, or a receipt, as one text; raise OSError."""
    raw, status = read(path, LIMIT)
    folder, name = os.path.split(path)
    beside = parts(folder) if name == RECORD else []
    if not beside:
        return Written(raw, frozenset({status.st_uid}))
    found = [read(os.path.join(folder, part), LIMIT) for part in beside]
    owners = frozenset({status.st_uid, *(each.st_uid for _, each in found)})
    whole = joined(raw, [text for text, _ in found])
    return Written(raw, owners) if whole is None else Written(whole, owners, tuple(beside))


def joined(head: bytes, stores: Iterable[bytes]) -> bytes | None:
    """Return the text of a record whose stores are texts of their own, None for one that has stores in it."""
    from .record import END, STORES  # msgspec, only for a run over several stores

    found = _NO_STORES.search(head)
    return None if found is None else head[: found.start()] + STORES + b",".join(stores) + END
