"""Time whole processes side by side, by pyperf: every round runs each of them once, on a store made anew."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyperf

REPOSITORY = Path(__file__).parents[2]
MOST_WARM = 1 << 30


def ours(command: str) -> list[str]:
    """Return how a command of ours is begun: by this very Python, as what finds one on PATH may cost more than it."""
    return [sys.executable, str(REPOSITORY / "bin" / command)]


def least_safe(state: Path) -> list[str]:
    """Return how the least that a safe close can do is begun; what is to be closed follows."""
    return _least("safe_close.py", state)


def least_list(index: Path) -> list[str]:
    """Return how the least that a list can do is begun."""
    return _least("least_list.py", index)


def _least(program: str, place: Path) -> list[str]:
    """Return how a program without anything around it is begun: the place, and where msgspec is."""
    import msgspec

    site = str(Path(msgspec.__file__).parents[1])
    python = [sys.executable, "-I", "-S", "-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [*python, str(REPOSITORY / "tests" / "bench" / program), str(place), site]


class Case(NamedTuple):
    """One process to be timed: a name, its command line, what makes the place ready and what looks at the end."""

    name: str
    words: Sequence[str]
    prepare: Callable[[], None]
    verify: Callable[[], None]


class Taken(NamedTuple):
    """What the rounds of one process took: seconds each, and the most memory, in bytes."""

    seconds: tuple[float, ...]
    peak: int

    @property
    def median(self) -> float:
        """The median in seconds."""
        return statistics.median(self.seconds)

    def against(self, other: Taken) -> float:
        """Return the median of the ratios of the rounds: the machine's speed changes between them."""
        return statistics.median(one / two for one, two in zip(self.seconds, other.seconds, strict=True))


class Spent(NamedTuple):
    """What one process took: seconds by the clock and of the processor, and the most memory, in bytes."""

    seconds: float
    processor: float
    peak: int


def spent(words: Sequence[str], environ: Mapping[str, str], folder: Path | None = None) -> Spent:
    """Run a process that has to end well, in a folder; return what it and those that it waited for took."""
    make_ready()
    started = time.monotonic()
    process = subprocess.Popen(words, env=environ, cwd=folder, stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    taken = time.monotonic() - started
    assert code == 0, f"{words[:2]} ended with {code}"
    return Spent(taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def make_ready() -> None:
    """Have the disk idle, and memory free that was in use a moment ago.

    A virtual machine fetches each page that nobody has had for a while from its host, which takes ten times as long as
    a write to it: whoever comes first would pay that for whoever comes next.
    """
    os.sync()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    touch = f"b'1' * {min(MOST_WARM, free // 2)}"
    subprocess.run([sys.executable, "-I", "-S", "-c", touch], check=True)


def closer_environ(home: Path) -> dict[str, str]:
    """Return the environment of the commands: a home of their own, the cache of this machine, no gateway."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
    environ = {**found, "HOME": str(home), "OPENCLAW_GATEWAY_PORT": "9"}
    environ.setdefault("SESSION_CLOSER_CACHE", str(Path.home() / ".cache" / "session-closer"))
    return environ


def measure(cases: Sequence[Case], rounds: int, results: Path, environ: Mapping[str, str]) -> dict[str, Taken]:
    """Return what each case took; the order changes from round to round; `results` gets pyperf's own files."""
    for number in range(rounds):
        turn = number % len(cases)
        for case in (*cases[turn:], *cases[:turn]):
            case.prepare()
            make_ready()
            _time(case, results / f"{case.name}.json", environ)
            case.verify()
    return {case.name: _taken(results / f"{case.name}.json") for case in cases}


def _time(case: Case, target: Path, environ: Mapping[str, str]) -> None:
    words = [sys.executable, "-m", "pyperf", "command", "--quiet", "--copy-env", "--name", case.name]
    words += ["--processes", "1", "--values", "1", "--loops", "1", "--warmups", "0", "--append", str(target), "--"]
    done = subprocess.run([*words, *case.words], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{case.name}: {done.stdout}{done.stderr}"


def _taken(results: Path) -> Taken:
    (benchmark,) = pyperf.BenchmarkSuite.load(str(results)).get_benchmarks()
    peaks = [run.get_metadata().get("command_max_rss", 0) for run in benchmark.get_runs()]
    return Taken(tuple(benchmark.get_values()), max(peaks))
