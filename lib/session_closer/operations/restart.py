"""The one restart of a run: only after an edit of a file store below a running gateway."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ..core.report import RestartResult
from ..core.status import Life, Route
from ..journal.record import RestartRecord
from ..system import processes

if TYPE_CHECKING:
    from ..ports.gateway import Gateway
    from ..ports.runtime import Runtime
    from ..ports.share import Share
    from ..ports.store import Ledger
    from ..system.clock import Clock

# A gateway wrote a row 2 s after its run was seen to have ended.
LAST_WRITE_SECONDS = 5.0
_STOPPED = "as it is stopped for what it would be in the way of"


def nothing_to_restart(gateway: Gateway) -> RestartResult:
    """Return the restart of a run that needs none."""
    return RestartResult(result="nothing-to-restart" if gateway.life is Life.DOWN else "not-needed")


def foreseen(runtime: Runtime, routes: Collection[Route], *, usable: bool, is_stopped: bool = False) -> RestartResult:
    """Return the restart that a run is going to need which changes entries of file stores by these routes.

    `usable`: the gateway takes them, as far as a look can tell, where it is not to be the file. `is_stopped`: it is
    going to be stopped for what cannot be done beside it.
    """
    gateway, options = runtime.gateway, runtime.context.options
    if is_stopped and gateway.life is Life.UP:
        return RestartResult(needed=True, result="would-restart", detail=_STOPPED)
    is_wanted = options.restart == "always" and bool(routes)
    if gateway.life is Life.DOWN or not (is_wanted or Route.FILES in routes):
        return nothing_to_restart(gateway)
    if options.restart == "never":
        return RestartResult(needed=True, result="left-out")
    if gateway.life is Life.UNKNOWN:
        return RestartResult(needed=True, result="not-proven")
    detail = ""
    if gateway.pid is None:
        detail = "but its process is not known here, so a person would have to"
    elif options.via == "auto" and not usable:
        # What a dry run does not start.
        detail = "unless the openclaw command lets the gateway close them"
    return RestartResult(needed=True, result="would-restart", detail=detail)


def restart_once(runtime: Runtime, ledger: Ledger) -> RestartResult:
    """Restart the gateway where a run owes it that; what was edited below it is to be looked at again then."""
    clock = runtime.context.clock
    begun = clock.monotonic()
    result = _restarted(runtime, ledger)
    if runtime.context.options.late and _edits(ledger) and runtime.gateway.life is not Life.DOWN:
        wait_for_last_write(begun, clock)
    return result


def with_what_it_lists(gateway: Gateway, ledger: Ledger, result: RestartResult) -> RestartResult:
    """Return a restart that did not happen with whether the gateway lists what was closed below it."""
    closed = _closed_below(_edits(ledger)) if result.ok is False else {}
    return result._replace(detail=f"{result.detail}; {gateway.noticed(closed)}") if closed else result


def _edits(ledger: Ledger) -> list[Share]:
    return [share for share in ledger.shares if share.store.traits.restarts and share.edited]


def wait_for_last_write(since: float, clock: Clock) -> None:
    """Wait until a run that had ended by then (on the monotonic clock) has written all that it writes to a store."""
    clock.sleep(max(0.0, since + LAST_WRITE_SECONDS - clock.monotonic()))


def _restarted(runtime: Runtime, ledger: Ledger) -> RestartResult:
    gateway, console, options = runtime.gateway, runtime.context.console, runtime.context.options
    needed = any(share.edited for share in ledger.shares)
    spared = _spared(runtime, ledger, needed=needed)
    if spared is not None:
        return spared
    ledger.owe(RestartRecord(needed=True))
    if not options.late and processes.is_below(gateway.pid):
        why = "this runs below the gateway, so a process of its own restarts it"
        return RestartResult(True, None, "handed-off", why)
    if gateway.pid is not None:
        console.tell(f"restarting the gateway, process {gateway.pid}; receipt {ledger.receipt}")
    gateway.leave()
    result = gateway.restart()
    if result.ok:
        # However this run ends from here on, none is owed any more.
        ledger.owe(RestartRecord(True, True, result.result, result.detail))
    return result


def _spared(runtime: Runtime, ledger: Ledger, *, needed: bool) -> RestartResult | None:
    """Return how a restart ends that is not tried, None where it is to be."""
    gateway, warn, wanted = runtime.gateway, runtime.context.console.warn, runtime.context.options.restart
    if gateway.life is Life.DOWN:
        if wanted == "always":
            warn("there is no gateway to restart")
        return nothing_to_restart(gateway)
    edits = [share for share in ledger.shares if share.store.traits.restarts]
    if wanted == "always" and ledger.shares and not edits:
        warn("sessions in SQLite never need a restart, so the gateway was not restarted")
    if not needed and (wanted != "always" or not edits):
        return nothing_to_restart(gateway)
    if wanted == "never":
        warn(f"the running gateway was not restarted (--restart never); by hand: {gateway.by_hand}")
        return RestartResult(needed, None, "left-out")
    if gateway.life is Life.UNKNOWN:
        warn("no gateway of this state directory is proven, so none was restarted")
        return RestartResult(needed, None, "not-proven")
    return None


def _closed_below(edits: Sequence[Share]) -> dict[str, list[str]]:
    """Return what was closed below the gateway, keys by agent."""
    closed = {share.store.agent: sorted(share.closed_keys(Route.FILES)) for share in edits}
    return {agent: keys for agent, keys in closed.items() if keys}


def not_begun(gateway: Gateway, why: str) -> RestartResult:
    """Return what became of a restart that was handed off to a process that has not begun."""
    return RestartResult(True, False, "not-run", f"{why}; by hand: {gateway.by_hand}")
