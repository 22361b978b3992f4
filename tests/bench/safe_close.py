"""What no safe close of sessions in files can leave out, in one straight line: STATE, SITE, then what goes.

That is `close KEY...`, `keep KEY...`, or `old`: cron runs that are older than a day. Where all agents are asked for,
each store is read ahead of the first change: one that cannot be read, or more sessions than may go, is a reason to
change none, and whose file a session of another agent uses stays. Then each agent's store is locked, read and taken
apart; the hash of it is on record, with the place of each session that goes and its file as it was, ahead of the first
change; the store is exchanged and what was displaced is compared; each file is looked at ahead of its rename, which
replaces nothing, and behind it; what became of all is on record at last.

It is as fast as we know how: large stores are hashed and their backups written beside, past the page cache, and
compared piece by piece. Of many agents no text is kept from the first look to the second, as they may be of any size.

It protects nothing by what a session is, looks for no gateway, takes up nothing that was cut short, tells nobody why
anything stays, and brings nothing back.
"""

import ctypes
import fcntl
import gc
import hashlib
import json
import mmap
import os
import re
import sys
import threading
import time

gc.disable()
state, how, named = sys.argv[1], sys.argv[3], set(sys.argv[4:])
sys.path.insert(1, sys.argv[2])
import msgspec  # noqa: E402
import plumbum.cli  # noqa: E402, F401  # by which all commands have their words

MOST, PIECE, BLOCK, LARGE = 1_000_000, 8 << 20, 4096, 16 << 20
CACHED = 64 << 10  # what the page cache has memory for at hand, as system/files.py says
now, stamp = time.time() * 1000, "2016-11-21T00-00-00.000Z"
rename = ctypes.CDLL(None, use_errno=True).renameat2
rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
NO_REPLACE, EXCHANGE = 1, 2
ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw])
KEY = rb'[ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*'
first, following = re.compile(KEY).match, re.compile(rb"[ \t\n\r]*," + KEY).match


class Entry(msgspec.Struct, gc=False, rename="camel"):
    session_id: str
    updated_at: int
    session_file: str
    status: str


FIELDS = msgspec.json.Decoder(Entry)


def renamed(source: str, target: str, flags: int) -> None:
    if rename(folder, os.fsencode(source), folder, os.fsencode(target), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), source)


def written(name: str, *parts: bytes, within: int | None = None, aside: bool = False) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=within)
    if aside and len(parts[0]) >= LARGE:
        parts = (past_the_cache(descriptor, memoryview(parts[0])),)
    try:
        for view in map(memoryview, parts):
            at = 0
            while at < len(view):
                at += os.write(descriptor, view[at : at + CACHED])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def past_the_cache(descriptor: int, view: memoryview) -> memoryview:
    flags, room = fcntl.fcntl(descriptor, fcntl.F_GETFL), memoryview(mmap.mmap(-1, PIECE))
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    at, whole = 0, len(view) - len(view) % BLOCK
    while at < whole:
        piece = view[at : min(at + PIECE, whole)]
        room[: len(piece)] = piece
        at += os.write(descriptor, room[: len(piece)])
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return view[at:]


def looked(name: str) -> tuple[int, int, int, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def opened(name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)


def read(name: str) -> bytes:
    with open(opened(name), "rb") as file:
        return file.read()


def holds(name: str, expected: bytes) -> bool:
    at = 0
    with open(opened(name), "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            if not expected.startswith(piece, at):
                return False
            at += len(piece)
    return at == len(expected)


def entries(raw: bytes) -> dict[str, msgspec.Raw]:
    if not raw.isascii():
        raw.decode()
    return ENTRIES.decode(raw)


def is_going(key: str, entry: Entry) -> bool:
    if how == "old":
        return ":run:" in key and now - entry.updated_at > 86.4e6
    return (key in named) is (how == "close")


records = os.path.join(state, "records")
os.makedirs(records)
above, told, used, going = os.open(records, os.O_RDONLY), [], {}, 0
agents = sorted(os.listdir(os.path.join(state, "agents")))
for agent in agents if how == "old" else ():
    path = os.path.join(state, "agents", agent, "sessions")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for key, value in entries(read("sessions.json")).items():
        entry = FIELDS.decode(value)
        place, name = os.path.split(entry.session_file)
        if place != path:
            used.setdefault(place, set()).add(name)
        going += is_going(key, entry)
    os.close(folder)
if going > MOST:
    sys.exit("more would go than may")
for agent in agents:
    path = os.path.join(state, "agents", agent, "sessions")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    raw = read("sessions.json")
    files, view = set(os.listdir(folder)), memoryview(raw)
    whole = []
    # A small one is hashed before a thread has begun.
    beside = threading.Thread(target=lambda raw=raw, whole=whole: whole.append(hashlib.sha256(raw).hexdigest()))
    if len(raw) > 1 << 20:
        beside.start()
    else:
        beside.run()
    at, gone, kept, head = raw.index(b"{") + 1, [], used.get(path, set()), first
    runs = []  # where members stay one behind the other, from the first to what is behind the last, and its end
    stays = False
    for key, value in entries(raw).items():
        found = head(raw, at)
        if found is None or found[1] != key.encode():
            sys.exit("another key than this stands here")
        head, begin, at = following, found.start(1) - 1, found.end() + len(memoryview(value))
        entry = FIELDS.decode(value)
        if stays:
            runs[-1][1] = begin
        stays = not is_going(key, entry)
        name = os.path.basename(entry.session_file)
        if stays:
            kept.add(name)
            if runs and runs[-1][1] == begin:
                runs[-1][1:] = at, at
            else:
                runs.append([begin, at, at])
        else:
            gone.append((key, entry.session_id, begin, at, name, name in files and looked(name)))
    if not gone:
        os.close(folder)
        continue
    written(f"sessions.json.bak-{stamp}", raw, within=folder, aside=True)
    os.fsync(folder)
    if beside.ident is not None:
        beside.join()
    written(os.path.join(records, f"{agent}.planned"), msgspec.json.encode((whole[0], gone)))
    os.fsync(above)
    if runs:
        # What is between the last that stays and one that goes behind it goes, too.
        runs[-1][1] = runs[-1][2]
    top = raw.index(b'"')
    text = b"".join((view[:top], *(view[begin:end] for begin, end, _ in runs), view[at:]))
    written("sessions.json.tmp", text, within=folder)
    if not holds("sessions.json", raw):
        sys.exit("the store has changed")
    renamed("sessions.json.tmp", "sessions.json", EXCHANGE)
    if not holds("sessions.json.tmp", raw):
        sys.exit("the store has changed meanwhile")
    os.fsync(folder)
    os.unlink("sessions.json.tmp", dir_fd=folder)
    ended = []
    for key, session, _, _, name, was in gone:
        target = None
        if was and name not in kept and looked(name) == was:
            target = f"{name}.deleted.{stamp}"
            renamed(name, target, NO_REPLACE)
            if looked(target) != was:
                sys.exit("the file has changed meanwhile")
        ended.append((key, session, name, target, was and was[1]))
    os.fsync(folder)
    if not holds("sessions.json", text):
        sys.exit("somebody has written to the store")
    written(os.path.join(records, f"{agent}.ended"), msgspec.json.encode(ended))
    os.unlink(os.path.join(records, f"{agent}.planned"))
    os.fsync(above)
    os.close(folder)
    told += ended
print(json.dumps({"closed": len(told), "bytes": sum(size or 0 for *_, size in told), "first": told[:100]}))
