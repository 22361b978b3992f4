"""What a record may say, whoever has written it: which files it may name, and what else has to fit together (pure)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache

from ..core import keys, late, names
from ..core.durable import MOST, SESSIONS, Move
from ..core.tuples import NamedTuple
from .record import HOME, Damaged, Head, Kept, SessionRecord, StoreRecord

_ROUTES = frozenset({"files", "gateway"})
# Without a sha256: an entry that is not held.
_SUM_CHARS = frozenset({0, 64})
# A transcript of an id without a dot.
_USUAL = late.pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\.jsonl")
# Hardly any live name holds one of these words.
_ARCHIVED = late.pattern(r"\.(?:deleted|reset|bak)\.")
_KIND = late.pattern("[a-z][a-z0-9_]{0,31}")
# Our own folder, in which no runtime leaves anything.
_OURS = "session-closer"
_ROOT = late.pattern("[a-z][a-z0-9-]{0,31}")
_ERA = late.pattern("[a-z]{1,16}")
_NO_NAMES = frozenset({"", ".", ".."})
_HALF = late.pattern("[\ud800-\udfff]")


class _Form(NamedTuple):
    """What a kind of store leaves in a record; `has_backup` None: a backup or none.

    `has_index`: files may lie beside its index, and are named by their whole paths. `is_text`: its keys are.
    """

    has_backup: bool | None = None
    has_index: bool = False
    is_text: bool = False


_FORMS = {"files": _Form(has_backup=True, has_index=True), "sqlite": _Form(has_backup=False, is_text=True)}


def check_head(head: Head) -> None:
    """Raise Damaged for a run that could never have been."""
    if not names.is_run_id(head.id) or head.state not in ("open", "done"):
        raise Damaged("names no run")
    if not 0 <= head.uptime < math.inf:
        raise Damaged("has no place in the order of runs")


def check_store(store: StoreRecord, sessions: Iterable[Sequence[SessionRecord]] | None = None) -> None:
    """Raise Damaged for a store's part that could never have been made, or names what is none of its files.

    `sessions`: its own, where some are made at a time.
    """
    if not _ERA.fullmatch(store.era):
        raise Damaged("speaks of a kind of store that there cannot be")
    if not keys.is_agent_id(store.agent):
        raise Damaged("names an agent that cannot be")
    _check_places(store)
    if HOME in store.roots or store.artifacts or store.archive:
        _check_artifacts(store)
        return
    _check_backups(store)
    _check_kept(store.kept)
    form = _FORMS.get(store.era, _Form())
    beside, _, index = store.path.rpartition("/") if form.has_index else ("", "", "")
    if not all(_is_own(name, beside) for name in store.removes):
        raise Damaged("removes a file that is not in its folder")
    for some in [store.sessions] if sessions is None else sessions:
        _check_sessions(some, beside, store.roots)
        # A file may hold half a surrogate pair, a database cannot.
        if form.is_text and any(_HALF.search(session.key) for session in some):
            raise Damaged("names a session that no database has")
    for move in store.orphans:
        _check_move(move, beside, store.roots, index=index)


def _check_artifacts(store: StoreRecord) -> None:
    if store.roots != {HOME: store.path} or store.sessions or store.orphans:
        raise Damaged("mixes a home of files with a store")
    if store.archive and not names.is_run_id(store.archive):
        raise Damaged("has an archive that is none of ours")
    if not all(map(_KIND.fullmatch, {one.kind for one in store.artifacts})):
        raise Damaged("names a kind of artifact that there cannot be")
    for one in store.artifacts:
        if not _is_within(one.path) or one.path.partition("/")[0] == _OURS:
            raise Damaged("moves a file that is not in its home")
    if not all(map(names.is_run_id, store.removes)):
        raise Damaged("removes an archive that is none of ours")


def _check_places(store: StoreRecord) -> None:
    if not {SESSIONS, HOME} & store.roots.keys() or not all(map(_ROOT.fullmatch, store.roots)):
        raise Damaged("has no folder of transcripts, or one that has no name")
    for text in (store.path, *store.roots.values(), store.sha256, store.installs):
        if "\0" in text:
            raise Damaged("holds a path that is no text")


def _check_backups(store: StoreRecord) -> None:
    has_backup = _FORMS.get(store.era, _Form()).has_backup
    lacks = has_backup is True and store.backup is None and store.sessions
    if lacks or (has_backup is False and (store.backup is not None or store.entries_in)):
        raise Damaged("has a backup of a database, or none of a file")
    if store.entries_in and not store.restores:
        raise Damaged("takes entries from elsewhere, and brings none back")
    made = names.backup_name(store.path.rpartition("/")[2], "")
    for name in (store.backup, store.entries_in or None, *store.displaced):
        if name is not None and not (_plain_name(name) and name.startswith(made)):
            raise Damaged("names a backup that is not one of ours")
    if store.merged > len(store.displaced):
        raise Damaged("counts stores that it does not name")


def _check_kept(kept: tuple[Kept, ...]) -> None:
    for one in kept:
        if not _plain_name(one.name):
            raise Damaged("keeps rows in a file that is none of ours")


def _check_sessions(sessions: Sequence[SessionRecord], beside: str, roots: Container[str]) -> None:
    sums = [session.sha256 for session in sessions]
    if not _are_sums(sums) or not _ROUTES.issuperset([session.route for session in sessions]):
        raise Damaged("holds a row that is none")
    for session in sessions:
        _check_session(session, beside, roots)


def _are_sums(texts: Sequence[str]) -> bool:
    """Tell whether these are hashes, or empty."""
    whole = "".join(texts)
    try:
        # Neither blanks nor capitals come out again.
        return _SUM_CHARS.issuperset(map(len, texts)) and bytes.fromhex(whole).hex() == whole
    except ValueError:
        return False


def _check_session(session: SessionRecord, beside: str, roots: Container[str]) -> None:
    if session.entry is not None and hashlib.sha256(raw_entry(session.entry)).hexdigest() != session.sha256:
        raise Damaged("holds an entry that is not what it was")
    # What was found may be brought back beside the session that has the name of its file by now.
    own = None if session.entry is None else f"{session.session_id}.jsonl"
    for move in session.moves:
        _check_move(move, beside, roots, own)
    for effect in session.effects:
        if not 0 <= effect.count < MOST:
            raise Damaged("counts less than nothing, or more than there can be")
    for job in session.jobs:
        if not job.id:
            raise Damaged("switched off a job that is none")
    for mode in session.modes:
        if not _is_within(mode.path) or mode.mode > 0o777:
            raise Damaged("holds a mode of a file that is in no worktree")


def raw_entry(entry: str) -> bytes:
    """Return the bytes of an entry; half a surrogate pair, which JSON may hold, is one of its characters."""
    return entry.encode("utf-8", "surrogatepass")


def _check_move(move: Move, beside: str, roots: Container[str], own: str | None = None, *, index: str = "") -> None:
    if move.root not in roots:
        raise Damaged("moves a file in a folder that it does not name")
    # Of ten thousand moves nearly all are of this form, which none of what follows refuses.
    if move.root == SESSIONS and _USUAL.fullmatch(move.source) and _is_named_after(move):
        return
    # Only what lies beside an index is named by its whole path.
    beside = beside if move.root == SESSIONS else ""
    if not (_is_own(move.source, beside) and _is_own(move.target, beside)):
        raise Damaged("moves a file that is not in its folder")
    if not _is_its_archive(move, own) or (_ARCHIVED.search(move.source) and names.is_archive(move.source)):
        raise Damaged("moves a file to a name that is not its archive")
    if move.root == SESSIONS and not _is_of_a_session(move.source, index):
        raise Damaged("moves a file that is no transcript")


def _is_of_a_session(source: str, index: str) -> bool:
    """Tell whether a session could call a file its own, or a cleanup of that index takes it for left over."""
    name = names.base(source)
    # Of thousands of names, hardly any needs a second look.
    if name.endswith(".jsonl") and names.is_session_id(name[:-6]):
        return True
    return bool(names.owners(name)) or (index != "" and names.is_temporary(source, index))


def _is_its_archive(move: Move, own: str | None) -> bool:
    if _is_named_after(move):
        return True
    made_of = names.archived_from(move.target)
    return made_of is not None and (made_of == move.source or names.is_beside(move.source, made_of, own))


def _is_named_after(move: Move) -> bool:
    return move.target.startswith(move.source) and _is_ending(move.target[len(move.source) :])


# The many archives of one run have few endings.
@lru_cache(maxsize=1024)
def _is_ending(text: str) -> bool:
    """Tell whether this is what an archive's name has behind the live one."""
    return names.archived_from(f"x{text}") == "x"


def _is_own(name: str, beside: str) -> bool:
    """Tell whether this is a plain name, or the whole path of a file beside the index."""
    if beside and name.startswith(beside + "/"):
        return _plain_name(name.removeprefix(beside + "/"))
    return _plain_name(name)


def _is_within(path: str) -> bool:
    """Tell whether a path stays in the folder where it begins."""
    return "\0" not in path and _NO_NAMES.isdisjoint(path.split("/"))


def _plain_name(name: str) -> bool:
    return name not in _NO_NAMES and "/" not in name and "\0" not in name
