"""What the pages show is what the commands print: each recorded session is played again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.leavings import Leavings
from support.nanoclaw import V2Home

from .pages import section, text
from .recording import PAGES, World, blocks, normal, played, renewed

# What each fence of a page under test may be; the last two are run otherwise than by playing them.
LANGUAGES = {"console", "cron", ""}
CRON = re.compile(r"(?:\S+\s+){5}(.+)")


@pytest.fixture
def world(world: Path, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a maker of worlds; the tests' own world, without OpenClaw on PATH, is made first."""
    made: list[World] = []

    def make(**more: str) -> World:
        scratch = tmp_path / f"world-{len(made)}"
        scratch.mkdir()
        made.append(World(scratch, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


# Where the state directory is: at its usual place, and where OPENCLAW_STATE_DIR says.
@pytest.mark.parametrize(
    ("page", "state"),
    [
        ("README.md", ".openclaw"),
        pytest.param("README.md", "elsewhere", marks=pytest.mark.long),
        *(pytest.param(page, ".openclaw", marks=pytest.mark.long) for page in PAGES if page != "README.md"),
    ],
)
def test_a_recorded_session_is_what_the_commands_print(world: Callable[..., World], page: str, state: str) -> None:
    steps = played(text(page), world(state=state))
    assert steps
    for recorded, now in steps:
        said = normal(now.output)
        if state != ".openclaw":
            # The undo names a state directory that is not at its usual place.
            said = said.replace(" --state-dir /home/kelly/.openclaw", "")
        assert said == normal(recorded.output), f"{page}: {now.command}; recorded anew by: make record"


@pytest.mark.long
def test_a_recording_can_be_renewed(world: Callable[..., World]) -> None:
    page = text("README.md")
    stale = page.replace("2 closed, 7 kept", "2 closed, 8 kept")
    assert stale.count("2 closed, 8 kept") == 1
    mended = renewed(stale, world())
    assert mended.count("2 closed, 7 kept") == 1
    assert normal(mended).splitlines() == normal(page).splitlines()
    assert renewed(page, world()).splitlines() == page.splitlines(), "what is the same but for stamps stays"


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_goes_untried(page: str) -> None:
    assert {block.language for block in blocks(text(page))} <= LANGUAGES
    assert page == "README.md" or not blocks(text(page), "")


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_a_line_for_cron_can_be_run(world: Callable[..., World], page: str) -> None:
    for block in blocks(text(page), "cron"):
        there = world()
        matches = [CRON.fullmatch(line) for line in block.text.splitlines()]
        assert all(matches)
        for match in filter(None, matches):
            assert "/path/to/session-closer/" in match[1]
            state = there.state
            if "--runtime hermes" in match[1]:
                state = there.home / ".hermes"
                Leavings(state).lay_all()
            if "~/nanoclaw" in match[1]:
                state = there.home / "nanoclaw"
                V2Home(state).lay_free()
            done = there.run(match[1].replace("/path/to/session-closer", str(there.root)))
            assert done.returncode == 0, done.stdout
            assert len(list(state.glob("session-closer/receipts/*.json"))) == 1


def test_setting_up_is_two_commands(world: Callable[..., World]) -> None:
    """The second is what runs this test."""
    (block,) = blocks(section(text("README.md"), "Set-up"))
    demonstration, tests = block.text.splitlines()
    assert tests == "make test"
    assert blocks(text("README.md"), "") == [found for found in blocks(text("README.md")) if found.text == block.text]
    there = world()
    before = sorted(there.home.rglob("*.json*"))
    shown = there.run(demonstration)
    assert shown.returncode == 0, shown.stdout
    heads = [line for line in shown.stdout.splitlines() if line in ("before", "after")]
    assert heads == ["before", "after"]
    assert "4 closed, 8 kept" in shown.stdout
    assert sorted(there.home.rglob("*.json*")) == before, "a demonstration touches nothing of the user's"
    assert list(there.temp.iterdir()) == []


def test_from_a_clone_to_a_closed_session_and_back(world: Callable[..., World]) -> None:
    """What README shows leaves every store and every transcript as it was."""
    there = world()
    folder = there.state / "agents/project-lead/sessions"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    commands = [recorded.command for recorded, _ in played(text("README.md"), there)]
    assert [re.split(r"[ /]", command)[1] for command in commands] == [
        "list-sessions", "close-project", "close-project", "restore-sessions", "restore-sessions", "close-project",
        "-n",
    ]  # fmt: skip
    # What is closed with a copy is not brought back there.
    assert there.run("bin/restore-sessions last").returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if ".bak-" not in path.name} == before
    assert len(list(there.state.glob("session-closer/receipts/*.json"))) == 4
