"""Why OpenClaw's stores may not be changed now: which kind takes what, and who serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.actions import How
from ..core.errors import CloserError, GatewayNeeded, Refused
from ..core.status import Life, Route
from ..system import files, flock
from . import migration

if TYPE_CHECKING:
    from ..ports.readable import Readable
    from ..ports.undo import Item
    from .installation import Installation

# Nobody is told to start what runs, or may run.
_FIRST = {
    Life.DOWN: "gateway start",
    Life.UP: "gateway status",
    Life.UNKNOWN: "gateway status",
}


def of_stores(here: Installation, closing: Sequence[Readable]) -> CloserError | None:
    """Return why the stores to be changed do not take what was asked."""
    for store in closing:
        if (unlockable := flock.unlockable(store.place)) is not None:
            return unlockable
        if Route.FILES not in store.traits.writers and here.options.via == "files":
            return Refused(
                f"agent {store.agent} keeps its sessions in SQLite ({store.index}), which only its gateway may change",
                "leave out --via files",
                name="sqlite_store",
            )
        if not store.traits.hides and here.options.archive:
            return Refused(
                f"agent {store.agent} keeps its sessions in a file ({store.index}), which knows no archived ones",
                "leave out --archive: a close archives the transcript, and can be undone",
                name="no_archive",
            )
        if store.traits.loose_files and (found := migration.owed(here, store)) is not None:
            return found
    return None


def of_gateway(here: Installation, closing: Sequence[Readable]) -> CloserError | None:
    """Return why the gateway is in the way, or does not do what only it may, None where it is not."""
    gateway, life = here.gateway, here.gateway.found.life
    databases = [store.agent for store in closing if Route.FILES not in store.traits.writers]
    is_wanted = bool(databases) or here.options.via == "gateway"
    # A dry run starts no openclaw, so it cannot tell whether that way in would work.
    untried = here.options.dry_run and life is Life.UP and here.home.url is None and bool(gateway.command().words)
    if not gateway.usable and untried and is_wanted:
        here.warn("a dry run starts no openclaw, so whether that command may close sessions was not tried")
    if not gateway.usable and not untried:
        problem = _of_wanted(here, databases) if is_wanted else None
        if (problem := problem or _of_bypass(here)) is not None:
            return problem
    if life is Life.UNKNOWN and here.options.via != "files":
        return GatewayNeeded(
            f"whether a gateway serves {here.home.state} cannot be told: {'; '.join(gateway.result().evidence)}",
            f"{here.home.openclaw} gateway status; if it is another's: --via files",
        )
    return None


def _of_wanted(here: Installation, databases: Sequence[str]) -> CloserError:
    """Return why what only the gateway may do cannot be done: it lets us in by no way."""
    life = here.gateway.found.life
    first = f"{here.home.openclaw} {_FIRST[life]}"
    why = here.gateway.notes[-1] if here.gateway.notes else f"no gateway of {here.home.state} answers"
    if here.options.via == "gateway":
        return GatewayNeeded(why, f"{first}, or leave out --via gateway")
    return GatewayNeeded(
        f"the sessions of agent {databases[0]} are in SQLite, which only a gateway may change: {why}",
        first if life is Life.UP else f"{first}, or --url and --token-file",
    )


def _of_bypass(here: Installation) -> CloserError | None:
    """Return why a file may not be edited below a gateway that lets us in by no way, None where it may."""
    gateway = here.gateway
    if gateway.found.life is not Life.UP or here.options.via != "auto" or gateway.can_restart:
        return None
    why = gateway.notes[-1] if gateway.notes else f"the gateway of {here.home.state} lets us close no session"
    return GatewayNeeded(
        f"{why}; its process is not known here, so it could not be restarted after an edit of the file",
        "leave out --url, so that the openclaw command is asked, or stop that gateway first"
        if here.home.url is not None
        else "stop that gateway first",
    )


def of_restore(here: Installation, items: Sequence[Item]) -> CloserError | None:
    """Return why these sessions may not be brought back now, whatever the gateway does."""
    if (problem := _of_receivers(here, items)) is not None:
        return problem
    if here.gateway.found.life is Life.UNKNOWN and items:
        evidence = "; ".join(here.gateway.result().evidence)
        what = f"whether a gateway serves {here.home.state} cannot be told: {evidence}"
        return GatewayNeeded(what, f"{here.home.openclaw} gateway status")
    return None


def held_up(here: Installation, items: Sequence[Item], *, stop_gateway: bool) -> Mapping[How, CloserError]:
    """Return by how they were put away why sessions may not be brought back as the gateway is now.

    What was archived needs it, what was deleted needs it stopped. `stop_gateway`: it may be stopped meanwhile.
    """
    ways = {item.put_away for item in items}
    archived = _of_waker(here) if How.ARCHIVE in ways else None
    deleted = _of_import(here, stop_gateway=stop_gateway) if How.DELETE in ways else None
    found = {How.ARCHIVE: archived, How.DELETE: deleted}
    return {way: problem for way, problem in found.items() if problem is not None}


def _of_receivers(here: Installation, items: Sequence[Item]) -> CloserError | None:
    """Return why the stores that are to take them back may not be changed."""
    for agent in {item.agent for item in items}:
        store = here.stores[agent]
        # One that is not there yet is made where the next one above it is.
        if (unlockable := flock.unlockable(files.nearest(store.place))) is not None:
            return unlockable
        if store.traits.loose_files and (unmigrated := migration.owed(here, store)) is not None:
            return unmigrated
    return None


def _of_waker(here: Installation) -> CloserError | None:
    """Return why the gateway takes nothing out of the archive."""
    if here.gateway.found.life is not Life.UP:
        what = "archived sessions are brought back by the gateway, which does not answer"
        return GatewayNeeded(what, f"{here.home.openclaw} gateway start")
    if not here.gateway.usable and not here.options.dry_run:
        what = "the gateway does not let us take sessions out of the archive"
        return GatewayNeeded(what, f"{here.home.openclaw} gateway status")
    return None


def _of_import(here: Installation, *, stop_gateway: bool) -> CloserError | None:
    """Return why deleted sessions may not be imported: no gateway may run meanwhile."""
    if here.gateway.found.life is not Life.UP:
        return None
    from .gateway import service  # few restores stop the gateway

    if not stop_gateway:
        what = "deleted sessions are brought back into a database while the gateway is stopped"
        return Refused(what, f"{service.by_hand(here)}; or add --stop-gateway", name="gateway_running")
    return service.cannot_stop(here)
