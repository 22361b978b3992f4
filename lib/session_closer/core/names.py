"""File names in a sessions folder: transcripts, companions, archives, stamps (pure).

What lies beside an index elsewhere (`session.store`) has its whole path for a name, so two files never share one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import compress
from operator import itemgetter

from . import late

INDEX = "sessions.json"
# Behind an index's name: a file that is not finished, and a finished store that waits for the exchange.
FRESH, SWAP = ".session-closer-new", ".session-closer-swap"
MAX_BYTES = 255

_SESSION_ID = late.pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d{3})?Z"
_STAMP_LENGTH = len("2026-11-21T00-41-24.769Z")
_ARCHIVED = late.pattern(
    rf"(?P<name>.+)\.(?P<how>deleted|reset|bak)\.(?P<stamp>{_STAMP})(?:\.[0-9a-f]{{32}}(?:\.zst)?)?"
)
_RUN_ID = late.pattern(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")
_TOPIC = late.pattern(r"(?P<id>.+?)-topic-[A-Za-z0-9._%-]+\.jsonl")
_TRANSCRIPT = late.pattern(r"(?P<id>.+)\.jsonl")
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
# What lies beside a transcript and goes with its session, by a word that hardly any other name holds.
_COMPANIONS = {
    ".trajectory": late.pattern(r"(?P<id>.+)\.trajectory(?:\.jsonl|-path\.json)"),
    ".checkpoint.": late.pattern(rf"(?P<id>.+)\.checkpoint\.{_UUID}\.jsonl"),
    # Codex binds its thread to the session there (openclaw#91537).
    ".codex-app-server": late.pattern(r"(?P<id>.+)\.jsonl\.codex-app-server\.json"),
}
_DOTS = 2
# Of so many lengths of ids a name is asked for each.
_LENGTHS = 4
_BESIDE = late.pattern("|".join(map(re.escape, _COMPANIONS)))
_USAGE_CACHE = ".usage-cost-cache"
# OpenClaw names the transcript of a forked session so.
_FORK = late.pattern(rf"\d{{4}}-\d{{2}}-\d{{2}}T[\w-]+?_(?P<id>{_UUID})(?:-topic-[A-Za-z0-9._%-]+)?")
_GENERATED = late.pattern(_UUID)
# A transcript as OpenClaw names most: nobody else can call it its own.
USUAL = late.pattern(rf"{_UUID}\.jsonl")


def is_run_id(text: str) -> bool:
    """Tell whether a text is the id of one of our runs."""
    return bool(_RUN_ID.fullmatch(text))


def is_session_id(value: object) -> bool:
    """Tell whether a session id may be used to build file names."""
    return isinstance(value, str) and bool(_SESSION_ID.fullmatch(value))


def is_transcript(name: str) -> bool:
    """Tell whether this is the name of a live transcript (`<id>.jsonl`, `<id>-topic-<n>.jsonl`)."""
    return name.endswith(".jsonl") and is_session_id(name[:-6]) and not is_companion(name)


def is_companion(name: str) -> bool:
    """Tell whether this is one of the files that lie beside a transcript."""
    # Called ten times for each of thousands of files, and hardly a transcript has a second dot.
    if name.count(".") < _DOTS or _BESIDE.search(name) is None:
        return False
    return any(pattern.fullmatch(name) for pattern in _COMPANIONS.values())


def is_temporary(name: str, index: str) -> bool:
    """Tell whether OpenClaw was writing this, and left it: its next index, by that one's name, or its cache of usage.

    Its patterns are those of 2026.7.35.
    """
    name = base(name)
    if not name.endswith(".tmp"):
        return False
    own = rf"{re.escape(index)}\.(?:\d+\.)?{_UUID}\.tmp"
    return name.startswith(f"{_USAGE_CACHE}.") or bool(re.fullmatch(own, name))


def is_known(name: str, index: str) -> bool:
    """Tell whether this belongs in a sessions folder, session or not: an index, a lock, an archive, a cache."""
    if name.startswith((index, INDEX, _USAGE_CACHE)) or name.endswith(".jsonl.lock"):
        return True
    return is_archive(name) or bool(owners(name))


def is_archive(name: str) -> bool:
    """Tell whether OpenClaw takes this for an archive."""
    return bool(_ARCHIVED.fullmatch(name))


def is_put_away(name: str) -> bool:
    """Tell whether this is the archive of a deleted session's transcript, or of a companion that went with it."""
    found = _ARCHIVED.fullmatch(name)
    return bool(found and (found["how"] == "deleted" or (found["how"] == "bak" and is_companion(found["name"]))))


