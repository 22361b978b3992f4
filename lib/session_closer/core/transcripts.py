"""Which files of an agent's folders are a session's own (pure)."""

from __future__ import annotations

from . import names
from .model import GatewayView, Session, Snapshot
from .status import Life


def of(session: Session, snapshot: Snapshot) -> list[str]:
    """Return the names of all live files of a session, transcripts first."""
    return live(session, snapshot, named(session, snapshot)) if session.id_usable else []


def live(session: Session, snapshot: Snapshot, named: str | None) -> list[str]:
    """Return what `of` does, of a session whose id is usable; `named` is what `named` says of it."""
    found = _all_files(session, snapshot, named)
    elsewhere = outside(session, snapshot)
    if elsewhere is None:
        return found
    # Its transcript is out there: what has that name here is a copy of it, or another one.
    return [name for name in found if names.base(name) != names.base(elsewhere)]


def outside(session: Session, snapshot: Snapshot) -> str | None:
    """Return the whole path of a session's transcript that is in none of the agent's folders, None where it is not."""
    return snapshot.outside.get(session.session_file) if session.session_file and snapshot.outside else None


def _all_files(session: Session, snapshot: Snapshot, named: str | None) -> list[str]:
    by_name = snapshot.by_owner.get(named.removesuffix(".jsonl"), ()) if named else ()
    by_id = snapshot.by_owner.get(session.session_id, ()) if session.session_id else ()
    if by_name == by_id == (named,):
        # A second text of each name would be felt where there are many.
        return list(by_name)
    first = (named,) if named else ()
    # Of tens of thousands of cron runs hardly any has a file, and most sessions have this one.
    if by_name in (first, ()) and by_id in (first, ()):
        return list(first)
    found = dict.fromkeys((*first, *by_name, *by_id))
    return sorted(found, key=lambda name: (names.is_companion(name), name))


def stem(session: Session) -> str:
    """Return what the name in the entry's sessionFile has ahead of its ending, "" where there is none."""
    return names.parted(session.session_file or "")[1].removesuffix(".jsonl")


def is_in_folder(session: Session, snapshot: Snapshot) -> bool:
    """Tell whether the entry's sessionFile is a transcript in one of the agent's own folders."""
    if not session.session_file:
        return False
    parent, name = names.parted(session.session_file)
    return parent in ("", snapshot.folder, snapshot.beside) and names.is_transcript(name)


def named(session: Session, snapshot: Snapshot) -> str | None:
    """Return the name that the entry's sessionFile has in the agent's folders, None where it may not be followed.

    One that leads nowhere is a path of another host, container or product name: its base name is looked for here.
    """
    path = session.session_file
    if not path or path in snapshot.outside:
        return None
    parent, name = names.parted(path)
    if not names.is_transcript(name):
        return None
    if not snapshot.beside or parent == snapshot.folder:
        return name
    whole = f"{snapshot.beside}/{name}"
    return whole if parent == snapshot.beside or whole in snapshot.files else name


def is_running(session: Session, snapshot: Snapshot, view: GatewayView) -> bool:
    """Tell whether a run is in flight: a live lock, the gateway's word, or a status nobody can rule out."""
    if session.key in view.active or (snapshot.locked and is_locked(session, snapshot)):
        return True
    if session.status != "running" or view.life is Life.DOWN:
        return False
    return session.key not in view.known


def is_idle(snapshot: Snapshot, view: GatewayView) -> bool:
    """Tell whether no session of a store can have a run in flight, whatever its row says."""
    return view.life is Life.DOWN and not view.active and not snapshot.locked


def is_locked(session: Session, snapshot: Snapshot) -> bool:
    """Tell whether a live process holds one of a session's transcripts, which need not exist yet."""
    if not snapshot.locked:
        return False
    named = names.parted(session.session_file or "")[1]
    return any(names.base(name) == named or session.session_id in names.owners(name) for name in snapshot.locked)
