"""Packages that are installed already are used where they serve, and else those of our own cache."""

import sys
from pathlib import Path

import pytest
from entry.checkout import FIRST_RUN, Checkout, no_pip, package_directories, quick_uv


def test_installed_packages_are_used(checkout: Checkout, site: Path) -> None:
    done = checkout.run(PYTHONPATH=str(site), PIP_FIND_LINKS="")
    assert (done.returncode, done.stderr) == (0, "")
    assert package_directories(checkout.cache) == []


@pytest.mark.parametrize("metadata", ["plumbum-1.9.0.dist-info", "plumbum-3.0.dist-info", "plumbum-1.9.egg-info"])
def test_installed_packages_of_another_version_are_not(checkout: Checkout, site: Path, metadata: str) -> None:
    others = checkout.scratch / "others"
    others.mkdir()
    for path in site.iterdir():
        if not path.name.startswith("plumbum-"):
            (others / path.name).symlink_to(path)
    (others / metadata).mkdir()
    quick_uv(checkout, site)
    command = (no_pip(checkout), checkout.root / "bin/close-project", "--help")
    done = checkout.run(*command, PYTHONPATH=str(others))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(FIRST_RUN)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has zstd itself")
@pytest.mark.parametrize("missing", ["backports", "backports_zstd-1.8.0.dist-info"])
def test_an_installation_without_zstd_is_not_used(checkout: Checkout, site: Path, missing: str) -> None:
    others = checkout.scratch / "others"
    others.mkdir()
    for path in site.iterdir():
        if path.name.split("-")[0] != missing.split("-", maxsplit=1)[0]:
            (others / path.name).symlink_to(path)
    quick_uv(checkout, site)
    done = checkout.run(no_pip(checkout), checkout.root / "bin/close-project", "--help", PYTHONPATH=str(others))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(FIRST_RUN)


@pytest.mark.parametrize("package", ["msgspec", "psutil"])
def test_packages_that_are_compiled_for_another_python_are_not(checkout: Checkout, site: Path, package: str) -> None:
    """PYTHONPATH may lead to what was installed for another version."""
    others = checkout.scratch / "others"
    others.mkdir()
    for path in site.iterdir():
        if path.name != package:
            (others / path.name).symlink_to(path)
    (others / package).mkdir()
    for path in (site / package).iterdir():
        own, _, kind = path.name.partition(".")
        foreign = f"{own}.cpython-399-x86_64-linux-gnu.so" if kind.endswith("so") else path.name
        (others / package / foreign).symlink_to(path)
    quick_uv(checkout, site)
    done = checkout.run(no_pip(checkout), checkout.root / "bin/close-project", "--help", PYTHONPATH=str(others))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(FIRST_RUN)
