"""Recognise a file store that OpenClaw has been updated past: its owner has to migrate it first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from ..core.errors import Refused
from ..core.status import Life
from ..ports.readable import Readable
from ..system import files
from .gateway.command import VERSION, OpenClaw
from .gateway.link import LinkLost, LinkRefused
from .home import Home
from .installation import Installation
from .versions import PATTERN, is_sqlite_era

_PACKAGE_BYTES = 4 << 20
_SECONDS = 20.0


def owed(here: Installation, store: Readable) -> Refused | None:
    """Return why a file store may not be changed: the installed OpenClaw would not read it."""
    if here.gateway.found.life is Life.UP or here.home.isolated:
        return None
    version = installed(OpenClaw(here.home, None, None))
    if version is None or not is_sqlite_era(version):
        return None
    return Refused(
        _said(version, store),
        f"{here.home.openclaw} doctor --fix, then {here.home.openclaw} gateway start; "
        "or SESSION_CLOSER_OPENCLAW=PATH of the one that is used",
        name="unmigrated_store",
    )


def left_behind(home: Home, stores: Sequence[Readable]) -> list[str]:
    """Return a line for each file store that the installed OpenClaw would not read; none is started to find out."""
    of_files = [store for store in stores if store.era == "files"]
    if not of_files or home.isolated:
        return []
    version = _packaged(OpenClaw(home, None, None))
    return [_said(version, store) for store in of_files] if version is not None and is_sqlite_era(version) else []


def _said(version: str, store: Readable) -> str:
    return f"openclaw {version} keeps sessions in SQLite, those of agent {store.agent} are not migrated: {store.index}"


def installed(command: OpenClaw) -> str | None:
    """Return the version of an `openclaw` command, from its package where that can be found; None: not to be told."""
    if not command.words or (found := _packaged(command)) is not None:
        return found if command.words else None
    try:
        _, out, _ = command.run(*VERSION, seconds=_SECONDS)
    except (LinkRefused, LinkLost):
        return None
    told = re.search(PATTERN, out)
    return told[0] if told else None


def _packaged(command: OpenClaw) -> str | None:
    """Return the version that the package of an `openclaw` command says it has."""
    if not command.words:
        return None
    folder = os.path.dirname(os.path.realpath(command.words[-1]))
    for _ in range(3):
        try:
            package = json.loads(files.read(os.path.join(folder, "package.json"), _PACKAGE_BYTES)[0])
        except (OSError, ValueError, RecursionError):
            package = None
        if isinstance(package, dict) and package.get("name") == "openclaw":
            return str(package.get("version"))
        folder = os.path.dirname(folder)
    return None
