"""Session keys, agent ids and project ids as they come from a command line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from session_closer.core import escape, keys
from session_closer.core.errors import UsageProblem


def test_a_project_id_stands_for_canonical_legacy_and_bare_keys() -> None:
    assert keys.target("kelly", None).candidates == (
        "agent:project-lead:kelly",
        "agent:project-lead:project-kelly",
        "kelly",
        "project-kelly",
    )


def test_a_full_key_names_its_own_agent() -> None:
    assert keys.target("agent:researcher:kelly", None) == keys.Target(
        "agent:researcher:kelly", "researcher", ("agent:researcher:kelly",)
    )


def test_a_key_of_another_agent_than_asked_for_is_a_usage_problem() -> None:
    # Unless agent main has such a row.
    found = keys.target("agent:researcher:kelly", "main")
    assert found == keys.Target("agent:researcher:kelly", "main", ("agent:researcher:kelly",))
    slip = keys.slip(found.given, found.agent)
    assert slip is not None
    assert "researcher" in slip.message


@pytest.mark.parametrize("word", ["", "a\udc80"])
def test_a_name_that_is_no_text_is_refused(word: str) -> None:
    with pytest.raises(UsageProblem):
        keys.target(word, None)


@pytest.mark.parametrize("agent", ["", "Main", "-x", "a b", "../x", "a" * 65, "--dry-run"])
def test_a_word_that_is_no_agent_id_is_refused(agent: str) -> None:
    with pytest.raises(UsageProblem):
        keys.check_agent(agent)


@pytest.mark.parametrize(
    "key",
    [
        "agent:a:main",
        "agent:A:MAIN",
        "agent:a:global",
        "global",
        "unknown",
        "main",
        "",
        " ",
        "agent:a:",
        "agent:a:ma\u017fn".replace("\u017f", "i"),
    ],
)
def test_main_sessions_are_recognised(key: str) -> None:
    assert keys.is_main(key)


@pytest.mark.parametrize(
    "key", ["agent:a:main:thread:1", "agent:a:project-main", "agent:main:x", "agent:a:mainly", "x:main"]
)
def test_other_sessions_are_not_taken_for_main(key: str) -> None:
    assert not keys.is_main(key)


@given(st.text())
def test_no_control_character_reaches_a_message(text: str) -> None:
    for shown in (escape.quoted(text), escape.plain(text)):
        assert shown.isprintable()


@given(st.text(st.characters(max_codepoint=127)))
def test_an_ascii_key_is_folded_as_any_other(key: str) -> None:
    normal = unicodedata.normalize("NFC", key)
    assert keys.folded(key) == unicodedata.normalize("NFC", normal.casefold()).strip()


@given(st.lists(st.sampled_from(["agent", "Main", "GLOBAL", "unknown", "x", "", " ", "\u017f", ":"])).map(":".join))
@example("agent:x: ")
@example("agent:x:")
@example(" ")
def test_a_main_session_is_a_bare_word_or_the_third_of_three(key: str) -> None:
    kept, parts = {"main", "global", "unknown"}, keys.folded(key).split(":")
    # A name of blanks behind its agent can be typed, so it may go; one that is nothing at all cannot.
    full = len(parts) == 3 and parts[0] == "agent" and (parts[2] in kept or key.endswith(":"))
    assert keys.is_main(key) is (keys.folded(key) in {*kept, ""} or full)
