"""Stop the gateway's service for a while, where only a stopped one will do, and start it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import CloserError, GatewayNeeded, Refused
from ...core.report import RestartResult
from ...core.status import Life
from ...journal.record import STOPPED, RestartRecord
from ...system import processes
from .command import OpenClaw, first_object
from .connection import Gateway
from .find import Found, find
from .link import LinkLost, LinkRefused
from .restart import healthy

if TYPE_CHECKING:
    from ...ports.store import Ledger
    from ..installation import Installation

_STOP_SECONDS, _START_SECONDS, _STATUS_SECONDS = 90.0, 120.0, 60.0
_PAUSE = 0.25


def cannot_stop(here: Installation) -> CloserError | None:
    """Return why the gateway cannot be stopped and started again from here, None where it can."""
    found = here.gateway.found
    if processes.is_below(found.pid):
        return Refused("this runs below the gateway, so it cannot stop it", by_hand(here), name="gateway_running")
    try:
        command = OpenClaw(here.home, found.pid, found.port)
        service = command.answer("gateway", "status", "--json", seconds=_STATUS_SECONDS).get("service")
    except (LinkRefused, LinkLost) as problem:
        return GatewayNeeded(f"whether a service runs the gateway cannot be told: {problem}", by_hand(here))
    if not (isinstance(service, dict) and service.get("loaded") is True):
        what = "no service runs the gateway, so nothing here could start it again"
        return Refused(what, by_hand(here), name="gateway_running")
    return None


def stop(here: Installation, ledger: Ledger) -> None:
    """Stop the gateway through its service and prove that it is down; the record says that it has to be started."""
    found = here.gateway.found
    ledger.owe(RestartRecord(needed=True, result=STOPPED))
    here.stopped = True
    here.gateway.leave()
    try:
        OpenClaw(here.home, found.pid, found.port).run("gateway", "stop", "--json", seconds=_STOP_SECONDS)
    except (LinkRefused, LinkLost) as problem:
        raise GatewayNeeded(f"the gateway was not stopped: {problem}", by_hand(here)) from None
    seen: list[Found] = []

    def is_down() -> bool:
        seen.append(find(here.home))
        return seen[-1].life is Life.DOWN

    if not here.context.clock.until(is_down, _STOP_SECONDS, _PAUSE):
        evidence = "; ".join(seen[-1].evidence)
        raise GatewayNeeded(f"the gateway was told to stop and still runs: {evidence}", by_hand(here))
    here.gateway = Gateway(here.home, seen[-1], [], [], clock=here.context.clock)


def by_hand(here: Installation) -> str:
    """Return the commands that a person can give instead."""
    return f"{here.home.openclaw} gateway stop; {here.options.again}; {here.home.openclaw} gateway start"


def start(here: Installation) -> RestartResult:
    """Start the gateway again and wait until it answers."""
    openclaw = here.home.openclaw
    by = f"it is stopped: {openclaw} gateway status may say why; then: {openclaw} gateway start"
    try:
        words = ("gateway", "start", "--json")
        code, out, err = OpenClaw(here.home, None, None).run(*words, seconds=_START_SECONDS)
    except (LinkRefused, LinkLost) as problem:
        return RestartResult(True, False, "not-started", f"{problem}; {by}")
    if (found := here.context.clock.until(lambda: _healthy(here), _START_SECONDS, _PAUSE)) is not None:
        return RestartResult(True, True, "started", f"healthy again, process {found.pid}")
    said = str(first_object(out).get("message") or " ".join((err or out).split())[:200] or f"exit {code}")
    return RestartResult(True, False, "not-healthy", f"{said}; {by}")


def _healthy(here: Installation) -> Found | None:
    """Return the gateway where it answers, None where it does not yet."""
    found = find(here.home)
    up = found.life is Life.UP and found.port is not None and healthy(here.home, found.port)
    return found if up else None
