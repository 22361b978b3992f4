"""The rules of docs/design.md that a reader of one file cannot check."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import session_closer
from unit.test_layers import arrows

ROOT = Path(session_closer.__file__).parent
# Besides all of core and render.
PURE = {
    "journal.checks", "journal.codec", "journal.format_1", "journal.record", "journal.source", "openclaw.attached.cron",
    "openclaw.files.document", "openclaw.files.members", "openclaw.files.quickscan", "openclaw.files.values",
    "openclaw.maintenance", "openclaw.versions", "operations.sources",
}  # fmt: skip
DATA_ONLY = {
    "__future__", "codecs", "collections", "dataclasses", "datetime", "difflib", "enum", "functools",
    "json", "re", "typing", "hashlib", "operator", "shlex", "types", "unicodedata", "math", "tomllib", "heapq",
    "itertools", "textwrap", "fnmatch", "array",
}  # fmt: skip
WRITERS = {
    "open", "write", "rename", "renames", "replace", "unlink", "remove", "rmdir", "removedirs", "mkdir", "makedirs",
    "link", "symlink", "chmod", "chown", "fchmod", "fchown", "utime", "truncate", "ftruncate", "mkfifo", "fsync",
}  # fmt: skip


@functools.cache
def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): ast.parse(
            path.read_text()
        )
        for path in ROOT.rglob("*.py")
    }


def is_pure(name: str) -> bool:
    return name in PURE or name.startswith(("core", "render"))


def outer_imports(tree: ast.Module) -> set[str]:
    """Return the packages of others that a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def test_a_pure_module_imports_pure_modules_and_data_types_only() -> None:
    pure = [name for name in arrows() if is_pure(name)]
    assert pure
    for name in pure:
        # It decodes text, and nothing else of it is used.
        assert outer_imports(modules()[name]) - DATA_ONLY - {"msgspec"} == set(), name
        assert [other for other in arrows()[name] if not is_pure(other)] == [], name


def test_only_disk_py_changes_files() -> None:
    allowed = {
        "system.disk": WRITERS,
        # Folders and files that are read, or made durable as they are.
        "system.files": {"open"},
        # The sample of --demo is written into a temporary directory of its own.
        "openclaw.sample": {"open", "makedirs"},
        # Descriptors of folders, for flock; lock files and the configuration, read only.
        "system.flock": {"open"},
        "openclaw.lockfile": {"open"},
        "journal.journal": {"open"},
        "journal.history": {"open"},
        "openclaw.home": {"open"},
        "system.processes": {"open"},
        # The kernel's table of sockets, read only.
        "system.peers": {"open"},
        # What the machine says of its own time, read only.
        "journal.clocks": {"open"},
        # Files that may be larger than memory, read only.
        "system.pieces": {"open"},
        # A look at a whole store, read only.
        "artifacts.measuring": {"open"},
        # What is copied, read only, and folders of copies, for flock.
        "system.replica": {"open"},
        # Folders below a home, and what lies in them, read only.
        "artifacts.scan": {"open"},
        "artifacts.aside": {"open"},
        "artifacts.removal": {"open"},
        # The table of what is mounted, read only.
        "system.mounts": {"open"},
        "hermes.home": {"open"},
        # The sink for what a closed pipe cannot take.
        "cli.streams": {"open"},
    }
    wrong = []
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            called = "open" if isinstance(function, ast.Name) and function.id == "open" else ""
            if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                called = function.attr if function.value.id in ("os", "shutil", "fcntl") else ""
            if called in WRITERS and called not in allowed.get(name, set()):
                wrong.append(f"{name}:{node.lineno} {called}")
    assert wrong == []


def test_only_the_edge_prints() -> None:
    wrong = []
    for name, tree in modules().items():
        for node in ast.walk(tree):
            printing = isinstance(node, ast.Name) and node.id == "print"
            stream = isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr", "stdin")
            if (printing or stream) and name != "cli.streams":
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def names_of_objects(tree: ast.Module) -> set[str]:
    """Return the names that a module takes from an object, and those of the methods that it defines."""
    taken = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return taken | {node.name for each in classes for node in each.body if isinstance(node, ast.FunctionDef)}


def test_one_module_holds_the_private_names_of_plumbum() -> None:
    from plumbum import cli
    from plumbum.cli import application

    theirs = {name for name in (*dir(cli.Application), *cli.Application("x").__dict__) if name[0] == "_" != name[1]}
    assert {"_parse_args", "_validate_args", "_switches_by_name", "_parse_and_dispatch"} <= theirs
    assert hasattr(application, "T_")
    users = {name for name, tree in modules().items() if names_of_objects(tree) & {"T_", *theirs}}
    assert users == {"cli.grammar"}


def test_nothing_reads_standard_input() -> None:
    for name, tree in modules().items():
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "input" not in words, name


def test_a_file_gets_a_name_that_nobody_has_in_few_places() -> None:
    """The engine for what a session leaves; the others publish a file that they have just written, or moved aside."""
    allowed = {
        "system.disk",
        "artifacts.engine",
        "artifacts.bundle",
        "openclaw.files.commit",
        "openclaw.files.lock",
        "openclaw.files.index",
        "openclaw.sqlite.restore",
        "openclaw.from_bundle",
        "hermes.checkpoints",
        "operations.pages",
    }
    called = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("rename_new", "take_name")
    }
    assert called <= allowed


def callers(*names: str) -> dict[str, set[str]]:
    """Return by name which operations call a function, or a method, of that name."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for module, tree in modules().items():
        for node in ast.walk(tree) if module.startswith("operations.") else ():
            called = node.func if isinstance(node, ast.Call) else None
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            if name in found:
                found[name].add(module.removeprefix("operations."))
    return found


def test_one_loop_changes_stores_restarts_and_settles() -> None:
    """A closing and a bringing back differ in what `apply.Change` asks of them, and in nothing else."""
    assert callers("restart_once", "take_out", "bring_back", "follow_up", "check_back", "stages") == {
        "restart_once": {"apply"},
        "take_out": {"take_out"},
        # Homes of files, whose records are settled home by home, move each file themselves.
        "bring_back": {"give_back", "home_returns", "cleanup"},
        "follow_up": {"apply", "take_out"},
        "check_back": {"give_back"},
        "stages": {"apply"},
    }
