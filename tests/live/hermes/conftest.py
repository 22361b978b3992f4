"""Fixtures: an installed Hermes, a lab of one test's own, a home in which everything has happened long ago."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..lab import provided
from .install import VERSIONS, Hermes, provide
from .lab import Lab, laboratory
from .story import Told, tell


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marker that names the versions a test is about; without it, it runs on both."""
    config.addinivalue_line("markers", "hermes(version, ...): the versions of Hermes that a test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each version that it is about; those of `depth` only with --everything."""
    if "hermes" in metafunc.fixturenames:
        named = {version for mark in metafunc.definition.iter_markers("hermes") for version in mark.args}
        deep = {version for mark in metafunc.definition.iter_markers("depth") for version in mark.args}
        every = metafunc.config.getoption("--everything")
        versions = [one for one in VERSIONS if (not named or one in named) and (every or one not in deep)]
        metafunc.parametrize("hermes", versions, indirect=True, scope="session")


@pytest.fixture(scope="session")
def hermes(request: pytest.FixtureRequest) -> Hermes:
    """One version of Hermes; without it, and without our own dependencies, the tests are skipped."""
    return provided("Hermes", request.param, provide)


@pytest.fixture
def lab(hermes: Hermes) -> Iterator[Lab]:
    """A lab whose home is empty."""
    with laboratory(hermes) as made:
        yield made


@pytest.fixture(scope="session")
def _told(hermes: Hermes) -> Iterator[Told]:
    with laboratory(hermes) as made:
        yield tell(made)


@pytest.fixture
def told(_told: Told) -> Told:
    """A home in which everything has happened long ago, as it was told: each test has it anew."""
    _told.anew()
    return _told
