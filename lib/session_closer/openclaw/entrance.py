"""What is asked of OpenClaw before a run begins: which state directory is meant, what can be brought back there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from . import environment, home
from .home import Home

if TYPE_CHECKING:
    from ..ports.past import Past
    from ..system.clock import Clock


def find(
    environ: Mapping[str, str],
    *,
    state_dir: str | None,
    profile: str | None,
    url: str | None,
    token_file: str | None,
    gateway_state: str | None,
) -> Home:
    """Return the state directory that an environment and the options of a command line mean."""
    where = home.find(environ, state_dir=state_dir, profile=profile)
    return replace(where, url=url, token_file=token_file, gateway_state=gateway_state)


def state_dir_around(path: str) -> str | None:
    """Return the state directory in which a store has its usual place, None where it has another one."""
    return environment.state_dir_around(path)


def sample(state: str) -> Home:
    """Write a sample into a state directory that is not there yet; return it: nothing of the caller's reaches it."""
    from .sample import build

    build(state)
    return Home(state, "demo", {}, isolated=True)


def apart(where: Home) -> Home:
    """Return a state directory whose gateway is neither looked for nor asked."""
    return replace(where, isolated=True)


def past(where: Home, clock: Clock) -> Past:
    """Return what was put away below a state directory, as far as it is known without a gateway."""
    from .past import OpenClawPast

    return OpenClawPast(where, clock)


def check_place(where: Home, agents: Sequence[str]) -> None:
    """Refuse a state directory that is not there, or is not ours alone."""
    from . import access

    access.check_place(where, list(agents))


def exposure(where: Home) -> list[str]:
    """Return a line for each folder that others may write to, and one where nothing here is of OpenClaw."""
    from . import access

    return access.exposure(where)


def place_of(task: Mapping[str, str]) -> Home:
    """Return the state directory that `task` of its runtime stands for, in the environment of this process."""
    return Home(
        task["state"],
        "worker",
        {**os.environ, "OPENCLAW_CONFIG_PATH": task["config"]},
        url=task.get("url"),
        token_file=task.get("token_file"),
        gateway_state=task.get("gateway_state"),
    )
