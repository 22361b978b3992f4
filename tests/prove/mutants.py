"""The mutants: each safety step of the program taken out of a copy of it; the proof must then find something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import session_closer

from . import export_mutants, hermes_mutants, homes_mutants, nanoclaw_mutants
from .mutant import Mutant
from .mutant import one as _one
from .parts import Given, Tally, say

LIB = Path(session_closer.__file__).resolve().parents[1]
TESTS = Path(__file__).resolve().parents[1]
_SECONDS = 900


_RENAMED = "        self._disk.rename(temp, os.path.join(self._folder, name))\n"
_PARTS = """\
        for number, store in enumerate(now.stores):
            if number >= len(self._stores) or self._stores[number] is not store:
                self._replace(part_name(number), store_pieces(store))
                self._stores[number:] = [store, *self._stores[number + 1 :]]
"""
_HEAD = """\
        # Behind the stores: until it says so, what is beside it does not count.
        head = now.but(stores=())
        if head != self._head:
            self._replace(RECORD, pieces(head))
            self._head = head
"""
_KNOWN = "        self._folder = known\n"
_ENTRY_OUT = "        _commit(disk, share, rows, current, lock)\n"
_ROUTES = "    closing.through_files(here.disk, share, here.gateway.found.life)\n"
_BACKUP = "backup = commit.publish_backup(disk, store.index, raw, name)"
MUTANTS = (
    _one(
        "files are not synced",
        "system/files.py",
        "            disk.sync(descriptor)\n        finally",
        "        finally",
        "power",
    ),
    _one(
        "a backup's name is not synced",
        "openclaw/files/commit.py",
        "            disk.sync_folder(folder)\n            return numbered",
        "            return numbered",
        "power",
    ),
    _one(
        "the exchange is not synced",
        "openclaw/files/commit.py",
        "    disk.sync_folder(place.folder)\n    if not measuring",
        "    if not measuring",
        "power",
    ),
    _one(
        "archive names are not synced",
        "artifacts/engine.py",
        "            files.sync_folders(self._disk, self._path, self._touched)\n",
        "            pass\n",
        "artifacts",
    ),
    _one(
        "what was settled is not synced",
        "artifacts/engine.py",
        "        self._touched.add(move.source)\n        if aim is there:\n",
        "        if aim is there:\n",
        "artifacts",
    ),
    _one(
        "where one file cannot come back the others stay",
        "artifacts/engine.py",
        "                    self.put_away(each)\n",
        "                    pass\n",
        "artifacts",
    ),
    _one(
        "a file that is used is put away all the same",
        "artifacts/engine.py",
        "    if is_used:\n        going, begin = Names.LIVE, True\n",
        "",
        "artifacts",
    ),
    _one(
        "another name is not asked for where one is taken",
        "artifacts/engine.py",
        "                if other_name is not None:\n",
        "                if False:\n",
        "artifacts",
    ),
    _one(
        "links are followed while a folder is removed",
        "artifacts/engine.py",
        "            if entry.is_dir(follow_symlinks=False):\n",
        "            if entry.is_dir():\n",
        "artifacts",
    ),
    _one(
        "the record's name is not synced",
        "journal/journal.py",
        _RENAMED + "        self._disk.sync_folder(self._folder)\n",
        _RENAMED,
        "power",
    ),
    _one(
        "a run's folder is not synced",
        "journal/journal.py",
        _KNOWN + "        self._disk.sync_folder(os.path.dirname(known))\n",
        _KNOWN,
        "power",
    ),
    _one(
        "our own folder is not synced",
        "journal/journal.py",
        "                self._disk.make_folder(folder)\n"
        "                self._disk.sync_folder(os.path.dirname(folder))\n",
        "                self._disk.make_folder(folder)\n",
        "power",
    ),
    _one(
        "the folder of receipts is not synced",
        "journal/journal.py",
        "            self._disk.make_folder(folder)\n            self._disk.sync_folder(root(self._state))\n",
        "            self._disk.make_folder(folder)\n",
        "power",
    ),
    _one(
        "the receipt's name is not synced",
        "journal/journal.py",
        "        self._disk.sync_folder(folder)\n        self.drop()",
        "        self.drop()",
        "power",
    ),
    _one(
        "the store is renamed over, not exchanged",
        "openclaw/files/commit.py",
        "    if not disk.exchange(swap, place.index):\n        return _replace(disk, place, swap, expected)\n",
        "    disk.rename(swap, place.index)\n    return True, None\n",
        "kills:displaced",
    ),
    _one(
        "a look and a rename, no exchange",
        "openclaw/files/commit.py",
        "    if not disk.exchange(swap, place.index):\n",
        "    if True:\n",
        "kills:displaced",
    ),
    _one(
        "the displaced store is not compared",
        "openclaw/files/commit.py",
        "    if not measuring.holds(swap, expected):\n",
        "    if False:\n",
        "kills:displaced",
    ),
    _one(
        "the merge leaves out the others' changes",
        "openclaw/files/commit.py",
        "merged = document.merge(base, ours, theirs)",
        "merged = document.merge(base, ours, base)",
        "kills:displaced",
    ),
    _one(
        "a displaced store is not kept",
        "openclaw/files/commit.py",
        "    keep(disk, place)\n    try:",
        "    try:",
        "kills:displaced",
    ),
    _one(
        "a displaced store is noted after it has its name",
        "openclaw/files/commit.py",
        "    return publish(disk, place.folder, place.swap, place.backup, place.displaced)",
        "    name = publish(disk, place.folder, place.swap, place.backup)\n    place.displaced(name)\n    return name",
        "kills:displaced",
    ),
    _one(
        "no backup",
        "openclaw/files/share.py",
        _BACKUP,
        "backup = name",
        "kills:batch",
    ),
    Mutant(
        "the backup comes after the commit",
        (
            ("openclaw/files/share.py", _BACKUP, "backup = name"),
            (
                "openclaw/files/change.py",
                _ROUTES,
                "    raw = store.document.raw\n"
                + _ROUTES
                + "    assert record.backup is not None\n"
                + "    commit.publish_backup(here.disk, store.index, raw, record.backup)\n",
            ),
        ),
        ("kills:batch",),
    ),
    _one(
        "a backup is written under its final name",
        "openclaw/files/commit.py",
        "    files.put(disk, temp, raw, aside=True)\n    made, tried = os.lstat(temp), [temp]\n",
        "    files.put(disk, os.path.join(os.path.dirname(index), name), raw)\n    return name\n"
        "    made, tried = os.lstat(temp), [temp]\n",
        "kills:batch",
    ),
    Mutant(
        "the journal comes after the commit",
        (
            ("openclaw/files/change.py", "    ledger.note_first(record)\n", ""),
            ("openclaw/files/change.py", _ROUTES, _ROUTES + "    ledger.note(record)\n"),
        ),
        ("kills:batch",),
    ),
    _one(
        "a run is known before its record is written",
        "journal/journal.py",
        "        self._make()\n        self.write(first)\n        self._disk.rename(self._folder, known)\n",
        "        self._make()\n        self._disk.rename(self._folder, known)\n",
        "kills:batch",
    ),
    _one(
        "a record says that its stores are beside it before they are",
        "journal/journal.py",
        _PARTS + _HEAD,
        "        head = now.but(stores=())\n        self._replace(RECORD, pieces(head))\n"
        + _PARTS
        + "        self._head = head\n",
        "kills:batch",
    ),
    _one(
        "transcripts go before their entries",
        "openclaw/files/close.py",
        _ENTRY_OUT,
        "        archive(disk, share, rows)\n" + _ENTRY_OUT,
        "kills:batch",
    ),
    _one(
        "a rename may replace",
        "system/disk.py",
        "        return _rename_with(source, target, exchange=False)\n",
        "        os.rename(source, target)\n        return True\n",
        "hostile",
    ),
    _one(
        "half a rename gets another name",
        "system/disk.py",
        "            if not _has_both(source, target):\n                raise\n",
        "            raise\n",
        "strace:unlink without renameat2",
    ),
    _one(
        "nobody looks whether an entry was written back",
        "openclaw/files/close.py",
        "        _verify(disk, share, rows, lock, settle=SETTLE_SECONDS if life is not Life.DOWN else 0.0)\n",
        "",
        "kills:stale",
    ),
    _one(
        "recovery moves no file",
        "openclaw/files/recover.py",
        "moves=_there(map(shelf.put_away, session.moves)))",
        "moves=session.moves)",
        "kills:batch",
    ),
    _one(
        "recovery merges nothing",
        "openclaw/files/replay.py",
        "    if both.raw != live.raw:\n",
        "    if False:\n",
        "kills:displaced",
    ),
    _one(
        "recovery trusts any backup",
        "openclaw/files/replay.py",
        "    if len(raw) != store.size or hashlib.sha256(raw).hexdigest() != store.sha256:\n",
        "    if False:\n",
        "hostile",
    ),
    _one(
        "recovery trusts any path",
        "openclaw/recorded.py",
        "    if store.path != paths.get(store.era) or store.roots != {SESSIONS: home.folder(store.agent)}:\n",
        "    if False:\n",
        "hostile",
    ),
    _one(
        "recovery puts no transcript back",
        "openclaw/files/recover.py",
        "        shelf.root.settle(move, Names.LIVE)\n",
        "        pass\n",
        "hostile:test_hardening",
    ),
    _one(
        "interrupted runs are left alone",
        "operations/close.py",
        "    elif history.open_runs(runtime.root) or history.unborn_runs(runtime.root):\n",
        "    elif False:\n",
        "kills:batch",
    ),
    _one(
        "what a killed run left of a lock stays",
        "openclaw/files/lock.py",
        "                remove(self._disk, [fresh, *left])\n",
        "                remove(self._disk, [fresh])\n",
        "kills:batch",
    ),
    _one(
        "no flock",
        "system/flock.py",
        "        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)\n",
        "        pass\n",
        "closers",
    ),
    _one(
        "sessions.json.lock is not waited for",
        "openclaw/files/lock.py",
        "            self._half_made = False\n            return False\n",
        "            self._half_made = False\n            return True\n",
        "hostile:damaged_record",
    ),
    _one(
        "any lock is taken for a stale one",
        "openclaw/files/lock.py",
        """ or (lock.is_stale and abs(lock.age) > STALE_AFTER)\n""",
        " or True\n",
        "hostile",
    ),
    _one(
        "a lock of weeks ago is never a stale one",
        "openclaw/lockfile.py",
        "        return self.age > OLD_AFTER if self.held is None else not self.held\n",
        "        return self.held is False\n",
        "hostile",
    ),
    _one(
        "a link is followed",
        "openclaw/files/store.py",
        "    if os.path.islink(path):\n",
        "    path = os.path.realpath(path)\n    if False:\n",
        "hostile",
    ),
    _one(
        "the store gets another mode",
        "openclaw/files/commit.py",
        "files.put(disk, fresh, new, like=place.index)",
        "files.put(disk, fresh, new)",
        "kills:custom session.store",
    ),
    _one(
        "a lock that cannot be read is not ours",
        "openclaw/lockfile.py",
        "        if is_no_file(problem):\n            return {}\n        problem.filename",
        "        if True:\n            return {}\n        problem.filename",
        "looks:batch",
    ),
    _one(
        "a record that cannot be read is damaged",
        "journal/journal.py",
        "            if not is_no_file(problem):\n                raise\n",
        "",
        "hostile:does_not_give",
    ),
    _one(
        "a backup stays that no record names",
        "operations/transaction.py",
        "            if store.backup is not None and not self._names_backup(store):\n",
        "            if False:\n",
        "errors:batch",
    ),
    _one(
        "files of ours can be read by others",
        "system/disk.py",
        "PRIVATE_FILE = 0o600",
        "PRIVATE_FILE = 0o644",
        "kills:batch",
    ),
    _one(
        "a short write is taken for a whole one",
        "system/files.py",
        "        view = view[written:]\n",
        "        view = view[len(view) :]\n",
        "torn:batch",
    ),
    _one(
        "errors of fsync are swallowed",
        "system/disk.py",
        "        if problem.errno not in UNKNOWN | {errno.EBADF}:\n            raise\n",
        "        del problem\n",
        "strace:error=EIO fsync",
    ),
    _one(
        "a shared transcript is archived all the same",
        "core/fileplan.py",
        "        if self.kept.cover(name):\n",
        "        if False:\n",
        "kills:batch",
    ),
    _one(
        "a shared transcript of a usual name is archived all the same",
        "core/fileplan.py",
        " or own in self._ids or name in self._names:\n",
        ":\n",
        "kills:batch",
    ),
    _one(
        "runs are ordered by their times",
        "journal/history.py",
        "key=lambda begun: (places[begun.run], begun.run))\n",
        "key=lambda begun: begun.run)\n",
        "clocks",
    ),
    _one(
        "archives are as old as the clock says",
        "operations/strays.py",
        "        if doubt is not None:\n",
        "        if False:\n",
        "clocks",
    ),
    _one(
        "only its own store is looked at again",
        "openclaw/files/change.py",
        "lent = partial(here.neighbours.claims, store.agent)",
        "lent = dict",
        "claims:shared transcripts",
    ),
    _one(
        "nobody looks again at the end",
        "operations/take_out.py",
        "        if store.is_lent(share):\n",
        "        if False:\n",
        "claims:batch",
    ),
    _one(
        "recovery does not ask who uses a file by now",
        "openclaw/files/recover.py",
        "    return user_of(name, users) is not None\n",
        "    return False\n",
        "claims:shared transcripts",
    ),
    _one(
        "nobody looks again after the renames",
        "openclaw/files/archive.py",
        "        for key, source, archive, user in borrowed(share):\n",
        "        for key, source, archive, user in ():\n",
        "claims:shared transcripts",
    ),
    _one(
        "an undo takes whatever the backup holds",
        "openclaw/undo.py",
        "    if hashlib.sha256(raw).hexdigest() != span.sha256:\n",
        "    if False:\n",
        "hostile:lost_backup",
    ),
    _one(
        "an undo makes its store of whatever the backup holds",
        "openclaw/files/restore.py",
        "        if made.hexdigest() != closed_in.sha256:\n",
        "        if False:\n",
        "hostile:lost_backup",
    ),
    _one(
        "the recovery of an undo takes whatever the backup holds",
        "openclaw/files/replay.py",
        "    if hashlib.sha256(raw).hexdigest() != session.sha256:\n",
        "    if False:\n",
        "hostile:lost_backup",
    ),
    _one(
        "rows change before they are on record",
        "openclaw/sqlite/change.py",
        "    ledger.note(record)\n    share = Share(",
        "    share = Share(",
        "rows-kills:delete",
    ),
    _one(
        "what a deletion takes along is not kept",
        "openclaw/sqlite/close.py",
        "    kept = keep(sessions)\n",
        "    kept = None\n",
        "effects",
    ),
    _one(
        "one effect is hidden",
        "openclaw/attached/attachments.py",
        "        for key, count in counted.items():\n",
        '        for key, count in () if kind == "board" else counted.items():\n',
        "effects",
    ),
    _one(
        "an undo does not say what it leaves out",
        "ports/undo.py",
        "            not_restored=self.not_restored() if self.status in _BACK else self.left,\n",
        "            not_restored=self.left,\n",
        "effects",
    ),
    *export_mutants.MUTANTS,
    *hermes_mutants.MUTANTS,
    *nanoclaw_mutants.MUTANTS,
    *homes_mutants.MUTANTS,
)


def mutants(given: Given) -> Tally:
    """Take out one safety step after the other; a mutant that nothing notices is a violation."""
    # Each kind of fault is among them, and what a close says of its effects.
    chosen = MUTANTS if given.everything else MUTANTS[4::8]
    if given.only:
        chosen = tuple(mutant for mutant in MUTANTS if given.only in mutant.name)
    hints = sorted({hint for mutant in chosen for hint in mutant.seen_by})
    # What a part has just found without a mutant is not asked for once more.
    clean = given.spread([hint for hint in hints if hint.partition(":")[0] not in given.clean], _without_a_mutant)
    red = {hint for hint in hints for line in clean.broken if line.startswith(f"{hint} finds")}
    tally = given.spread([mutant for mutant in chosen if not red.intersection(mutant.seen_by)], _one_mutant)
    return Tally(tally.points, clean.broken + tally.broken)


def _without_a_mutant(hint: str, place: str) -> Tally:
    assert not os.listdir(place)
    line = _look(hint, LIB)
    return Tally(0, [f"{hint} finds something without any mutant: {line}"] if line else [])


def _one_mutant(mutant: Mutant, place: str) -> Tally:
    lib = Path(place, "lib")
    for name in ("lib", "bin"):
        shutil.copytree(LIB.parent / name, Path(place, name), ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in mutant.edits:
        path = lib / "session_closer" / file
        text = path.read_text()
        if text.count(old) != 1:
            return Tally(
                1, [f"{mutant.name}: its text is {text.count(old)} times in {file}: bring the table up to date"]
            )
        path.write_text(text.replace(old, new))
        compile(path.read_text(), str(path), "exec")
    for hint in mutant.seen_by:
        line = _look(hint, lib)
        if line:
            say(f"    {mutant.name}: {hint}: {line[:160]}")
            return Tally(1)
    return Tally(1, [f"{mutant.name}: not noticed by {', '.join(mutant.seen_by)}"])


def _look(hint: str, lib: Path) -> str:
    """Run one part on a copy of the program; return its first violation, "" where it finds none."""
    part, _, only = hint.partition(":")
    command = [sys.executable, "-m", "prove", part, "--first", "--jobs", "1", "--only", only]
    path = os.pathsep.join([str(lib), str(TESTS), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {_SECONDS} s"
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        return ""
    found = [line.strip() for at, line in enumerate(lines) if line.startswith("    ") and " violations " in lines[0]]
    return found[0] if found else f"exit {done.returncode}: {done.stderr.strip()[-200:]}"
