"""What we ask a gateway about sessions: open a link, list, delete."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import GatewayNeeded
from ...core.escape import quoted
from ...core.model import GatewayView, Life
from ...core.report import GatewayResult
from .. import registers
from ..home import Home
from .command import CommandLink, OpenClaw
from .find import Found, find
from .link import ADMIN, CallRefused, Link, LinkLost, LinkRefused, SocketLink, reason, was_changed

PATCH_MANY = 100
_CALL_SECONDS = 60.0
_ALL = 1_000_000
_START_SECONDS = 15.0
_PAUSE = 0.25
_UNKNOWN = "unknown method: update.status"
_NO_RIGHTS = "its hello gives no right to"


@dataclass(slots=True)
class Gateway:
    """A gateway as found, with the links that may work, best first; `beside` are those with an admin's rights."""

    home: Home
    found: Found
    links: list[Link]
    notes: list[str]
    beside: list[Link] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Tell whether there is a link left to try."""
        return self.found.life is Life.UP and bool(self.links)

    @property
    def can_restart(self) -> bool:
        """Tell whether its process is known: one that is not cannot be told to read a file anew."""
        return self.found.pid is not None

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
        for link in (*self.links, *self.beside):
            link.close()
        self.beside.clear()

    def leave(self) -> None:
        """End all connections and use none of them again."""
        self.close()
        self.links.clear()


def meet(home: Home, *, looking_only: bool) -> Gateway:
    """Find the gateway and connect to it; a run that only looks starts no `openclaw`, which would write files."""
    if home.url is not None:
        return _meet_named(home, home.url)
    found = _awake(home)
    gateway = Gateway(home, found, [], [])
    if found.life is Life.DOWN or found.port is None:
        return gateway
    link = _connect(gateway, found.port)
    if link is not None and link.state_dir not in (None, home.state):
        gateway.notes.append(f"the gateway at port {found.port} serves {quoted(link.said_state_dir or '')}")
        link.close()
        # In a container our own state directory has another name, and its process is not to be seen from here.
        if found.sure or found.far or not os.path.isdir(link.state_dir or ""):
            gateway.found = Found(Life.UNKNOWN, found.pid, found.port, evidence=found.evidence)
        else:
            gateway.found = Found(Life.DOWN, evidence=found.evidence)
        return gateway
    if link is not None and link.state_dir == home.state:
        gateway.found = found._replace(life=Life.UP, sure=True)
    if link is not None and not link.may_close:
        gateway.notes.append(f"the gateway lets us close no session over a WebSocket: {_NO_RIGHTS}")
        link.close()
        link = None
    if link is not None:
        gateway.links.append(link)
    if gateway.found.life is Life.UP and not looking_only:
        _add_command(gateway)
        if link is None and gateway.links:
            _probe(gateway)
    return gateway


def _add_command(gateway: Gateway) -> None:
    command = gateway.command()
    if command.left_out:
        gateway.notes.append(command.left_out)
    if command.words:
        gateway.links.append(CommandLink(command))


def _meet_named(home: Home, url: str) -> Gateway:
    """Connect to the gateway at a URL that was given; raise GatewayNeeded where it is not the one that is meant."""
    if home.token is None:
        raise GatewayNeeded(f"no token for the gateway at {url}", "--token-file FILE, with nothing but the token in it")
    try:
        link = _dial(url, home.token, named=True)
    except (LinkRefused, LinkLost) as problem:
        what = f"the gateway at {url} does not let us in: {problem}"
        raise GatewayNeeded(what, "check --url and --token-file") from None
    theirs, ours = link.said_state_dir, home.gateway_state or home.state
    if ours not in ((theirs,) if home.gateway_state else (theirs, link.state_dir)):
        link.close()
        raise GatewayNeeded(
            f"the gateway at {url} serves {quoted(theirs or 'nothing that it names')}, not {ours}",
            "if that is the same folder, seen from a container: --gateway-state-dir DIR",
            name="other_gateway",
        )
    evidence: tuple[str, ...] = (f"named by --url: {url}",)
    if link.elsewhere:
        evidence += ("nothing in this network namespace is at the other end, so its name alone vouches for it",)
    gateway = Gateway(home, Found(Life.UP, evidence=evidence), [link], [])
    why = _NO_RIGHTS if not link.may_close else "" if link.says_scopes or not link.keeps_files else _objection(link)
    if why:
        link.close()
        gateway.links.clear()
        gateway.notes.append(f"the gateway at {url} takes the token, but lets us close no session: {why}")
    return gateway


def _probe(gateway: Gateway) -> None:
    """Drop the `openclaw` command as a link where the gateway would not let it delete sessions."""
    if why := _objection(gateway.links[-1]):
        gateway.notes.append(f"openclaw gateway call was refused: {why}")
        gateway.links.pop().close()


def _objection(link: Link) -> str:
    """Return why a link may not delete sessions, "" where it may.

    `update.status` changes nothing and asks for the same scope, which a gateway looks at first: a version that does
    not know the method says so only to who has the scope.
    """
    try:
        link.call("update.status", {}, _CALL_SECONDS)
    except CallRefused:
        return ""
    except (LinkRefused, LinkLost) as problem:
        # Of an older version the command prints this message alone (2026.2.17).
        return "" if _UNKNOWN in str(problem) else str(problem)
    return ""


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
        return _dial(f"ws://127.0.0.1:{port}", token)
    except LinkLost as problem:
        gateway.notes.append(str(problem))
    except LinkRefused as problem:
        gateway.notes.append(f"the WebSocket was refused: {problem}")
    return None


def admin(gateway: Gateway) -> Link:
    """Return a link with an admin's rights, beside those that have less; raises LinkRefused or LinkLost."""
    last = LinkRefused(gateway.notes[-1] if gateway.notes else "no gateway answers")
    for link in list(gateway.links):
        if not isinstance(link, SocketLink):
            return link  # the command asks for what each call needs
        try:
            found = link.as_admin()
        except LinkRefused as problem:
            last = problem
        else:
            if found is not link:
                gateway.beside.append(found)
            return found
    raise last


