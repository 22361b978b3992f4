"""What no safe close of sessions in files can leave out, in one straight line: STATE, SITE, then what goes.

That is `close KEY...`, `keep KEY...`, or `old`: cron runs that are older than a day. Each agent's store is locked,
read and taken apart; whose file another session uses stays; each session that goes is on record, with its place, its
hash and its file as it was, ahead of the first change; the store is exchanged and what was displaced is compared; each
file is looked at ahead of its rename, which replaces nothing, and behind it; what became of all is on record at last.

It protects nothing by what a session is, looks for no gateway, takes up nothing that was cut short, tells nobody why
anything stays, and brings nothing back.
"""

import ctypes
import fcntl
import gc
import hashlib
import json
import os
import re
import sys
import time

gc.disable()
state, how, named = sys.argv[1], sys.argv[3], set(sys.argv[4:])
sys.path.insert(1, sys.argv[2])
import msgspec  # noqa: E402
import plumbum.cli  # noqa: E402, F401  # by which all commands have their words

now, stamp = time.time() * 1000, "2016-11-21T00-00-00.000Z"
rename = ctypes.CDLL(None, use_errno=True).renameat2
rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
NO_REPLACE, EXCHANGE = 1, 2
ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw])
head = re.compile(rb'[ \t\n\r]*,?[ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*').match


class Entry(msgspec.Struct, gc=False, rename="camel"):
    session_id: str
    updated_at: int
    session_file: str
    status: str


FIELDS = msgspec.json.Decoder(Entry)


def renamed(source: str, target: str, flags: int) -> None:
    if rename(folder, os.fsencode(source), folder, os.fsencode(target), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), source)


def written(name: str, *parts: bytes, within: int | None = None) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=within)
    with open(descriptor, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(descriptor)


def looked(name: str) -> tuple[int, int, int, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def read(name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:
        return file.read()


records = os.path.join(state, "records")
os.makedirs(records)
above, told = os.open(records, os.O_RDONLY), []
for agent in sorted(os.listdir(os.path.join(state, "agents"))):
    path = os.path.join(state, "agents", agent, "sessions")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    raw = read("sessions.json")
    raw.decode()
    files = set(os.listdir(folder))
    at, spans, kept = raw.index(b"{") + 1, [], set()
    for key, value in ENTRIES.decode(raw).items():
        found = head(raw, at)
        if found is None or found[1] != key.encode():
            sys.exit("another key than this stands here")
        text = memoryview(value)
        begin, at = at, found.end() + len(text)
        entry = FIELDS.decode(value)
        goes = (
            (key in named) is (how == "close") if how != "old" else ":run:" in key and now - entry.updated_at > 86.4e6
        )
        file = os.path.basename(entry.session_file)
        if not goes:
            kept.add(file)
        else:
            digest = hashlib.sha256(text).hexdigest()
            spans.append((key, entry.session_id, begin, at, digest, file, file in files and looked(file)))
    if not spans:
        continue
    written(f"sessions.json.bak-{stamp}", raw, within=folder)
    os.fsync(folder)
    record = [(key, session, begin, end, digest, file, was) for key, session, begin, end, digest, file, was in spans]
    written(os.path.join(records, f"{agent}.planned"), msgspec.json.encode((hashlib.sha256(raw).hexdigest(), record)))
    os.fsync(above)
    view, parts, last = memoryview(raw), [], 0
    for _, _, begin, end, *_ in spans:
        parts.append(view[last:begin])
        last = end
    text = b"".join((*parts, view[last:]))
    # The separator of an entry goes with it, but of the first that stays.
    text = re.sub(rb"\A\s*\{\s*,", b"{", text, count=1)
    ENTRIES.decode(text)
    written("sessions.json.tmp", text, within=folder)
    if read("sessions.json") != raw:
        sys.exit("the store has changed")
    renamed("sessions.json.tmp", "sessions.json", EXCHANGE)
    if read("sessions.json.tmp") != raw:
        sys.exit("the store has changed meanwhile")
    os.fsync(folder)
    os.unlink("sessions.json.tmp", dir_fd=folder)
    ended = []
    for key, session, _, _, digest, file, was in spans:
        target = None
        if was and file not in kept and looked(file) == was:
            target = f"{file}.deleted.{stamp}"
            renamed(file, target, NO_REPLACE)
            if looked(target) != was:
                sys.exit("the file has changed meanwhile")
        ended.append((key, session, digest, file, target, was and was[1]))
    os.fsync(folder)
    if read("sessions.json") != text:
        sys.exit("somebody has written to the store")
    written(os.path.join(records, f"{agent}.ended"), msgspec.json.encode(ended))
    os.unlink(os.path.join(records, f"{agent}.planned"))
    os.fsync(above)
    told += ended
print(json.dumps({"closed": len(told), "bytes": sum(size or 0 for *_, size in told), "first": told[:100]}))
