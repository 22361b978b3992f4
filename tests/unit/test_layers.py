"""The rows of docs/design.md: who may import whom, how long a way is, what stands where."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import session_closer

ROOT = Path(session_closer.__file__).parent
TESTS = Path(__file__).parents[1]
# From the top; packages in one row do not import each other.
ROWS = (
    ("cli",),
    ("operations",),
    ("openclaw", "hermes", "nanoclaw"),
    ("ports", "artifacts"),
    ("journal",),
    ("system", "render"),
    ("core",),
)
RUNTIMES = ROWS[2]
KINDS = {"FileStore", "SqliteStore", "Files", "Database", "FileShare"}
REGISTRY = "operations.runtimes"
CHAIN = 14
TOP = 6
LINES = 300
TEST_LINES = 600
BRANCHES = 20
_BRANCHING = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.Assert, ast.match_case)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def sources() -> Mapping[str, Path]:
    """Return the source of each module by its name below session_closer."""
    return {_module(path): path for path in ROOT.rglob("*.py")}


def _imported(name: str, node: ast.ImportFrom) -> Iterator[str]:
    package = name.split(".")[: -node.level] if node.level else []
    if sources()[name].name == "__init__.py":
        package = [*name.split("."), ""][: -node.level]
    if not node.level and not (node.module or "").startswith("session_closer"):
        return
    module = ".".join((*package, *filter(None, [(node.module or "").removeprefix("session_closer").strip(".")])))
    for alias in node.names:
        whole = f"{module}.{alias.name}".strip(".")
        yield whole if whole in sources() else module


@cache
def arrows() -> Mapping[str, frozenset[str]]:
    """Return which modules each one imports: a type counts, an import in a function counts."""
    found = {}
    for name, path in sources().items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = {target for node in nodes for target in _imported(name, node)}
        found[name] = frozenset(named & sources().keys()) - {name, "__init__", ""}
    return found


def _package(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _row(name: str) -> int:
    return next(at for at, packages in enumerate(ROWS) if _package(name) in packages)


def _climbs() -> set[str]:
    pairs = ((name, to) for name, named in arrows().items() if name != "__init__" for to in named)
    return {f"{name} -> {to}" for name, to in pairs if not _allowed(name, to)}


def _allowed(name: str, to: str) -> bool:
    if _package(name) == _package(to):
        return True
    if _package(to) in RUNTIMES:
        return name == REGISTRY
    return _row(name) < _row(to)


def _circles() -> list[list[str]]:
    """Return the sets of modules that import each other, found by Tarjan's way."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for to in sorted(arrows()[name]):
            if to not in number:
                visit(to)
            if to in stack:
                low[name] = min(low[name], low[to])
        if low[name] == number[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(sources()):
        if name not in number:
            visit(name)
    return found


def _longest() -> list[str]:
    @cache
    def chain(name: str) -> tuple[str, ...]:
        return (name, *max((chain(to) for to in arrows()[name]), key=len, default=()))

    return list(max(map(chain, sources()), key=len))


def test_no_arrow_climbs_and_only_the_registry_names_a_runtime() -> None:
    assert sorted(_climbs()) == []


def test_no_files_import_each_other() -> None:
    assert _circles() == []


def test_the_longest_chain_of_imports_is_short() -> None:
    assert len(_longest()) <= CHAIN, _longest()


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(ROOT.glob("*.py"))) <= TOP


def test_a_module_is_short_and_says_first_what_it_does() -> None:
    every = {**sources(), **{path.name: path for path in ROOT.parent.glob("*.py")}}
    assert {"bootstrap.py", "first_run.py", "unable.py"} <= set(every)
    large = {name: count for name, path in every.items() if (count := len(path.read_text().splitlines())) > LINES}
    assert large == {}
    for name, path in every.items():
        if path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), name


def test_a_file_of_tests_is_short_and_says_first_what_it_proves() -> None:
    tests = [path for path in TESTS.rglob("*.py") if path.read_text()]
    large = {path.name: count for path in tests if (count := len(path.read_text().splitlines())) > TEST_LINES}
    assert large == {}
    assert [str(path) for path in tests if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_a_package_is_empty_but_for_its_modules() -> None:
    for name, path in sources().items():
        if path.name == "__init__.py" and name != "__init__":
            assert path.read_text() == "", name


def test_a_module_has_the_name_of_a_thing_or_of_what_is_asked() -> None:
    named = sorted(name for name in sources() if name.endswith("ing"))
    assert len(named) <= 3, named


def _asks_which(node: ast.AST) -> bool:
    """Tell whether this asks which kind of store, or of route to it, somebody has."""
    if isinstance(node, ast.Compare):
        asked = node.left
        return isinstance(asked, ast.Attribute) and asked.attr in ("era", "how")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        return any(ast.unparse(kind) in KINDS for kind in node.args[1:])
    return False


def test_nothing_outside_a_runtime_asks_which_kind_of_store_it_has() -> None:
    asking = {
        f"{name}:{node.lineno}"
        for name, path in sources().items()
        if _package(name) not in RUNTIMES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr) and _asks_which(node)
    }
    assert asking == set()


def _branches(function: ast.AST) -> int:
    """Return the ways through a function as ruff counts them, boolean operators and comprehensions counted, too."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
        else:
            count += isinstance(node, _BRANCHING)
    return count


def test_a_function_has_few_branches() -> None:
    over = {
        f"{name}.{node.name}"
        for name, path in sources().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and _branches(node) > BRANCHES
    }
    assert over == set()
