"""What a command says before its packages are there: the right remedy, to streams that are there."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from entry.checkout import ROOT, Checkout, no_pip, quick_uv
from packaging.requirements import Requirement

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
OFFLINE = {"PIP_FIND_LINKS": ""}


def no_installer(checkout: Checkout) -> dict[str, str]:
    """Leave nothing that could install packages; return the environment that has only that."""
    checkout.put_on_path("python3", f'exec "{no_pip(checkout)}" "$@"')
    return {"PATH": str(checkout.path)}


def with_streams(checkout: Checkout, streams: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run close-project with its streams as a shell redirects them."""
    script = f'exec "$@" {streams}'
    return checkout.run("/bin/sh", "-c", script, "sh", checkout.root / "bin/close-project", *words, **more)


def test_the_remedy_installs_what_is_declared(checkout: Checkout) -> None:
    done = checkout.run(checkout.root / "bin/close-project", "--json", **no_installer(checkout))
    assert done.returncode == 69
    remedy = json.loads(done.stdout)["error"]["remedy"]
    by_hand = re.match(r"pip install ([^;]+); ", remedy)
    assert by_hand is not None, remedy
    assert by_hand[1].split() == [one.name for one in map(Requirement, DEPENDENCIES) if _is_for_this_python(one)]


def _is_for_this_python(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate()


@pytest.mark.long
def test_a_first_run_says_nothing_on_stdout_where_stderr_is_closed(checkout: Checkout) -> None:
    done = with_streams(checkout, "2>&-", "--demo", "--json", "kelly-dashboard")
    assert done.returncode == 0
    assert json.loads(done.stdout)["operation"] == "close-project"
    assert checkout.cache.is_dir()


def test_what_is_missing_is_one_document_where_stderr_is_closed(checkout: Checkout) -> None:
    done = with_streams(checkout, "2>&-", "x", "--json", **OFFLINE)
    assert (done.returncode, json.loads(done.stdout)["exitCode"]) == (69, 69)
    plain = with_streams(checkout, "2>&-", "x", **no_installer(checkout))
    assert (plain.returncode, plain.stdout) == (69, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("streams", ["2>/dev/full", ">/dev/full", ">&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_what_cannot_be_said_changes_no_exit_code(checkout: Checkout, streams: str) -> None:
    done = with_streams(checkout, streams, "x", "--json", **no_installer(checkout))
    assert done.returncode == 69
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_first_run_that_cannot_be_told_goes_on(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    checkout.put_on_path("python3", f'exec "{no_pip(checkout)}" "$@"')
    assert with_streams(checkout, "2>/dev/full", "--help").returncode == 0


def test_json_behind_two_dashes_asks_for_none(checkout: Checkout) -> None:
    done = checkout.run(checkout.root / "bin/close-project", "--", "--json", **no_installer(checkout))
    assert (done.returncode, done.stdout) == (69, "")
