"""Let a model do all tasks, with SKILL.md and without it, and print the lift: `make evals MODEL=NAME`."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .talk import Endpoint, Talk, talk
from .tasks import Task, tasks
from .world import World


class Ended(NamedTuple):
    """What became of a task."""

    wrong: list[str]
    talk: Talk


def attempt(task: Task, endpoint: Endpoint, *, skill: bool) -> Ended:
    """Let a model do a task in a world of its own."""
    with tempfile.TemporaryDirectory(prefix="session-closer-eval-") as folder:
        world = World(task, Path(folder), unused_port())
        how = talk(world, endpoint, skill=skill)
        return Ended(world.end(how.answer), how)


def unused_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main(words: Sequence[str]) -> int:
    """Print a line a task and the sum; 2 where no model answers."""
    url = os.environ.get("OPENAI_BASE_URL", "")
    if len(words) < 1 or not url:
        sys.stderr.write("evals: no model: make evals MODEL=NAME, with OPENAI_BASE_URL (…/v1) and OPENAI_API_KEY set\n")
        return 2
    endpoint = Endpoint(url, words[0], os.environ.get("OPENAI_API_KEY", ""))
    chosen = [task for task in tasks() if not words[1:] or str(task.number) in words[1:]]
    done = {True: 0, False: 0}
    for task in chosen:
        try:
            ended = {skill: attempt(task, endpoint, skill=skill) for skill in (True, False)}
        except (OSError, ValueError, LookupError) as problem:
            sys.stderr.write(f"evals: {url} gives no answer: {problem}\n")
            return 2
        for skill, one in ended.items():
            done[skill] += not one.wrong
        sys.stdout.write(line(task, ended[True], ended[False]))
        sys.stdout.flush()
    sys.stdout.write(summary(len(chosen), done[True], done[False]))
    return 0


def line(task: Task, own: Ended, bare: Ended) -> str:
    """Return what is printed of a task."""
    words = ["failed" if one.wrong else "done" for one in (own, bare)]
    cost = f"{own.talk.commands} commands, {own.talk.shown:,} characters read"
    why = f"; {'; '.join(own.wrong[:3])}" if own.wrong else ""
    trap = f" ({task.trap})" if task.trap else ""
    return f"{task.number:3} with {words[0]:6} without {words[1]:6} {task.prompt[:50]}{trap}: {cost}{why}\n"


def summary(count: int, own: int, bare: int) -> str:
    """Return the sum: how many were done with the skill and without it, and the difference."""
    return f"with SKILL.md {own} of {count}, without it {bare}: lift {100 * (own - bare) / count:+.0f} points\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
