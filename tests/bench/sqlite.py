"""Measure closing sessions in SQLite against OpenClaw's own command on the same gateway; print a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from live.install import Unavailable, provide
from live.lab import Lab, create, laboratory, prepare_commands, run

from .page import put, table

VERSION = "2026.9.6"
ROUNDS = 3
DELETED, ARCHIVED = 50, 100


def main() -> int:
    """Put the table into the page; 0, also where OpenClaw cannot be had, which is said."""
    try:
        prepare_commands()
        install = provide(VERSION)
    except Unavailable as reason:
        print(f"skip: no OpenClaw {VERSION}: {reason}")
        return 0
    with laboratory(install) as lab:
        lab.start()
        rounds = [_round(lab, number) for number in range(ROUNDS)]
    ours, theirs, archive = (statistics.median(column) for column in zip(*rounds, strict=True))
    head = ["what", "time", f"against `openclaw sessions delete` of {DELETED}"]
    rows = [
        [f"`close-project-batch` of {DELETED}", f"{ours:.1f} s", f"{ours / theirs:.2f}"],
        [f"`openclaw sessions delete --yes --json` of {DELETED}", f"{theirs:.1f} s", "1"],
        [f"`close-project-batch --archive` of {ARCHIVED}", f"{archive:.2f} s", f"{archive / theirs:.3f}"],
    ]
    put("sqlite", f"One gateway of {VERSION}, sessions with one message each.\n\n{table(head, rows)}")
    return 0


def _round(lab: Lab, number: int) -> tuple[float, float, float]:
    """Return the seconds of our close, of OpenClaw's, and of our archive; their order changes from round to round."""
    took: dict[str, float] = {}
    steps: list[tuple[str, int, Callable[[list[str]], int]]] = [
        ("ours", DELETED, lambda keys: run(lab, "close-project-batch", *keys).code),
        ("theirs", DELETED, lambda keys: lab.openclaw("sessions", "delete", *keys, "--yes", "--json").returncode),
        ("archive", ARCHIVED, lambda keys: run(lab, "close-project-batch", "--archive", *keys).code),
    ]
    for name, count, work in steps[number % 3 :] + steps[: number % 3]:
        keys = [f"agent:project-lead:{name}-{number}-{index}" for index in range(count)]
        with lab.rpc() as rpc:
            create(rpc, *keys)
        started = time.monotonic()
        code = work(keys)
        took[name] = time.monotonic() - started
        assert code == 0, f"{name} ended with {code}"
    return took["ours"], took["theirs"], took["archive"]
