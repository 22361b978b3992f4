"""Fixtures: an installed OpenClaw, a lab of one test's own, a gateway that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .install import BETWEEN, ERAS, Install, provide
from .lab import Lab, laboratory, provided

# What is tried on a version in between, too: an undo, and what an agent does by SKILL.md.
SPOT_CHECKS = (
    "test_effects", "test_export", "test_restore",
    "test_an_agent_that_follows_the_skill_closes_two_sessions_and_then_its_own",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marker that names the eras or versions a test is about; without it, it runs on all."""
    config.addinivalue_line("markers", "openclaw(name, ...): the eras or the versions that a test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each version that it is about; without --everything a few of them on one in between."""
    if "install" in metafunc.fixturenames:
        marks = [set(mark.args) for mark in metafunc.definition.iter_markers("openclaw")]
        versions = [version for version, era in ERAS.items() if all({version, era} & names for names in marks)]
        every = metafunc.config.getoption("--everything")
        places = {metafunc.module.__name__.rpartition(".")[2], metafunc.function.__name__}
        if not every and places.isdisjoint(SPOT_CHECKS):
            versions = [version for version in versions if version not in BETWEEN] or versions
        if not every:
            deep = {version for mark in metafunc.definition.iter_markers("depth") for version in mark.args}
            versions = [version for version in versions if version not in deep]
        metafunc.parametrize("install", versions, indirect=True, scope="session")


@pytest.fixture(scope="session")
def install(request: pytest.FixtureRequest) -> Install:
    """One version of OpenClaw; without it, and without our own dependencies, the tests are skipped."""
    return provided("OpenClaw", request.param, provide)


@pytest.fixture(scope="session")
def older() -> Install:
    """A version of OpenClaw that keeps its sessions in files, for a test of what comes after it."""
    version = next(version for version, era in ERAS.items() if era == "files")
    return provided("OpenClaw", version, provide)


@pytest.fixture
def lab(install: Install) -> Iterator[Lab]:
    """A lab whose gateway the test starts and stops itself."""
    with laboratory(install) as made:
        yield made


@pytest.fixture(scope="module")
def shared(install: Install) -> Iterator[Lab]:
    """A lab with a running gateway for all tests of a module: each uses keys of its own."""
    with laboratory(install) as made:
        made.start()
        yield made
