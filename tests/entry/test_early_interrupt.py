"""Ctrl-C in the first moments, before the command itself has begun, is exit 130 and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from entry.checkout import Checkout

# The interpreter runs this ahead of the script: the signal comes when a module of that name is imported.
PRESS = """
import os, signal, sys
if os.environ.get("IGNORED"):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
else:
    signal.signal(signal.SIGINT, signal.default_int_handler)
def heard(event, arguments, pressed=[]):
    if event == "import" and arguments[0] == os.environ["PRESSED"] and not pressed:
        pressed.append(True)
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(heard)
"""
MODULES = (
    "bootstrap", "first_run", "subprocess", "plumbum", "session_closer.cli.app", "session_closer.core.keys",
    "session_closer.operations.close",
)  # fmt: skip


# What is imported once the packages are there; a first run is nothing to it.
LATER = MODULES[MODULES.index("plumbum") :]


@pytest.fixture
def pressed(checkout: Checkout) -> str:
    """Return what PYTHONPATH has to be, so that the signal comes."""
    folder = checkout.scratch / "press"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PRESS)
    return str(folder)


def close(checkout: Checkout, **more: str) -> subprocess.CompletedProcess[str]:
    """Close a session of the demonstration."""
    script = checkout.root / "bin/close-project"
    return checkout.run(sys.executable, "-B", script, "--demo", "kelly-dashboard", **more)


@pytest.mark.parametrize("module", MODULES)
def test_an_early_interrupt_is_130_and_no_traceback(checkout: Checkout, site: Path, pressed: str, module: str) -> None:
    if module in LATER:
        checkout.fill_cache(site)
    done = close(checkout, PYTHONPATH=pressed, PRESSED=module)
    assert done.returncode == 130
    said = [line for line in done.stderr.splitlines() if not line.startswith("session-closer: first run: ")]
    assert len(said) <= 1, done.stderr
    assert "Traceback" not in done.stderr
    assert list(Path(checkout.cache).glob("new-*")) == []


@pytest.mark.parametrize("module", ["bootstrap", "plumbum", "session_closer.operations.close"])
def test_an_interrupt_that_the_caller_ignores_is_ignored(
    checkout: Checkout, site: Path, pressed: str, module: str
) -> None:
    checkout.fill_cache(site)
    done = close(checkout, PYTHONPATH=pressed, PRESSED=module, IGNORED="1")
    assert done.returncode == 0
    assert "4 closed" in done.stdout or "2 closed" in done.stdout
