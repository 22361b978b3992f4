"""What the benchmark writes into docs/performance.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import page
from bench.page import Goal

OTHER = "<!-- other -->\n\n| goal | measured |  |\n|---|---|---|\n| undo: ≤ 2.0 of the close | 9.9 | missed |\n\n"
OTHER += "<!-- /other -->\n"


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a page with an empty part, and one of which nothing is to change."""
    path = tmp_path / "performance.md"
    path.write_text(f"Undo.\n\n<!-- undo -->\n<!-- /undo -->\n\nOthers.\n\n{OTHER}")
    monkeypatch.setattr(page, "PAGE", path)
    return path


def write(*reached: Goal) -> list[str]:
    """Put a run into the page, and return the rows of its goals."""
    told = page.goals("undo", reached)
    page.put("undo", told)
    return told.splitlines()[2:]


def test_a_goal_has_beside_it_what_the_run_before_measured(shown: Path) -> None:
    assert write(Goal("undo: ≤ 2.0 of the close (the least 1.1)", 1.95, 2.0), Goal("memory: ≤ 3 MiB", 3.4, 3)) == [
        "| undo: ≤ 2.0 of the close (the least 1.1) | 1.95 |  | met |",
        "| memory: ≤ 3 MiB | 3.4 |  | missed |",
    ]
    # What was measured beside a goal is no part of its name, and more than a tenth away is said.
    assert write(Goal("undo: ≤ 2.0 of the close (the least 1.3)", 2.0, 2.0), Goal("memory: ≤ 3 MiB", 2.9, 3)) == [
        "| undo: ≤ 2.0 of the close (the least 1.3) | 2 | 1.95 | met |",
        "| memory: ≤ 3 MiB | 2.9 | 3.4, 15% away | met |",
    ]
    assert write(Goal("memory: ≤ 3 MiB", 3, 3)) == ["| memory: ≤ 3 MiB | 3 | 2.9 | met |"]
    assert shown.read_text().startswith("Undo.\n\n<!-- undo -->\n")
    assert shown.read_text().endswith(f"<!-- /undo -->\n\nOthers.\n\n{OTHER}")


def test_a_part_that_the_page_does_not_have_is_not_written(shown: Path) -> None:
    before = shown.read_text()
    with pytest.raises(AssertionError, match="no marks for closing"):
        page.put("closing", "told")
    assert shown.read_text() == before
