"""A copy of this checkout in a world of its own: home, temporary directory, PATH, packages."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from anyday.clock import HANDED
from support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("close-project", "close-project-batch", "keep-only-sessions")
FIRST_RUN = "session-closer: first run: installing "
PACKAGES = {"plumbum", "psutil", "websockets", "json5", "msgspec", "rich"}
NEWER = {"backports.zstd": (3, 14), "typing_extensions": (3, 13)}


class Checkout:
    """A copy of the tree, and how to run things in it without the settings of whoever runs the tests.

    `byte_code`: the folder that all tests share for it, so that not each of them compiles the same files.
    """

    def __init__(self, root: Path, scratch: Path, wheels: Path, byte_code: Path) -> None:
        self.root = root
        self.home = scratch / "home"
        self.temp = scratch / "temp"
        self.path = scratch / "path"
        self.scratch = scratch
        self.wheels = wheels
        self._byte_code = {"PYTHONPYCACHEPREFIX": str(byte_code)}
        for directory in (self.home, self.temp, self.path):
            directory.mkdir()
        self.put_on_path("python3", f'exec "{sys.executable}" "$@"')

    @property
    def cache(self) -> Path:
        caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
        return self.home / caches / "session-closer"

    def environment(self, **more: str) -> dict[str, str]:
        """Return a small environment in which pip finds our wheels and no index."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.path}{os.pathsep}{os.defpath}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "TMPDIR": str(self.temp),
            **HANDED,
            **self._byte_code,
            **more,
        }

    def keep_its_own_byte_code(self) -> None:
        """Run things as a person does, who has no folder for it."""
        self._byte_code = {}

    def run(self, *argv: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program there, `close-project --help` unless told, with no standard input."""
        return subprocess.run(
            argv or (self.root / "bin/close-project", "--help"),
            cwd=cwd or self.scratch,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def fill_cache(self, site: Path) -> Path:
        """Put the packages where a first run would; return that folder."""
        import bootstrap

        filled = self.cache / bootstrap.cache_name(str(ROOT / "lib/requirements.lock"))
        self.cache.mkdir(parents=True, mode=0o700)
        shutil.copytree(site, filled)
        return filled

    def put_on_path(self, name: str, script: str) -> Path:
        """Put a shell script on PATH, before all else, and return its path."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program


def no_pip(checkout: Checkout) -> Path:
    """Return a Python without pip, in a world where uv is not on PATH either."""
    environment = checkout.wheels.parent / "no-pip"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    return environment / "bin/python"


def quick_uv(checkout: Checkout, site: Path) -> None:
    """Put a uv on PATH that copies packages and writes down its arguments."""
    until_target = 'while [ "$1" != --target ]; do shift; done'
    checkout.put_on_path("uv", f'echo "$@" > "$HOME/arguments"; {until_target}; cp -Rp "{site}"/. "$2"')


def copy_tree(destination: Path) -> None:
    """Copy the files that git knows or would add, so that the tests see what a clone would have."""
    for name in _known_to_git():
        if (ROOT / name).exists():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)


@functools.cache
def _known_to_git() -> tuple[str, ...]:
    words = ["git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    return tuple(map(os.fsdecode, filter(None, found.split(b"\0"))))


def listing(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, size and time of all that is below the directory."""
    entries = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        entries[str(path.relative_to(directory))] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return entries


def package_directories(cache: Path) -> list[Path]:
    """Return what is in the cache but byte code: filled directories, and what was left of others."""
    return sorted(path for path in cache.glob("*") if path.name not in ("pyc", "tools"))
