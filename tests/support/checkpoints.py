"""A repository of checkpoints as Hermes makes it, with projects of two commits each, and what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

DAY = 86400.0


class Facts(NamedTuple):
    """What is in a store of one project: the commits at its ref, newest first, and its index and metadata."""

    history: tuple[str, ...]
    index: bytes | None
    meta: bytes | None


NOTHING = Facts((), None, None)


def git(store: Path, *words: str, check: bool = True, **environ: str) -> str:
    """Run git on a store as Hermes does; return what it says."""
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_DIR": str(store)}
    done = subprocess.run(
        ["git", *words], env=passed | isolated | environ, check=check, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


class Checkpoints:
    """The store of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = home / "checkpoints" / "store"
        for name in ("indexes", "projects"):
            (self.store / name).mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "--bare", str(self.store)], check=True, capture_output=True, timeout=60)
        for name, value in (("user.email", "hermes@local"), ("user.name", "Hermes Checkpoint"), ("gc.auto", "0")):
            git(self.store, "config", name, value)

    def add(self, name: str, *, touched: float, commits: int = 2) -> str:
        """Add a project with a folder of this name, and checkpoints of it; return its id."""
        workdir = self.home.parent / "work" / name
        workdir.mkdir(parents=True, exist_ok=True)
        for number in range(commits):
            (workdir / "file.txt").write_text(f"{name} {number}\n" * 50)
            self.commit(name, touched)
        project_id = self.id(name)
        if not commits:
            self.touch(name, touched)
        return project_id

    def id(self, name: str) -> str:
        """Return the id of a project."""
        return hashlib.sha256(str(self.home.parent / "work" / name).encode()).hexdigest()[:16]

    def meta(self, name: str) -> Path:
        """Return where the metadata of a project are."""
        return self.store / "projects" / f"{self.id(name)}.json"

    def touch(self, name: str, at: float, **more: Any) -> None:
        """Say when a project was worked in."""
        workdir = str(self.home.parent / "work" / name)
        self.meta(name).write_text(json.dumps({"workdir": workdir, "created_at": 1.0, "last_touch": at} | more))

    def commit(self, name: str, at: float) -> str:
        """Take a checkpoint, as Hermes does; return it."""
        project_id = self.id(name)
        workdir, index = self.home.parent / "work" / name, self.store / "indexes" / project_id
        self.touch(name, at)
        environ = {"GIT_WORK_TREE": str(workdir), "GIT_INDEX_FILE": str(index)}
        git(self.store, "add", "-A", **environ)
        tree = git(self.store, "write-tree", **environ)
        before = self.history(project_id)[:1]
        above = ["-p", *before] if before else []
        commit = git(self.store, "commit-tree", tree, *above, "-m", "turn")
        git(self.store, "update-ref", f"refs/hermes/{project_id}", commit, *before)
        return commit

    def history(self, project_id: str) -> tuple[str, ...]:
        """Return the commits of a project, newest first."""
        return tuple(git(self.store, "rev-list", f"refs/hermes/{project_id}", check=False).split())

    def facts(self, project_id: str) -> Facts:
        """Return what is there of a project."""
        index, meta = self.store / "indexes" / project_id, self.store / "projects" / f"{project_id}.json"
        texts = (path.read_bytes() if path.exists() else None for path in (index, meta))
        return Facts(self.history(project_id), *texts)

    def is_whole(self) -> bool:
        """Tell whether git finds nothing wrong with it, and no file lies there that is none of Hermes'."""
        done = subprocess.run(
            ["git", "--git-dir", str(self.store), "fsck", "--strict"], check=False, capture_output=True, timeout=60
        )
        strange = [path for name in ("indexes", "projects") for path in (self.store / name).glob("*.part")]
        return done.returncode == 0 and not strange