def is_old_window(name: str) -> bool:
    """Tell whether this is what a session said before it was reset or compacted: the session itself may live on."""
    found = _ARCHIVED.fullmatch(name)
    return bool(found and found["how"] != "deleted" and owners(found["name"]) and not is_companion(found["name"]))


def backed_up_at(name: str) -> datetime | None:
    """Return the UTC moment in a backup's name, None where it has none that we know."""
    return _moment(name.rpartition(".bak-")[2][:_STAMP_LENGTH]) if ".bak-" in name else None


def shelf(listed: Iterable[str]) -> dict[str, str]:
    """Return the latest archive of each live name that a close has put away, as far as a rename brings it back."""
    found: dict[str, tuple[datetime, str]] = {}
    for name in listed:
        live, moment = archived_from(name), archived_at(name)
        if live is None or moment is None or name.endswith(".zst") or not is_put_away(name):
            continue
        found[live] = max(found.get(live, (moment, name)), (moment, name))
    return {live: name for live, (_, name) in found.items()}


def archived_from(name: str) -> str | None:
    """Return the live name that an archive was made from, None if it is no archive."""
    found = _ARCHIVED.fullmatch(name)
    return found["name"] if found else None


def archived_how(name: str) -> str | None:
    """Return how an archive came to be, None if it is no archive: deleted, reset or bak."""
    found = _ARCHIVED.fullmatch(name)
    return found["how"] if found else None


def archived_at(name: str) -> datetime | None:
    """Return the UTC moment in an archive's name, None if it is no archive."""
    begin = name.rfind(".deleted.")
    return _archived_at(name if begin < 1 or "\n" in name else f"x{name[begin:]}")


@lru_cache(maxsize=1024)  # what one run has put away has one ending
def _archived_at(name: str) -> datetime | None:
    found = _ARCHIVED.fullmatch(name)
    return _moment(found["stamp"]) if found else None


