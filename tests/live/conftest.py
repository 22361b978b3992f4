"""Fixtures: an installed OpenClaw, a lab of one test's own, a gateway that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .install import Install, Unavailable, provide
from .lab import Lab, laboratory, prepare_commands

VERSIONS = ("2026.5.7",)


@pytest.fixture(scope="session", params=VERSIONS)
def install(request: pytest.FixtureRequest) -> Install:
    """One version of OpenClaw; without it, and without our own dependencies, the tests are skipped."""
    try:
        prepare_commands()
        return provide(request.param)
    except Unavailable as reason:
        pytest.skip(f"no OpenClaw {request.param} to test with: {reason}")


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
