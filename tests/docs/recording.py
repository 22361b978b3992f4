"""Recorded terminal sessions: a `console` block in a page is its own script, and is played in a world made for it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

from anyday.clock import HANDED
from entry.checkout import ROOT, copy_tree
from support.patience import PATIENCE_SECONDS
from support.programs import importable, put_python

from .sample import build

# All their blocks are played, in order, each page in a world of its own.
PAGES = ("README.md", "docs/commands.md", "docs/terminal-session.md")
PROMPT = "$ "
HOME = "/home/kelly"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run: stamps in names, ids of runs and their ages, days, the temporary directory of --demo.
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z"), "STAMP"),
    (re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}"), "RUN"),
    # Behind a run is its age, to the right of its column.
    (re.compile(r"(?<=^RUN) +\d+[smh](?=  )", re.MULTILINE), "  AGE"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "MOMENT"),
    (re.compile(r"(?<=session-closer-demo-)\w{8}"), "RANDOM"),
    (re.compile(r"(?<=found:)[0-9a-f]{12}"), "ID"),
)


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, where the text begins and ends."""

    language: str
    text: str
    start: int
    end: int


class Step(NamedTuple):
    """A command line and what it printed."""

    command: str
    output: str


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the fenced blocks of a page's text, of these languages if any are named."""
    found = [Block(match[1], match[2], match.start(2), match.end(2)) for match in _BLOCK.finditer(page)]
    return [block for block in found if not languages or block.language in languages]


def steps(block: Block) -> list[Step]:
    """Return the command lines of a recorded session, each with its output."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith(PROMPT):
            found.append(Step(line.removeprefix(PROMPT), ""))
        else:
            assert found, f"output before the first command: {line}"
            found[-1] = found[-1]._replace(output=found[-1].output + line + "\n")
    return found


def normal(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


class World:
    """A fresh copy of the tree, an empty home, the sample as its state directory, no gateway; leave it by `close`."""

    def __init__(self, scratch: Path, *, state: str = ".openclaw") -> None:
        self.root = scratch / "session-closer"
        self.home = scratch / "home"
        self.temp = scratch / "temp"
        path = scratch / "path"
        for folder in (self.home, self.temp, path):
            folder.mkdir(mode=0o700)
        copy_tree(self.root)
        put_python(path)
        # Bound and not listening: nobody else can come to listen there.
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))
        self.port = self._held.getsockname()[1]
        self.state = self.home / state
        build(self.state, self.port)
        self.environment = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temp),
            "PATH": os.pathsep.join([str(path), os.environ["PATH"]]),
            "LC_ALL": "C.UTF-8",
            **HANDED,
            # The packages of whoever runs this: the first run of all is what tests/entry is about.
            "PYTHONPATH": importable(),
            **{name: os.environ[name] for name in ("PYTHONPYCACHEPREFIX",) if name in os.environ},
        }
        if state != ".openclaw":
            self.environment["OPENCLAW_STATE_DIR"] = str(self.state)

    def close(self) -> None:
        """Let go of the port."""
        self._held.close()

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line in the copy of the tree; stdout holds what a person would see, stderr included."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def play(self, command: str) -> str:
        """Return what a command line prints, as if Kelly had typed it at home."""
        shown = self.run(command).stdout
        for ours, theirs in (
            (self.state, f"{HOME}/.openclaw"),
            (self.root, f"{HOME}/session-closer"),
            (self.home, HOME),
            (self.temp, "/tmp"),
        ):
            shown = shown.replace(os.path.realpath(ours), theirs)
        return shown.replace(f"port {self.port}", "port 18789")


def played(page: str, world: World) -> list[tuple[Step, Step]]:
    """Play a page's text; return each step as it is recorded and as it went now."""
    recorded = [step for block in blocks(page, "console") for step in steps(block)]
    return [(step, Step(step.command, world.play(step.command))) for step in recorded]


def renewed(page: str, world: World) -> str:
    """Return a page's text with what its commands print now; what is the same but for stamps stays."""
    out, end = [], 0
    for block in blocks(page, "console"):
        out.append(page[end : block.start])
        for step in steps(block):
            now = world.play(step.command)
            kept = step.output if normal(step.output) == normal(now) else now
            out.append(f"{PROMPT}{step.command}\n{kept}")
        end = block.end
    return "".join([*out, page[end:]])


def text(page: str) -> str:
    """Return the text of a page of this repository."""
    return (ROOT / page).read_text(encoding="utf-8")
