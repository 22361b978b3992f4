"""What we ask a gateway about sessions: which it lists, and to archive, show or delete some of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ...core.model import GatewayView
from ...core.status import Life
from .. import registers
from .connection import CALL_SECONDS, Gateway
from .link import ADMIN, CallRefused, Link, LinkLost, LinkRefused, SocketLink, reason, was_changed
from .pace import PATCH_MANY

_ALL = 1_000_000


def view(gateway: Gateway, agents: list[str], *, by_command: bool = False) -> GatewayView:
    """Return which sessions the gateway lists and which of them have a run in flight.

    `by_command`: ask through the `openclaw` command where there is no other link; it takes seconds.
    """
    known: set[str] = set()
    active: set[str] = set()
    link = next((link for link in gateway.links if by_command or isinstance(link, SocketLink)), None)
    if link is not None and link.has("sessions.list"):
        for agent in agents:
            rows = _rows(link, agent)
            known.update(key for key, _ in rows)
            active.update(key for key, running in rows if running)
    if gateway.found.life is Life.DOWN:
        # Nobody can be asked, and what runs may go on without a gateway, or begin again with the next one.
        active.update(registers.running(gateway.home, gateway.clock.seconds()))
    return GatewayView(gateway.found.life, gateway.usable, frozenset(known), frozenset(active))


def _rows(link: Link, agent: str) -> list[tuple[str, bool]]:
    try:
        sessions = link.call("sessions.list", _everything(agent), CALL_SECONDS).get("sessions")
    except (CallRefused, LinkRefused, LinkLost):
        # Nothing is known then, and a status that says running counts.
        return []
    return [
        (row["key"], bool(row.get("hasActiveRun")))
        for row in _keyed(sessions)
        if row.get("hasActiveRun") is not None or row.get("status") not in (None, "running")
    ]


def delete(
    gateway: Gateway, key: str, *, delete_transcript: bool, session_id: str | None = None, archived_only: bool = False
) -> list[str]:
    """Have the gateway delete one session, if it still has this session id; return the archives it names.

    `archived_only`: only if it is archived, which takes no more than operator.write.

    Raises CallRefused if it says no, LinkLost if nobody knows whether it did, LinkRefused when no link is left.
    """
    params: dict[str, Any] = {"key": key, "deleteTranscript": delete_transcript}
    if session_id is not None:
        params["expectedSessionId"] = session_id
    if archived_only:
        params["archivedOnly"] = True
    archived = _call(gateway, "sessions.delete", params).get("archived")
    return [path for path in archived if isinstance(path, str)] if isinstance(archived, list) else []


def rounds(gateway: Gateway, targets: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Give targets (key, session id) as `archive` takes them: not too many, and no session id twice.

    A cron job and its latest run share theirs, and OpenClaw refuses the second of them in one call.
    """
    left = deque(targets)
    while left:
        some: list[tuple[str, str]] = []
        later, taken, most = [], set(), _at_once(gateway)
        while left and len(some) < most:
            target = left.popleft()
            if target[1] and target[1] in taken:
                later.append(target)
            else:
                some.append(target)
                taken.add(target[1])
        left.extendleft(reversed(later))
        yield some


def _at_once(gateway: Gateway) -> int:
    """Return how many sessions the next call may name: few, as others wait for it, unless a command makes it."""
    return gateway.pace.sessions if gateway.links and isinstance(gateway.links[0], SocketLink) else PATCH_MANY


def archive(gateway: Gateway, targets: Sequence[tuple[str, str]]) -> dict[str, CallRefused]:
    """Have the gateway archive sessions (key, session id); return why it refused some, by key.

    At most PATCH_MANY targets. Raises as `delete` does.
    """
    return _patch(gateway, targets, {"archived": True})


def show(gateway: Gateway, targets: Sequence[tuple[str, str]], *, pinned: bool = False) -> dict[str, CallRefused]:
    """Have the gateway take sessions out of the archive, which had unpinned them; else as `archive`."""
    return _patch(gateway, targets, {"archived": False, **({"pinned": True} if pinned else {})})


def give_way(gateway: Gateway, agent: str) -> None:
    """Let the gateway answer its other clients, between two calls of `show`. Raises LinkLost or LinkRefused.

    It begins a list anew when a session is out of the archive, so whoever asks for one waits until no more come; once
    it has made ours, it has made theirs. A command takes a second to begin, which leaves it time enough.
    """
    if gateway.links and isinstance(gateway.links[0], SocketLink):
        # Nothing depends on the answer, so none that says no ends the run.
        with suppress(CallRefused):
            _call(gateway, "sessions.list", {"agentId": agent, "limit": 1})


def _patch(gateway: Gateway, targets: Sequence[tuple[str, str]], patch: dict[str, bool]) -> dict[str, CallRefused]:
    params = {
        "targets": [{"key": key, "expectedSessionId": session_id} for key, session_id in targets],
        "patch": patch,
    }
    began = gateway.clock.monotonic()
    outcomes = _call(gateway, "sessions.patchMany", params).get("outcomes")
    gateway.pace.took(len(targets), gateway.clock.monotonic() - began)
    refused = {}
    for outcome in _keyed(outcomes):
        if outcome.get("ok") is not True:
            error = outcome.get("error")
            error = error if isinstance(error, dict) else {}
            why = CallRefused(reason(error), changed=was_changed(error))
            refused[outcome["key"]] = why
    return refused


def listed(gateway: Gateway, agent: str) -> dict[str, str | None]:
    """Return the session id of every session of an agent that the gateway lists, by key. Raises as `delete` does."""
    rows = _call(gateway, "sessions.list", _everything(agent)).get("sessions")
    return {row["key"]: row.get("sessionId") for row in _keyed(rows)}


def _call(gateway: Gateway, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Call a method over the best link that may; raise LinkRefused when none is left."""
    while gateway.links:
        try:
            return gateway.links[0].call(method, params, CALL_SECONDS)
        except LinkRefused as problem:
            why = _refused_for_good(gateway.links[0], problem)
            if why is not None:
                gateway.notes.append(f"{method} was refused: {why}")
                gateway.links.pop(0).close()
    raise LinkRefused(gateway.notes[-1] if gateway.notes else "no link to the gateway is left")


def _refused_for_good(link: Link, problem: LinkRefused) -> LinkRefused | None:
    """Return why a link may not do what it was refused, None where it may now, having an admin's rights."""
    try:
        may = ADMIN in str(problem) and isinstance(link, SocketLink) and link.become_admin()
    except LinkRefused as refused:
        return refused
    return None if may else problem


def _everything(agent: str) -> dict[str, Any]:
    return {"agentId": agent, "limit": _ALL, "includeGlobal": True, "includeUnknown": True}


def _keyed(found: object) -> list[dict[str, Any]]:
    """Return those of an answer's objects that name a session."""
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("key"), str)]
