"""Whatever sessions.json holds: it is refused as it is, or every byte that was not closed stays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.openclaw.files import document
from support.commands import run, run_json
from support.hostile import KEPT, TARGET, check_refused, close
from support.keys import LEAD
from support.patience import it_ends
from support.stores import Store
from support.trees import tree

GOOD = b'{"agent:project-lead:target": {"sessionId": "t"}, "agent:project-lead:kept": {"sessionId": "k"}}'
CORRUPT: dict[str, bytes | Callable[[], bytes]] = {
    "0 bytes": b"",
    "blanks": b" \r\n\t\n",
    "NUL block": b"\0" * 4096,
    "NUL block at the end": GOOD + b"\0" * 512,
    "NUL block in the middle": GOOD[:40] + b"\0" * 16 + GOOD[40:],
    "truncated in a value": GOOD[:-30],
    "truncated in a key": GOOD[:10],
    "truncated before the last brace": GOOD[:-1],
    "only a brace": b"{",
    "two objects": GOOD + b"\n" + GOOD,
    "text behind": GOOD + b" x",
    "line comment": b"// mine\n" + GOOD,
    "block comment": GOOD.replace(b"{", b"{ /* mine */", 1),
    "trailing comma": GOOD[:-1] + b",}",
    "single quotes": GOOD.replace(b'"', b"'"),
    "no colon": GOOD.replace(b": ", b" ", 1),
    "no comma": GOOD.replace(b"}, ", b"} "),
    "bare key": GOOD.replace(b'"agent:project-lead:kept"', b"kept"),
    "form feed": b"\x0c" + GOOD,
    "no-break space": b"\xc2\xa0" + GOOD,
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without BOM": GOOD.decode().encode("utf-16-le"),
    "invalid UTF-8": GOOD.replace(b'"k"', b'"\xff\xfe"'),
    "invalid UTF-8 in a key": GOOD.replace(b"kept", b"k\xc3pt"),
    "overlong UTF-8": GOOD.replace(b'"k"', b'"\xc0\xaf"'),
    "surrogate in UTF-8": GOOD.replace(b'"k"', b'"\xed\xa0\x80"'),
    "UTF-8 cut off at the end": GOOD + b"\xe2\x82",
    "NaN": GOOD.replace(b'"k"', b"NaN"),
    "Infinity": GOOD.replace(b'"k"', b"Infinity"),
    "-Infinity": GOOD.replace(b'"k"', b"-Infinity"),
    "control character in a string": GOOD.replace(b'"k"', b'"a\nb"'),
    "bad escape": GOOD.replace(b'"k"', b'"\\x41"'),
    "leading zero": GOOD.replace(b'"k"', b"007"),
    "plus": GOOD.replace(b'"k"', b"+1"),
    "root list": b"[" + GOOD + b"]",
    "root null": b"null",
    "root string": b'"{}"',
    "root number": b"0",
    "root true": b"true",
    "duplicate key": GOOD[:-1] + b', "agent:project-lead:kept": {}}',
    "duplicate key, escaped": GOOD[:-1] + b', "agent:project-lead:k\\u0065pt": {}}',
    "duplicate key, not ASCII": '{"é": {}, "\\u00e9": {}}'.encode(),
    "100,000 nested arrays": lambda: GOOD.replace(b'"k"', b"[" * 100_000 + b"]" * 100_000),
    "100,000 nested objects": lambda: GOOD.replace(b'"k"', b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


@pytest.mark.parametrize(
    ("command", "words"),
    [(CloseProjectBatch, (TARGET,)), (KeepOnlySessions, (KEPT,)), (CloseProject, (TARGET, "--force", "--yes"))],
)
@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_store_is_refused_and_stays(
    store: Store, command: type[Command], words: tuple[str, ...], name: str
) -> None:
    content = CORRUPT[name]
    store.index().write_bytes(content() if callable(content) else content)
    before = tree(store.state)
    check_refused(run(command, *words, state=store.state), str(store.index()))
    answer = run_json(command, *words, "--dry-run", state=store.state)
    assert (answer.code, answer.error) == (3, "corrupt_store")
    assert tree(store.state) == before


def test_one_corrupt_store_stops_a_batch_of_two_before_any_change(store: Store) -> None:
    store.index("researcher").write_bytes(b"{")
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", "agent:researcher:kelly-dashboard", state=store.state)
    assert answer.code == 3
    assert tree(store.state) == before


def test_a_store_over_the_size_limit_is_refused_without_being_read(store: Store) -> None:
    os.truncate(store.index(), document.MAX_BYTES + 1)
    with it_ends():
        check_refused(run(CloseProject, "alpha", state=store.state), "512 MiB")
    assert store.index().stat().st_size == document.MAX_BYTES + 1


def test_an_empty_object_is_a_store_without_sessions(store: Store) -> None:
    store.index().write_bytes(b"{}")
    before = tree(store.state)
    assert close(store).rows == [(TARGET, "not_found")]
    assert tree(store.state) == before


ODD_VALUES = [
    '{"sessionId": "k", "n": 1e400}',
    '{"sessionId": "k", "n": -1e400, "m": 0.10000000000000000000001, "z": -0, "e": 1E+2}',
    '{"sessionId": "k", "n": ' + "9" * 5000 + "}",
    '{"sessionId": "k", "s": "\\ud800", "t": "\\udfff\\ud83d"}',
    '{"sessionId": "k", "__proto__": {"x": 1}, "constructor": null}',
    '{"sessionId": "k", "s": "a\u2028b\u2029c\u0085d"}',
    '{"sessionId": "k", "a": 1, "a": 2}',
    '{"sessionId": "k", "s": "\\u0000\\/\\b\\f", "é": "\U0001f642"}',
    '{ "sessionId" :\t"k" ,\r\n "x" : [ ] }',
    "null",
    '"a string"',
    "[1, 2]",
    "7",
    "true",
    "{}",
    '{"sessionId": "k", "d": ' + "[" * 300 + "]" * 300 + "}",
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:40].encode("unicode_escape").decode())
@pytest.mark.parametrize("first", [False, True])
def test_a_kept_entry_keeps_its_bytes(store: Store, value: str, first: bool) -> None:
    kept, target = f'"{KEPT}": {value}', f'"{TARGET}": {{"sessionId": "t"}}'
    rows = [kept, target] if first else [target, kept]
    store.index().write_bytes(("{\n  " + ",\n  ".join(rows) + "\n}").encode())
    assert close(store).rows == [(TARGET, "closed")]
    assert store.index().read_bytes() == ("{\n  " + kept + "\n}").encode()


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:40].encode("unicode_escape").decode())
def test_an_odd_entry_can_be_closed(store: Store, value: str) -> None:
    store.index().write_bytes(f'{{"{TARGET}": {value}, "{KEPT}": {{"sessionId": "k2"}}}}'.encode())
    raw = store.index().read_bytes()
    answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert json.loads(store.index().read_bytes()) == {KEPT: {"sessionId": "k2"}}
    assert store.backups()[0].read_bytes() == raw


@pytest.mark.parametrize(
    "raw",
    [
        '{"K":{"sessionId":"k"},"T":{"sessionId":"t"}}',
        '{"T":{"sessionId":"t"}}',
        ' \r\n{\r\n\t"T" : {"sessionId":"t"} ,\r\n\t"K" : {"sessionId":"k"}\r\n}\r\n\r\n',
        '{"A":1,"T":{},"B":2,"K":[],"C":{}}',
        '{\n  "\u2028": {},\n  "T": {"s": "é"},\n  "__proto__": {"x": 1}\n}',
    ],
)
def test_the_rest_keeps_its_bytes_whatever_the_layout(store: Store, raw: str) -> None:
    text = raw.replace('"K"', f'"{KEPT}"').replace('"T"', f'"{TARGET}"')
    before = json.loads(text)
    store.index().write_bytes(text.encode())
    assert close(store).code == 0
    after = store.index().read_bytes()
    assert json.loads(after) == {key: value for key, value in before.items() if key != TARGET}
    left = document.scan(after, document.nothing)
    was = document.scan(text.encode(), document.nothing)
    assert [left.member_bytes(key) for key in left.members] == [was.member_bytes(key) for key in left.members]


ODD_KEYS = [
    "new\nline", 'quo"te', "back\\slash", "emoji \U0001f642", "tab\t", "nul\0", "esc\x1b[31m", "\u2028", "é",
    "e\u0301", "a:b:c", " blank ", "__proto__", "x" * 5000, "%s{}$`", "'", "../../x", "/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("tail", ODD_KEYS, ids=lambda tail: ascii(tail[:20]))
def test_exactly_the_odd_key_is_closed(store: Store, tail: str) -> None:
    key = LEAD + tail
    store.add((key, store.session("odd")), (KEPT, store.session("kept")))
    others = {other: value for other, value in store.entries().items() if other != key}
    result = run_json(CloseProject, "--session-key", key, state=store.state)
    assert (result.code, result.rows) == (0, [(key, "closed")])
    assert store.entries() == others
    assert run_json(CloseProject, key, state=store.state).rows == [(key, "already_closed")]


def test_a_key_with_a_lone_surrogate_goes_with_keep_only(store: Store) -> None:
    store.index().write_bytes(f'{{"{LEAD}\\ud800": {{"sessionId": "s"}}, "{KEPT}": {{"sessionId": "k"}}}}'.encode())
    result = run(KeepOnlySessions, KEPT, state=store.state)
    assert result.code == 0
    assert store.listed() == [KEPT]


@pytest.mark.long
def test_50000_entries_are_no_hindrance(store: Store) -> None:
    """How long they take is measured by `make bench`."""
    rows = {f"{LEAD}row-{number}": {"sessionId": f"s{number}", "updatedAt": number} for number in range(50_000)}
    store.index().write_text(json.dumps({**rows, TARGET: {"sessionId": "t"}}))
    answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert store.entries() == rows
