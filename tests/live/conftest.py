"""Fixtures: an installed OpenClaw, a lab of one test's own, a gateway that many tests share; who runs beside whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from .install import BETWEEN, ERAS, Install, provide
from .lab import Lab, laboratory, provided

# What is tried on a version in between: an undo, and every difference around a close. It has the most to differ of
# those that keep sessions in files.
SPOT_CHECKS = ("test_effects", "test_restore")


# What takes long to make and serves many tests: those that have it of one version run in one worker.
MADE_ONCE = ("shared", "told", "aged", "seen", "stopped", "by_hand", "cache", "skill")
# A gateway of this era takes twice as long to start as an older one, and no test of its sessions restarts it.
SERVES_ALL = "sqlite"


def pytest_configure(config: pytest.Config) -> None:
    """Make known `openclaw`, without which a test runs on all versions, and `late`."""
    config.addinivalue_line("markers", "openclaw(name, ...): the eras or the versions that a test is about")
    config.addinivalue_line("markers", "late: leaves sessions that others which share its gateway would see")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each version that it is about; without --everything a few of them on one in between."""
    if "install" in metafunc.fixturenames:
        marks = [set(mark.args) for mark in metafunc.definition.iter_markers("openclaw")]
        versions = [version for version, era in ERAS.items() if all({version, era} & names for names in marks)]
        every = metafunc.config.getoption("--everything")
        if not every and metafunc.module.__name__.rpartition(".")[2] not in SPOT_CHECKS:
            versions = [version for version in versions if version not in BETWEEN] or versions
        if not every:
            deep = {version for mark in metafunc.definition.iter_markers("depth") for version in mark.args}
            versions = [version for version in versions if version not in deep]
        metafunc.parametrize("install", versions, indirect=True, scope="session")


class Group(NamedTuple):
    """Tests of one worker: by what they share, of which version, of which module if it is one module's own."""

    shared: str
    version: str
    module: str

    def __str__(self) -> str:
        return "-".join(filter(None, self))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests belong together, and put what takes longest first: `--dist loadgroup` looks at both."""
    groups = {item: _group(item) for item in items if item.get_closest_marker("live") is not None}
    late = {item for item in items if item.get_closest_marker("late") is not None}
    items.sort(key=lambda item: (*_turn(groups.get(item), _version(item)), item in late))
    if config.getoption("loadgroup", False):
        for item, group in groups.items():
            if group is not None:
                # What pytest-xdist 3.8 does for its marker `xdist_group`, which with pytest 9.2 has no effect.
                item._id = type(item._id).parse(f"{item.nodeid}@{group}")


def _group(item: pytest.Item) -> Group | None:
    """Return the group of an item; None where it is alone."""
    found = next((name for name in MADE_ONCE if name in getattr(item, "fixturenames", ())), None)
    if found is None:
        return None
    version = _version(item)
    of_all = version == "" or found == "told" or (found == "shared" and ERAS[version] == SERVES_ALL)
    return Group(found, version, "" if of_all else item.path.stem)


def _turn(group: Group | None, version: str) -> tuple[bool, bool, bool, bool]:
    """Return the place of an item in the order.

    The groups of many modules are the longest. Each is of another version: of what is installed yet none waits for it.
    """
    return group is None, version == "", group is None or group.module != "", ERAS.get(version) != SERVES_ALL


def _version(item: pytest.Item) -> str:
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return str(given.get("install") or given.get("hermes") or "")


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


@pytest.fixture(scope="session")
def _serving(install: Install) -> Iterator[Lab]:
    with laboratory(install) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def shared(install: Install, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with a running gateway for many tests, each of which uses keys of its own and ends its runs.

    Where a gateway is never restarted it serves the tests of all modules, else those of one.
    """
    if install.era == SERVES_ALL:
        yield request.getfixturevalue("_serving")
        return
    with laboratory(install) as made:
        made.start()
        yield made
