"""The mutants of exports: each look at what was written, and each reason to write nothing, taken out of the program."""

from __future__ import annotations

from .mutant import Mutant, one

_ONE, _CLOSE, _WHERE = "operations/bundles.py", "operations/copies.py", "operations/export.py"
_FOLDER, _BACK, _ROWS = "artifacts/bundle.py", "openclaw/from_bundle.py", "openclaw/sqlite/parts.py"
_HOMES, _TAKEN, _BELOW = "operations/export_homes.py", "nanoclaw/parts.py", "artifacts/scan.py"
_OUTPUTS = "operations/outputs.py"
_TOLD, _OF_HOMES = "exports-told", "exports-homes-told"


def _blind(name: str, file: str, old: str, new: str, *seen_by: str) -> Mutant:
    return one(f"exports: {name}", file, old, new, *(seen_by or (_TOLD,)))


def _of_homes(name: str, file: str, old: str, new: str) -> Mutant:
    return _blind(f"of homes: {name}", file, old, new, _OF_HOMES)


_FROM_HOMES = (
    _of_homes("secrets of the settings stay", _HOMES, "found._replace(secrets=secrets) if secrets else found", "found"),
    _of_homes(
        "settings that cannot be read hold none",
        "artifacts/settings.py",
        'raise Refused(what, "make it readable, or export without --redact", name="unreadable") from None',
        "continue",
    ),
    _of_homes("a name keeps its secret", _ONE, "return whose._replace(key=", "return whose or whose._replace(key="),
    _of_homes(
        "a file of another session", "hermes/parts.py", "if said and session_id not in said:", "if said and not said:"
    ),
    _of_homes("another folder of sessions", "hermes/parts.py", "if os.path.realpath(folder) != folder:", "if False:"),
    _of_homes(
        "a link behind a look",
        "artifacts/streams.py",
        "    descriptor = open_within(root, path)\n    try:\n        if not",
        '    descriptor = os.open(f"{root}/{path}", os.O_RDONLY)\n    try:\n        if not',
    ),
    _of_homes("a link to a file", _BELOW, "    if entry.is_symlink():\n        return LINK\n", ""),
    _of_homes("what another group has", _TAKEN, "if group in (None, kinds.group_of(one.path))", "if group != 0"),
    _of_homes(
        "a session folder of another group", _TAKEN, "if row is None or kinds.group_of(one)", "if one or str(one)"
    ),
    _of_homes("a folder that is no session's", _TAKEN, 'rf"(?!\\.){re', 'rf"{re'),
    _of_homes("names that no list can have", _TAKEN, "if why or not is_listed(name):", "if why:"),
    _of_homes(
        "the last transcript", _TAKEN, "key=lambda one: (one.at, one.path)", "key=lambda one: (-one.at, one.path)"
    ),
    _of_homes(
        "what has no copy goes",
        "operations/home_copies.py",
        "if not why[each[0].path]))",
        "if each))",
    ),
    _of_homes(
        "what only a name says is not exported",
        "operations/home_copies.py",
        "else work.exporting.named(home.root, one.path) for",
        "else [] for",
    ),
    _of_homes(
        "an archive is not held against its receipt", "artifacts/aside.py", "return size == (", "return True or ("
    ),
    _blind(
        "of homes: a cleanup exports nothing",
        "operations/prune.py",
        "copies = _exported(where, context, parts, now) if error is None else ()",
        "copies = ()",
        "exports-homes:hermes, cleanup",
    ),
    _of_homes("text that is none", _TAKEN, "            one.text_factory = rows.text\n", "            pass\n"),
)
MUTANTS = (
    *_FROM_HOMES,
    _blind("a copy is not held against its source", _FOLDER, "return all(copy.read", "return True or all(copy.read"),
    _blind("what has come meanwhile is left out", _ONE, "{stream.name for stream in streams} == read and", ""),
    _blind("a redacted copy is not compared", _ONE, "return digest.hexdigest() == hashed", "return True"),
    _blind("an event may have any size", _ROWS, "if isinstance(counted, int) and counted != len(line):", "if False:"),
    _blind("what is left of an export stays", _ONE, "            bundle.remove()\n", "            pass\n"),
    _blind("room is not looked for", _ONE, "if free < needed:", "if False:"),
    _blind("a name that is taken is not looked for", _ONE, "if os.path.lexists(path):", "if 0:"),
    _blind("sessions may be where exports go", _WHERE, "if real == place or", "if False and"),
    _blind(
        "a stranger's link is followed", _OUTPUTS, "if (link := trust.foreign_link(path)) is not None:", "if link := 0:"
    ),
    _blind(
        "others may write to the folder",
        _OUTPUTS,
        "if not is_shared and (why := trust.objection(status)):",
        "if why := 0:",
    ),
    _blind(
        "what cannot be exported goes",
        _CLOSE,
        "row if done is None or isinstance(done, Exported) else _staying(row, done)",
        "row",
    ),
    _blind("what was used since goes", "operations/take_out.py", "plan = copies.unchanged(store, plan, first)", "pass"),
    _blind(
        "what is closed is not exported",
        "operations/close.py",
        "plan = copies.made(request, plan, request.options.export)",
        "pass",
        "exports:close",
    ),
    _blind("hashes are not checked", _FOLDER, "!= wanted:\n", "!= wanted and 0:\n"),
    _blind("what was redacted comes back", _FOLDER, "if not found.importable or ENTRY not in listed:", "if False:"),
    _blind(
        "a list may lead elsewhere",
        "core/export/manifest.py",
        'any(part in ("", ".", "..") for part in',
        "any(0 for _ in",
    ),
    _blind(
        "a row may lead elsewhere",
        _BACK,
        "    if not isinstance(named.path, str) or live is None:\n",
        "    if named or not named:\n",
    ),
    Mutant(
        "exports: an archive has its name before it is whole",
        (
            (_BACK, 'fresh = os.path.join(folder, f"{BEFORE}{secrets.token_hex(6)}")', "fresh = archive"),
            (_BACK, "            disk.rename_new(fresh, archive)\n", ""),
        ),
        ("exports:restore",),
    ),
    Mutant(
        "exports: a folder has its name before it is whole",
        (
            (_FOLDER, 'f"{BEFORE}{secrets.token_hex(6)}")', '"export-me-" + "0" * 8)'),
            (_FOLDER, "        self._disk.rename_new(path, final)\n", ""),
        ),
        ("exports:bundle, files",),
    ),
    _blind("a branch begins and is not seen", "core/export/events.py", "above[1:] != ids[:-1] or ", ""),
    _blind("what stands aside is on the branch", "core/export/events.py", " or any(map(_MODE, found))", ""),
    _blind("a character that JSON leaves as it is", "core/export/page.py", ' and b"\\x7f" not in line', ""),
    _blind("secrets are not told by their form", "core/export/redaction.py", "text = _FORM.sub(GONE, text)", "pass"),
    _blind(
        "what a tool says may end its block",
        "core/export/markdown.py",
        'fence = "`" * max(3, _longest(shown) + 1)',
        'fence = "`" * 3',
    ),
)
