"""Measure closing sessions in SQLite on one gateway, against a bare client and OpenClaw's own command."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from live.install import Unavailable, provide
from live.lab import Lab, create, laboratory, prepare_commands
from support.commands import run_process

from .page import Goal, goals, put, table

VERSION = "2026.9.6"
ROUNDS = 3
MOST = 1.1
# A gateway works on for a while at what it has created or archived, and answers late meanwhile.
REST_SECONDS = 20.0
DELETED, ARCHIVED, AT_ONCE = 30, 300, 100
FIFTH = 0.2
# Notes when each deletion began, and when the last of them ended.
DELETIONS = """
import json, time
from session_closer.openclaw.gateway import client as sessions
real, moments = sessions._call, []
def timed(gateway, method, params):
    if method != "sessions.delete":
        return real(gateway, method, params)
    moments.append(time.monotonic())
    try:
        return real(gateway, method, params)
    finally:
        open({path!r}, "w").write(json.dumps([*moments, time.monotonic()]))
sessions._call = timed
"""
# Notes when the first of the calls that archive began, and when the last of them ended.
SPAN = """
import json, time
from session_closer.openclaw.gateway import client as sessions
real, spans = sessions._call, []
def timed(gateway, method, params):
    began = time.monotonic()
    try:
        return real(gateway, method, params)
    finally:
        if method == "sessions.patchMany":
            spans.append((began, time.monotonic()))
            open({path!r}, "w").write(json.dumps(spans[-1][1] - spans[0][0]))
sessions._call = timed
"""


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
    middle = {name: statistics.median(took[name] for took in rounds) for name in rounds[0]}
    calls = statistics.median(took["calls"] / took["bare"] for took in rounds)
    deleted = statistics.median(took["delete"] / took["theirs"] for took in rounds)
    more = statistics.median(took["archive"] - took["bare"] for took in rounds)
    off = max(took["off"] for took in rounds)
    rows = [
        [f"bare client, `sessions.patchMany` of {ARCHIVED}", f"{middle['bare']:.2f} s", "1"],
        [f"`close-project-batch` of {ARCHIVED}, first to last call", f"{middle['calls']:.2f} s", f"{calls:.2f}"],
        [f"`close-project-batch` of {ARCHIVED}, whole", f"{middle['archive']:.2f} s", f"{more:.2f} s more"],
        [f"`openclaw sessions delete --yes --json` of {DELETED}", f"{middle['theirs']:.1f} s", "1"],
        [f"`close-project-batch --delete` of {DELETED}", f"{middle['delete']:.1f} s", f"{deleted:.2f}"],
    ]
    head = ["what", "time", "against the first of its kind"]
    reached = [
        Goal(f"archive ≤ {MOST} of the same calls by a bare client", calls, MOST),
        Goal("time left of deletions: off by ≤ a fifth, from a quarter to three quarters of the way", off, FIFTH),
    ]
    said = f"One gateway of {VERSION}, sessions with one message each."
    put("sqlite", f"{said}\n\n{table(head, rows)}\n{goals(reached)}")
    return 0


def _round(lab: Lab, number: int) -> dict[str, float]:
    """Return the seconds of each way; their order changes from round to round."""
    took: dict[str, float] = {}
    steps: list[tuple[str, int, Callable[[dict[str, str]], bool]]] = [
        ("bare", ARCHIVED, lambda keys: _bare(lab, keys)),
        ("archive", ARCHIVED, lambda keys: _spanned(lab, keys, took)),
        ("delete", DELETED, lambda keys: _deleted(lab, keys, took)),
        ("theirs", DELETED, lambda keys: lab.openclaw("sessions", "delete", *keys, "--yes", "--json").returncode == 0),
    ]
    for name, count, work in steps[number % len(steps) :] + steps[: number % len(steps)]:
        with lab.rpc() as rpc:
            keys = create(rpc, *(f"agent:project-lead:{name}-{number}-{index}" for index in range(count)))
        time.sleep(REST_SECONDS)
        started = time.monotonic()
        done = work(keys)
        took[name] = time.monotonic() - started
        assert done, f"{name} failed"
    return took


def _bare(lab: Lab, keys: dict[str, str]) -> bool:
    """Archive as a client does that knows the session ids, and that nobody meanwhile has a run."""
    targets = [{"key": key, "expectedSessionId": session_id} for key, session_id in keys.items()]
    with lab.rpc() as rpc:
        for at in range(0, len(targets), AT_ONCE):
            rpc("sessions.patchMany", targets=targets[at : at + AT_ONCE], patch={"archived": True})
    return True


def _spanned(lab: Lab, keys: dict[str, str], took: dict[str, float]) -> bool:
    """Close with our command, and note how long it was from the first call to the last."""
    path = lab.root / "span.json"
    done = run_process("close-project-batch", "--yes", *keys, env=lab.environ(), before=SPAN.format(path=str(path)))
    took["calls"] = float(json.loads(path.read_text()))
    return done.code == 0


def _deleted(lab: Lab, keys: dict[str, str], took: dict[str, float]) -> bool:
    """Delete with our command, and note by how much of it the time that it says is left is wrong at worst."""
    path = lab.root / "deletions.json"
    before = DELETIONS.format(path=str(path))
    done = run_process("close-project-batch", "--delete", *keys, env=lab.environ(), before=before)
    *began, end = json.loads(path.read_text())
    # What the bar reckons from is what it has seen since it was first drawn, after a second.
    first = next(at for at, moment in enumerate(began) if moment > began[0] + 1)
    wrong = []
    for at in range(len(began) // 4, len(began) * 3 // 4):
        left = (len(began) - at) * (began[at] - began[first]) / (at - first)
        wrong.append(abs(left / (end - began[at]) - 1))
    took["off"] = max(wrong)
    return done.code == 0
