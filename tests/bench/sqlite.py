"""Measure closing sessions in SQLite on one gateway, and bringing them back, against a bare client and OpenClaw."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from live.install import Unavailable, provide
from live.lab import COMMAND_SECONDS, Lab, create, laboratory, prepare_commands
from support.commands import run_process

from .page import Goal, goals, put, table

VERSION = "2026.9.6"
ROUNDS = 7
MOST, MOST_WAIT = 1.1, 0.25
# A gateway works on for a while at what it has created or archived, and answers late meanwhile.
REST_SECONDS, PAUSE_SECONDS, LOOK_SECONDS = 20.0, 5.0, 0.05
ARCHIVED, BESIDE, DELETED, AT_ONCE = 100, 150, 30, 100
MANY, PAIRS_OF_MANY = 10_000, 3
SCOPES = ("operator.read", "operator.write")
FIFTH = 0.2
SPANS = {"archive": "calls", "undo": "calls back"}
AGENT, IMPORT_SECONDS = "project-lead", 1800.0
Ids = dict[str, str]
Took = dict[str, float]
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
# Notes when the first of the calls that archive, or show again, began, and when the last of them ended.
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
    """Put the table into the page; 0, also where OpenClaw cannot be had, which is said.

    With ALL set in the environment with many sessions, too.
    """
    try:
        prepare_commands()
        install = provide(VERSION)
    except Unavailable as reason:
        print(f"skip: no OpenClaw {VERSION}: {reason}")
        return 0
    with laboratory(install) as lab:
        lab.start()
        pairs = _pairs(lab, _few(lab))
        waits = _waits(lab)
        rounds = [_round(lab, number) for number in range(ROUNDS)]
    middle = {name: _middle(took, name) for took in (pairs, rounds) for name in took[0]}
    more, more_back = (_more(pairs, *names) for names in (("archive", "bare"), ("undo", "bare back")))
    rows = [
        *_shown(ARCHIVED, pairs),
        [f"`close-project-batch` of {ARCHIVED}, whole", f"{middle['archive']:.2f} s", f"{more:.2f} s more"],
        ["its undo, whole", f"{middle['undo']:.2f} s", f"{more_back:.2f} s more"],
        *(
            [f"slowest `sessions.list` of another client, {how}", f"{statistics.median(worst):.2f} s", ""]
            for how, worst in waits.items()
        ),
        [f"`openclaw sessions delete --yes --json` of {DELETED}", f"{middle['theirs']:.1f} s", "1"],
        [
            f"`close-project-batch --delete` of {DELETED}",
            f"{middle['delete']:.1f} s",
            f"{_ratio(rounds, 'delete', 'theirs'):.2f}",
        ],
    ]
    alone, ours, back, *_ = (statistics.median(worst) for worst in waits.values())
    reached = [
        *_goals(ARCHIVED, pairs),
        Goal(f"another client's list waits ≤ {MOST_WAIT} s longer while we archive", ours - alone, MOST_WAIT),
        Goal(f"another client's list waits ≤ {MOST_WAIT} s longer while we undo that", back - alone, MOST_WAIT),
        Goal(
            "time left of deletions: off by ≤ a fifth in the middle half",
            middle["off"],
            FIFTH,
        ),
    ]
    said = f"One gateway of {VERSION}, sessions with one message each; medians of {ROUNDS} rounds, or pairs."
    if os.environ.get("ALL"):
        with laboratory(install) as lab:
            many = _pairs(lab, [(_imported(lab, MANY),) * 2] * PAIRS_OF_MANY)
        rows += _shown(MANY, many)
        reached += _goals(MANY, many)
        said += f"\nOf {MANY:,}, which `openclaw doctor --fix` has imported, {PAIRS_OF_MANY} pairs."
    head = ["what", "time", "against the first of its kind"]
    put("sqlite", f"{said}\n\n{table(head, rows)}\n{goals('sqlite', reached)}")
    return 0


def _shown(count: int, pairs: Sequence[Took]) -> list[list[str]]:
    """Return the rows of the calls that put so many away and bring them back, a bare client's first of each."""
    call = "`sessions.patchMany`"
    return [
        [f"bare client, {call} of {count:,}", f"{_middle(pairs, 'bare'):.2f} s", "1"],
        _beside(f"`close-project-batch` of {count:,}, first to last call", pairs, "calls", "bare"),
        [f"bare client, {call} out of the archive", f"{_middle(pairs, 'bare back'):.2f} s", "1"],
        _beside("the same with a list between two calls", pairs, "gently back", "bare back"),
        _beside(f"undo of {count:,}, first to last call", pairs, "calls back", "bare back"),
    ]


