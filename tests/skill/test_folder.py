"""What `make skill` publishes: small, the same bytes each time, the whole program; it runs without execute bits."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from entry.checkout import ROOT, listing
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.stores import Store

from .conftest import EPOCH

folder = importlib.import_module("publish.folder")
sources = importlib.import_module("publish.sources")

MOST_FILES = 120
MOST_BYTES = 1024 * 1024
COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir())
WHEN = (2001, 9, 9, 1, 46, 40)


def contents(skill: Path) -> dict[str, bytes]:
    """Return what is in a folder, by path."""
    return {str(path.relative_to(skill)): path.read_bytes() for path in skill.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as an installer unpacks it that takes execute bits away."""
    place = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(next(built.glob("*.zip"))) as archive:
        archive.extractall(place)
    return place / folder.NAME


# What is in it


def test_it_is_small_enough_for_those_who_take_it_in(built: Path) -> None:
    found = contents(built / folder.NAME)
    assert len(found) <= MOST_FILES
    assert sum(map(len, found.values())) <= MOST_BYTES
    assert max(map(len, found.values())) <= MOST_BYTES // 4
    assert {name.split("/")[0] for name in found} >= {"SKILL.md", "bin", "lib", "LICENSE"}


def test_one_that_is_too_large_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = {"SKILL.md": folder.File(b"x" * (MOST_BYTES + 1), 0o644)}
    assert folder.too_much(big) == "1,048,577 bytes, of 1,048,576 at most"
    assert folder.too_much(dict.fromkeys(map(str, range(MOST_FILES + 1)), folder.File(b"", 0o644))).startswith(
        "121 files"
    )
    monkeypatch.setattr(folder, "files", lambda when: big)
    assert importlib.import_module("publish.__main__").main([str(tmp_path / "dist")]) == 1
    assert not (tmp_path / "dist").exists()


