"""Fills the cache of `bootstrap` with the packages of a lock file, and tells when they are not whole."""

import errno
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

INSTALL_SECONDS = 300
STALE_SECONDS = 3600
ROOM = "make room there, or set SESSION_CLOSER_CACHE"
# Settings that would install somewhere else or something else.
MISLEADING = {f"PIP_{name}" for name in ("TARGET", "PREFIX", "ROOT", "PYTHON", "CONSTRAINT", "REQUIREMENT")}
MISLEADING |= {f"UV_{name}" for name in ("TARGET", "PREFIX", "PYTHON", "CONSTRAINT", "OVERRIDE", "SYSTEM_PYTHON")}
# Variables override the configuration file of pip, whose index must stay in force.
NEUTRAL = {
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_DRY_RUN": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


class Failed(Exception):
    """The packages cannot be had here: why, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def fill(
    root: str, site: str, lock: str, is_filled: Callable[[], bool], *, say: Callable[[str], None], ways_out: str
) -> None:
    """Install the packages of `lock` beside `site`, then rename them into place.

    `say` prints a line on stderr; `ways_out` is what to do where nothing here can install them.
    """
    with open(lock, encoding="utf-8") as file:
        names = ", ".join(line.split("==")[0] for line in file if "==" in line and is_for_this_python(line))
    say(f"session-closer: first run: installing {names} into {site}")
    work = ""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                # Not at once, as in bin/: what is here by then has to be removed.
                signal.signal(number, signal.default_int_handler)
        remove_leftovers(root)
        work = tempfile.mkdtemp(prefix="new-", dir=root)
        new = os.path.join(work, "site")
        os.mkdir(new, 0o700)
        if reason := install(lock, new, work):
            raise Failed(reason, ROOM if os.strerror(errno.ENOSPC) in reason else ways_out)
        # After a power cut the name may be there without what was not synced ahead of it.
        sync(new)
        try:
            os.rename(new, site)
        except OSError:
            # What another process completed meanwhile must stay: it runs from there.
            if not is_filled():
                os.rename(site, os.path.join(work, "incomplete"))
                os.rename(new, site)
        sync_one(root)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        raise Failed(f"cannot fill its cache: {error}", ROOM) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def damage(site: str, problem: Exception, packages: list[str]) -> Failed | None:
    """Return what an error says that comes from one of the packages in `site`, where that is not whole; else None."""
    at = problem.__traceback__
    while at and at.tb_next:
        at = at.tb_next
    module = getattr(getattr(problem, "obj", None), "__file__", None)
    places = [getattr(problem, "path", None), getattr(problem, "filename", None), module]
    places.append(at.tb_frame.f_code.co_filename if at else None)
    name = str(problem.name).split(".")[0] if isinstance(problem, ImportError) else ""
    # A file of NUL bytes is no Python, and Python does not say which one it is.
    unnamed = isinstance(problem, SyntaxError) and not problem.filename
    inside = any(str(place).startswith(site + os.sep) for place in places)
    if not (inside or unnamed or name in packages):
        return None
    remedy = f"rm -r {shlex.quote(site)}, then run the same command again: it installs them anew"
    return Failed(f"the packages in {site} are not whole: {' '.join(str(problem).split())}", remedy)


def sync(folder: str) -> None:
    """Bring all that is in a folder to the disk, the folders behind what is in them."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_one(os.path.join(place, name))
        sync_one(place)


def sync_one(path: str) -> None:
    """Bring a file or a folder to the disk, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def is_for_this_python(line: str) -> bool:
    """Tell whether a line of the lock file is about a package that this Python needs."""
    limit = re.search(r"; python_full_version < '(\d+)\.(\d+)'", line)
    return limit is None or sys.version_info < (int(limit[1]), int(limit[2]))


def remove_leftovers(root: str) -> None:
    """Remove what killed installations have left, once it is too old to belong to one that still runs."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        try:
            if name.startswith("new-") and os.stat(path).st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            pass  # its owner was faster


def install(lock: str, target: str, work: str) -> str:
    """Install packages of `lock` into `target`, temporary files into `work`; return why not, or ""."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment = {"PIP_RETRIES": "1", **environment, **NEUTRAL, "TMPDIR": work}
    reason = "found neither pip nor uv to install its dependencies with"
    for installer in installers():
        command = [*installer, "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        command += ["--target", target, "-r", lock]
        try:
            output = run(command, environment)
        except (OSError, subprocess.TimeoutExpired) as error:
            output = str(error)
        if output is None:
            return ""
        lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
        errors = [line for line in lines if line.lower().startswith("error:")]
        full = [line for line in lines if os.strerror(errno.ENOSPC) in line]
        why = "" if full else " (offline?)"
        reason = f"cannot install its dependencies{why}: {(full or errors or lines)[-1]}"
    return reason


def installers() -> Iterator[list[str]]:
    """Yield the command lines that this Python can install packages with, to be completed."""
    if importlib.util.find_spec("pip"):
        # -P: a pip.py in the caller's directory must not be run.
        yield [sys.executable, "-P", "-m", "pip", "install", "--no-compile", "--no-input"]
    uv = shutil.which("uv")
    # What is found in the folder where we were called may be anybody's.
    if uv and os.path.isabs(uv):
        yield [uv, "pip", "install", "--python", sys.executable, "--link-mode=copy"]


def run(command: list[str], environment: dict[str, str]) -> str | None:
    """Run an installer apart from our stdin and stdout; return its output if it fails, else None."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_SECONDS,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout if done.returncode else None
