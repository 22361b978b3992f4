"""The gateway of a state directory: found, connected to, and asked whether it lets us close sessions."""

from __future__ import annotations

import os

from ...core.errors import GatewayNeeded
from ...core.escape import quoted
from ...core.report import GatewayResult
from ...core.status import Life
from ...system.clock import REAL, Clock
from ..home import Home
from .command import CommandLink, OpenClaw
from .find import Found, find
from .link import CallRefused, Link, LinkLost, LinkRefused, SocketLink
from .pace import Pace

CALL_SECONDS = 60.0
_START_SECONDS = 15.0
AWAKE_PAUSE = 0.25
_UNKNOWN = "unknown method: update.status"
_NO_RIGHTS = "its hello gives no right to"


class Gateway:
    """A gateway as found, with the links that may work, best first; `beside` are those with an admin's rights."""

    def __init__(self, home: Home, found: Found, links: list[Link], notes: list[str], clock: Clock = REAL) -> None:
        self.home, self.found, self.clock = home, found, clock
        self.links, self.notes = links, notes
        self.beside: list[Link] = []
        self.pace = Pace()

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


def meet(home: Home, *, looking_only: bool, clock: Clock = REAL) -> Gateway:
    """Find the gateway and connect to it; a run that only looks starts no `openclaw`, which would write files."""
    if home.url is not None:
        return _meet_named(home, home.url, clock)
    found = _awake(home, clock)
    gateway = Gateway(home, found, [], [], clock=clock)
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


def _meet_named(home: Home, url: str, clock: Clock) -> Gateway:
    """Connect to the gateway at a URL that was given; raise GatewayNeeded where it is not the one that is meant."""
    if home.token is None:
        raise GatewayNeeded(f"no token for the gateway at {url}", "--token-file FILE, with nothing but the token in it")
    try:
        link = _dial(url, home.token, clock, named=True)
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
    gateway = Gateway(home, Found(Life.UP, evidence=evidence), [link], [], clock=clock)
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
        link.call("update.status", {}, CALL_SECONDS)
    except CallRefused:
        return ""
    except (LinkRefused, LinkLost) as problem:
        # Of an older version the command prints this message alone (2026.2.17).
        return "" if _UNKNOWN in str(problem) else str(problem)
    return ""


def _awake(home: Home, clock: Clock) -> Found:
    """Return the gateway, given time to open its port where it has just been started."""
    seen: list[Found] = []

    def awake() -> bool:
        seen.append(find(home))
        return seen[-1].life is not Life.UP or seen[-1].port is not None

    clock.until(awake, _START_SECONDS, AWAKE_PAUSE)
    return seen[-1]


def _connect(gateway: Gateway, port: int) -> SocketLink | None:
    token = gateway.home.token
    if token is None:
        gateway.notes.append("no token is configured, so only the openclaw command can connect")
        return None
    try:
        return _dial(f"ws://127.0.0.1:{port}", token, gateway.clock)
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


def _dial(url: str, token: str, clock: Clock, *, named: bool = False) -> SocketLink:
    """Connect with no more rights than closing needs: in a file store the gateway deletes for an admin alone."""
    link = SocketLink(url, token, named=named, clock=clock)
    if link.keeps_files:
        link.become_admin()
    else:
        link.learn_state_dir()
    return link


def way_out(gateway: Gateway) -> str:
    """Return what to do about a gateway that gave no answer: looked for again, since it may only be slow."""
    if gateway.home.url is not None:
        return f"see whether the gateway at {gateway.home.url} runs"
    now = find(gateway.home)
    if now.life is Life.UP:
        return f"the gateway runs, process {now.pid}: wait"
    return f"{gateway.home.openclaw} gateway {'start' if now.life is Life.DOWN else 'status'}"


def again(gateway: Gateway) -> str:
    """Return what to do where a gateway has stopped answering in the middle of a run."""
    return f"{way_out(gateway)}, then the same command again: it finishes what was begun"