@pytest.mark.long
def test_it_is_the_same_byte_for_byte_whoever_builds_it(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    assert folder.moment() == WHEN
    again = folder.files(WHEN)
    assert contents(built / folder.NAME) == {name: file.content for name, file in again.items()}
    (archive,) = built.glob("*.zip")
    assert archive.read_bytes() == folder.archive(again, WHEN)
    assert archive.name == f"session-closer-{importlib.import_module('session_closer').__version__}.zip"


def test_what_is_run_may_be_run_and_nothing_else(built: Path) -> None:
    (archive,) = built.glob("*.zip")
    with zipfile.ZipFile(archive) as packed:
        modes = {member.filename.partition("/")[2]: member.external_attr >> 16 for member in packed.infolist()}
        assert {member.date_time for member in packed.infolist()} == {WHEN}
    found = {
        str(path.relative_to(built / folder.NAME)): path.stat().st_mode for path in (built / folder.NAME).rglob("*")
    }
    assert modes == {name: mode for name, mode in found.items() if name in modes}
    assert {name for name, mode in modes.items() if mode & 0o777 == 0o755} == {f"bin/{name}" for name in COMMANDS}
    assert {mode & 0o777 for name, mode in modes.items() if not name.startswith("bin/")} == {0o644}


def test_what_acts_can_be_read_and_what_is_packed_only_reckons(built: Path) -> None:
    package = built / folder.NAME / "lib/session_closer"
    hidden = {}
    for archive in package.glob("*.zip"):
        with zipfile.ZipFile(archive) as packed:
            hidden |= {name: packed.read(name).decode() for name in packed.namelist()}
    assert len(hidden) > 100
    for name, text in hidden.items():
        assert text == (ROOT / "lib" / name).read_text(), "a source in the archive is whole"
        assert "import subprocess" not in text
        assert not re.search(r"^[^#]*\bos\.(environ|open|exec|rename|remove|unlink|system|scandir)", text, re.MULTILINE)
    plain = {
        line.split()[-1] for path in package.glob("*.py") for line in path.read_text().splitlines() if "# ==== " in line
    }
    program = {str(path.relative_to(ROOT / "lib")) for path in (ROOT / "lib/session_closer").rglob("*.py")}
    assert plain | set(hidden) == program - {"session_closer/__init__.py"}
    assert not plain & set(hidden)


@pytest.mark.parametrize(
    ("text", "reckons"),
    [
        ("import re\n", True), ("from . import x\n", True), ("import os\nx = [os]\n", False),
        ("from os import path\n", False),
        ("def f():\n    import socket\n", False), ("x = open('y')\n", False), ("x = eval\n", False),
    ],
)  # fmt: skip
def test_a_module_that_reaches_outside_is_never_packed(text: str, reckons: bool) -> None:
    assert sources.Module("session_closer.x", False, text).reckons is reckons


def test_a_line_keeps_its_number_and_a_text_its_content() -> None:
    text = (
        sources.FUTURE + '"""Said."""\n\nimport re  # why\n\n\nclass A:\n    """Said."""\n\n\ndef f() -> str:\n'
        '    """Said\n    at length."""\n    # why\n    return """\n    # no comment\n      x"""\n'
    )
    text = text.replace('"""Said."""\n\nimport', "\nimport", 1)
    done = sources.published(text, shows=False)
    assert done.splitlines() == [
        "", "", "import re", "", "", "class A:", "\tpass", "", "", "def f() -> str:", "", "", "", '\treturn """',
        "    # no comment", '      x"""',
    ]  # fmt: skip
    assert '"""Said."""' in sources.published(text, shows=True)


def test_a_module_that_would_be_compiled_otherwise_stops_the_build() -> None:
    with pytest.raises(SystemExit, match="a module without"):
        sources.published("import re\n", shows=False)


# How it works


def run(skill: Path, way: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of an installed skill, from an empty home."""
    name, *more = words
    sites = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environ = {
        "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(each for each in sites if each != str(ROOT / "lib")),
    }  # fmt: skip
    argv = [*way.split(), str(skill / "bin" / name), *more]
    null, limit = subprocess.DEVNULL, PATIENCE_SECONDS
    return subprocess.run(
        argv, env=environ, cwd=home, capture_output=True, text=True, stdin=null, timeout=limit, check=False
    )


def test_every_module_of_it_can_be_imported_and_says_where_it_is(unpacked: Path, tmp_path: Path) -> None:
    program = (
        "import importlib, linecache, sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); "
        "import session_closer as p; "
        "found = [importlib.import_module(name) for name in p._PLACES]; "
        "assert all(m.__file__.startswith(sys.argv[1]) for m in found); "
        "flock = sys.modules['session_closer.system.flock']; "
        "assert 'import' in ''.join(linecache.getlines(flock.__file__, vars(flock))); "
        "print(len(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(unpacked / "lib")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(sources.modules(ROOT / "lib"))


@pytest.mark.parametrize("more", ["", "'session_closer.core.names', ", "None, "])
def test_its_loader_compiles_as_each_python_asks_it_to(unpacked: Path, tmp_path: Path, more: str) -> None:
    """From 3.15 on Python gives the name of the module, too."""
    program = (
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); import session_closer; "
        "from importlib.util import find_spec; loader = find_spec('session_closer.core.names').loader; "
        f"code = loader.source_to_code(b'def f(x: nobody): pass', 'x.py', {more}_optimize=2); exec(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(unpacked / "lib")], capture_output=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def quiet_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that keeps byte code, so that not each start compiles the program."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_its_execute_bit_says_what_the_checkout_says(
    unpacked: Path, quiet_home: Path, name: str
) -> None:
    assert not (unpacked / "bin" / name).stat().st_mode & 0o111
    done = run(unpacked, "sh", name, "--help", home=quiet_home)
    own = run(ROOT, "python3", name, "--help", home=quiet_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == own.stdout


def test_it_closes_and_brings_back_and_leaves_nothing_in_its_folder(
    store: Store, unpacked: Path, tmp_path: Path
) -> None:
    before, there, home = store.entries(), listing(unpacked), tmp_path / "home"
    home.mkdir()
    place = ("--json", "--state-dir", str(store.state))
    closed = run(unpacked, "sh", "close-project-batch", *place, "kelly-dashboard", home=home)
    assert closed.returncode == 0, closed.stdout + closed.stderr
    assert LEAD + "kelly-dashboard" not in store.entries()
    receipt = Path(json.loads(closed.stdout)["receipt"]).stem
    back = run(unpacked, "python3", "restore-sessions", *place, receipt, home=home)
    assert back.returncode == 0, back.stdout + back.stderr
    assert store.entries() == before
    assert listing(unpacked) == there
    # A second start finds its byte code.
    assert list(home.rglob("*.pyc"))


def test_a_bug_is_named_by_its_line_in_the_sources(unpacked: Path, tmp_path: Path) -> None:
    """Byte code is held against the text, so that of an older one is never taken for it."""
    skill, home = tmp_path / "skill", tmp_path / "home"
    home.mkdir()
    subprocess.run(["cp", "-R", unpacked, skill], check=True)
    assert run(skill, "python3", "close-project", "--version", home=home).returncode == 0
    good, bad = "streams.prepare()", "streams.prepbre()"
    source = (ROOT / "lib/session_closer/cli/program.py").read_text()
    newer = sources.published(source.replace(good, bad), shows=False)
    table, merged = skill / "lib/session_closer/__init__.py", skill / "lib/session_closer/cli.py"
    (own,) = [row for row in table.read_text().splitlines() if '"session_closer.cli.program":(' in row]
    with_checksum = own.replace(own.split(",")[3], str(zlib.crc32(newer.encode())))
    merged.write_text(merged.read_text().replace(good, bad))
    table.write_text(table.read_text().replace(own, with_checksum))
    # Python itself tells the byte code of a file by its second and size, and a copy may be as young as this.
    os.utime(table, (0, 0))
    done = run(skill, "python3", "close-project", "--version", home=home)
    line = source.splitlines().index(f"    {good}") + 1
    assert f'cli/program.py", line {line}, in start' in done.stderr
