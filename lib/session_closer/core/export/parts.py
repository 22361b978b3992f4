"""What an export takes of one session: named streams of bytes, and what is left out of it (pure)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from ...core import late
from ...core.tuples import NamedTuple

TRANSCRIPT, TRAJECTORY, ENTRY, PAGE = "transcript.jsonl", "trajectory.jsonl", "entry.json", "transcript.md"
WINDOWS, CHECKPOINTS, BESIDE, MEDIA = "windows", "checkpoints", "beside", "media"
UNLISTED = "no list of hashes can have its name"
# Characters that end a line, or are none of a text; what turns the direction of a line shows another name.
_UNLISTED = frozenset(("Cc", "Cs", "Zl", "Zp"))
_TURNS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
_ODD = late.pattern(r"[^A-Za-z0-9._-]+")
_LONGEST = 80
_ID = 8


class Stream(NamedTuple):
    """One file of a bundle, as it is read from a store: `chunks` reads it again each time, and raises CloserError.

    `name` is its path in the bundle, `origin` where its bytes are from, `size` in bytes as the store counts them.
    `events` is how many lines it has, by a count of the store's own; None: the store does not count them. `stamp` is
    another one once somebody has written to it.
    """

    name: str
    origin: str
    size: int
    chunks: Callable[[], Iterator[bytes]]
    events: int | None = None
    stamp: str = ""


class LeftOut(NamedTuple):
    """What of a session is not in its bundle, and why; `lost`: its bytes are nowhere else in it."""

    what: str
    why: str
    lost: bool = False


class Parts(NamedTuple):
    """One session as its store has it at one moment; `entry` is its row, `version` that of the runtime, if known.

    `secrets` are values that the runtime's configuration calls so: to be taken out, and told nobody. What was said is
    in the stream `said_in`, and `events` makes events for a page of its lines. `label` is what the session is called,
    None: its row may say. `importable`: it can be brought back.
    """

    entry: bytes
    streams: Sequence[Stream]
    left_out: Sequence[LeftOut] = ()
    version: str | None = None
    secrets: Collection[str] = ()
    said_in: str = TRANSCRIPT
    events: Callable[[Iterable[bytes]], Iterable[bytes]] = iter
    label: str | None = None
    importable: bool = True


def is_listed(name: str) -> bool:
    """Tell whether a list of hashes can have a file's name."""
    return name.isprintable() or not any(
        unicodedata.category(one) in _UNLISTED or unicodedata.bidirectional(one) in _TURNS for one in name
    )


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the lines of pieces, each with its newline."""
    begun: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        for line in others:
            yield b"".join([*begun, b"\n"])
            begun = [line]
    if any(begun):
        yield b"".join(begun)


def path(agent: str, key: str, session_id: str | None) -> tuple[str, str]:
    """Return the names of the folder of an agent's bundles and of one bundle in it: safe in any file system."""
    tail = key.removeprefix(f"agent:{agent}:")
    own = session_id or hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return safe(agent), f"{safe(tail)}-{safe(own)[:_ID]}"


def is_text(word: str) -> bool:
    """Tell whether a word of a command line is text, and so may be in a database, or in a list of hashes."""
    return not any("\ud800" <= each <= "\udfff" for each in word)


def safe(text: str) -> str:
    """Return text as the name of a file: letters, digits, dots, dashes, no dot or dash at its beginning."""
    return _ODD.sub("-", text).lstrip(".-")[:_LONGEST].rstrip(".-") or "session"


def mark(parts: Parts) -> str:
    """Return what is the same for as long as nobody writes to a session: of its row, and of the looks of its parts."""
    found = [(stream.name, stream.size, stream.events, stream.stamp) for stream in parts.streams]
    return hashlib.sha256(repr((parts.entry, found)).encode()).hexdigest()
