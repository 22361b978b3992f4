"""A checkout to run the scripts of."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from entry.checkout import ROOT, Checkout, copy_tree, listing
from support.homes import CallersEnviron


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the lock file, fetched once with the index settings of whoever runs the tests."""
    directory = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    lock = ROOT / "lib/requirements.lock"
    subprocess.run(
        [*pip, "--only-binary=:all:", "-d", directory, "-r", lock],
        check=True,
        capture_output=True,
        env=CallersEnviron(),
    )
    return directory


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The packages of the lock file, installed as a person would for this Python."""
    directory = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    environment = CallersEnviron(PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    subprocess.run(
        [*pip, "--target", directory, *sorted(wheels.iterdir())], check=True, capture_output=True, env=environment
    )
    return directory


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, as a person would have it."""
    root = tmp_path_factory.mktemp("clone") / "checkout"
    copy_tree(root)
    return root


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What has the same path in each test has the same byte code."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def checkout(clone: Path, _place: Path, wheels: Path) -> Iterator[Checkout]:
    """A copy of the tree, in a new world; it must be as it was when the test is over."""
    scratch = _place / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    before = listing(clone)
    yield Checkout(clone, scratch, wheels, _place / "byte-code")
    assert listing(clone) == before
