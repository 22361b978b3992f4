"""What is declared twice agrees, the locks are locks, and `pip install .` gives the same commands."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from entry.checkout import COMMANDS, ROOT, Checkout

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEST_LOCKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("requirements.lock"))
LOCKS = ("lib/requirements.lock", *TEST_LOCKS)


def module_of(command: str) -> str:
    return command.replace("-", "_")


def requirements(path: str) -> list[str]:
    return [line for line in (ROOT / path).read_text().splitlines() if line and not line.startswith("#")]


def locked(path: str) -> dict[str, list[str]]:
    """Return the hashes by pinned requirement."""
    text = (ROOT / path).read_text().replace("\\\n", " ")
    pins = {}
    for line in text.splitlines():
        requirement, *hashes = line.split("--hash=")
        pins[requirement.strip()] = [entry.strip() for entry in hashes]
    return pins


def normal(name: str) -> str:
    return re.split(r"[<>=~! ;\[]", name)[0].lower().replace("_", "-").replace(".", "-")


def test_the_scripts_differ_in_one_name() -> None:
    scripts = sorted((ROOT / "bin").iterdir())
    assert {script.name for script in scripts} == set(PROJECT["scripts"])
    assert {path.name for path in (ROOT / "bin").iterdir()} == set(PROJECT["scripts"])
    bodies = {script.read_text().replace(f'"{module_of(script.name)}"', '"NAME"') for script in scripts}
    assert len(bodies) == 1
    assert '"NAME"' in bodies.pop()
    assert {script.stat().st_mode & 0o777 for script in scripts} == {0o755}


@pytest.mark.parametrize("command", sorted(PROJECT["scripts"]))
def test_entry_points_name_functions(command: str) -> None:
    module, _, function = PROJECT["scripts"][command].partition(":")
    assert module == f"session_closer.cli.commands.{module_of(command)}"
    assert callable(getattr(importlib.import_module(module), function))


def test_requirements_are_declared_alike() -> None:
    bootstrap = importlib.import_module("bootstrap")
    runtime = requirements("lib/requirements.in")
    direct = [line.replace('"', "'") for line in runtime if "typing_extensions" not in line]
    assert direct == PROJECT["dependencies"]
    assert requirements("tests/requirements.in") == PROJECT["optional-dependencies"]["test"]
    assert requirements("tests/ansible/requirements.in") == PROJECT["optional-dependencies"]["test-ansible"]
    checked = []
    for name, _, lowest, too_high in bootstrap.PACKAGES:
        limit = f",<{too_high[0]}" if too_high != bootstrap.NO_LIMIT else ""
        checked.append(f"{name}>={'.'.join(map(str, lowest))}{limit}")
    now = [line.split(" ;")[0] for line in direct if sys.version_info < (3, 14) or "3.14" not in line]
    assert [line for line in checked if "typing_extensions" not in line] == now
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, bootstrap.MINIMUM))


@pytest.mark.parametrize("path", LOCKS)
def test_locks_pin_every_package_with_hashes(path: str) -> None:
    pins = locked(path)
    for requirement, hashes in pins.items():
        assert re.match(r"^[a-z0-9.-]+==[0-9][^ ]*( ; .+)?$", requirement)
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", entry) for entry in hashes)
    wanted = {normal(line) for line in requirements(path.replace(".lock", ".in"))}
    assert wanted <= {normal(requirement) for requirement in pins}
    assert "://" not in (ROOT / path).read_text()


def test_every_platform_runs_the_same_websockets() -> None:
    [hashes] = [hashes for requirement, hashes in locked(LOCKS[0]).items() if requirement.startswith("websockets==")]
    assert len(hashes) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help(checkout: Checkout, site: Path, command: str) -> None:
    done = checkout.run(checkout.root / "bin" / command, "--help", PYTHONPATH=str(site))
    assert (done.returncode, done.stderr) == (0, "")
    assert command in done.stdout


def test_pip_install(checkout: Checkout, site: Path) -> None:
    target = checkout.scratch / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    environment = checkout.environment(PYTHONPATH=os.environ["PYTHONPATH"])
    built = subprocess.run(
        [*pip, "--target", target, checkout.root], env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr

    new = {path.name for path in target.iterdir()}
    [metadata] = [name for name in new if name.endswith(".dist-info")]
    assert new == {"bin", "session_closer", "share", metadata}
    assert (
        f"Version: {importlib.import_module('session_closer').__version__}\n"
        in (target / metadata / "METADATA").read_text()
    )
    assert (target / metadata / "licenses/LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    for command in PROJECT["scripts"]:
        assert f".TH {command.upper()} 1" in (target / f"share/man/man1/{command}.1").read_text()
        assert (target / f"share/bash-completion/completions/{command}").is_file()
    for command in COMMANDS:
        installed = checkout.run(target / "bin" / command, "--help", PYTHONPATH=f"{target}:{site}")
        script = checkout.run(checkout.root / "bin" / command, "--help", PYTHONPATH=str(site))
        assert (installed.returncode, installed.stdout) == (0, script.stdout)
