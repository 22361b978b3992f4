"""On a terminal what only prints may look better: in colours, wrapped, with a bar; nothing of the data takes part."""

from __future__ import annotations

import json
import re

import pytest
from support.commands import run_process
from support.keys import LEAD, session_id
from support.stores import Store
from support.terminal import RAW, SLOWLY, STYLE, on_terminal
from support.trees import write

WIDTHS = [20, 60, 80, 132]


@pytest.fixture
def odd(store: Store) -> Store:
    """Keys that a library for terminals could take for orders of its own."""
    names = ["[red]x[/red]", ":smile:", "[/]", "漢字" * 40, "x" * 300, "a\x1b[31mb"]
    keys = [LEAD + name for name in names]
    write(store.index(), json.dumps({key: {"sessionId": session_id(repr(key))} for key in keys}))
    return store


@pytest.mark.parametrize("width", WIDTHS)
def test_data_is_neither_markup_nor_an_order(odd: Store, width: int) -> None:
    seen = on_terminal("list-sessions", "--agent", "project-lead", state=odd.state, width=width)
    assert not RAW.search(seen.words)
    if width >= 80:
        assert "[red]x[/red]" in seen.words
        assert ":smile:" in seen.words
    closed = on_terminal("keep-only-sessions", "--dry-run", LEAD + "[/]", "--yes", state=odd.state, width=width)
    assert closed.code == 0, closed.text
    assert not RAW.search(closed.words)
    assert "[red]x[/red]" in closed.words.replace("\n", "") or width < 60


def test_the_words_are_those_of_a_pipe(store: Store) -> None:
    words = ("--dry-run", "alpha", "nowhere")
    piped = run_process("close-project-batch", *words, state=store.state)
    drawn = on_terminal("close-project-batch", *words, state=store.state, width=400)
    assert drawn.code == piped.code == 1
    assert sorted(drawn.words.split()) == sorted((piped.stdout + piped.stderr).split())


@pytest.mark.parametrize("code", ["NO_COLOR", "TERM"])
def test_no_styles_where_none_are_wanted_or_shown(store: Store, code: str) -> None:
    seen = on_terminal("list-sessions", state=store.state, width=132, **{code: "dumb"})
    assert not RAW.search(seen.text)
    assert "AGE" in seen.text


def test_styles_where_they_are_forced(store: Store) -> None:
    seen = on_terminal("list-sessions", state=store.state, width=132, TERM="dumb", FORCE_COLOR="1")
    assert STYLE.search(seen.text)
    assert not STYLE.search(run_process("list-sessions", state=store.state, env={"FORCE_COLOR": "1"}).stdout)


def test_json_on_a_terminal_is_the_same_document(store: Store) -> None:
    piped = run_process("list-sessions", "--json", state=store.state).stdout
    seen = on_terminal("list-sessions", "--json", state=store.state).text

    def without_ages(text: str) -> str:
        return re.sub(r'"ageSeconds": \d+', "", text)

    assert without_ages(seen) == without_ages(piped)


@pytest.mark.parametrize("width", WIDTHS)
def test_help_is_wrapped_at_words_and_says_the_same(width: int) -> None:
    seen = on_terminal("cleanup-sessions", "--help", width=width)
    assert seen.words.split() == run_process("cleanup-sessions", "--help").stdout.split()
    if width >= 60:
        assert max(map(len, seen.words.splitlines())) <= width
    assert not RAW.search(seen.text)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_long_run_shows_how_far_it_is_and_leaves_nothing_of_it(served: Store, words: tuple[str, ...]) -> None:
    names = [f"many-{at}" for at in range(12)]
    served.add(*((LEAD + name, served.session(LEAD + name)) for name in names))
    seen = on_terminal("close-project-batch", *words, *names, state=served.state, before=SLOWLY, NO_COLOR="1")
    assert seen.code == 0
    steps = re.findall(r"\r([^\r\n]*)\x1b\[K", seen.text)
    assert [step for step in steps if "6 of 12" in step]
    assert any("━" in step for step in steps) is not bool(words)
    # Each takes two seconds, so less than one is done in one.
    assert any("6 of 12  0.5/s  12 s left" in step for step in steps) is not bool(words)
    assert max(map(len, steps)) < 80
    assert steps[-1] == ""


@pytest.mark.long
def test_files_that_are_put_away_or_brought_back_are_counted_on_a_terminal_alone(store: Store) -> None:
    names = [f"many-{at}" for at in range(12)]
    store.add(*((LEAD + name, store.session(LEAD + name)) for name in names))
    for command, *words in (("close-project-batch", *names), ("restore-sessions", "last")):
        seen = on_terminal(command, *words, state=store.state, before=SLOWLY, NO_COLOR="1")
        assert seen.code == 0
        assert re.search(r"\r[^\r\n]*━[^\r\n]*6 of 12[^\r\n]*\x1b\[K", seen.text)
    piped = run_process("close-project-batch", "--verbose", *names, state=store.state, before=SLOWLY)
    assert (piped.code, piped.stderr) == (0, "")


@pytest.mark.long
def test_of_several_agents_a_terminal_shows_how_many_are_done(store: Store) -> None:
    for agent in ("project-lead", "researcher", "writer"):
        keys = [f"agent:{agent}:subagent:many-{at}" for at in range(6)]
        store.add(*((key, store.session(key, agent=agent)) for key in keys), agent=agent)
    for command, *words in (("cleanup-sessions", "--stale", "subagent=1d"), ("restore-sessions", "last")):
        seen = on_terminal(command, *words, state=store.state, before=SLOWLY, NO_COLOR="1")
        assert seen.code == 0
        steps = re.findall(r"\r([^\r\n]*)\x1b\[K", seen.text)
        assert [step for step in steps if re.fullmatch(r"1 of 3 agents +━.*[0-6] of 6.*", step)], steps
        assert steps[-1] == ""
