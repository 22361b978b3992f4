"""What we ask a gateway about sessions: open a link, list, delete."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..home import Home
from ..model import GatewayResult, GatewayView, Life
from .find import Found, find
from .link import CallRefused, Link, LinkLost, LinkRefused, SocketLink
from .openclaw import CommandLink, OpenClaw

_LIST_SECONDS = 60.0
_DELETE_SECONDS = 60.0
_ALL = 1_000_000
_START_SECONDS = 15.0
_PAUSE = 0.25


@dataclass(slots=True)
class Gateway:
    """A gateway as found, with the links that may work, best first."""

    home: Home
    found: Found
    links: list[Link]
    notes: list[str]

    @property
    def usable(self) -> bool:
        """Tell whether there is a link left to try."""
        return self.found.life is Life.UP and bool(self.links)

    @property
    def version(self) -> str | None:
        """The gateway's version, where a link has said it."""
        return next((link.version for link in self.links if link.version), None)

    def result(self) -> GatewayResult:
        """Return what a report says about it."""
        found = self.found
        return GatewayResult(found.life, found.pid, found.port, self.version, (*found.evidence, *self.notes))

    def command(self) -> OpenClaw:
        """Return the `openclaw` command that acts on this gateway."""
        return OpenClaw(self.home, self.found.pid, self.found.port)

    def close(self) -> None:
        """End all connections."""
        for link in self.links:
            link.close()

    def leave(self) -> None:
        """End all connections and use none of them again."""
        self.close()
        self.links.clear()


def meet(home: Home, *, looking_only: bool) -> Gateway:
    """Find the gateway and connect to it; a run that only looks starts no `openclaw`, which would write files."""
    found = _awake(home)
    gateway = Gateway(home, found, [], [])
    if found.life is Life.DOWN or found.port is None:
        return gateway
    link = _connect(gateway, found.port)
    if link is not None and link.state_dir not in (None, home.state):
        gateway.notes.append(f"the gateway at port {found.port} serves another state directory")
        link.close()
        if found.sure:
            gateway.found = Found(Life.UNKNOWN, found.pid, found.port, evidence=found.evidence)
        else:
            gateway.found = Found(Life.DOWN, evidence=found.evidence)
        return gateway
    if link is not None and link.state_dir == home.state:
        gateway.found = found._replace(life=Life.UP, sure=True)
    if link is not None and not link.may_delete:
        gateway.notes.append("the gateway's hello does not let us delete sessions")
        link.close()
        link = None
    if link is not None:
        gateway.links.append(link)
    if gateway.found.life is Life.UP and not looking_only and gateway.command().words:
        gateway.links.append(CommandLink(gateway.command()))
        if link is None:
            _probe(gateway)
    return gateway


def _probe(gateway: Gateway) -> None:
    """Drop the `openclaw` command as a link where the gateway would not let it delete sessions.

    `update.status` changes nothing and asks for the same scope; that a version does not know it proves the scope, too.
    """
    try:
        gateway.links[-1].call("update.status", {}, _LIST_SECONDS)
    except CallRefused:
        return
    except (LinkRefused, LinkLost) as problem:
        gateway.notes.append(f"openclaw gateway call was refused: {problem}")
        gateway.links.pop().close()


def _awake(home: Home) -> Found:
    """Return the gateway, given time to open its port where it has just been started."""
    deadline = time.monotonic() + _START_SECONDS
    found = find(home)
    while found.life is Life.UP and found.port is None and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        found = find(home)
    return found


def _connect(gateway: Gateway, port: int) -> SocketLink | None:
    token = gateway.home.token
    if token is None:
        gateway.notes.append("no token is configured, so only the openclaw command can connect")
        return None
    try:
        return SocketLink(f"ws://127.0.0.1:{port}", token)
    except (LinkRefused, LinkLost) as problem:
        gateway.notes.append(f"the WebSocket was refused: {problem}")
        return None


def view(gateway: Gateway, agents: list[str]) -> GatewayView:
    """Return which sessions the gateway lists and which of them have a run in flight."""
    known: set[str] = set()
    active: set[str] = set()
    link = next((link for link in gateway.links if isinstance(link, SocketLink)), None)
    if link is not None and link.has("sessions.list"):
        for agent in agents:
            rows = _rows(link, agent)
            known.update(key for key, _ in rows)
            active.update(key for key, running in rows if running)
    return GatewayView(gateway.found.life, gateway.usable, frozenset(known), frozenset(active))


def _rows(link: Link, agent: str) -> list[tuple[str, bool]]:
    params = {"agentId": agent, "limit": _ALL, "includeGlobal": True, "includeUnknown": True}
    try:
        sessions = link.call("sessions.list", params, _LIST_SECONDS).get("sessions")
    except (CallRefused, LinkRefused, LinkLost):
        # Nothing is known then, and a status that says running counts.
        return []
    rows = [row for row in sessions if isinstance(row, dict)] if isinstance(sessions, list) else []
    return [
        (str(row.get("key")), bool(row.get("hasActiveRun")))
        for row in rows
        if row.get("hasActiveRun") is not None or row.get("status") not in (None, "running")
    ]


def delete(gateway: Gateway, key: str, *, delete_transcript: bool) -> list[str]:
    """Have the gateway delete one session; return the archives it names.

    Raises CallRefused if it says no, LinkLost if nobody knows whether it did, LinkRefused when no link is left.
    """
    params = {"key": key, "deleteTranscript": delete_transcript}
    while gateway.links:
        try:
            archived = gateway.links[0].call("sessions.delete", params, _DELETE_SECONDS).get("archived")
        except LinkRefused as problem:
            gateway.notes.append(f"sessions.delete was refused: {problem}")
            gateway.links.pop(0).close()
            continue
        return [path for path in archived if isinstance(path, str)] if isinstance(archived, list) else []
    raise LinkRefused(gateway.notes[-1] if gateway.notes else "no link to the gateway is left")
