"""A home of its own for a real Hermes: its commands and ours, turns that are played, what its database says."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import documents
from support.memory import folder_in_memory

from ..lab import COMMAND_SECONDS, REPOSITORY, closer_environ
from .install import Hermes
from .model import CONTEXT, Model
from .model import NAME as MODEL

PLAY = Path(__file__).with_name("play.py")
PLAY_SECONDS = 180
HERMES_SECONDS = 120
Step = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What one of our commands answered."""

    code: int
    json: dict[str, Any]
    stderr: str


@dataclass(frozen=True)
class Lab:
    """A root folder: in it the home of Hermes, an empty HOME, the projects that its agents work in."""

    hermes: Hermes
    root: Path
    model: Model

    @property
    def home(self) -> Path:
        """HERMES_HOME."""
        return self.root / "hermes"

    @property
    def sessions(self) -> Path:
        """The folder of snapshots and dumps."""
        return self.home / "sessions"

    def project(self, name: str) -> Path:
        """Return a folder that agents work in, made with a file if it is new."""
        folder = self.root / "projects" / name
        if not folder.is_dir():
            folder.mkdir(parents=True)
            (folder / "notes.txt").write_text(f"notes of {name}\n")
        return folder

    def configure(self, home: Path | None = None, **more: Any) -> None:
        """Write a configuration: the model of the lab, snapshots as older versions have them, nothing from the net."""
        model = {"default": MODEL, "provider": "custom", "base_url": self.model.address, "api_key": "none",
                 "context_length": CONTEXT}  # fmt: skip
        config = {
            "model": model,
            "sessions": {"write_json_snapshots": True},
            "checkpoints": {"enabled": True, "auto_prune": False},
            "security": {"tirith_enabled": False},
            # As older versions do: what a session says after it was compressed is another session.
            "compression": {"in_place": False},
            **more,
        }
        folder = home or self.home
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # JSON is YAML, too.
        (folder / "config.yaml").write_text(json.dumps(config, indent=2))

    def environ(self, home: Path | None = None) -> dict[str, str]:
        """Return the environment of Hermes and of our commands: of the caller's own there is nothing in it."""
        return {
            "PATH": os.pathsep.join([str(self.hermes.shims), os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.root / "home"),
            "HERMES_HOME": str(home or self.home),
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "HERMES_ACCEPT_HOOKS": "1",
        }

    def command(
        self, *words: str, cwd: Path | None = None, home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the real `hermes` to its end."""
        return subprocess.run(
            [str(self.hermes.shims / "hermes"), *words],
            env=self.environ(home),
            cwd=cwd or self.root / "home",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HERMES_SECONDS,
            check=False,
        )

    def chat(self, message: str, *words: str, cwd: Path | None = None) -> str:
        """Say something to an agent with `hermes chat -q`; the id of the session that answered."""
        done = self.command("chat", "-Q", "--yolo", "-q", message, *words, cwd=cwd)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        (session,) = {line.split()[1] for line in said.splitlines() if line.startswith("session_id:")}
        return session

    def answered(self) -> str:
        """Return what the tool that was called last has answered the agent."""
        return next(str(one["content"]) for one in reversed(self.model.asked[-1]["messages"]) if one["role"] == "tool")

    def play(self, *steps: Step, home: Path | None = None) -> list[Any]:
        """Have Hermes' own modules do these steps in one process; what each gave."""
        answers = self.root / "tmp" / "played.json"
        played = {"base_url": self.model.address, "api_key": "none", "model": MODEL, "provider": "custom"}
        done = subprocess.run(
            [sys.executable, str(PLAY), str(answers)],
            env={
                **self.environ(home),
                "PYTHONPATH": str(self.hermes.packages),
                "PLAYED_MODEL": json.dumps(played),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd=self.root / "home",
            input=json.dumps(steps),
            capture_output=True,
            text=True,
            timeout=PLAY_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return list(json.loads(answers.read_bytes()))

    def rows(self, query: str, *values: Any, home: Path | None = None) -> list[tuple[Any, ...]]:
        """Return what the database says, read with nothing but SQLite."""
        with contextlib.closing(sqlite3.connect(f"file:{home or self.home}/state.db?mode=ro", uri=True)) as found:
            return found.execute(query, values).fetchall()

    def write(self, *statements: tuple[str, Sequence[Any]], home: Path | None = None) -> None:
        """Change the database, for what Hermes has no call for."""
        with contextlib.closing(sqlite3.connect((home or self.home) / "state.db")) as found, found:
            for statement, values in statements:
                found.execute(statement, values)

    def git(self, *words: str, check: bool = True, home: Path | None = None) -> str:
        """Run git on the checkpoints."""
        environ = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_GLOBAL": os.devnull,
                   "GIT_CONFIG_SYSTEM": os.devnull, "GIT_DIR": str((home or self.home) / "checkpoints" / "store"),
                   "HOME": str(self.root / "home")}  # fmt: skip
        done = subprocess.run(
            ["git", *words], env=environ, cwd=self.root, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if done.returncode == 0 else ""

    def ours(self, name: str, *words: str, environ: dict[str, str] | None = None) -> Answer:
        """Run one of our commands on the home, with stdin closed."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = subprocess.run(
                [str(REPOSITORY / "bin" / name), "--json", "--runtime", "hermes", *words],
                env={**self.environ(), **closer_environ(), **(environ or {})},
                cwd=self.root / "home",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{words} -> {done.returncode}, no JSON:\n{done.stdout}\n{done.stderr}") from None
        documents.check(done.stdout)
        return Answer(done.returncode, document, done.stderr)


@contextlib.contextmanager
def laboratory(hermes: Hermes) -> Iterator[Lab]:
    """Give a lab that leaves neither process nor file behind."""
    root = Path(tempfile.mkdtemp(prefix="session-closer-hermes-", dir=folder_in_memory())).resolve()
    try:
        for name in ("home", "tmp", "projects"):
            (root / name).mkdir(mode=0o700)
        with Model() as model:
            lab = Lab(hermes, root, model)
            lab.configure()
            yield lab
    finally:
        shutil.rmtree(root, ignore_errors=True)
