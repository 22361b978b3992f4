"""Which agents a state directory has: by folders, by the configuration, by the rows of one file for all agents."""

from __future__ import annotations

import os
from typing import Any, Protocol

from ..artifacts import measuring
from ..core import keys
from ..core.errors import CloserError, Refused
from ..core.escape import quoted
from ..core.tuples import NamedTuple
from ..system import files
from ..system.files import listed


class Named(NamedTuple):
    """The agents that the keys of one file for all named when it had this stamp."""

    stamp: measuring.Stamp | None
    agents: frozenset[str]


class Place(Protocol):
    """A state directory with its configuration; `named` is what its one file for all was seen to name, if it was."""

    state: str
    named: Named | None

    def setting(self, *path: str) -> Any:
        """Return one value of the configuration, None where it is not set."""

    def index(self, agent: str) -> str:
        """Return the path of an agent's sessions.json."""

    def has_own_indexes(self) -> bool:
        """Tell whether each agent has an index of its own."""


def on_disk(home: Place) -> set[str]:
    """Return the agents that have a folder here, or below the root of `session.store`."""
    root = os.path.join(home.state, "agents")
    try:
        found = listed(root)
    except OSError as problem:
        raise _unlisted(root, problem) from None
    return {*filter(keys.is_agent_id, found), *_below_template(home)}


def known(home: Place) -> tuple[list[str], list[str]]:
    """Return the agents on disk and in the configuration, and a note on each that is left out."""
    root = os.path.join(home.state, "agents")
    found, notes = {*_configured(home), *_below_template(home)}, []
    try:
        with os.scandir(root) as entries:
            there = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        there = []
    except OSError as problem:
        raise _unlisted(root, problem) from None
    for entry in there:
        if entry.is_symlink():
            # OpenClaw follows the link of an agent that is configured, and finds no other.
            if entry.name not in found:
                real = quoted(os.path.realpath(entry.path))
                notes.append(f"{quoted(entry.path)} is a link to {real}: left out; agents.list may name it")
        elif not entry.is_dir(follow_symlinks=False):
            continue
        elif keys.is_agent_id(entry.name):
            found.add(entry.name)
        elif not entry.name.startswith("."):
            notes.append(f"{quoted(entry.path)} is no agent's folder by its name: left out")
    return sorted(found), notes


def in_shared_index(home: Place) -> frozenset[str]:
    """Return the agents that the keys of one file for all name; none where it cannot be read: its readers say why."""
    if home.has_own_indexes():
        return frozenset()
    from .files import document  # few have one file for all

    index = home.index(keys.DEFAULT_AGENT)
    stamp = measuring.stamp(index)
    if home.named is None or home.named.stamp != stamp:
        try:
            raw = files.read(index, document.MAX_BYTES)[0] if stamp is not None else b"{}"
            there = document.scan(raw, document.nothing).members
        except (CloserError, OSError):
            there = {}
        agents = frozenset(agent for agent in map(keys.agent_of, there) if agent and keys.is_agent_id(agent))
        home.named = Named(stamp, agents)
    return home.named.agents


def _below_template(home: Place) -> list[str]:
    """Return the agents that OpenClaw finds on disk where `session.store` is `ROOT/agents/{agentId}/sessions/…`.

    Neither links nor what leads out of the root.
    """
    template = home.setting("session", "store")
    head, _, tail = template.strip().partition("{agentId}") if isinstance(template, str) else ("", "", "")
    if tail != "/sessions/sessions.json" or os.path.basename(head.rstrip("/")) != "agents" or head[-1:] != "/":
        return []
    root = os.path.dirname(os.path.dirname(os.path.dirname(home.index("x"))))
    found = []
    try:
        there = listed(root)
    except OSError as problem:
        raise _unlisted(root, problem) from None
    for name in filter(keys.is_agent_id, there):
        index = os.path.join(root, name, "sessions", "sessions.json")
        if os.path.realpath(index) == index and files.is_file(index):
            found.append(name)
    return found


def _configured(home: Place) -> list[str]:
    """Return the agents that the configuration names, by either of its layouts."""
    in_list, entries = home.setting("agents", "list"), home.setting("agents", "entries")
    named = [each.get("id") for each in in_list if isinstance(each, dict)] if isinstance(in_list, list) else []
    named += list(entries) if isinstance(entries, dict) else []
    # OpenClaw takes an id for the same in any case.
    ids = (name.strip().lower() for name in named if isinstance(name, str))
    return [name for name in ids if keys.is_agent_id(name)]


def _unlisted(root: str, problem: OSError) -> Refused:
    return Refused(f"{root} cannot be listed: {problem.strerror}", "check it", name="unreadable")
