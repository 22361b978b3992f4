"""Which OpenClaw keeps its sessions in SQLite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.openclaw.gateway.command import OpenClaw
from session_closer.openclaw.home import Home
from session_closer.openclaw.migration import installed
from session_closer.openclaw.versions import is_sqlite_era

ERAS = {
    "2026.9.6": True,
    "2026.8.1": True,
    "2026.8.1-1": True,
    "2026.8.1-beta.1": True,
    "2026.10.0": True,
    "2027.1.1": True,
    "2026.7.2-beta.1": True,
    "2026.7.2-beta.12": True,
    "2026.7.2": False,
    "2026.7.2-1": False,
    "2026.7.1-beta.1": False,
    "2026.7.33": False,
    "2026.7.34-2": False,
    "2026.7.35": False,
    "2026.6.11": False,
    "2026.5.7": False,
    "2025.12.31": False,
    "": False,
    "None": False,
    "dev": False,
    "9.6": False,
    "2026.9": False,
    "2026.9.6 ": False,
    "2026.9.6\n": False,
    "12026.9.6": False,
}


@pytest.mark.parametrize("version", ERAS)
def test_the_era_of_a_version(version: str) -> None:
    assert is_sqlite_era(version) is ERAS[version]


@given(st.integers(2020, 2035), st.integers(1, 12), st.integers(0, 40))
def test_from_2026_8_1_on_every_release_is_of_the_sqlite_era(year: int, month: int, patch: int) -> None:
    assert is_sqlite_era(f"{year}.{month}.{patch}") is ((year, month, patch) >= (2026, 8, 1))


@given(st.text(max_size=30))
def test_any_text_has_an_answer(text: str) -> None:
    assert is_sqlite_era(text) in (True, False)


def command(folder: Path, script: str) -> OpenClaw:
    """Return an `openclaw` command: a link on PATH to a script in its package, as npm makes it."""
    package = folder / "node_modules" / "openclaw" / "bin"
    package.mkdir(parents=True)
    (package / "openclaw.mjs").write_text(script)
    (package / "openclaw.mjs").chmod(0o700)
    (folder / "openclaw").symlink_to(package / "openclaw.mjs")
    home = Home(str(folder), "--state-dir", {"PATH": str(folder)})
    return OpenClaw(home, None, None)


SAYS = "#!/bin/sh\necho 'OpenClaw 2026.9.6 (0123abc)'\n"


def test_the_version_is_read_from_the_package_and_nothing_is_started(tmp_path: Path) -> None:
    found = command(tmp_path, f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    package = tmp_path / "node_modules" / "openclaw" / "package.json"
    package.write_text(json.dumps({"name": "openclaw", "version": "2026.8.1"}))
    assert installed(found) == "2026.8.1"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("package", [None, "{", "[]", '{"name": "other", "version": "2026.5.7"}', "[" * 50_000])
def test_a_package_that_says_nothing_leaves_it_to_the_command(tmp_path: Path, package: str | None) -> None:
    found = command(tmp_path, SAYS)
    if package is not None:
        (tmp_path / "node_modules" / "openclaw" / "package.json").write_text(package)
    assert installed(found) == "2026.9.6"


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho unknown\n", "#!/no/such/interpreter\n"])
def test_a_command_that_says_nothing_has_no_version(tmp_path: Path, script: str) -> None:
    assert installed(command(tmp_path, script)) is None


def test_no_command_has_no_version(tmp_path: Path) -> None:
    assert installed(OpenClaw(Home(str(tmp_path), "--state-dir", {"PATH": str(tmp_path)}), None, None)) is None
