"""Whose a file among Hermes' sessions is: names as 0.13 and as 0.18 write them, and the id in the text."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from session_closer.hermes import names
from session_closer.hermes.names import Named


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


@pytest.mark.parametrize(
    ("session_id", "name"),
    [
        ("20261128_101112_0a1b2c", "20261128_101112_0a1b2c"),
        ("client@example.com:42", "client_example_com_42_6e6061ee291a"),
        ("_lead.ing_", "lead_ing_02ac55b4474e"),
        ("", "session_e3b0c44298fc"),
        (" spaced ", "spaced"),
        ("session", "session"),
        ("größe-1", "größe-1"),
        ("../../etc/passwd", "etc_passwd_" + _hash(b"../../etc/passwd")),
        ("\ud800", "session_" + _hash(b"\xed\xa0\x80")),
        ("x" * 96, "x" * 96),
        ("x" * 97, "x" * 96 + "_" + _hash(b"x" * 97)),
    ],
)
def test_an_id_gets_the_name_that_hermes_gives_it(session_id: str, name: str) -> None:
    assert names.safe(session_id) == name


@given(st.text())
@example("_x")
@example("x\n")
def test_all_names_of_an_id_lead_back_to_it(session_id: str) -> None:
    owners = names.owners([session_id])
    assert owners[session_id] == owners[names.safe(session_id)] == session_id
    assert re.fullmatch(r"[\w-]+", names.safe(session_id))


def test_of_two_ids_with_one_name_the_first_has_it() -> None:
    free, used = "client_example_com_42_6e6061ee291a", "client@example.com:42"
    assert names.safe(used) == free
    assert names.owners([used, free])[free] == used
    assert names.owners([free, used])[free] == free


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("session_20261128_101112_0a1b2c.json", Named("session_json", "20261128_101112_0a1b2c")),
        ("session_foo_bar.json", Named("session_json", "foo_bar")),
        ("request_dump_foo_20261128_101112_123456.json", Named("request_dump", "foo")),
        ("request_dump_foo_bar_20261128_101112_123456.json", Named("request_dump", "foo_bar")),
        (
            "request_dump_20261128_101112_0a1b2c_20261129_101112_123456.json",
            Named("request_dump", "20261128_101112_0a1b2c"),
        ),
        ("20261128_101112_0a1b2c.jsonl", Named("transcript_jsonl", "20261128_101112_0a1b2c")),
        ("sessions.json", None),
        ("session_.json", None),
        ("Session_foo.json", None),
        ("session_foo.JSON", None),
        ("session_foo.json.bak", None),
        ("session_foo.json\n", None),
        ("request_dump_foo.json", None),
        ("request_dump_20261128_101112_123456.json", None),
        (".sessions_x.tmp", None),
        (".jsonl", None),
        (".hidden.jsonl", None),
        ("foo.json", None),
    ],
)
def test_a_name_says_its_kind_and_the_whole_name_of_its_session(file: str, named: Named | None) -> None:
    assert names.parse(file) == named


def test_a_text_says_whose_it_is_in_its_head(tmp_path: Path) -> None:
    path = tmp_path / "session_copy.json"
    path.write_text(json.dumps({"session_id": 'a "b" ü', "messages": ["x" * 10_000]}, indent=2))
    assert names.inside(str(path)) == {'a "b" ü'}
    # A word of a message is no key.
    path.write_text(json.dumps({"session_id": "a", "messages": ['{"session_id": "b"}']}))
    assert names.inside(str(path)) == {"a"}


def test_an_id_far_behind_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "session_copy.json"
    path.write_text(json.dumps({"messages": ["x" * 10_000], "session_id": "late"}))
    assert names.inside(str(path)) == {"late"}


@pytest.mark.parametrize("text", [b"", b"{", b'{"session_id": 5}', b'{"session_id": "\\x"}', b'{"session_id": "\xff"}'])
def test_a_text_that_says_nothing_is_nobodys(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "session_x.json"
    path.write_bytes(text)
    assert names.inside(str(path)) == frozenset()


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text('{"session_id": "a"}')
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="symbolic"):
        names.inside(str(tmp_path / "link"))
