"""The modules of the program as files that are few: one a package, without what only its makers read."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

FUTURE = "from __future__ import annotations\n"
# What a command says of itself in --help is its docstring.
SHOWN = "session_closer.cli.commands"
# A module that imports nothing but these only reckons: it has no way of its own to files, processes, network.
RECKONING = {
    "__future__", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses", "datetime",
    "enum", "fnmatch", "functools", "hashlib", "heapq", "html", "itertools", "json", "json5", "math", "msgspec",
    "operator", "posixpath", "re", "shlex", "string", "struct", "textwrap", "types", "typing", "unicodedata", "uuid",
    "zlib", "errno", "stat", "ipaddress", "difflib", "codecs", "array", "tomllib",
}  # fmt: skip
# Of `os` what only has to do with the spelling of paths.
SPELLING = {
    "os.path", "os.sep", "os.pathsep", "os.fspath", "os.fsdecode", "os.fsencode", "os.path.join", "os.path.basename",
    "os.path.dirname", "os.path.normpath", "os.path.splitext", "os.path.isabs", "os.path.split", "os.path.commonpath",
    "os.path.sep",
}  # fmt: skip
REACHING = {"open", "exec", "eval", "compile", "__import__"}
# Of a member of an archive, ahead of its name.
_HEADER_BYTES = 30
# Year to second, as an archive has it.
Moment = tuple[int, int, int, int, int, int]


class Module(NamedTuple):
    """A module: its full name, whether it is a package, its source."""

    name: str
    is_package: bool
    text: str

    @property
    def package(self) -> str:
        """The package that it is in, or is."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def row(self) -> str:
        """The package below the outermost one that it belongs to."""
        return self.name.split(".")[1]

    @property
    def reckons(self) -> bool:
        """Whether it reaches nothing outside by itself."""
        return _named(self.text) <= RECKONING

    @property
    def path(self) -> str:
        """Where its source is, below lib/."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")


class Place(NamedTuple):
    """Where a module is: file, first byte, bytes, checksum, bytes where it is packed (else 0)."""

    file: str
    start: int
    length: int
    checksum: int
    packed: int


@functools.cache
def _named(text: str) -> set[str]:
    """Return what a module imports from elsewhere, by the first part of the name, and what it reaches outside with."""
    named: set[str] = set()
    handed = 0  # how often `os` itself is, and not something of it
    for node in ast.walk(ast.parse(text)):
        handed += isinstance(node, ast.Name) and node.id == "os"
        handed -= isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] if alias.name != "os" or alias.asname else "" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            named.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Name) and node.id in REACHING:
            named.add(node.id)
        elif isinstance(node, ast.Attribute) and (spelled := ast.unparse(node)).startswith("os."):
            named |= {spelled} - SPELLING if spelled.count(".") < 3 else set()
    return (named | {"os"} if handed else named) - {""}


def modules(lib: Path) -> list[Module]:
    """Return the modules of the program, in the order of their names, but for the outermost package."""
    found = []
    for path in sorted((lib / "session_closer").rglob("*.py")):
        parts = path.relative_to(lib).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if name != "session_closer":
            found.append(Module(name, is_package, path.read_text(encoding="utf-8")))
    return found


def published(text: str, *, shows: bool) -> str:
    """Return a module's text without comments, `from __future__` and docstrings, unless it shows these.

    Each line keeps its number, so that what a bug report names is found in the sources.
    """
    if text and FUTURE not in text:
        raise SystemExit(f"a module without {FUTURE.strip()!r}: {text[:80]!r}")
    lines = text.replace(FUTURE, "\n", 1).splitlines()
    if not shows:
        _drop_docstrings(text, lines)
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.COMMENT:
            number, column = token.start
            lines[number - 1] = lines[number - 1][:column].rstrip()
        elif token.type in (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)):
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
    short = [line if number in inside else _indented(line) for number, line in enumerate(lines, 1)]
    done = "\n".join(short).rstrip("\n") + "\n" if any(short) else ""
    _hold_alike(text, done, shows=shows)
    return done


def _indented(line: str) -> str:
    """Return a line that begins with a tab for each step of its depth."""
    bare = line.lstrip(" ")
    steps, rest = divmod(len(line) - len(bare), 4)
    return "\t" * steps + " " * rest + bare if bare else ""


def _drop_docstrings(text: str, lines: list[str]) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            said = node.body[0]
            assert said.end_lineno is not None
            for number in range(said.lineno, said.end_lineno + 1):
                lines[number - 1] = ""
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                lines[said.lineno - 1] = " " * said.col_offset + "pass"


def _hold_alike(text: str, done: str, *, shows: bool) -> None:
    """Hold that what is published is the same program, line by line."""
    before, after = ast.parse(text), ast.parse(done)
    before.body = [node for node in before.body if not _is_future(node)]
    for node in ast.walk(before):
        if not shows and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            _without_docstring(node)
    if ast.dump(before) != ast.dump(after) or _numbers(before) != _numbers(after):
        raise SystemExit(f"a module that would not be published as it is: {text[:80]!r}")


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
    if ast.get_docstring(node) is not None:
        said, *more = node.body
        node.body = more or ([] if isinstance(node, ast.Module) else [ast.Pass(lineno=said.lineno)])


def _numbers(tree: ast.Module) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def merged(found: list[Module], version: str) -> tuple[dict[str, bytes], dict[str, Place]]:
    """Return the files that hold what acts, and where in them each is."""
    files: dict[str, bytearray] = {}
    places = {}
    for module in found:
        if module.reckons:
            continue
        name = module.package.removeprefix("session_closer.") + ".py"
        head = f"# session-closer {version}: the modules of {module.package}, one behind another; see __init__.py.\n"
        file = files.setdefault(name, bytearray(head.encode()))
        file += f"\n# ==== {module.path}\n".encode()
        text = published(module.text, shows=module.name.startswith(SHOWN)).encode()
        places[module.name] = Place(name, len(file), len(text), zlib.crc32(text), 0)
        file += text
    return {name: bytes(file) for name, file in files.items()}, places


def archived(found: list[Module], when: Moment) -> tuple[dict[str, bytes], dict[str, Place]]:
    """Return the archives of what only reckons, one a row of the house, sources as they are, and where each is."""
    files, places = {}, {}
    for row in sorted({module.row for module in found if module.reckons}):
        whole, name = io.BytesIO(), f"{row}.zip"
        with zipfile.ZipFile(whole, "w") as archive:
            for module in (module for module in found if module.reckons and module.row == row):
                text = module.text.encode()
                add(archive, module.path, text, 0o644, when)
                member = archive.getinfo(module.path)
                start = member.header_offset + _HEADER_BYTES + len(module.path)
                places[module.name] = Place(name, start, len(text), zlib.crc32(text), member.compress_size)
        files[name] = whole.getvalue()
    return files, places


def add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int, when: Moment) -> None:
    """Put a file into an archive, the same bytes on every machine."""
    member = zipfile.ZipInfo(name, when)
    member.create_system = 3
    member.external_attr = (0o100000 | mode) << 16
    archive.writestr(member, content, zipfile.ZIP_DEFLATED, 9)
