"""What stands at the top of a page: whose transcript it is, from when to when, what it adds up to (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from ...core.tuples import NamedTuple
from .events import Survey, Totals
from .markdown import code, word

# So much of a name is shown.
NAMED = 80
_NO_TIME = "no time"
_MILLISECONDS = 1000
_LATEST_MS = 253402300799999


class Heading(NamedTuple):
    """What stands at the top of a page besides the totals; what is not known is None and left out.

    `notes` are lines about what is not on the page.
    """

    key: str
    agent: str
    session_id: str | None = None
    label: str | None = None
    version: str | None = None
    notes: Sequence[str] = ()


def head(heading: Heading, seen: Survey, *, thinking: bool) -> Iterator[str]:
    """Give what stands ahead of the first event; `thinking`: what the model thought is on the page."""
    totals = seen.totals
    yield f"# {code(heading.key)}\n\n"
    facts = {
        "label": code(heading.label) if heading.label else "",
        "agent": code(heading.agent),
        "session": code(heading.session_id) if heading.session_id else "",
        "OpenClaw": word(heading.version) if heading.version else "",
        "from": f"{moment(totals.first)} to {moment(totals.last)}" if totals.first is not None else "",
        "model": ", ".join(map(code, totals.models)),
        "messages": _counted(totals),
        "tokens": _tokens(totals),
    }
    yield "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    notes = [*heading.notes]
    if seen.aside:
        notes.append(f"events of other branches, which are not on this page: {seen.aside}")
    if totals.broken:
        notes.append(f"lines that hold no event, shown as they are: {totals.broken}")
    if not thinking:
        notes.append("what the model thought is left out")
    yield "".join(f"- {note}\n" for note in notes) + "\n"


def _counted(totals: Totals) -> str:
    roles = ", ".join(f"{count} {word(role[:NAMED])}" for role, count in totals.roles.most_common())
    return f"{totals.roles.total()} ({roles})" if roles else "none"


def _tokens(totals: Totals) -> str:
    known = [f"{count:,} {name}" for name, count in totals.usage.items()]
    return ", ".join([*known, *([f"cost {totals.cost:.4f}"] if totals.cost else [])])


def moment(value: object) -> str:
    """Return when an event was: ISO 8601 text, or milliseconds since 1970; as it is where it is neither."""
    if isinstance(value, str):
        if len(value) >= 20 and value[10] == "T" and value[-1] == "Z" and value[:10].replace("-", "").isdecimal():
            time = value[11:19]
            is_plain = time.isascii() and time.replace(":", "0").isdecimal()
            return f"{value[:10]} {time if is_plain else word(time)}Z"
        return code(value[:NAMED])
    if value is None:
        return _NO_TIME
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LATEST_MS:
        return f"{datetime.fromtimestamp(value / _MILLISECONDS, UTC):%Y-%m-%d %H:%M:%S}Z"
    return _NO_TIME
