"""The mutants of NanoClaw: each reason for which something stays, taken out of the program."""

from __future__ import annotations

from .mutant import Mutant, one

_HOME, _CENTRAL, _MAIL = "nanoclaw/home.py", "nanoclaw/central.py", "nanoclaw/mailbox.py"
_PAIRS = "core/claude_folder.py"


def _blind(name: str, file: str, old: str, new: str) -> Mutant:
    return one(f"nanoclaw: {name}", file, old, new, "nanoclaw-in-use")


MUTANTS = (
    _blind(
        "an active session may go", _CENTRAL, '        if self.status != "closed":\n            return "active"\n', ""
    ),
    _blind(
        "a container that is not stopped", _CENTRAL, 'return "container" if self.container != "stopped" else', "return"
    ),
    _blind("an open question", _CENTRAL, "asked.union(session for (session,) in questions)", "asked"),
    _blind("an open approval", _CENTRAL, "if status not in _SETTLED}", "if not status}"),
    _blind("an approval holds for ever", _CENTRAL, '{"approved", ', "{"),
    _blind("a heartbeat", _HOME, "< _BEATS_SECONDS:", "< 0.0:"),
    _blind("what is pending", _MAIL, "in ('pending', ", "in ("),
    _blind("what is processed", _MAIL, "'processing', 'paused')\"", "'paused')\""),
    _blind("what is paused", _MAIL, ", 'paused')\"", ')"'),
    _blind("what is not delivered", _MAIL, "if not why and any(one not in delivered", "if not why and all(not one"),
    _blind("what is worked at", _MAIL, 'why = "working" if outbound', 'why = "" if outbound'),
    _blind("a question to another session", _HOME, "one.sources is not None and name in one.sources", "False"),
    _blind(
        "another session that cannot be read",
        _HOME,
        "        if any(one.sources is None for one in others):\n            return UNREADABLE\n",
        "",
    ),
    _blind("a link", _HOME, "any(why == scan.LINK for", "any(False for"),
    _blind("what is gone on with", _MAIL, "key like 'continuation:%' or key =", "key ="),
    _blind("what is gone on with, by the old name", _MAIL, " or key = 'sdk_session_id'", ""),
    _blind(
        "a group that cannot be read",
        _HOME,
        'return UNREADABLE if any(one.trouble for one in found) else ""',
        'return ""',
    ),
    _blind("the current session", _HOME, 'return "current" if any(', 'return "" if any('),
    _blind("an active session of no group", _HOME, "return next((row.why for", 'return "" and next((row.why for'),
    _blind("when a session was active", _HOME, "return (row.at if row is not None else None) or 0.0", "return 0.0"),
    _blind("a time that cannot be read is none", _CENTRAL, 'return float("inf")', "return None"),
    _blind("what belongs together", _PAIRS, "= max(one.at, newest[_stem(one)])", "= one.at"),
    _blind("a part of an id counts", _PAIRS, "(?![0-9A-Za-z])", ""),
    _blind(
        "a writer at work", "system/images.py", '        raise OSError(f"it has a {side[1:]}")\n', "        continue\n"
    ),
    _blind("what a session has written since", _MAIL, "if known is None or known[0] != stamp:", "if known is None:"),
    _blind("what has changed since", _HOME, "        self._mail.look_again()\n", ""),
    _blind("what is in the database since", _CENTRAL, "if version == self._read_at:", "if self._read_at >= 0:"),
    _blind("what only the -wal has", "artifacts/database.py", "?mode=ro", "?mode=ro&immutable=1"),
)