def _dial(url: str, token: str, *, named: bool = False) -> SocketLink:
    """Connect with no more rights than closing needs: in a file store the gateway deletes for an admin alone."""
    link = SocketLink(url, token, named=named)
    if link.keeps_files:
        link.become_admin()
    else:
        link.learn_state_dir()
    return link


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
        active.update(registers.running(gateway.home, time.time()))
    return GatewayView(gateway.found.life, gateway.usable, frozenset(known), frozenset(active))


def _rows(link: Link, agent: str) -> list[tuple[str, bool]]:
    try:
        sessions = link.call("sessions.list", _everything(agent), _CALL_SECONDS).get("sessions")
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


def rounds(targets: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Give targets (key, session id) as `archive` takes them: not too many, and no session id twice.

    A cron job and its latest run share theirs, and OpenClaw refuses the second of them in one call.
    """
    left = list(targets)
    while left:
        some: list[tuple[str, str]] = []
        later, taken = [], {""}
        for target in left:
            if len(some) < PATCH_MANY and (target[1] not in taken or not target[1]):
                some.append(target)
                taken.add(target[1])
            else:
                later.append(target)
        yield some
        left = later


def archive(gateway: Gateway, targets: Sequence[tuple[str, str]]) -> dict[str, CallRefused]:
    """Have the gateway archive sessions (key, session id); return why it refused some, by key.

    At most PATCH_MANY targets. Raises as `delete` does.
    """
    return _patch(gateway, targets, {"archived": True})


def show(gateway: Gateway, targets: Sequence[tuple[str, str]], *, pinned: bool = False) -> dict[str, CallRefused]:
    """Have the gateway take sessions out of the archive, which had unpinned them; else as `archive`."""
    return _patch(gateway, targets, {"archived": False, **({"pinned": True} if pinned else {})})


def _patch(gateway: Gateway, targets: Sequence[tuple[str, str]], patch: dict[str, bool]) -> dict[str, CallRefused]:
    params = {
        "targets": [{"key": key, "expectedSessionId": session_id} for key, session_id in targets],
        "patch": patch,
    }
    outcomes = _call(gateway, "sessions.patchMany", params).get("outcomes")
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
            return gateway.links[0].call(method, params, _CALL_SECONDS)
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


def way_out(gateway: Gateway) -> str:
    """Return what to do about a gateway that gave no answer: looked for again, since it may only be slow."""
    if gateway.home.url is not None:
        return f"see whether the gateway at {gateway.home.url} runs"
    now = find(gateway.home)
    if now.life is Life.UP:
        return f"the gateway runs, process {now.pid}: wait"
    return "openclaw gateway start" if now.life is Life.DOWN else "openclaw gateway status"


def _everything(agent: str) -> dict[str, Any]:
    return {"agentId": agent, "limit": _ALL, "includeGlobal": True, "includeUnknown": True}


def _keyed(found: object) -> list[dict[str, Any]]:
    """Return those of an answer's objects that name a session."""
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("key"), str)]
