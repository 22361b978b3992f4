"""Session keys, agent ids and project ids (pure)."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from . import late
from .errors import UsageProblem
from .escape import quoted
from .tuples import NamedTuple

DEFAULT_AGENT = "project-lead"
MAX_NAME = 128

_AGENT_ID = late.pattern(r"[a-z0-9][a-z0-9_-]{0,63}")
_ALWAYS_KEPT = frozenset({"global", "unknown", "main"})
# Characters that neither one of these nor a row without a name can end with.
_NO_MAIN = frozenset(map(chr, range(ord("!"), ord("~") + 1))) - frozenset("lLnN:")


class Target(NamedTuple):
    """One name from the command line: an agent, the words as given, and the keys it may stand for.

    `session_id`: only the session of such a key that has this id is meant.
    """

    given: str
    agent: str
    candidates: tuple[str, ...]
    session_id: str | None = None

    @property
    def exact(self) -> bool:
        """Tell whether it is one key, and no project id."""
        return len(self.candidates) == 1


def is_agent_id(text: str) -> bool:
    """Tell whether OpenClaw could have made this agent id."""
    return bool(_AGENT_ID.fullmatch(text))


def check_agent(agent: str) -> str:
    """Return the agent id, or raise UsageProblem where OpenClaw could not have made it."""
    if not is_agent_id(agent):
        raise not_an_agent(agent)
    return agent


def not_an_agent(agent: str) -> UsageProblem:
    """Return what is said of a word that OpenClaw could not have made as an agent id."""
    return UsageProblem(
        f"{quoted(agent)} is not an agent id",
        "an agent id is lower case letters, digits, - and _, at most 64: --agent project-lead",
    )


def agent_of(key: str) -> str | None:
    """Return the agent that a full session key names, None for a bare key or a project id."""
    parts = key.split(":", 2)
    if len(parts) == 3 and parts[0] == "agent" and parts[1] and parts[2]:
        return parts[1]
    return None


def target(given: str, agent: str | None) -> Target:
    """Return what a name on the command line stands for; `agent` is --agent, None if it was not given.

    Where no session has that name, `slip` tells whether it is one that was never meant.
    """
    own = agent_of(given)
    where = agent or (own if own is not None and is_agent_id(own) else DEFAULT_AGENT)
    if own is not None or given.startswith("agent:"):
        return exactly(given, where)
    _check_text(given)
    return Target(given, where, (f"agent:{where}:{given}", f"agent:{where}:project-{given}", given, f"project-{given}"))


def exactly(key: str, agent: str) -> Target:
    """Return the target that is this very key of an agent's store, a bare one or another agent's, too."""
    _check_text(key)
    return Target(key, agent, (key,))


def named(given: str, agent: str | None) -> Target:
    """Return what a name stands for where a full key may be another agent's than --agent says."""
    return target(given, agent if agent_of(given) is None else None)


def fitting(name: Target, agent: str) -> Target:
    """Return what a name stands for among an agent's sessions: a project id may be any agent's, a key only its own."""
    return name if name.exact or name.agent == agent else target(name.given, agent)


def _check_text(given: str) -> None:
    problem = ""
    if not given:
        problem = "is empty"
    elif any(unicodedata.category(c) == "Cs" for c in given):
        problem = "is not valid text"
    if problem:
        raise UsageProblem(f"{quoted(given)} {problem}", "give a project id or a full session key")


def slip(given: str, agent: str) -> UsageProblem | None:
    """Return what is wrong with a name that no session of an agent has: what it is can be no session's name."""
    own = agent_of(given)
    if own is not None:
        return _slip_of_key(given, own, agent)
    problem, remedy = "", "give a project id or a full session key"
    if given.startswith("agent:"):
        problem, remedy = "is not a session key", "a session key is agent:<agent>:<id>, with nothing empty"
    elif given in (".", "..") or "/" in given or "\\" in given:
        problem = "looks like a path"
    elif any(unicodedata.category(c) == "Cc" for c in given):
        problem = "holds a control character"
    elif len(given) > MAX_NAME:
        problem = f"is longer than {MAX_NAME} characters"
    return UsageProblem(f"{quoted(given)} {problem}", f"{remedy}, as listed") if problem else None


def _slip_of_key(given: str, own: str, agent: str) -> UsageProblem | None:
    if not is_agent_id(own):
        return not_an_agent(own)
    if own != agent:
        return UsageProblem(
            f"{quoted(given)} belongs to agent {own}, --agent says {agent}",
            f"leave out --agent, and write what is of {agent} as a full key, too: agent:{agent}:...",
        )
    return None


def folded(key: str) -> str:
    """Return the form in which two keys that a person could mistake for each other are equal."""
    # OpenClaw trims keys, too. What is ASCII is normal, and its lower case is its folded one.
    if key.isascii():
        return key.lower().strip()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold()).strip()


def all_folded(keys: Collection[str]) -> list[str]:
    """Return what `folded` returns of each of many keys."""
    if all(map(str.isascii, keys)):
        return list(map(str.strip, map(str.lower, keys)))
    return list(map(folded, keys))


def is_main(key: str) -> bool:
    """Tell whether this is a main session, or one of the rows that always stay."""
    # Of ten thousand keys hardly one can be.
    if key[-1:] in _NO_MAIN:
        return False
    plain = folded(key)
    # A row without a name is no session that OpenClaw has made, and what it stands for is anybody's guess.
    nameless = not plain or key.endswith(":")
    if plain.rpartition(":")[2] not in _ALWAYS_KEPT and not nameless:
        return False
    parts = plain.split(":")
    return len(parts) == 1 or (len(parts) == 3 and parts[0] == "agent")
