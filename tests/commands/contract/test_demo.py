"""--demo touches nothing, and says so."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from support.commands import run_json, run_process
from support.contract import check_envelope, homes, words_of_shell
from support.trees import tree


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("close-project", ("kelly-dashboard",)),
        ("close-project-batch", ("kelly-dashboard", "hydration-tracker")),
        ("keep-only-sessions", ("kelly-dashboard",)),
    ],
)
def test_the_demo_touches_nothing(world: Path, closed_port: int, name: str, words: tuple[str, ...]) -> None:
    store = homes(world, closed_port, ".openclaw")[".openclaw"]
    before = tree(store.state)
    result = run_process(name, "--demo", *words)
    assert result.code == 0
    assert "before" in result.stdout
    assert "after" in result.stdout
    assert tree(store.state) == before
    assert os.listdir(world / "tmp") == []


def test_the_demo_says_that_its_files_are_gone_and_its_counts_agree(world: Path) -> None:
    said = run_process("close-project-batch", "--demo", "kelly-dashboard", "hydration-tracker").stdout
    about = said.partition("\n")[0]
    assert "removed at the end, with every file that is named below" in about
    for line in said.splitlines():
        if line.startswith(("backup ", "receipt ")):
            assert not Path(line.split()[1]).exists()
    counts = re.findall(r"^  agent (\S+), (\d+) sessions$", said, re.MULTILINE)
    assert counts[:3] == [("main", "2"), ("project-lead", "12"), ("researcher", "2")]
    assert counts[3:] == [("main", "2"), ("project-lead", "8"), ("researcher", "2")]
    assert "\n4 closed, 8 kept; put away 1.1 KB, freed 0 B now\n" in said
    for part, sessions in zip(said.split("\nafter\n"), (16, 12), strict=True):
        assert len(re.findall(r"^    \S", part, re.MULTILINE)) == sessions


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("words", [("close-project", "nope"), ("keep-only-sessions", "--agent", "main", "nope")])
def test_a_name_that_the_sample_lacks_leads_to_nothing_of_the_persons_own(words: tuple[str, ...]) -> None:
    name, *rest = words
    result = run_process(name, "--demo", *rest)
    said = result.stdout + result.stderr
    assert "they are listed above" in said
    assert "list-sessions" not in said


def test_the_demo_speaks_json(world: Path) -> None:
    answer = run_json(CloseProject, "--demo", "kelly-dashboard")
    check_envelope(answer)
    assert answer.code == 0
    assert answer.data["gateway"]["state"] == "down"


def test_shell_quoting_helper_reads_what_shlex_writes() -> None:
    words = ["a b", "c'd", 'e"f', "$(g)"]
    assert words_of_shell(shlex.join(words)) == words
