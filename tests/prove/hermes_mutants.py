"""The mutants of Hermes: each reason for which a session stays, taken out of the program."""

from __future__ import annotations

from .mutant import Mutant, one

_FILE, _WHY, _ROWS_READ = "hermes/protection.py", "hermes/reasons.py", "hermes/database.py"
_STORE, _GIT = "hermes/checkpoints.py", "hermes/shadow.py"
_ROWS, _REMOVAL, _COMMAND = "hermes/rows.py", "hermes/removal.py", "hermes/command.py"
_IN_USE, _RACES, _SWEEP = "hermes-in-use", "hermes-races", "hermes-checkpoints"


def _blind(name: str, old: str, new: str, file: str = _FILE) -> Mutant:
    return one(f"hermes: {name}", file, old, new, _IN_USE)


def _careless(name: str, file: str, old: str, new: str, seen_by: str = _RACES) -> Mutant:
    return one(f"hermes checkpoints: {name}", file, old, new, seen_by)


_IN_CHECKPOINTS = (
    _careless("a ref goes wherever it is by now", _GIT, '"update-ref", "-d", ref, commit)', '"update-ref", "-d", ref)'),
    _careless("a ref comes over another", _GIT, '"update-ref", ref, commit, "")', '"update-ref", ref, commit)'),
    _careless("the newest objects are freed", _GIT, '"--prune=1.hour.ago")', '"--prune=now")'),
    _careless(
        "git's folders are left out",
        _GIT,
        "            if not os.path.lexists(path):\n                self._disk.make_folder(path)\n",
        "            pass\n",
    ),
    _careless("links are followed", _GIT, "return stat.S_ISDIR(found.st_mode) and", "return"),
    _careless("hooks are run", _GIT, '"-c", "core.hooksPath=/dev/null", ', ""),
    _careless(
        "another repository is asked", _GIT, "for name in _PASSED_ON if name in os.environ}", "for name in os.environ}"
    ),
    _careless(
        "a damaged bundle comes back",
        "hermes/saved.py",
        "return saved.tip is None or bundles.is_whole(",
        "return saved.tip is None or bool(",
    ),
    _careless("metadata of a project begun anew go", _STORE, "not in (None, meta):", "== b'':"),
    _careless(
        "an archive goes when its project has begun anew",
        _STORE,
        "return tip is not None and (tip == before or self._git.holds(_ref(project_id), before))",
        "return tip is not None",
    ),
    Mutant(
        "hermes checkpoints: one that is worked in goes",
        (
            (_STORE, "self._saved(project, folder) if self.is_as(project) else None", "self._saved(project, folder)"),
            (_STORE, " or told[1] != project.last_touch", ""),
        ),
        (_RACES,),
    ),
    _careless(
        "metadata of another folder count",
        "hermes/projects.py",
        "hashlib.sha256(os.fsencode(workdir)).hexdigest()[:16] != project_id",
        "not hashlib.sha256(os.fsencode(workdir)).hexdigest()[:16]",
    ),
    _careless(
        "what a kill has left is not taken out",
        _STORE,
        "            self._remove(project_id, saved.meta)\n",
        "            pass\n",
        _SWEEP,
    ),
    _careless(
        "what a kill has left out is not put back",
        _STORE,
        "            self._put_back(project_id, folder)\n            return LIVE\n",
        "            self._empty(folder)\n            return LIVE\n",
        _SWEEP,
    ),
    _careless("halves of files stay", _STORE, "[*(place + _PART for place in places), *places]", "places", _SWEEP),
    _careless(
        "half an archive stays", _STORE, "                self._empty(folder)\n", "                pass\n", _SWEEP
    ),
)


def _rash(name: str, file: str, old: str, new: str) -> Mutant:
    return one(f"hermes rows: {name}", file, old, new, "hermes-rows")


