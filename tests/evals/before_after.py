"""What ten tasks cost by the commands of an older checkout and by these: words typed, bytes read, exit codes.

`PYTHONPATH=tests python3 lib/bootstrap.py --with tests/requirements.lock -m evals.before_after OLDER_CHECKOUT` prints
the table of docs/evals.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support.keys import LEAD, RESEARCHER
from support.stores import Store

from .__main__ import unused_port
from .tasks import ROOT

DAY = 24 * 3600
_PASSED_ON = ("LANG", "PATH", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "SESSION_CLOSER_CACHE")
# Tails of keys, and for how many days they are idle: a list of the newest hundred has two of them.
TESTS = {"test-login": 0, "client-12-test": 0, "test-payments": 40, "old-test-run": 41, "load-test": 50}
PARENT, LABELLED, LARGEST = "release-train", "rollout-7", "video-notes"
CHILDREN = (LEAD + "subagent:2b1c", LEAD + "subagent:9f02", RESEARCHER + "subagent:77aa")
KEPT = ("client-3", "client-5")


class World(NamedTuple):
    """A store that was made for one way to do one task, and how commands of a checkout are called there."""

    store: Store
    checkout: Path

    def run(self, words: Sequence[str]) -> tuple[int, str]:
        """Run a command, `@` for one of the checkout's; return its exit code, and all that it has printed."""
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environ |= {"HOME": str(self.store.state.parent), "OPENCLAW_STATE_DIR": str(self.store.state), "TERM": "dumb"}
        first, *more = words
        command = [sys.executable, str(self.checkout / "bin" / first[1:])] if first.startswith("@") else [first]
        done = subprocess.run(
            [*command, *more], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def gone(self) -> set[str]:
        """Return the keys of the sample that are in no store any more."""
        now = {key for agent in AGENTS for key in self.store.entries(agent)}
        return {key for agent in AGENTS for key in sample()[agent]} - now

    def runs(self) -> list[str]:
        """Return the ids of the runs that there have been, the oldest first."""
        return sorted(path.stem for path in self.store.state.glob("session-closer/receipts/*.json"))


Words = Sequence[str]
# What is typed depends on what was read, as an id does.
Typed = Callable[[World], Words]
AGENTS = ("project-lead", "researcher", "studio")


class Task(NamedTuple):
    """A task: what is typed, the commands in turn, with an older version and with this one, and whether it is done.

    `first`: what was closed before. `done` is asked of the world and of all that was printed.
    """

    title: str
    before: tuple[Typed, ...]
    after: tuple[Typed, ...]
    done: Callable[[World, str], bool]
    first: tuple[str, ...] = ()


class Cost(NamedTuple):
    """What one way has come to."""

    codes: tuple[int, ...]
    words: int
    size: int
    done: bool


def sample() -> dict[str, dict[str, dict[str, Any]]]:
    """Return by agent and key what each session is: `idle` days, `pad` bytes, and members of its entry."""
    lead: dict[str, dict[str, Any]] = {LEAD + "main": {"idle": 0.2}}
    lead |= {LEAD + tail: {"idle": idle or 0.3} for tail, idle in TESTS.items()}
    lead[LEAD + PARENT] = {"idle": 3}
    lead[LEAD + LABELLED] = {"idle": 20, "label": "Blue rollout"}
    lead[LEAD + LARGEST] = {"idle": 15, "pad": 900_000}
    lead |= {key: {"idle": 3, "spawnedBy": LEAD + PARENT} for key in CHILDREN[:2]}
    lead |= {f"{LEAD}client-{number}": {"idle": 1 + number / 20} for number in range(701 - len(lead))}
    other = {RESEARCHER + "main": {"idle": 0.2}, CHILDREN[2]: {"idle": 3, "spawnedBy": LEAD + PARENT}}
    studio = {f"agent:studio:client-{number}": {"idle": 1 + number / 20} for number in range(611 + len(KEPT))}
    return {"project-lead": lead, "researcher": other, "studio": {"agent:studio:main": {"idle": 0.2}, **studio}}


def make(folder: Path, checkout: Path, port: int) -> World:
    """Return the world of a task in a folder of its own; `port`: one at which nothing listens."""
    store, now = Store(folder / "state", port), time.time()
    for agent, sessions in sample().items():
        rows = []
        for key, what in sessions.items():
            entry = store.session(key, agent=agent, **{k: v for k, v in what.items() if k in ("label", "spawnedBy")})
            path = Path(entry["sessionFile"])
            path.write_text(f'{path.read_text()}{{"type": "custom", "of": "{key}{"x" * what.get("pad", 0)}"}}\n')
            rows.append((key, {**entry, "updatedAt": int((now - what["idle"] * DAY) * 1000)}))
        store.add(*rows, agent=agent)
    return World(store, checkout)


def typed(line: str) -> Typed:
    """Return words that are the same in every world."""
    return lambda _: line.split()


def _id(world: World) -> str:
    return str(world.store.entries()[LEAD + LABELLED]["sessionId"])


def _size(world: World, key: str) -> int:
    return Path(world.store.entries()[key]["sessionFile"]).stat().st_size


def _closed(*keys: str) -> Callable[[World, str], bool]:
    return lambda world, _: world.gone() == set(keys)


_OLD_TESTS = [LEAD + tail for tail, idle in TESTS.items() if idle > 30]
_ALL = "@list-sessions --agent project-lead --limit all"
_BATCH = "@close-project-batch --json"
_STUDIO = f"@keep-only-sessions --json --yes --agent studio {' '.join(KEPT)}"

TASKS = (
    Task(
        "find the five test sessions among 701",
        (typed("@list-sessions --agent project-lead"), typed(_ALL)),
        (typed("@list-sessions test"),),
        lambda _, said: all(LEAD + tail in said for tail in TESTS),
    ),
    Task(
        "keep two of 613 sessions, as JSON",
        (typed(_STUDIO),),
        (typed(_STUDIO),),
        lambda world, _: len(world.gone()) == 611,
    ),
    Task(
        "close a session by its id",
        (
            lambda world: ["@close-project", "--json", _id(world)],
            typed(f"{_ALL} --json"),
            typed(f"@close-project --json {LEAD}{LABELLED}"),
        ),
        (lambda world: ["@close-project", "--json", _id(world)],),
        _closed(LEAD + LABELLED),
    ),
    Task(
        "close all test sessions older than 30 days",
        (typed(f"{_ALL} --older-than 30d"), typed(f"{_BATCH} {' '.join(_OLD_TESTS)}")),
        (lambda _: [*_BATCH.split(), "--match", "*test*", "--older-than", "30d"],),
        _closed(*_OLD_TESTS),
    ),
    Task(
        "undo two runs",
        (
            lambda world: ["@restore-sessions", *world.runs()],
            lambda world: ["@restore-sessions", world.runs()[1]],
            lambda world: ["@restore-sessions", world.runs()[0]],
        ),
        (typed("@restore-sessions --since 1h"),),
        _closed(),
        ("client-1", "client-2"),
    ),
    Task(
        "what uses the disk, by agent",
        (typed("@list-sessions --limit all --json"),),
        (typed("@list-sessions --usage --json"),),
        lambda _, said: "project-lead" in said and bool(re.search(r'"(?:transcriptBytes|bytes)": \d{6}', said)),
    ),
    Task(
        "close a session and all that it has spawned",
        (
            typed(f"{_BATCH} {PARENT}"),
            typed("@list-sessions --kind subagent --limit all"),
            typed(f"{_BATCH} {' '.join(CHILDREN)}"),
        ),
        (typed(f"{_BATCH} --with-children {PARENT}"),),
        _closed(LEAD + PARENT, *CHILDREN),
    ),
    Task(
        "close the session with a label",
        (
            lambda _: [*_BATCH.split(), "Blue rollout"],
            lambda world: ["cat", str(world.store.index())],
            typed(f"{_BATCH} {LABELLED}"),
        ),
        (lambda _: [*_BATCH.split(), "--label", "Blue rollout"],),
        _closed(LEAD + LABELLED),
    ),
    Task(
        "how many bytes a close would put away",
        (typed(f"@close-project --dry-run {LARGEST}"), typed(_ALL)),
        (typed(f"@close-project --dry-run {LARGEST}"),),
        lambda _, said: "879" in said,
    ),
    Task(
        "which session is the largest",
        (typed("@list-sessions --agent project-lead"), typed(_ALL)),
        (typed("@list-sessions --sort size --limit 1"),),
        lambda _, said: LARGEST in said,
    ),
)


def cost(task: Task, way: Sequence[Typed], world: World) -> Cost:
    """Do a task one way; return what that came to."""
    for name in task.first:
        code, said = world.run(["@close-project", name])
        assert code == 0, said
    codes, words, printed = [], 0, ""
    for each in way:
        line = each(world)
        code, said = world.run(line)
        codes.append(code)
        words += len(line)
        printed += said
    return Cost(tuple(codes), words, len(printed.encode()), task.done(world, printed))


def _cells(found: Cost) -> list[str]:
    codes = ", ".join(map(str, found.codes))
    return [str(len(found.codes)), str(found.words), f"{found.size:,}", codes if found.done else f"{codes}: not done"]


def table(older: Path, folder: Path, port: int) -> str:
    """Return the table, each way of each task in a store of its own."""
    lines = ["| task | commands before | words | bytes | exit codes | commands now | words | bytes | exit codes |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for number, task in enumerate(TASKS):
        before = cost(task, task.before, make(folder / f"{number}-before", older, port))
        after = cost(task, task.after, make(folder / f"{number}-after", ROOT, port))
        lines.append(f"| {' | '.join([task.title, *_cells(before), *_cells(after)])} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: evals.before_after OLDER_CHECKOUT\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="session-closer-before-") as folder:
        sys.stdout.write(table(Path(sys.argv[1]).resolve(), Path(folder), unused_port()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
