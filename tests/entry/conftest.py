"""A checkout to run the scripts of."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from entry.checkout import ROOT, Checkout, listing
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


@pytest.fixture
def checkout(tmp_path: Path, wheels: Path) -> Iterator[Checkout]:
    """A copy of the tree that must be as it was when the test is over."""
    copy = Checkout(tmp_path, wheels)
    before = listing(copy.root)
    yield copy
    assert listing(copy.root) == before
