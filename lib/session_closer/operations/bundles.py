"""Export one session: written aside, compared with the store read again, and only then called what it is called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec

from .. import __version__
from ..artifacts.bundle import Bundle, TooLarge
from ..core.durations import shown_size
from ..core.errors import ChangedUnderneath, CloserError, CorruptStore, Refused, StorageFailed
from ..core.escape import quoted
from ..core.export import manifest, parts
from ..core.export.events import Survey, survey
from ..core.export.exported import Exported
from ..core.export.head import Heading
from ..core.export.page import page
from ..core.export.parts import ENTRY, PAGE, LeftOut, Parts, Stream
from ..core.export.redaction import Redactor
from ..core.export.result import Export
from ..core.tuples import NamedTuple
from ..ports.context import Context
from ..system.files import nearest
from . import outputs

TRIES = 3
TAKEN = "is there already: move it away, or name another folder"
REDACTED_PAGE = "transcript.redacted.md"
# What is written besides: a page is shorter than its transcript, but for the quotes.
_ROOM = 2
_SPARE = 1 << 20
Given = Callable[[], AbstractContextManager[Parts]]


class Whose(NamedTuple):
    """Whose session it is, and of what kind of store."""

    agent: str
    key: str
    session_id: str | None
    runtime: str
    era: str


def redacted(name: str) -> str:
    """Return the name of what is left of a stream without secrets."""
    stem, dot, form = name.rpartition(".")
    return f"{stem}.redacted{dot}{form}"


def export(context: Context, ask: Export, whose: Whose, given: Given) -> Exported:
    """Export one session; `given` reads it, and is called again to compare. CloserError, and nothing is left there.

    ChangedUnderneath where it was written to whenever it was compared.
    """
    with _told(ask):
        return _export(_Making(context, ask, whose, given))


def look(ask: Export, whose: Whose, given: Given) -> None:
    """Raise what `export` would, as far as the beginning of each part can tell; nothing is written."""
    with _told(ask), given() as taken:
        folder, name = parts.path(whose.agent, whose.key, whose.session_id)
        _check_name(os.path.join(ask.folder, folder, name))
        _check_room(ask, nearest(ask.folder), taken)
        for stream in _wanted(ask, taken):
            next(stream.chunks(), b"")


@contextmanager
def _told(ask: Export) -> Iterator[None]:
    """Make whatever ends the export of one session an error of that session."""
    try:
        yield
    except TooLarge:
        assert ask.most is not None
        most = f"it has more than --max-bytes {shown_size(ask.most)}"
        raise Refused(most, "a larger --max-bytes", name="too_large") from None
    except OSError as problem:
        where = f" {problem.filename}" if problem.filename else ""
        raise StorageFailed(f"its bundle cannot be written:{where} {problem.strerror}") from None
    except (CloserError, MemoryError):
        raise
    except Exception as problem:
        # What nobody has foreseen in one session is no reason to leave the others.
        what = f"it cannot be exported: {type(problem).__name__}: {quoted(str(problem))}"
        raise Refused(what, "report it: this is a bug", name="not_exportable") from None


class _Making(NamedTuple):
    """One session's export on its way."""

    context: Context
    ask: Export
    whose: Whose
    given: Given


def _export(making: _Making) -> Exported:
    for _ in range(TRIES):
        found = _attempt(making)
        if found is not None:
            return found
    raise ChangedUnderneath(f"it was written to during each of {TRIES} exports", "try again when it rests")


def _attempt(making: _Making) -> Exported | None:
    """Export once; None where the session has changed meanwhile."""
    ask = making.ask
    with making.given() as taken:
        redactor = Redactor(taken.secrets) if ask.redact else None
        folder, name = _names(making, redactor)
        _check_name(os.path.join(folder, name))
        _check_room(ask, nearest(folder), taken)
        with outputs.made(making.context.disk, folder):
            try:
                bundle = Bundle(making.context.disk, folder, most=ask.most)
            except FileNotFoundError:
                return None  # another run had made this folder, and has removed it
            try:
                hashed = (
                    _add_redacted(bundle, ask, taken, redactor) if redactor is not None else _add(bundle, ask, taken)
                )
                done = _finished(making, bundle, taken, redactor)
                as_compared = _as_it_was(making, bundle, hashed)
                if not as_compared:
                    return None
                path = bundle.publish(name) if ask.bundle else bundle.publish_file(_page_name(ask), name)
                return done._replace(path=path, mark=as_compared)
            finally:
                bundle.remove()


def _add(bundle: Bundle, ask: Export, taken: Parts) -> str:
    """Write what is written as it is; return "", as the copy itself is compared."""
    for stream in _wanted(ask, taken):
        bundle.add(stream.name, stream.chunks(), source=stream.origin, events=stream.events)
    return ""


def _names(making: _Making, redactor: Redactor | None) -> tuple[str, str]:
    """Return the folder that gets the bundle, and the bundle's name."""
    whose = _shown(making.whose, redactor)
    agent, name = parts.path(whose.agent, whose.key, whose.session_id)
    return os.path.join(making.ask.folder, agent), name if making.ask.bundle else f"{name}.md"


def _shown(whose: Whose, redactor: Redactor | None) -> Whose:
    """Return whose session it is, as far as that may be read where it goes."""
    if redactor is None:
        return whose
    own = whose.session_id
    return whose._replace(key=redactor.text(whose.key), session_id=redactor.text(own) if own is not None else None)


def _check_name(path: str) -> None:
    if os.path.lexists(path):
        raise Refused(f"{path} {TAKEN}", "another folder", name="exists")


