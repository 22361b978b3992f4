"""The tables of docs/performance.md, each between two marks that name its part of the benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .side_by_side import REPOSITORY

PAGE = REPOSITORY / "docs" / "performance.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines) + "\n"


def put(part: str, text: str) -> None:
    """Print a part's text and put it into the page, in place of what was measured before."""
    print(text, flush=True)
    before, begin, rest = PAGE.read_text().partition(f"<!-- {part} -->\n")
    _, end, after = rest.partition(f"<!-- /{part} -->\n")
    assert begin, f"{PAGE.name} has no marks for {part}"
    assert end, f"{PAGE.name} has no marks for {part}"
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")