def _beside(what: str, pairs: Sequence[Took], name: str, other: str) -> list[str]:
    return [what, f"{_middle(pairs, name):.2f} s", f"{_ratio(pairs, name, other):.2f}"]


def _goals(count: int, pairs: Sequence[Took]) -> list[Goal]:
    least = _ratio(pairs, "gently back", "bare back")
    return [
        Goal(f"archive {count:,}: ≤ {MOST} of the same calls by a bare client", _ratio(pairs, "calls", "bare"), MOST),
        Goal(
            f"undo of {count:,}: ≤ {MOST} of the same (the least {least:.2f})",
            _ratio(pairs, "calls back", "bare back"),
            MOST,
        ),
        Goal(f"undo of {count:,}: ≤ {MOST} of the least", _ratio(pairs, "calls back", "gently back"), MOST),
    ]


def _middle(rounds: Sequence[Took], name: str) -> float:
    return statistics.median(took[name] for took in rounds)


def _ratio(rounds: Sequence[Took], name: str, other: str) -> float:
    return statistics.median(took[name] / took[other] for took in rounds)


def _more(rounds: Sequence[Took], name: str, other: str) -> float:
    return statistics.median(took[name] - took[other] for took in rounds)


def _few(lab: Lab) -> list[tuple[Ids, Ids]]:
    """Return for each pair new sessions for the bare client, and as many for our command."""
    made = [[_made(lab, f"{name}-{at}", ARCHIVED) for name in ("bare", "archive")] for at in range(ROUNDS)]
    return [(bare, ours) for bare, ours in made]


def _imported(lab: Lab, count: int) -> Ids:
    """Have OpenClaw import so many sessions of its older versions; return their ids by key, the gateway running."""
    folder, moment = lab.state / "agents" / AGENT / "sessions", time.time() - 2 * 86_400
    folder.mkdir(parents=True, mode=0o700)
    store: dict[str, dict[str, object]] = {}
    for number in range(count):
        session_id = str(uuid.uuid4())
        transcript = folder / f"{session_id}.jsonl"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))
        said = {"role": "assistant", "content": [{"type": "text", "text": f"message of {number}"}]}
        lines: list[dict[str, object]] = [
            {"type": "session", "version": 3, "id": session_id, "timestamp": stamp, "cwd": str(lab.root)},
            {"type": "message", "id": "1", "parentId": None, "timestamp": stamp, "message": said},
        ]
        transcript.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        transcript.chmod(0o600)
        entry = {"sessionId": session_id, "updatedAt": int(moment * 1000) - number, "sessionFile": str(transcript)}
        store[f"agent:{AGENT}:many-{number}"] = entry
    index = folder / "sessions.json"
    index.write_text(json.dumps(store))
    index.chmod(0o600)
    imported = lab.openclaw("doctor", "--fix", "--non-interactive", seconds=IMPORT_SECONDS)
    assert imported.returncode == 0, imported.stderr
    lab.start()
    with lab.rpc() as rpc:
        listed = {row["key"] for row in rpc("sessions.list", agentId=AGENT, limit=2 * count)["sessions"]}
    assert listed >= store.keys(), f"{len(store.keys() - listed)} sessions were not imported"
    return {key: str(entry["sessionId"]) for key, entry in store.items()}


