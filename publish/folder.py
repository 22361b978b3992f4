"""What is in the published skill, and how it is written: a folder, and an archive of it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from . import sources
from .sources import Moment

ROOT = Path(__file__).resolve().parents[1]
NAME = "session-closer"
# What is published as it is. Of lib/ the program is merged; its .in is for those who make the lock.
VERBATIM = ("SKILL.md", "LICENSE", "lib/bootstrap.py", "lib/first_run.py", "lib/unable.py", "lib/requirements.lock")
MOST_FILES = 120
MOST_BYTES = 1024 * 1024
# The first year that an archive can name.
EARLIEST = 315_532_800


class File(NamedTuple):
    """A file of the skill."""

    content: bytes
    mode: int


def version() -> str:
    """Return the version of the program."""
    (found,) = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / "lib/session_closer/__init__.py").read_text(), re.MULTILINE
    )
    return str(found)


def moment() -> Moment:
    """Return the time that all files have: SOURCE_DATE_EPOCH, else that of the commit, to the second, UTC."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        words = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
        try:
            given = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            given = str(EARLIEST)
    year, month, day, hour, minute, second, *_ = time.gmtime(max(int(given), EARLIEST))
    return year, month, day, hour, minute, second


def files(when: Moment) -> dict[str, File]:
    """Return the files of the skill by their path in it."""
    found = {name: File((ROOT / name).read_bytes(), 0o644) for name in VERBATIM}
    for path in sorted((ROOT / "bin").iterdir()):
        found[f"bin/{path.name}"] = File(path.read_bytes(), 0o755)
    for path in sorted((ROOT / "evals").glob("*.json")):
        found[f"evals/{path.name}"] = File(path.read_bytes(), 0o644)
    modules = sources.modules(ROOT / "lib")
    merged, places = sources.merged(modules, version())
    archives, more = sources.archived(modules, when)
    places |= more
    packages = sorted(module.name for module in modules if module.is_package)
    package = "lib/session_closer"
    found[f"{package}/__init__.py"] = File(_entrance(packages, places).encode(), 0o644)
    for name, content in {**merged, **archives}.items():
        found[f"{package}/{name}"] = File(content, 0o644)
    return dict(sorted(found.items()))


def _entrance(packages: list[str], places: dict[str, sources.Place]) -> str:
    text = (ROOT / "publish/merged.py").read_text(encoding="utf-8")
    # Without blanks: of the room that a skill has they would take a thousandth.
    rows = ((json.dumps(name), ",".join(map(repr, place))) for name, place in sorted(places.items()))
    table = "\n".join(f"{name}:({place})," for name, place in rows)
    values = {
        '__version__ = ""\n': f"__version__ = {json.dumps(version())}\n",
        "_PACKAGES: frozenset[str] = frozenset()\n": f"_PACKAGES = frozenset({json.dumps(packages)})\n",
        "_PLACES: dict[str, tuple[str, int, int, int, int]] = {}\n": f"_PLACES = {{\n{table}\n}}\n",
    }
    for declared, value in values.items():
        assert text.count(declared) == 1
        text = text.replace(declared, value)
    return text


def too_much(found: dict[str, File]) -> str:
    """Return what of the skill is more than those who take it in allow, "" if nothing is."""
    size = sum(len(file.content) for file in found.values())
    if len(found) > MOST_FILES:
        return f"{len(found)} files, of {MOST_FILES} at most"
    return f"{size:,} bytes, of {MOST_BYTES:,} at most" if size > MOST_BYTES else ""


def write_folder(found: dict[str, File], folder: Path) -> None:
    """Write the skill as a folder, in place of what was there."""
    if folder.exists():
        shutil.rmtree(folder)
    for name, file in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)


def archive(found: dict[str, File], when: Moment) -> bytes:
    """Return the skill as an archive that unpacks into a folder of its name."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        for name, file in found.items():
            sources.add(packed, f"{NAME}/{name}", file.content, file.mode, when)
    return whole.getvalue()
