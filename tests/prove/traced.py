"""The second harness: the real program, killed and failed by strace at its system calls; the same oracle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import session_closer
from faults.image import Image
from faults.oracle import look
from faults.scenarios import BATCH, TARGETS
from faults.sweep import Bench

from .parts import Given, Skipped, Tally

# Beside the program that is on the path, which is a mutant at times.
BIN = Path(session_closer.__file__).resolve().parents[2] / "bin"
CALLS = (
    "write", "pwrite64", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "fsync",
    "fdatasync", "mkdir", "mkdirat", "rmdir", "ftruncate", "fchmod", "fchown", "utimensat", "flock",
)  # fmt: skip
_ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT", "EMFILE", "EINTR")
_SECONDS = 60


class Injection(NamedTuple):
    """What strace does at the `when`th call of a name; `also` holds for every call of other names."""

    call: str
    action: str
    when: int
    also: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        return f"{self.action} at {self.call} {self.when}{' without renameat2' if self.also else ''}"


def traced(given: Given) -> Tally:
    """Kill the real program at its system calls and let them fail; in CI a share of them."""
    strace = shutil.which("strace")
    if strace is None:
        raise Skipped("there is no strace")
    with given.folder() as place:
        try:
            counts = _calls(place, ())
            plain = _calls(place, ("renameat2:error=ENOSYS",))
        except OSError as problem:
            raise Skipped(f"strace cannot trace here: {problem}") from None
    injections = [
        Injection(call, action, when)
        for call, count in sorted(counts.items())
        for when in range(1, count + 1)
        for action in ("signal=SIGKILL", *(f"error={code}" for code in _ERRORS))
    ]
    injections += [
        Injection(call, "signal=SIGKILL", when, ("renameat2:error=ENOSYS",))
        for call in ("link", "linkat", "unlink", "unlinkat", "rename")
        for when in range(1, plain.get(call, 0) + 1)
    ]
    if given.only:
        injections = [each for each in injections if set(given.only.split()) <= set(each.what.split())]
    elif not given.everything:
        kills = [each for each in injections if "SIGKILL" in each.action]
        injections = kills[::3] + [each for each in injections if "error=" in each.action][::23]
    return given.spread(injections, _inject)


def _environment(bench_folder: str, state: str) -> dict[str, str]:
    """No gateway is to be found from here, and nothing of ours outside."""
    wanted = ("PATH", "PYTHONPATH", "LANG", "LC_ALL")
    found = {name: os.environ[name] for name in wanted if name in os.environ}
    for name in ("home", "tmp", "cache"):
        os.makedirs(os.path.join(bench_folder, name), mode=0o700, exist_ok=True)
    return {
        **found,
        "HOME": os.path.join(bench_folder, "home"),
        "TMPDIR": os.path.join(bench_folder, "tmp"),
        "SESSION_CLOSER_CACHE": os.path.join(bench_folder, "cache"),
        "OPENCLAW_STATE_DIR": state,
        # Nobody listens at the port of discard; the default may be somebody's.
        "OPENCLAW_GATEWAY_PORT": "9",
        "SESSION_CLOSER_OPENCLAW": "/nonexistent/openclaw",
    }


def _program() -> list[str]:
    return [os.path.realpath(sys.executable), str(BIN / "close-project-batch"), "--json", *TARGETS]


def _run(bench: Bench, inject: tuple[str, ...]) -> tuple[subprocess.CompletedProcess[str], str]:
    log = os.path.join(bench.folder, "trace")
    options = [word for one in inject for word in ("-e", f"inject={one}")]
    done = subprocess.run(
        # Without -f: strace counts the calls of each process by itself, and the others change nothing.
        ["strace", "-qq", "-o", log, "-e", f"trace={','.join(CALLS)}", *options, *_program()],
        env=_environment(bench.folder, bench.state),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    with open(log, errors="replace") as file:
        return done, file.read()


def _bench(place: str) -> Bench:
    bench = Bench(BATCH, os.path.join(place, "bench"))
    with open(os.path.join(bench.state, "openclaw.json"), "w") as file:
        json.dump({"gateway": {"mode": "local", "port": 9}}, file)
    bench.start, bench.world = Image.of(bench.state), look(bench.state)
    return bench


def _calls(place: str, inject: tuple[str, ...]) -> dict[str, int]:
    """Return how often the program makes each call, its byte code written before."""
    folder = os.path.join(place, "counting" + str(len(inject)))
    bench = _bench(folder)
    _run(bench, ())
    bench.reset()
    done, log = _run(bench, inject)
    if done.returncode != 0:
        raise OSError(f"exit {done.returncode}: {done.stderr.strip()[-200:]}")
    bench.check("traced", ended=True)
    if bench.broken:
        raise AssertionError(bench.broken)
    return Counter(re.findall(r"^(\w+)\(", log, re.MULTILINE))


def _inject(injection: Injection, place: str) -> Tally:
    bench = _bench(place)
    # Byte code is written by the first run, so that no call of it is counted.
    shared = os.path.join(os.path.dirname(place), f"cache-{os.getpid()}")
    if not os.path.isdir(shared):
        _run(bench, ())
        shutil.copytree(os.path.join(bench.folder, "cache"), shared)
        bench.reset()
    else:
        shutil.copytree(shared, os.path.join(bench.folder, "cache"))
    done, log = _run(bench, (*injection.also, f"{injection.call}:{injection.action}:when={injection.when}"))
    killed = "SIGKILL" in injection.action
    if ("killed by SIGKILL" if killed else "(INJECTED)") not in log:
        bench.broken.append(f"{injection.what}: was not hit")
    if "Traceback" in done.stderr:
        bench.broken.append(f"{injection.what}: a traceback: {done.stderr.strip()[-300:]}")
    # Python itself repeats these calls after EINTR (PEP 475); a full stdout is nobody's loss.
    silent = injection.call in ("write", "flock") or (
        injection.call in ("fsync", "fchmod") and "EINTR" in injection.action
    )
    # It goes on to another folder, too, where it cannot have temporary files in the first one.
    paths = re.findall(r'"(/[^"]*)".*\(INJECTED\)', log)
    silent = silent or (bool(paths) and not any(path.startswith(bench.state) for path in paths))
    if not killed and done.returncode == 0 and not silent:
        bench.broken.append(f"{injection.what}: was not told")
    bench.tried += 1
    bench.check(injection.what, torn=bool(injection.also))
    again = subprocess.run(
        _program(), env=_environment(bench.folder, bench.state), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    if again.returncode != 0:
        bench.broken.append(f"{injection.what}: the next run ended with {again.returncode}: {again.stderr[-300:]}")
    bench.check(f"{injection.what}, next run", ended=True)
    return Tally(bench.tried, bench.broken)
