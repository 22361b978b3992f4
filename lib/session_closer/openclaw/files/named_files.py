"""Which files of other folders, and which parents, the text of an index names, by its bytes: even of one cut off."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from ...artifacts.measuring import Stamp
from ...core import late, names
from ...core.errors import CloserError
from ...core.tuples import NamedTuple
from ...system import files
from . import document

# A larger store is not searched for a name: a slip must not cost more than a run.
SEARCHED_BYTES = 8 << 20
_VALUE = rb'([^"\\]*(?:\\.[^"\\]*)*)'
_END_BYTES = 1 << 14
# No proof, but a look at the last bytes costs nothing: the last row is an object, in one.
_END = late.pattern(rb"[{}][ \t\n\r]*\}[ \t\n\r]*\Z")
_PARENT = late.pattern(rb'"(?:spawnedBy|parentSessionKey)"\s*:\s*"' + _VALUE, re.DOTALL)
_SESSION_FILE = late.pattern(rb'"sessionFile"\s*:\s*"' + _VALUE, re.DOTALL)
# A name that needs no escape, and is written in one way only.
_PLAIN = late.pattern(rb"[\w.%-]+")
_SESSION_ID = late.pattern(rb'"sessionId"\s*:\s*"' + _VALUE, re.DOTALL)


class Look(NamedTuple):
    """What an agent's index said when it had this stamp: file names by real folder; `wrong`: why not all is known.

    `parents` are the keys that its entries call their parents, of a small one.
    """

    stamp: Stamp | None
    files: Mapping[str, frozenset[str]] = MappingProxyType({})
    wrong: str = ""
    parents: frozenset[str] = frozenset()


def read_names(stamp: Stamp | None, path: str, own: Sequence[str], shared: frozenset[str]) -> Look:
    """Return what an index with this stamp says; `own` are its folders, `shared` those that another agent has, too."""
    try:
        raw = files.read(os.path.realpath(path), document.MAX_BYTES)[0]
    except OSError as problem:
        # OpenClaw has no store there either.
        nothing = problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL)
        return Look(stamp, wrong="" if nothing else "cannot be read")
    whole = _END.search(raw[-_END_BYTES:]) is not None
    named = _PARENT.findall(raw) if len(raw) <= SEARCHED_BYTES else []
    return Look(stamp, _named(raw, own, shared), "" if whole else _damage(raw), frozenset(map(_text, named)))


def _damage(raw: bytes) -> str:
    """Return what is wrong with the text of a store, "" where it is whole after all."""
    try:
        document.scan(raw, document.nothing)
    except CloserError as problem:
        return problem.message
    return ""


def _named(raw: bytes, own: Sequence[str], shared: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the files that an index names outside the first of its `own` folders, by real folder.

    By its bytes, so that a store of tens of MB costs milliseconds and one that is cut off tells as much as it holds.
    Every `sessionFile` counts, whatever it is in. A path counts as OpenClaw follows it: any spelling, escaped or not,
    whose folder is really that folder. Only a value that is spelled as its own folder and a plain name is passed over.
    A link in place of a single file is not followed. `shared` are folders that another agent has, too: there every base
    name counts, as a path that leads nowhere is looked for by it.
    """
    spelled = json.dumps(f"{own[0]}/", ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    at = len(spelled)
    # One pattern for all agents: to compile one for each would take longer than the search.
    values = _SESSION_FILE.findall(raw)
    if not shared:
        values = [value for value in values if not (value.startswith(spelled) and _PLAIN.fullmatch(value, at))]
    found: dict[str, set[str]] = defaultdict(set)
    real = functools.cache(os.path.realpath)
    for value in values:
        path = _text(value)
        for whole in dict.fromkeys(os.path.join(place, path) for place in own):
            folder, _, name = whole.rpartition("/")
            # No file system has a path with a NUL or a lone surrogate in it.
            with suppress(ValueError):
                found[real(folder)].add(name)
        for folder in shared:
            found[folder].add(names.parted(path)[1])
    for folder in shared:
        found[folder].update(f"{_text(value)}.jsonl" for value in _SESSION_ID.findall(raw))
    return {folder: frozenset(inside) for folder, inside in found.items()}


def _text(value: bytes) -> str:
    try:
        return str(json.loads(b'"' + value + b'"', strict=False))
    except ValueError:
        return value.decode("utf-8", "surrogateescape")
