"""What no safe cleanup of a Hermes' home can leave out, in one straight line: `HOME [move] [start]`.

`move`: it moves what goes; `start`: it loads first what reads the command line of ours.

It protects but open sessions, tells nobody why anything stays, takes up nothing that was cut short, brings nothing
back, and loads nothing that it does not need.
"""

import ctypes
import gc
import json
import os
import re
import sqlite3
import stat
import sys
import time

gc.disable()
home, *words = sys.argv[1:]
if "start" in words:
    import plumbum.cli  # noqa: F401
database = sqlite3.connect(f"file:{home}/state.db?mode=ro", uri=True, isolation_level=None)
version = database.execute("pragma data_version").fetchone()
held = {name for (name,) in database.execute("select id from sessions where ended_at is null")}
known = {name for (name,) in database.execute("select id from sessions")}
indexes = [f"{home}/{name}" for name in ("gateway.json", "runtime/active_sessions.json", "sessions/sessions.json")]
present = [os.path.lexists(path) for path in indexes]
folder = os.open(f"{home}/sessions", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
look = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
named, said = re.compile(r"session_(.+)\.json").fullmatch, re.compile(rb'"session_id": "([^"\\]*)"').search
old, going = time.time() - 30 * 86400, []
with os.scandir(folder) as entries:
    for entry in entries:
        match, found = named(entry.name), entry.stat(follow_symlinks=False)
        if match is None or not stat.S_ISREG(found.st_mode) or found.st_mtime >= old or match[1] in held:
            continue
        descriptor = os.open(entry.name, look, dir_fd=folder)
        # Whose it is stands in it, and no list of names knows that.
        owner = said(os.pread(descriptor, 4096, 0))
        os.close(descriptor)
        if owner is None or owner[1].decode() in held:
            continue
        stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode
        going.append((entry.name, match[1] if match[1] in known else None, stamp))
print(json.dumps({"count": len(going), "bytes": sum(stamp[2] for _, _, stamp in going), "first": going[:100]}))
if "move" in words:
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    os.mkdir(f"{home}/away", 0o700)
    for text in ("planned", "done"):
        if text == "done":
            away = os.open(f"{home}/away", os.O_RDONLY | os.O_DIRECTORY)
            for name, _, stamp in going:
                # A session was gone on with, or led to, or the file was written to, since it was looked at.
                if database.execute("pragma data_version").fetchone() != version:
                    sys.exit("the database has changed")
                if [os.path.lexists(path) for path in indexes] != present:
                    sys.exit("what says what is in use has changed")
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode) != stamp:
                    continue
                raw = os.fsencode(name)
                if rename(folder, raw, away, raw, 1):
                    sys.exit(os.strerror(ctypes.get_errno()))
            os.fsync(away)
            os.fsync(folder)
        record = os.open(f"{home}/away.{text}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(record, json.dumps([(name, owner, stamp[2], text) for name, owner, stamp in going]).encode())
        os.fsync(record)
        above = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(above)
