"""Measure closing sessions in SQLite on one gateway, against a bare client and OpenClaw's own command."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial

from live.install import Unavailable, provide
from live.lab import Lab, create, laboratory, prepare_commands
from support.commands import run_process

from .page import Goal, goals, put, table

VERSION = "2026.9.6"
ROUNDS = 7
MOST, MOST_WAIT = 1.1, 0.25
# A gateway works on for a while at what it has created or archived, and answers late meanwhile.
REST_SECONDS, PAUSE_SECONDS, LOOK_SECONDS = 20.0, 5.0, 0.05
ARCHIVED, BESIDE, DELETED, AT_ONCE = 100, 150, 30, 100
SCOPES = ("operator.read", "operator.write")
FIFTH = 0.2
SHOWN = ("bare", "calls", "archive", "delete", "theirs")
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
        pairs = _pairs(lab)
        waits = _waits(lab)
        rounds = [_round(lab, number) for number in range(ROUNDS)]
    middle = {name: statistics.median(took[name] for took in (pairs if name in pairs[0] else rounds)) for name in SHOWN}
    calls = statistics.median(took["calls"] / took["bare"] for took in pairs)
    deleted = statistics.median(took["delete"] / took["theirs"] for took in rounds)
    more = statistics.median(took["archive"] - took["bare"] for took in pairs)
    off = statistics.median(took["off"] for took in rounds)
    rows = [
        [f"bare client, `sessions.patchMany` of {ARCHIVED}", f"{middle['bare']:.2f} s", "1"],
        [f"`close-project-batch` of {ARCHIVED}, first to last call", f"{middle['calls']:.2f} s", f"{calls:.2f}"],
        [f"`close-project-batch` of {ARCHIVED}, whole", f"{middle['archive']:.2f} s", f"{more:.2f} s more"],
        *(
            [f"slowest `sessions.list` of another client, {how}", f"{statistics.median(worst):.2f} s", ""]
            for how, worst in waits.items()
        ),
        [f"`openclaw sessions delete --yes --json` of {DELETED}", f"{middle['theirs']:.1f} s", "1"],
        [f"`close-project-batch --delete` of {DELETED}", f"{middle['delete']:.1f} s", f"{deleted:.2f}"],
    ]
    head = ["what", "time", "against the first of its kind"]
    alone, ours, *_ = (statistics.median(worst) for worst in waits.values())
    reached = [
        Goal(f"archive ≤ {MOST} of the same calls by a bare client", calls, MOST),
        Goal(f"another client's list waits ≤ {MOST_WAIT} s longer while we archive", ours - alone, MOST_WAIT),
        Goal("time left of deletions: off by ≤ a fifth, from a quarter to three quarters of the way", off, FIFTH),
    ]
    said = f"One gateway of {VERSION}, sessions with one message each; medians of {ROUNDS} rounds, or pairs."
    put("sqlite", f"{said}\n\n{table(head, rows)}\n{goals('sqlite', reached)}")
    return 0


def _pairs(lab: Lab) -> list[dict[str, float]]:
    """Return the seconds of archiving as many sessions by a bare client and by our command, in changing order."""
    made = {name: [_made(lab, f"{name}-{at}", ARCHIVED) for at in range(ROUNDS)] for name in ("bare", "archive")}
    time.sleep(REST_SECONDS)
    pairs = []
    for at in range(ROUNDS):
        took: dict[str, float] = {}
        ways = {"bare": lambda keys, took=took: _bare(lab, keys, took), "archive": partial(_spanned, lab, took=took)}
        for name in sorted(ways, reverse=at % 2 == 0):
            started = time.monotonic()
            assert ways[name](made[name][at]), f"{name} failed"
            took.setdefault(name, time.monotonic() - started)
            time.sleep(PAUSE_SECONDS)
        pairs.append(took)
    return pairs


def _waits(lab: Lab) -> dict[str, list[float]]:
    """Return the longest that another client waited for a list of 50, of each round: while nothing is done, and while.

    It asks again and again.
    """
    made = {name: [_made(lab, f"{name}-waits-{at}", BESIDE) for at in range(ROUNDS)] for name in ("ours", "bare")}
    ways: dict[str, Callable[[int], object]] = {
        "nothing else done": lambda _: time.sleep(2 * PAUSE_SECONDS),
        f"beside `close-project-batch` of {BESIDE}": lambda at: _spanned(lab, made["ours"][at], {}),
        f"beside calls of {AT_ONCE} by a bare client": lambda at: _bare(lab, made["bare"][at], {}),
    }
    waits: dict[str, list[float]] = {how: [] for how in ways}
    time.sleep(REST_SECONDS)
    for at in range(ROUNDS):
        for how, work in ways.items():
            time.sleep(PAUSE_SECONDS)
            waits[how].append(max(_watched(lab, partial(work, at))))
    return waits


def _watched(lab: Lab, work: Callable[[], object]) -> list[float]:
    """Return the seconds that each list took which another client has asked for while the work went on."""
    over, took = threading.Event(), []

    def watch() -> None:
        with lab.rpc() as rpc:
            while not over.is_set():
                asked = time.monotonic()
                rpc("sessions.list", agentId="project-lead", limit=50)
                took.append(time.monotonic() - asked)
                time.sleep(LOOK_SECONDS)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        work()
    finally:
        over.set()
        watching.join()
    return took


def _made(lab: Lab, name: str, count: int) -> dict[str, str]:
    """Return the session ids of new sessions by key."""
    with lab.rpc() as rpc:
        return create(rpc, *(f"agent:project-lead:{name}-{index}" for index in range(count)))


def _round(lab: Lab, number: int) -> dict[str, float]:
    """Return the seconds of deleting in each way; their order changes from round to round."""
    took: dict[str, float] = {}
    steps: list[tuple[str, Callable[[dict[str, str]], bool]]] = [
        ("delete", lambda keys: _deleted(lab, keys, took)),
        ("theirs", lambda keys: lab.openclaw("sessions", "delete", *keys, "--yes", "--json").returncode == 0),
    ]
    for name, work in steps[number % len(steps) :] + steps[: number % len(steps)]:
        keys = _made(lab, f"{name}-{number}", DELETED)
        time.sleep(REST_SECONDS)
        started = time.monotonic()
        done = work(keys)
        took[name] = time.monotonic() - started
        assert done, f"{name} failed"
    return took


def _bare(lab: Lab, keys: dict[str, str], took: dict[str, float]) -> bool:
    """Archive as a client does that knows the session ids, and that nobody meanwhile has a run; with our rights."""
    targets = [{"key": key, "expectedSessionId": session_id} for key, session_id in keys.items()]
    assert lab.gateway is not None
    with lab.gateway.rpc(SCOPES) as rpc:
        started = time.monotonic()
        for at in range(0, len(targets), AT_ONCE):
            rpc("sessions.patchMany", targets=targets[at : at + AT_ONCE], patch={"archived": True})
        took["bare"] = time.monotonic() - started
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
