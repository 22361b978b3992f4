"""Session keys, agent ids and project ids (pure)."""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import NamedTuple

from .errors import UsageProblem

DEFAULT_AGENT = "project-lead"
MAX_NAME = 128

_AGENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ALWAYS_KEPT = frozenset({"global", "unknown", "main"})
_CRON_TEMPLATE = re.compile(r"agent:[^:]+:cron:[^:]+")
_GROUP = re.compile(r"agent:[^:]+:[^:]+:(?:group|channel)(?::.*)?")


class Target(NamedTuple):
    """One name from the command line: an agent, the words as given, and the keys it may stand for."""

    given: str
    agent: str
    candidates: tuple[str, ...]


def is_agent_id(text: str) -> bool:
    """Tell whether OpenClaw could have made this agent id."""
    return bool(_AGENT_ID.fullmatch(text))


def check_agent(agent: str) -> str:
    """Return the agent id, or raise UsageProblem where OpenClaw could not have made it."""
    if not is_agent_id(agent):
        raise UsageProblem(
            f"{quoted(agent)} is not an agent id",
            "an agent id is lower case letters, digits, - and _, at most 64: --agent project-lead",
        )
    return agent


def agent_of(key: str) -> str | None:
    """Return the agent that a full session key names, None for a bare key or a project id."""
    parts = key.split(":", 2)
    if len(parts) == 3 and parts[0] == "agent" and parts[1] and parts[2]:
        return parts[1]
    return None


def target(given: str, agent: str | None) -> Target:
    """Return what a name on the command line stands for; `agent` is --agent, None if it was not given."""
    _check_name(given)
    own = agent_of(given)
    if own is None:
        if given.startswith("agent:"):
            raise UsageProblem(
                f"{quoted(given)} is not a session key",
                "a session key is agent:<agent>:<id>, with nothing empty",
            )
        where = agent or DEFAULT_AGENT
        return Target(
            given,
            where,
            (f"agent:{where}:{given}", f"agent:{where}:project-{given}", given, f"project-{given}"),
        )
    check_agent(own)
    if agent is not None and agent != own:
        raise UsageProblem(
            f"{quoted(given)} belongs to agent {own}, --agent says {agent}",
            f"leave out --agent, and write each session as a full key: agent:{agent}:...",
        )
    return Target(given, own, (given,))


def named(given: str, agent: str | None) -> Target:
    """Return what a name stands for where a full key may be another agent's than --agent says."""
    return target(given, agent if agent_of(given) is None else None)


def _check_name(given: str) -> None:
    full = given.startswith("agent:")
    problem = ""
    if not given:
        problem = "is empty"
    elif any(unicodedata.category(c) == "Cs" for c in given):
        problem = "is not valid text"
    elif not full and (given in (".", "..") or "/" in given or "\\" in given):
        problem = "looks like a path"
    elif not full and any(unicodedata.category(c) == "Cc" for c in given):
        problem = "holds a control character"
    elif not full and len(given) > MAX_NAME:
        problem = f"is longer than {MAX_NAME} characters"
    if problem:
        raise UsageProblem(f"{quoted(given)} {problem}", "give a project id or a full session key")


def folded(key: str) -> str:
    """Return the form in which two keys that a person could mistake for each other are equal."""
    # OpenClaw trims keys, too. What is ASCII is normal, and its lower case is its folded one.
    if key.isascii():
        return key.lower().strip()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold()).strip()


def is_main(key: str) -> bool:
    """Tell whether this is a main session, or one of the rows that always stay."""
    plain = folded(key)
    # A row without a name is no session that OpenClaw has made, and what it stands for is anybody's guess.
    nameless = not plain or key.endswith(":")
    if plain.rpartition(":")[2] not in _ALWAYS_KEPT and not nameless:
        return False
    parts = plain.split(":")
    return len(parts) == 1 or (len(parts) == 3 and parts[0] == "agent")


def is_group(key: str) -> bool:
    """Tell whether the key is a group or a channel that people share."""
    return bool(_GROUP.fullmatch(key))


def is_cron_template(key: str) -> bool:
    """Tell whether the key is a cron job's own session, not one of its runs."""
    return bool(_CRON_TEMPLATE.fullmatch(key))


def quoted(text: str) -> str:
    """Return text for a message: quoted, escaped, at most 200 characters; no control character reaches a terminal."""
    shown = text if len(text) <= 200 else text[:197] + "..."
    return '"' + "".join(_escaped(c) for c in shown) + '"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    return c if c.isprintable() else c.encode("unicode_escape").decode("ascii")


def shown(line: str) -> str:
    """Return a line for a terminal: whatever could move its cursor is escaped."""
    return line if line.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in line)


def shell_word(word: str) -> str:
    """Return a word for the shell's command line, printable whatever is in it."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(c if c.isprintable() and c not in "'\\" else _bytes(c) for c in word)
    return f"$'{escaped}'"


def _bytes(c: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in c.encode("utf-8", "surrogateescape"))


def plain(text: str) -> str:
    """Return text as it is where it is harmless on a terminal and in a shell, else quoted."""
    return text if re.fullmatch(r"[\w:.@+/=-]{1,200}", text) else quoted(text)