def _check_room(ask: Export, folder: str, taken: Parts) -> None:
    needed = sum(stream.size for stream in _wanted(ask, taken)) * _ROOM + _SPARE
    there = os.statvfs(folder)
    free = there.f_bavail * there.f_frsize
    if free < needed:
        what = f"it needs {shown_size(needed)}, and {folder} has {shown_size(free)} free"
        raise Refused(what, "free some, or another --output", name="no_room")


def _wanted(ask: Export, taken: Parts) -> list[Stream]:
    """Return what is read: without secrets what was said alone, for a page alone what it is made from."""
    if ask.redact:
        return [stream for stream in taken.streams if stream.name == taken.said_in]
    return [stream for stream in taken.streams if ask.bundle or stream.name in (taken.said_in, ENTRY)]


def _page_name(ask: Export) -> str:
    return REDACTED_PAGE if ask.redact else PAGE


def _add_redacted(bundle: Bundle, ask: Export, taken: Parts, redactor: Redactor) -> str:
    """Write what was said without secrets; return the hash of what was read."""
    digest = hashlib.sha256()
    for stream in _wanted(ask, taken):
        bundle.add(redacted(stream.name), map(redactor.line, parts.lines(_hashed(stream.chunks(), digest.update))))
    return digest.hexdigest()


def _hashed(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _as_it_was(making: _Making, bundle: Bundle, hashed: str) -> str:
    """Return the mark of the session, "" where it is not what was exported of it: both are read again."""
    with making.given() as now:
        return parts.mark(now) if _is_same(making, bundle, hashed, now) else ""


def _is_same(making: _Making, bundle: Bundle, hashed: str, now: Parts) -> bool:
    streams = _wanted(making.ask, now)
    if making.ask.redact:
        digest = hashlib.sha256()
        for piece in (piece for stream in streams for piece in stream.chunks()):
            digest.update(piece)
        return digest.hexdigest() == hashed
    read = {file.path for file in bundle.files.values() if file.source}
    return {stream.name for stream in streams} == read and all(map(bundle.holds, streams))


def _finished(making: _Making, bundle: Bundle, taken: Parts, redactor: Redactor | None) -> Exported:
    """Add what is made from the copy: the page, the manifest, the hashes."""
    ask, whose = making.ask, making.whose
    source = taken.said_in if redactor is None else redacted(taken.said_in)

    def said() -> Iterable[bytes]:
        return taken.events(bundle.lines(source)) if source in bundle.files else ()

    seen = survey(said())
    events = seen.totals.events + seen.totals.broken
    for stream in taken.streams:
        if stream.name == taken.said_in and stream.events not in (None, events):
            raise CorruptStore(f"its store counts {stream.events} events, and {events} were read", "look again")
    clean, shown = redactor.text if redactor is not None else str, _shown(whose, redactor)
    label = taken.label or _label(taken.entry)
    label = clean(label) if label is not None else None
    taken = taken._replace(left_out=[LeftOut(clean(left.what), left.why) for left in _left_out(ask, taken)])
    notes = [f"left out: {left.what}: {left.why}" for left in taken.left_out if left.what != "media"]
    heading = Heading(shown.key, shown.agent, shown.session_id, label, taken.version, notes)
    file = bundle.add(_page_name(ask), page(said(), seen, heading, thinking=ask.thinking))
    if not ask.bundle:
        return Exported(whose.agent, whose.key, "", 1, file.bytes, file.sha256, events)
    bundle.add(manifest.MANIFEST, [_manifest(making, bundle, seen, heading, taken)])
    listed = [file for _, file in sorted(bundle.files.items())]
    last = bundle.add(manifest.SUMS, [manifest.sums(listed)])
    size = sum(each.bytes for each in (*listed, last))
    return Exported(whose.agent, heading.key, "", len(listed) + 1, size, last.sha256, events)


def _manifest(making: _Making, bundle: Bundle, seen: Survey, heading: Heading, taken: Parts) -> bytes:
    whose, ask = making.whose, making.ask
    made = manifest.Manifest(
        tool=f"session-closer {__version__}",
        exported_at=making.context.clock.iso_now(),
        runtime=whose.runtime,
        version=heading.version,
        era=whose.era,
        agent=whose.agent,
        key=heading.key,
        session_id=heading.session_id,
        label=heading.label,
        redacted=ask.redact,
        importable=taken.importable and not ask.redact,
        events=seen.totals.events,
        broken=seen.totals.broken,
        kinds=dict(seen.totals.kinds.most_common()),
        other_branches=seen.aside,
        last_id=seen.totals.last_id,
        files=tuple(file for _, file in sorted(bundle.files.items())),
        left_out=tuple(manifest.Missing(left.what, left.why) for left in taken.left_out),
    )
    return manifest.encoded(made)


def _left_out(ask: Export, taken: Parts) -> list[LeftOut]:
    found = list(taken.left_out)
    if ask.redact:
        found += [LeftOut(stream.name, "redacted") for stream in taken.streams if stream.name != taken.said_in]
    elif not ask.bundle:
        others = (one.name for one in taken.streams if one.name not in (taken.said_in, ENTRY))
        found += [LeftOut(name, "a page alone") for name in others]
    return found


def _label(entry: bytes) -> str | None:
    """Return what a session's row calls it, None where it has no name."""
    try:
        row = msgspec.json.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    named = [row.get(name) for name in ("label", "displayName")] if isinstance(row, dict) else []
    return next((name for name in named if isinstance(name, str) and name), None)
