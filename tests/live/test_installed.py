"""Installed as people do it, by what they have from PyPI: pip, pipx, uv; the commands, their pages, nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from entry.checkout import ROOT, copy_tree
from support.homes import CallersEnviron

from .install import Unavailable, cache_root, cached, install_wheels

pytestmark = pytest.mark.live

COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())
SECONDS = 600


def tools(package: str) -> Path:
    """Return a folder with a tool from PyPI; without it the test is skipped."""
    try:
        return cached(cache_root(), f"{package}-py3.{sys.version_info[1]}", lambda at: install_wheels(at, package))
    except Unavailable as problem:
        pytest.skip(f"{package} cannot be had: {problem}")


class Person:
    """A person's home, with a checkout in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.checkout = home / "session-closer"
        copy_tree(self.checkout)

    def run(self, *argv: str | Path, **more: str) -> str:
        """Run a program, return what it prints."""
        environ = {**CallersEnviron(), "HOME": str(self.home), **more}
        environ.pop("PYTHONPATH", None) if "PYTHONPATH" not in more else None
        done = subprocess.run(
            argv, env=environ, cwd=self.checkout, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def has_all(self, folder: Path) -> None:
        """Hold that all commands are in a folder, and work there."""
        for name in COMMANDS:
            assert self.run(folder / name, "--version").startswith(f"{name} ")
        out = self.run(folder / "close-project-batch", "--demo", "kelly-dashboard")
        assert "closed" in out


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """A home with nothing in it but a checkout."""
    return Person(tmp_path)


def test_pip_installs_the_wheel_that_it_has_built(person: Person, tmp_path: Path) -> None:
    person.run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    person.run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ".")
    (wheel,) = (tmp_path / "dist").glob("session_closer-*.whl")
    person.run(python, "-m", "pip", "install", wheel)
    person.has_all(python.parent)
    assert (tmp_path / "venv/share/man/man1/close-project.1").is_file()
    assert (tmp_path / "venv/share/zsh/site-functions/_close-project").is_file()


def test_pipx_installs_the_commands_and_their_manual_pages(person: Person, tmp_path: Path) -> None:
    pipx = tools("pipx")
    places = {"PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man"}
    more = {name: str(tmp_path / place) for name, place in places.items()}
    person.run(sys.executable, "-m", "pipx", "install", ".", PYTHONPATH=str(pipx), **more)
    person.has_all(tmp_path / "bin")
    assert {path.name for path in (tmp_path / "man/man1").iterdir()} == {f"{name}.1" for name in COMMANDS}


def test_uvx_runs_a_command_from_a_checkout(person: Person, tmp_path: Path) -> None:
    uvx = shutil.which("uvx") or tools("uv") / "bin" / "uvx"
    more = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON": sys.executable}
    index = os.environ.get("PIP_INDEX_URL") or person.run(
        sys.executable, "-c", "import subprocess, sys; sys.stdout.write(subprocess.run([sys.executable, '-m', 'pip', "
        "'config', 'get', 'global.index-url'], capture_output=True, text=True).stdout.strip())",
    )  # fmt: skip
    if index:
        more["UV_DEFAULT_INDEX"] = index
    out = person.run(uvx, "--from", ".", "close-project", "--demo", "kelly-dashboard", **more)
    assert "closed" in out
