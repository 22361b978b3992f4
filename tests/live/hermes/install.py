"""hermes-agent of two versions from PyPI, installed once into the cache that OpenClaw's versions lie in, too."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ..install import Unavailable, cache_root, cached, install_wheels

NEW, OLD = "0.19.0", "0.13.0"
VERSIONS = (NEW, OLD)
# Brings what the HTTP server of a gateway needs, and nothing of a messenger.
EXTRA = "sms"
# Pythons that a version runs on: from the first on, below the second.
PYTHONS = {NEW: ((3, 11), (3, 14)), OLD: ((3, 11), (3, 15))}


@dataclass(frozen=True)
class Hermes:
    """One version of Hermes."""

    version: str
    folder: Path

    @property
    def is_new(self) -> bool:
        """Whether it is the newer of the two."""
        return self.version == NEW

    @property
    def packages(self) -> Path:
        """The folder to import Hermes from."""
        return self.folder / "packages"

    @property
    def shims(self) -> Path:
        """The folder that holds the `hermes` command."""
        return self.folder / "bin"


def provide(version: str) -> Hermes:
    """Return an installed Hermes, from the cache if it is there; Unavailable if it cannot be had."""
    oldest, above = PYTHONS[version]
    if not oldest <= sys.version_info[:2] < above:
        raise Unavailable(f"hermes-agent {version} does not run on Python {sys.version_info[0]}.{sys.version_info[1]}")
    name = f"hermes-{version}-http-py{sys.version_info[0]}.{sys.version_info[1]}"

    def install(target: Path) -> None:
        packages = target / "packages"
        packages.mkdir()
        install_wheels(packages, f"hermes-agent[{EXTRA}]=={version}")
        _write_command(target / "bin")

    return Hermes(version, cached(cache_root(), name, install))


def _write_command(folder: Path) -> None:
    """Write a `hermes` that finds its packages beside it, wherever the folder is by then."""
    folder.mkdir()
    command = folder / "hermes"
    command.write_text(
        '#!/bin/sh\nPYTHONPATH="$(dirname "$(dirname "$0")")/packages" '
        f'exec "{sys.executable}" -m hermes_cli.main "$@"\n'
    )
    command.chmod(0o755)