_OF_ROWS = (
    _rash("those in use go", _ROWS, "    if held := str(known.why(row.id)):\n        return held\n", ""),
    _rash("young ones go", _ROWS, "    if now - last <= age:\n        return YOUNG\n", ""),
    _rash("any name goes", _ROWS, 'return "" if _PLAIN.fullmatch(row.id) else NAME', 'return ""'),
    _rash("what begins another goes", _ROWS, "why[each] or PREFIX for each in", "why[each] for each in"),
    _rash("case counts", _ROWS, "sorted((each.lower(), each)", "sorted((each, each)"),
    _rash("what has more in a file goes", _ROWS, "if not why[each] and unsaved(row)}", "if False}"),
    _rash("what others come from goes", _ROWS, "if not why[each] and each not in going}", "if False}"),
    _rash(
        "all that others come from goes first",
        _ROWS,
        "ready = [each for each in asked if not left[each]]",
        "ready = [*asked]",
    ),
    _rash("what was delegated is none of its own", _ROWS, "(row.parent, delegates.get(row.id))", "(row.parent,)"),
    _rash(
        "what came meanwhile goes", _REMOVAL, "return CHANGED if again.digest != kept else", 'return "" if kept else'
    ),
    _rash(
        "what is in use meanwhile goes",
        _REMOVAL,
        "        if why := str(self._known.why_now(session_id)):\n            return why\n",
        "",
    ),
    _rash(
        "files of another go",
        _REMOVAL,
        "if any(_is_anothers(name, session_id)",
        "if False and any(_is_anothers(name, session_id)",
    ),
    _rash("files are not kept", _REMOVAL, "for name in self._beside(session_id):\n", "for name in ():\n"),
    _rash("any export will do", _REMOVAL, 'return "" if exported == messages else', 'return "" if exported else'),
    _rash("another's export will do", _REMOVAL, "    if name != session_id:\n", "    if False:\n"),
    _rash("what hermes has left is called gone", _REMOVAL, "if session.id not in gone:", "if False:"),
    _rash("what went along is not named", _REMOVAL, "tuple(sorted(gone - {session.id}))", "()"),
    _rash("a home is migrated", _COMMAND, "if schema is None or own != schema:", "if schema is None:"),
    _rash(
        "another home is taken",
        _COMMAND,
        "if os.path.realpath(os.path.dirname(said)) != os.path.realpath(self._home):",
        "if not said:",
    ),
)
_OF_ROWS += (
    _rash(
        "a full disk takes young ones", "core/artifacts.py", "why == YOUNG and not each.guard and", "why == YOUNG and"
    ),
    _rash("the newest stay", "core/artifacts.py", "        if each.kind != ROW:\n", "        if each.kind:\n"),
    _rash(
        "what is read is put among archives",
        "operations/home_folders.py",
        "archive_of(run) if returns(home, kind) else",
        "archive_of(run) if run else",
    ),
    _rash(
        "what a kill has left of them stays",
        "hermes/removal.py",
        "    if not is_gone:\n        _drop(place, disk)\n",
        "",
    ),
)
MUTANTS = (
    *_IN_CHECKPOINTS,
    *_OF_ROWS,
    _blind("an open session may go", "{row.id for row in rows if row.ended_at is None}", "set()", _WHY),
    _blind("where chats lead to in the database", "*map(indexes.routed_by, self._database.routes())", ""),
    _blind(
        "where chats lead to in the index", "routed.update(_ids((index or {}).values()))", "pass", "hermes/indexes.py"
    ),
    _blind(
        "an index that is elsewhere",
        "sorted({os.path.join(home, SESSIONS), sessions_dir(home)})",
        "[os.path.join(home, SESSIONS)]",
        "hermes/indexes.py",
    ),
    _blind("what a chat opens again, by agent_close", '{"agent_close", ', "{", _WHY),
    _blind("what a chat opens again, by ws_orphan_reap", '"ws_orphan_reap", ', "", _WHY),
    _blind("what a chat opens again, by superseded_by_resume", '"superseded_by_resume", ', "", _WHY),
    _blind("what a chat opens again, by startup_orphan_reap", ', "startup_orphan_reap"}', "}", _WHY),
    _blind("a chat that has a key alone", "bool(row.session_key or row.chat_id)", "bool(row.chat_id)", _WHY),
    _blind("a chat that has no key", "bool(row.session_key or row.chat_id)", "bool(row.session_key)", _WHY),
    _blind(
        "a close without a chat counts as one",
        "row.end_reason in _REOPENABLE and _has_chat(row)",
        "row.end_reason in _REOPENABLE",
        _WHY,
    ),
    _blind("what was archived", "if terms.archived and row.archived}", "if False}", _WHY),
    _blind(
        "what is pinned", "    found = {row.id for row in rows if row.pinned}\n", "    found: set[str] = set()\n", _WHY
    ),
    _blind("what a pinned session goes on in", "    further = found\n", "    further: set[str] = set()\n", _WHY),
    _blind(
        "what is to be handed over",
        '_HANDED_OVER = frozenset({"pending", "running"})',
        '_HANDED_OVER = frozenset({"running"})',
        _WHY,
    ),
    _blind(
        "what is being handed over",
        '_HANDED_OVER = frozenset({"pending", "running"})',
        '_HANDED_OVER = frozenset({"pending"})',
        _WHY,
    ),
    _blind("what is compressed just now", "texts(self._database.locked(now))", "frozenset()"),
    _blind("a lock that has run out holds", "expires_at is null or expires_at > ?", "? > 0", "hermes/database.py"),
    _blind("a turn that is under way", "texts(self._database.leased(now))", "frozenset()"),
    _blind(
        "the parent that waits for a result",
        "yield from (one.parent, one.origin, one.origin_ui)",
        "yield from (one.origin, one.origin_ui)",
        _WHY,
    ),
    _blind(
        "the origin that waits for a result",
        "yield from (one.parent, one.origin, one.origin_ui)",
        "yield from (one.parent, one.origin_ui)",
        _WHY,
    ),
    _blind(
        "the window that waits for a result",
        "yield from (one.parent, one.origin, one.origin_ui)",
        "yield from (one.parent, one.origin)",
        _WHY,
    ),
    _blind("a living process that works for it", "if one.state in _WORKING and", "if False and"),
    _blind("a dead process that worked for it", " and processes.is_same(one.pid, one.started)", ""),
    _blind("a result holds for ever", " and (not times or now - max(times) < self._terms.pending)", ""),
    _blind("what a living process has open", "            running = found.running\n", ""),
    _blind(
        "what one that is in use comes from",
        "return found | dict.fromkeys(ancestors(rows, found), Reason.ANCESTOR)",
        "return found",
        _WHY,
    ),
    _blind("only parents, and not theirs", "            above = parents.get(above)\n", "            break\n", _WHY),
    _blind("the row of what another comes from", '_MARKS = ("parent_session_id", ', "_MARKS = (", _ROWS_READ),
    _blind("the row of what was archived", '"archived", "pinned", "handoff', '"pinned", "handoff', _ROWS_READ),
    _blind("the row of what is pinned", '"pinned", "handoff', '"handoff', _ROWS_READ),
    _blind("the row of what is handed over", '"handoff_state", "session_key",', '"session_key",', _ROWS_READ),
    _blind("the row of a chat that has a key alone", '"session_key", "chat_id")', '"chat_id")', _ROWS_READ),
    _blind("the row of a chat that has no key", ', "chat_id")\n', ")\n", _ROWS_READ),
    _blind("the row of an open session", ' + " or ended_at is null")', ")", _ROWS_READ),
    _blind("what has changed since", "        if not self.changed():\n", "        if True:\n"),
    one(
        "hermes: only the first that goes is asked anew",
        "hermes/home.py",
        '        return "" if self._anew is None else self._anew.get(artifact.path, "gone")\n',
        "        found, self._anew = self._anew, None\n"
        '        return "" if found is None else found.get(artifact.path, "gone")\n',
        "hermes-races",
    ),
    _blind("an index that has changed since", " or _stamps(self._home) != self._stamps", ""),
    _blind("a database that has changed since", "self._database.version() != self._version or ", ""),
    _blind("what comes from it is not asked again", "union select id from below", "", "hermes/database.py"),
    _blind(
        "what it comes from is not asked again", "select id from above union select", "select", "hermes/database.py"
    ),
)
