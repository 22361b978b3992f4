"""The table is aligned, fits its terminal, and no key breaks it."""

from __future__ import annotations

import json
import os
import re
import unicodedata

import pytest
from session_closer.cli import streams
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.core.escape import plain
from support.commands import run
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD, session_id
from support.listing import KEYS, KNOWN, keys_of, listed
from support.programs import LIB
from support.stores import Store
from support.terminal import STYLE, on_terminal
from support.trees import write

RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
BIN = LIB.parent / "bin" / "list-sessions"


def test_the_table_is_aligned_with_the_key_last(filled: Store) -> None:
    counted, heads, *lines = run(ListSessions, state=filled.state).stdout.splitlines()
    assert counted == "8 sessions"
    assert heads.split() == ["AGE", "KIND", "STATUS", "SIZE", "PROTECTED", "KEY"]
    at = heads.index("KEY")
    assert [line[at:] for line in lines] == KEYS
    # A slow machine may take a minute.
    assert [line.split()[0] for line in lines[2:]] == ["3h", "4h", "25h", "2d", "10d", "?"]
    assert [line[heads.index("PROTECTED") :].split()[0] for line in lines] == [why or "-" for *_, why in KNOWN]


def test_the_model_is_shown_with_verbose_or_where_it_fits(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def heads(*words: str, width: int | None) -> list[str]:
        monkeypatch.setattr(streams, "width", lambda: width)
        return STYLE.sub("", run(ListSessions, *words, state=filled.state).stdout).splitlines()[1].split()

    assert "MODEL" not in heads(width=None)
    assert "MODEL" in heads("--verbose", width=None)
    assert "MODEL" in heads("--verbose", width=100)
    assert "MODEL" in heads(width=200)
    lines = STYLE.sub("", run(ListSessions, state=filled.state).stdout).splitlines()
    needed = max(map(len, lines))
    assert "MODEL" in heads(width=needed)
    assert "MODEL" not in heads(width=needed - 1)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0K"),
        (5000, "4.9K"),
        (10_240, "10K"),
        (1_000_000, "977K"),
        (5 << 20, "5.0M"),
    ],
)
def test_sizes_are_short(store: Store, size: int, shown: str) -> None:
    key = LEAD + "sized"
    store.write({key: {"sessionId": session_id(key)}})
    with (store.folder() / f"{session_id(key)}.jsonl").open("wb") as file:
        file.truncate(size)
    (line,) = run(ListSessions, "--agent", "project-lead", state=store.state).stdout.splitlines()[2:]
    assert line.split()[3] == shown


def columns(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


HOSTILE = [
    LEAD + "\x1b[2J\x1b[1;1H", LEAD + "a\nb", LEAD + "a\rb", LEAD + "\x9b31m", LEAD + "\u202egnp.exe",
    LEAD + "漢字" * 60, LEAD + "x" * 3000, LEAD + "\udc80", LEAD + "e\u0301" * 30, LEAD + "🦊" * 50, LEAD + "\x00",
    "\x07", "", LEAD + "a b  c", "\u2028", LEAD + "\t\t",
]  # fmt: skip


@pytest.fixture
def hostile(store: Store) -> Store:
    """Keys, states, models and kinds of chat that nobody should print as they are."""
    bad = {"status": "\x1b]0;x\x07" * 20, "model": "m\u202e" + "漢" * 90, "chatType": "\x1b[31m"}
    # As escapes: half a surrogate pair is no UTF-8, but it is JSON.
    write(store.index(), json.dumps({key: {"sessionId": session_id(repr(key)), **bad} for key in HOSTILE}))
    return store


@pytest.mark.parametrize("words", [(), ("--verbose",)])
@pytest.mark.parametrize("width", [None, 200, 80, 40, 10, 1])
def test_no_key_moves_the_cursor_or_breaks_the_table(
    hostile: Store, monkeypatch: pytest.MonkeyPatch, width: int | None, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(streams, "width", lambda: width)
    result = run(ListSessions, *words, "--agent", "project-lead", state=hostile.state)
    said = STYLE.sub("", result.stdout)
    lines = said.split("\n")
    assert not RAW.search(said)
    if width is None:
        assert len(lines) == len(HOSTILE) + 3
    # Where there is room for a table, keys go on in the next line: none is cut, wherever the terminal ends.
    if width is not None and width >= 200:
        assert max(map(columns, lines)) <= width
    together = "".join(said.split())
    assert [key for key in HOSTILE if "".join(plain(key).split()) not in together] == []
    assert lines[0] == f"{len(HOSTILE)} sessions"


def test_every_key_is_itself_in_json(hostile: Store) -> None:
    answer = listed(hostile, "--agent", "project-lead")
    assert set(keys_of(answer)) == set(HOSTILE)


def test_a_bare_key_is_shown_with_its_agent(store: Store) -> None:
    store.write({"global": {}}, "researcher")
    store.write({"global": {}}, "main")
    lines = run(ListSessions, "--kind", "main", state=store.state).stdout
    assert "  global (agent main)\n" in lines
    assert "  global (agent researcher)\n" in lines
    assert "(agent project-lead)" not in lines


@pytest.mark.parametrize("width", [60, 84, 132])
def test_the_table_fits_a_real_terminal(filled: Store, width: int) -> None:
    seen = on_terminal("list-sessions", state=filled.state, width=width)
    lines = seen.words.splitlines()
    assert seen.code == 0
    assert not RAW.search(seen.words)
    # A column for the keys that would tear them apart is none: there the terminal itself goes on in the next line.
    assert (max(map(len, lines)) <= width) is (width > 60)
    together = "".join(seen.words.split())
    assert [key for key, *_ in KNOWN if key not in together] == []
    assert ("MODEL" in lines[1]) is (width == 132)


def test_no_openclaw_command_is_started_for_a_gateway_that_lets_nobody_in(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway
) -> None:
    stub.tell(refuse="connect")
    answer = listed(served)
    assert (answer.code, answer.data["totalCount"], answer.data["gateway"]["state"]) == (0, 18, "up")
    assert openclaw.calls("status") == openclaw.calls("call") == []


def test_the_script_runs_from_the_checkout(store: Store) -> None:
    assert os.access(BIN, os.X_OK)
    assert 'bootstrap.run("list_sessions")' in BIN.read_text()
