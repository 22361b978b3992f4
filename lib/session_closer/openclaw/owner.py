"""Whose the folders of OpenClaw are: what is another user's is refused, and what others may write is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..core.errors import Refused
from ..system import files, owned, trust
from .home import Home


def check_owner(home: Home, paths: list[str]) -> None:
    """Refuse to work as anybody but the owner of a state directory and of these paths."""
    owned.check([home.state, *paths])


def exposure(home: Home, more: Sequence[str] = ()) -> list[str]:
    """Return a warning where others may write what says everything else: state directory, configuration, `more`."""
    open_to = []
    for path in (home.state, home.config_path, *more):
        with contextlib.suppress(OSError):
            if why := trust.objection(os.stat(path)):
                open_to.append(f"{path}: {why}")
    what = "whoever may write there decides what is closed, and whom the gateway obeys; chmod go-w"
    return [f"{'; '.join(open_to)}: {what}"] if open_to else []


def check_folders(home: Home, agents: list[str]) -> None:
    """Refuse agents whose sessions are somebody else's, or outside the state directory."""
    places = [path for agent in agents for path in (home.folder(agent), home.index(agent), home.database(agent))]
    check_owner(home, [*places, *(os.path.dirname(path) for path in places)])
    root = os.path.realpath(os.path.join(home.state, "agents"))
    for agent in agents:
        for part in (home.folder(agent), home.database(agent)):
            real = os.path.realpath(part)
            if os.path.commonpath([root, real]) != root and (link := trust.foreign_link(part)) is not None:
                what = f"the sessions of agent {agent} are in {real}, outside {root}, by {link}, another user's link"
                raise Refused(what, f"put a link of your own, or the folder, in the place of {link}", name="link")


def older_layout(home: Home) -> Refused | None:
    """Return why there is nothing to be seen of a state directory from before there were agents; None: it is none."""
    old = os.path.join(home.state, "sessions", "sessions.json")
    if not files.exists(old) or files.exists(os.path.join(home.state, "agents")) or home.setting("session", "store"):
        return None
    what = f"{old} is of an older layout, without agents, which no OpenClaw of today works in"
    return Refused(what, f"{home.openclaw} doctor --fix moves it below agents/", name="older_layout")
