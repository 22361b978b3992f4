"""What a name may have meant that no session has (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import escape, ids, keys

if TYPE_CHECKING:
    from .model import PlannedRow, Snapshot

_HINTS = 3


def did_you_mean(row: PlannedRow, snapshot: Snapshot) -> str:
    """Return a hint with the keys that look most like the one that is not there, empty where none does."""
    import difflib

    own = keys.agent_of(row.given)
    if own is not None and own.casefold() != row.agent.casefold():
        return f"it is of agent {own}: leave out --agent"
    given = row.given if own is None else f"agent:{row.agent}:{row.given[len(f'agent:{own}:') :]}"
    by_id = ids.sessions(keys.target(given, row.agent), snapshot)
    if by_id:
        return _meant([session.key for session in by_id])
    forms: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for key in snapshot.sessions:
        tail = tail_of(key, snapshot.agent)
        forms[keys.folded(tail)][tail].append(key)
    wanted = keys.folded(tail_of(given, snapshot.agent))
    begun = sorted((form for form in forms if wanted and form.startswith(wanted)), key=lambda form: (len(form), form))
    near = dict.fromkeys((*begun[:_HINTS], *difflib.get_close_matches(wanted, forms, n=_HINTS, cutoff=0.6)))
    meant: list[str] = []
    for form in near:
        for tail, named in forms[form].items():
            # Where a canonical and a legacy key share their project id, the id stands for both.
            meant += [tail] if len(named) > 1 and tail != row.given else named
    return _meant(meant)


def _meant(names: Sequence[str]) -> str:
    return "did you mean " + ", ".join(map(escape.plain, names[:_HINTS])) + "?" if names else ""


def tail_of(key: str, agent: str) -> str:
    """Return what is left of an agent's key without what every key, or every project's, begins with."""
    return key.removeprefix(f"agent:{agent}:").removeprefix("project-")


def no_agent(agent: str, there: Sequence[str]) -> str:
    """Return the hint for a name of an agent that has no store: which agents there are."""
    said = no_sessions(agent, there)
    return f"{said}; name one with --agent" if any(one != agent for one in there) else said


def no_sessions(agent: str, there: Sequence[str]) -> str:
    """Return what is said of an agent that has no store: which other agents there are."""
    others = [one for one in there if one != agent]
    known = f"; agents: {', '.join(others)}" if others else ", nor has any other"
    return f"agent {agent} has no sessions here{known}"


def not_here(row: PlannedRow, elsewhere: Sequence[str], see: str) -> str:
    """Return the hint for a name that nothing in its agent looks like: who else has it, or what shows what there is."""
    if elsewhere:
        return f"not in agent {row.agent}; there is {', '.join(map(escape.plain, elsewhere[:_HINTS]))}"
    return f"not in agent {row.agent}; {shown_by(see, row.agent)}"


def shown_by(see: str, agent: str) -> str:
    """Return what shows an agent's sessions; `see` is the command, "" where they are shown already."""
    return f"see them with: {see} --agent {agent}" if see else "they are listed above"
