"""The help of a command: what it is for, its options and its exit codes (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Below it an option and what it is for have no room beside each other.
_LEAST_COLUMNS = 60


def lines(
    purpose: str, usage: str, options: Sequence[tuple[str, str]], codes: Sequence[str], width: int | None
) -> Iterator[str]:
    """Yield the lines, broken at words for a terminal of `width` columns; None: as they are."""
    wanted = width if width is not None and width >= _LEAST_COLUMNS else None
    paragraphs = purpose.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        written = [line.strip() for line in paragraph.strip("\n").splitlines()]
        if wanted is None or max(map(len, written)) <= wanted:
            yield from written
        else:
            yield from _wrapped(" ".join(written), "", wanted)
        if number < len(paragraphs) - 1:
            yield ""
    yield from _wrapped(usage, "    ", wanted)
    yield ""
    room = max(len(spelled) for spelled, _ in options)
    for spelled, about in options:
        yield from _wrapped(f"  {spelled:<{room}}  {about}", " " * (room + 4), wanted)
    yield from ("", "exit codes:")
    for code in codes:
        yield from _wrapped(f"  {code}", "    ", wanted)


def _wrapped(line: str, hanging: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    import textwrap  # only for a narrow terminal

    return textwrap.wrap(line, width, subsequent_indent=hanging, break_on_hyphens=False, break_long_words=False)