@lru_cache(maxsize=1024)  # what one run has put away has one stamp
def _moment(stamp: str) -> datetime | None:
    """Return the UTC moment that a stamp stands for, None where the text is no stamp or there is no such moment."""
    if not re.fullmatch(_STAMP, stamp):
        return None
    form = "%Y-%m-%dT%H-%M-%S.%fZ" if "." in stamp else "%Y-%m-%dT%H-%M-%SZ"
    try:
        return datetime.strptime(stamp, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_made_since(name: str, moment: datetime | None) -> bool:
    """Tell whether an archive's name says that it was made at a moment or later; some tell no more than the second."""
    made = archived_at(name)
    if made is None or moment is None:
        return False
    return made >= (moment if made.microsecond else moment.replace(microsecond=0))


def is_beside(name: str, other: str, wanted: str | None) -> bool:
    """Tell whether a name is the wanted one, in the folder that another name is in."""
    return base(name) == wanted and name.rpartition("/")[0] == other.rpartition("/")[0]


def base(name: str) -> str:
    """Return the last part of a name, which may be a whole path."""
    return name.rpartition("/")[2]


def parted(path: str) -> tuple[str, str]:
    """Return the folder and the base name of a path in a store, which another system may have written."""
    if "\\" in path and not path.startswith("/"):
        path = path.replace("\\", "/")
    folder, slash, name = path.rpartition("/")
    return folder or slash, name


def only_owner(name: str) -> str | None:
    """Return the one id, usable or not, that could call a plain `<id>.jsonl` its own; None for any other file."""
    name = base(name)
    return name[:-6] if name.endswith(".jsonl") and _is_plain(name) else None


def _is_plain(name: str) -> bool:
    """Tell whether at most one session id could call a live file its own."""
    # No id that OpenClaw makes has a T where the moment of a fork has it.
    return name[10:11] != "T" and "-topic-" not in name and not is_companion(name)


def _is_own(name: str) -> bool:
    """Tell whether a plain name is `<id>.jsonl`."""
    return name.endswith(".jsonl") and is_session_id(name[:-6])


def is_generated(session_id: str) -> bool:
    """Tell whether OpenClaw could have made this session id itself."""
    return bool(_GENERATED.fullmatch(session_id))


def owners(name: str) -> set[str]:
    """Return every session id that could call this live file its own."""
    if USUAL.fullmatch(name):
        return {name[:-6]}
    name = base(name)
    if _is_plain(name):
        return {name[:-6]} if _is_own(name) else set()
    found: set[str] = set()
    for pattern in (*_COMPANIONS.values(), _TOPIC, _TRANSCRIPT):
        match = pattern.fullmatch(name)
        if match:
            found.add(match["id"])
    for stem in tuple(found):
        topic = _TOPIC.fullmatch(stem + ".jsonl")
        if topic:
            found.add(topic["id"])
        fork = _FORK.fullmatch(stem)
        if fork:
            found.add(fork["id"])
    return {stem for stem in found if is_session_id(stem)}


def perhaps_of(ids: Collection[str | None], listed: Sequence[str]) -> list[str]:
    """Return the names in a folder that one of these session ids could call its own, and maybe others."""
    lengths = {len(each) for each in ids if each}
    if len(lengths) > _LENGTHS:
        return list(listed)
    # An id begins a name, but that of a fork, and of many ids hardly one is no UUID.
    found = [name for name in listed if name[10:11] == "T" or "/" in name]
    for length in lengths:
        found += compress(listed, map(ids.__contains__, map(itemgetter(slice(length)), listed)))
    return list(dict.fromkeys(found))


def stamp(moment: datetime) -> str:
    """Return a UTC moment as OpenClaw writes it in archive names: 2026-11-21T00-41-24.769Z."""
    return f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}Z"


def free_stamp(moment: datetime, taken: Iterable[str]) -> str:
    """Return the first stamp at or after a moment that no name in the folder ends with."""
    # No name has a NUL in it, so this is one look at all of them.
    there, end = "\0".join(taken) + "\0", stamp(moment)
    while f"{end}\0" in there:
        moment += timedelta(milliseconds=1)
        end = stamp(moment)
    return end


def archive_name(live: str, text: str) -> str:
    """Return the archive name of a live file.

    Companions and temporary files are archived as `.bak.`: OpenClaw counts `x.trajectory.jsonl.deleted.<stamp>` as a
    session of its own (docs/measurements.md).
    """
    name = base(live)
    spoken = _is_own(name) if _is_plain(name) else bool(owners(name)) and not is_companion(name)
    return live + (transcript_ending(text) if spoken else f".bak.{text}")


def transcript_ending(text: str) -> str:
    """Return what the archive of a transcript has behind its live name."""
    return f".deleted.{text}"


def can_be_archived(name: str) -> bool:
    """Tell whether a live file's name leaves room for a stamp."""
    return not is_too_long(archive_name(name, "0" * _STAMP_LENGTH))


def is_too_long(name: str) -> bool:
    """Tell whether no file can have this name."""
    # No character has more than four bytes, and hardly a name has that many.
    return len(name) > MAX_BYTES // 4 and len(base(name).encode()) > MAX_BYTES


def aside_name(index: str, text: str) -> str:
    """Return the name that an index gets which is no store any more; no retention deletes it."""
    return f"{index}.unreadable-{text}"


def is_index_backup(name: str, index: str) -> bool:
    """Tell whether this is a copy of an index: ours, or one that OpenClaw or its importer has left."""
    return name == f"{index}.bak" or name.startswith((f"{index}.bak-", f"{index}.bak.")) or f"{index}.imported-" in name


def backup_name(index: str, text: str) -> str:
    """Return a backup's name; the dash keeps it out of OpenClaw's retention, which matches `.bak.`."""
    return f"{index}.bak-{text}"
