"""What refers to sessions or belongs to them in a state directory, besides their rows and files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ...core.effects import Attached
from ...core.errors import CloserError, Refused
from ...core.model import Plan, PlannedRow, Session
from ...core.status import GOING
from ...system.files import exists, read
from ..files import neighbours
from ..files.store import FileStore
from ..home import Home
from ..sqlite import tables
from ..sqlite.tables import Table
from . import cron, memory, mentions
from .words import databases, listed, meant, named, words

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..installation import Installation

Found = Iterator[tuple[str, Attached]]

# What the rows of a table are, where they are counted and no more.
_COUNTED: Mapping[str, str] = {
    "trajectory_runtime_events": "trajectory",
    "board_tabs": "board",
    "board_widgets": "board",
    "session_participants": "participant",
    "session_watch_cursors": "watcher",
    "delivery_queue_entries": "delivery",
    "operator_approvals": "question",
}
# Of these only what still waits for somebody counts; the rest is history.
_WAITS: Mapping[str, tuple[str, str]] = {"operator_approvals": ("resolved_at_ms", "resolved_at_ms is null")}
_CHILD_COLUMNS = ("parent_session_key", "spawned_by")
_JOBS_BYTES = 64 << 20


def attach(here: Installation, plan: Plan) -> Plan:
    """Return the plan with what is attached to each session that goes; a warning where it cannot be told."""
    going: dict[str, list[Session]] = defaultdict(list)
    for row in plan.rows:
        if row.status in GOING and row.session is not None:
            going[row.agent].append(row.session)
    here.deferred |= {row.key for row in plan.deferred}
    found = _found(here, going)
    if not found:
        return plan
    if here.options.with_jobs:
        found = {pair: [replace(one, off=one.kind == "cron-job") for one in of_it] for pair, of_it in found.items()}
    return plan._replace(rows=tuple(_with(row, found.get((row.agent, row.key))) for row in plan.rows))


def _found(here: Installation, going: Mapping[str, Sequence[Session]]) -> dict[tuple[str, str], list[Attached]]:
    """Return by agent and key what is attached to these sessions of each agent."""
    goes = _Goes({**here.neighbours.going, "": here.deferred})
    found: dict[tuple[str, str], list[Attached]] = {}
    for agent, sessions in going.items():
        named, problems = look(here.home, agent, sessions, goes)
        found.update({(agent, key): of_it for key, of_it in named.items()})
        for problem in problems:
            here.warn(f"what else refers to the sessions of agent {agent} was not all looked up: {problem.message}")
        if isinstance(here.stores.get(agent), FileStore):
            for key, one in _children_in_files(here, agent, sessions, goes):
                found.setdefault((agent, key), []).append(one)
    for place, ones in _in_files(here, going).items():
        found.setdefault(place, []).extend(ones)
    for pair, tree in here.trees.items():
        found[pair] = _merged((*found.get(pair, ()), *tree.attached()))
    return found


class _Goes:
    """The keys of the sessions that go, of all agents: put together only where one of them has a child."""

    def __init__(self, going: Mapping[str, Collection[str]]) -> None:
        self._going = going

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(chain.from_iterable(self._going.values()))

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def _children_in_files(here: Installation, agent: str, sessions: Sequence[Session], goes: Container[str]) -> Found:
    """Give the sessions of file stores that name one of these as their parent, without those that go themselves."""
    keys = {session.key for session in sessions}
    store = here.stores[agent]
    assert isinstance(store, FileStore)
    children: dict[str, list[str]] = defaultdict(list)
    for parent, child in (*neighbours.spawned(store.sessions(), keys), *here.neighbours.spawned_elsewhere(agent, keys)):
        if child not in goes:
            children[parent].append(child)
    for parent, of_it in children.items():
        yield parent, listed("child", of_it)


def _in_files(here: Installation, going: Mapping[str, Sequence[Session]]) -> dict[tuple[str, str], list[Attached]]:
    """Return by agent and key the files that speak of sessions; looked for once in a run."""
    if not going:
        return {}

    def known(some: Collection[str]) -> dict[str, tuple[str, str]]:
        return meant(some, {agent: named(sessions) for agent, sessions in going.items()}) if some else {}

    if here.mentions is None:
        # What goes of agents that have a plan of their own is looked for, too: there is but one look.
        rest = {agent: own for agent, own in here.going.items() if agent not in going}
        here.mentions = mentions.look(
            here.home, lambda some: known(some) | meant(some, {agent: own.named() for agent, own in rest.items()})
        )
    owners = known({place.word for place in here.mentions})
    places: dict[tuple[str, str], list[mentions.Place]] = defaultdict(list)
    for place in here.mentions:
        # What is decided again is at most what was decided first.
        if place.word in owners:
            places[owners[place.word]].append(place)
    return {owner: mentions.attached(of_it) for owner, of_it in places.items()}


def _words(sessions: Iterable[Session]) -> dict[str, str]:
    return words(named(sessions))


def _with(row: PlannedRow, found: Sequence[Attached] | None) -> PlannedRow:
    return row.but(attached=tuple(found)) if found and row.status in GOING else row


def look(
    home: Home, agent: str, sessions: Sequence[Session], goes: Container[str] = ()
) -> tuple[dict[str, list[Attached]], list[CloserError]]:
    """Return what is attached to each of an agent's sessions, by key, and why a place was not looked at.

    `goes`: keys of sessions that are closed, too, so that they are no children that stay.
    """
    owners = _words(sessions)
    found: dict[str, list[Attached]] = defaultdict(list)
    problems: list[CloserError] = []
    for place in _places(home, agent, sessions, owners, goes):
        # What one place does not tell hides nothing of what another one does.
        try:
            for key, one in place:
                found[key].append(one)
        except CloserError as problem:
            problems.append(problem)
    return {key: _merged(of_it) for key, of_it in found.items()}, problems


def _places(
    home: Home, agent: str, sessions: Sequence[Session], owners: Mapping[str, str], goes: Container[str]
) -> Iterator[Found]:
    yield ((session.key, Attached("pin")) for session in sessions if session.pinned)
    for path in databases(home, agent):
        yield _in_database(path, owners, home, goes)
    yield _jobs_in_files(home, owners)
    yield memory.look(home, agent, sessions)
    yield _bindings_in_files(home, owners)


def _bindings_in_files(home: Home, owners: Mapping[str, str]) -> Found:
    for record in mentions.bindings(home):
        target = record.get("targetSessionKey")
        if isinstance(target, str) and target in owners:
            yield owners[target], mentions.binding(record)


def _in_database(path: str, owners: Mapping[str, str], home: Home, goes: Container[str]) -> Found:
    with tables.looking(path, owners) as connection:
        yield from _children(connection, owners, goes)
        yield from _in_tables(connection, owners, home)


def _in_tables(connection: Connection, owners: Mapping[str, str], home: Home) -> Found:
    for table in tables.tables(connection):
        special = _SPECIAL.get(table.name)
        if special is not None:
            yield from special(connection, table, owners, home)
            continue
        kind = _COUNTED.get(table.name, f"table:{table.name}")
        counted: dict[str, int] = defaultdict(int)
        column, waits = _WAITS.get(table.name, ("", ""))
        only = waits if column in tables.columns(connection, table.name) else ""
        for word, count in tables.counts(connection, table, only).items():
            counted[owners[word]] += count
        for hit in tables.mentions(connection, table, owners):
            counted[owners[hit.word]] += 1
        for key, count in counted.items():
            yield key, Attached(kind, count=count, destroyed=table.destroyed)


def _children(connection: Connection, owners: Mapping[str, str], goes: Container[str]) -> Found:
    """Give the sessions that a session has spawned and that go on without it."""
    known = tables.columns(connection, "session_nodes")
    children: dict[str, dict[str, None]] = defaultdict(dict)
    for column in _CHILD_COLUMNS:
        if column in known:
            query = f"select {column}, session_key from session_nodes where {column} in words order by 2"  # noqa: S608
            for parent, child in connection.execute(query):
                children[owners[parent]][str(child)] = None
    for parent, of_it in children.items():
        names = [child for child in of_it if child != parent and child not in goes]
        if names:
            yield parent, listed("child", names)


def _bindings(connection: Connection, table: Table, owners: Mapping[str, str], _: Home) -> Found:
    for hit in tables.hits(connection, table):
        where = ":".join(str(hit.row[name]) for name in ("channel", "conversation_id") if hit.row.get(name))
        yield owners[hit.word], Attached("binding", str(hit.row.get("binding_id") or ""), where, destroyed=True)


def _jobs(connection: Connection, table: Table, owners: Mapping[str, str], home: Home) -> Found:
    query = f"select job_json, state_json from {table.name}"  # noqa: S608
    for job, state in connection.execute(query):
        yield from bound_job(_object(job), _object(state), owners, home.default_agent)


def _jobs_in_files(home: Home, owners: Mapping[str, str]) -> Found:
    """Give the jobs of an OpenClaw from before its jobs were in a database; Refused where they cannot be read."""
    path = home.cron_jobs
    if exists(home.state_database, follow=True) or (path is not None and not exists(path, follow=True)):
        return
    if path is None:
        raise Refused("cron.store of openclaw.json is relative to the gateway's own folder", "give its whole path")
    jobs = _json(path).get("jobs")
    states = _json(path.removesuffix(".json") + "-state.json").get("jobs")
    for job in jobs if isinstance(jobs, list) else []:
        if isinstance(job, dict):
            state = states.get(str(job.get("id"))) if isinstance(states, dict) else None
            now = state.get("state") if isinstance(state, dict) else job.get("state")
            yield from bound_job(job, now if isinstance(now, dict) else {}, owners, home.default_agent)


def _json(path: str) -> dict[str, Any]:
    try:
        value = json.loads(read(path, _JOBS_BYTES)[0])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "is no JSON"
        raise Refused(f"{path}: {why}", "openclaw doctor", name="unreadable") from None
    return value if isinstance(value, dict) else {}


def bound_job(job: Mapping[str, Any], state: Mapping[str, Any], owners: Mapping[str, str], default_agent: str) -> Found:
    """Give a cron job that is on for each of these sessions that it is bound to."""
    if job.get("enabled") is not True:
        return
    found = {owners[key]: False for key in cron.targets(job, default_agent) if key in owners}
    found |= {owners[key]: True for key in cron.targets({**job, "sessionKey": None}, default_agent) if key in owners}
    what = Attached("cron-job", str(job.get("id") or ""), str(job.get("name") or ""), 1, cron.due(state))
    for key, runs in sorted(found.items()):
        yield key, replace(what, runs=runs)


def _object(text: object) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _merged(found: Iterable[Attached]) -> list[Attached]:
    """Return what is attached, the counts of one kind without names added up, in the order of the kinds."""
    counted: dict[Attached, int] = defaultdict(int)
    for one in found:
        counted[replace(one, count=0)] += one.count
    return sorted((replace(one, count=count) for one, count in counted.items()), key=lambda one: (one.kind, one.id))


def _said_elsewhere(_connection: Connection, _table: Table, _owners: Mapping[str, str], _home: Home) -> Found:
    """Give nothing of a table that a session's own row points to."""
    yield from ()


_SPECIAL: Mapping[str, Callable[[Connection, Table, Mapping[str, str], Home], Found]] = {
    "current_conversation_bindings": _bindings,
    "cron_jobs": _jobs,
    "worktrees": _said_elsewhere,
}