def _pairs(lab: Lab, sessions: Sequence[tuple[Ids, Ids]]) -> list[Took]:
    """Return the seconds of archiving by a bare client and by our command, and of the way back, in changing order."""
    time.sleep(REST_SECONDS)
    pairs = []
    for at, (bare, ours) in enumerate(sessions):
        took: Took = {}
        steps = [
            [
                ("bare", partial(_bare, lab, bare)),
                ("bare back", partial(_bare, lab, bare, archived=False)),
                ("bare again", partial(_bare, lab, bare)),
                ("gently back", partial(_bare, lab, bare, archived=False, gently=True)),
            ],
            [("archive", partial(_closed, lab, ours)), ("undo", partial(_undone, lab))],
        ]
        for way in steps if at % 2 else reversed(steps):
            for name, step in way:
                started = time.monotonic()
                spanned = step()
                took[name] = time.monotonic() - started
                took[SPANS.get(name, name)] = spanned
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
        f"beside `close-project-batch` of {BESIDE}": lambda at: _closed(lab, made["ours"][at]),
        "beside its undo": lambda _: _undone(lab),
        f"beside calls of {AT_ONCE} by a bare client": lambda at: _bare(lab, made["bare"][at]),
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
    there, over, took = threading.Event(), threading.Event(), []

    def watch() -> None:
        with lab.rpc() as rpc:
            there.set()
            while not over.is_set():
                asked = time.monotonic()
                rpc("sessions.list", agentId=AGENT, limit=50)
                took.append(time.monotonic() - asked)
                time.sleep(LOOK_SECONDS)

    watching = threading.Thread(target=watch)
    watching.start()
    assert there.wait(COMMAND_SECONDS), "no other client gets through"
    try:
        work()
    finally:
        over.set()
        watching.join()
    return took


def _made(lab: Lab, name: str, count: int) -> Ids:
    """Return the session ids of new sessions by key."""
    with lab.rpc() as rpc:
        return create(rpc, *(f"agent:{AGENT}:{name}-{index}" for index in range(count)))


def _round(lab: Lab, number: int) -> Took:
    """Return the seconds of deleting in each way; their order changes from round to round."""
    took: Took = {}
    steps: list[tuple[str, Callable[[Ids], bool]]] = [
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


def _bare(lab: Lab, keys: Ids, *, archived: bool = True, gently: bool = False) -> float:
    """Archive, or show again, as a client does that knows the session ids, and that none is in use; with our rights.

    `gently`: it asks for a list between two calls, as others wait for theirs until no more sessions are shown again.
    Returns the seconds.
    """
    targets = [{"key": key, "expectedSessionId": session_id} for key, session_id in keys.items()]
    assert lab.gateway is not None
    with lab.gateway.rpc(SCOPES) as rpc:
        started = time.monotonic()
        for at in range(0, len(targets), AT_ONCE):
            if at and gently:
                rpc("sessions.list", agentId=AGENT, limit=1)
            rpc("sessions.patchMany", targets=targets[at : at + AT_ONCE], patch={"archived": archived})
        return time.monotonic() - started


def _closed(lab: Lab, keys: Ids) -> float:
    """Close with our command; return how long it was from the first call to the last."""
    return _spanned(lab, "close-project-batch", "--yes", *keys)


def _undone(lab: Lab) -> float:
    """Bring back what the last run has closed; return the same."""
    return _spanned(lab, "restore-sessions", "last")


def _spanned(lab: Lab, command: str, *words: str) -> float:
    path = lab.root / "span.json"
    done = run_process(command, *words, env=lab.environ(), before=SPAN.format(path=str(path)))
    assert done.code == 0, f"{command} ended with {done.code}"
    return float(json.loads(path.read_text()))


def _deleted(lab: Lab, keys: Ids, took: Took) -> bool:
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
