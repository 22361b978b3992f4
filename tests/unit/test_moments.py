"""No test holds a date that today will reach, or that a rule of days will overtake."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Older than any rule of days even when it was written down, or further ahead than anybody will run this.
SAFE = (2021, 2090)
YEAR = 365.2425 * 24 * 60 * 60
TEXT = re.compile(r"(?<!\d)(\d{4})-?[01]\d-?[0-3]\d(?!\d)")
# Pure, so without a clock (test_architecture.py), and a query for these very days.
WITHOUT_A_CLOCK = ("tests/unit/", "tests/live/test_closing.py")


def near(value: object) -> bool:
    """Tell whether a literal is a moment near today: a date, or seconds, ms or ns since 1970."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        years = [int(year) for year in TEXT.findall(value)]
        return any(SAFE[0] <= year < SAFE[1] for year in years) or (value.isdecimal() and near(int(value)))
    if type(value) not in (int, float):
        return False
    assert isinstance(value, int | float)
    return any(SAFE[0] <= 1970 + value / unit / YEAR < SAFE[1] for unit in (1, 1e3, 1e9) if abs(value) < 1e20)


def literals(source: str) -> Iterator[tuple[int, object]]:
    """Return line and value of each literal that is no docstring, and the dates that calls spell out."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in told:
            yield node.lineno, node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("datetime", "date"):
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            if len(words) > 2:
                yield node.lineno, "-".join(f"{word:0>2}" for word in map(str, words[:3]))


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("x = 1_795_000_000_000", True),
        ("x = 1_795_000_000", True),
        ("x = '1795000000000'", True),
        ("x = f'a.deleted.2026-11-21T00-41-24.769Z.{y}'", True),
        ("x = b'20261121T004124.769Z'", True),
        ("x = datetime(2026, 11, 21, tzinfo=UTC)", True),
        ("'''Written 2026-11-21.'''", False),
        ("x = '2016-11-21', '2099-11-21', datetime(2001, 1, 1)", False),
        ("x = 1_600_000_000_000, 2**31 - 5, 1000, 2026, -5, 10**40, 1e300", False),
    ],
)
def test_a_moment_near_today_is_seen(source: str, holds: bool) -> None:
    assert any(near(value) for _, value in literals(source)) is holds


@pytest.mark.long
def test_no_moment_near_today_is_written_down() -> None:
    """Reckon it from now (support/moments.py), or take one that lies far outside of SAFE."""
    sources = [*sorted((ROOT / "tests").rglob("*.py")), ROOT / "lib/session_closer/openclaw/sample.py"]
    found = [
        f"{name}:{line}: {value!r}"
        for path in sources
        if not (name := path.relative_to(ROOT).as_posix()).startswith(WITHOUT_A_CLOCK)
        for line, value in literals(path.read_text())
        if near(value)
    ]
    assert found == []
