"""File names in a sessions folder: the forms that OpenClaw 2026.5.7 writes and parses."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import names

# dist/artifacts of openclaw@2026.5.7: ARCHIVE_TIMESTAMP_RE.
OPENCLAW_STAMP = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d{3})?Z$")
CHECKPOINT = "a1.checkpoint.12345678-1234-4123-8123-123456789012.jsonl"


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001
def test_a_stamp_is_one_that_openclaw_parses(moment: datetime) -> None:
    assert OPENCLAW_STAMP.fullmatch(names.stamp(moment))


def test_a_taken_stamp_is_followed_by_the_next_millisecond() -> None:
    moment = datetime(2026, 11, 21, 0, 41, 24, 999000, UTC)
    taken = [f"x.jsonl.deleted.{names.stamp(moment)}", "sessions.json.bak-2026-11-21T00-41-25.000Z"]
    assert names.free_stamp(moment, taken) == "2026-11-21T00-41-25.001Z"


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("a1.jsonl", "a1"),
        ("a1-topic-5.jsonl", "a1"),
        ("a1.trajectory.jsonl", "a1"),
        ("a1.trajectory-path.json", "a1"),
        (CHECKPOINT, "a1"),
        ("2026-11-21T00-41-24-769Z_a1.jsonl", "2026-11-21T00-41-24-769Z_a1"),
    ],
)
def test_a_file_belongs_to_the_session_it_is_named_after(name: str, owner: str) -> None:
    assert owner in names.owners(name)


@pytest.mark.parametrize("name", ["sessions.json", "sessions.json.lock", "a1.jsonl.lock", "notes.txt", "..jsonl"])
def test_other_files_belong_to_nobody(name: str) -> None:
    assert names.owners(name) == set()


def test_transcripts_are_archived_as_deleted_and_companions_as_bak() -> None:
    stamp = "2026-11-21T00-41-24.769Z"
    assert names.archive_name("a1.jsonl", stamp) == f"a1.jsonl.deleted.{stamp}"
    for companion in ("a1.trajectory.jsonl", "a1.trajectory-path.json", CHECKPOINT):
        assert names.archive_name(companion, stamp) == f"{companion}.bak.{stamp}"
        assert names.archived_from(f"{companion}.bak.{stamp}") == companion


@pytest.mark.parametrize(
    "value", ["", "..", "../../x", "/etc/passwd", "a b", "a\n", "a\0", "a" * 129, ".a", None, 5, []]
)
def test_a_session_id_that_is_no_plain_name_builds_no_path(value: object) -> None:
    assert not names.is_session_id(value)


def owners_by_every_pattern(name: str) -> set[str]:
    patterns = [*names._COMPANIONS.values(), names._TOPIC, names._TRANSCRIPT]
    found = {match["id"] for pattern in patterns if (match := pattern.fullmatch(name))}
    found |= {match["id"] for stem in tuple(found) if (match := names._TOPIC.fullmatch(stem + ".jsonl"))}
    found |= {match["id"] for stem in tuple(found) if (match := names._FORK.fullmatch(stem))}
    return {stem for stem in found if names.is_session_id(stem)}


PIECES = st.sampled_from(
    ["a1", ".", "-", "\n", " ", ".jsonl", ".json", ".trajectory", "-path", "-topic-", "5", ".checkpoint.", ".lock",
     ".codex-app-server", "2016-11-21T00-41-24-769Z", "_",
     "12345678-1234-4123-8123-123456789012"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=7).map("".join) | st.text(max_size=20))
def test_the_short_ways_say_what_the_patterns_say(name: str) -> None:
    companion = any(pattern.fullmatch(name) for pattern in names._COMPANIONS.values())
    found = names._TRANSCRIPT.fullmatch(name)
    assert names.owners(name) == owners_by_every_pattern(name)
    assert names.is_companion(name) is companion
    assert names.is_transcript(name) is bool(found and names.is_session_id(found["id"]) and not companion)


@pytest.mark.parametrize("stamp", ["2026-11-21T00-41-24.769Z", "2026-11-21T00-41-24Z"])
@pytest.mark.parametrize("how", ["deleted", "reset", "bak"])
@pytest.mark.parametrize("name", ["a1.jsonl", "a1.jsonl.deleted.2020-01-01T00-00-00.000Z", ".deleted.x", "..deleted."])
def test_the_moment_of_an_archive_is_that_of_its_last_ending(name: str, how: str, stamp: str) -> None:
    made = datetime(2026, 11, 21, 0, 41, 24, 769000 if "." in stamp else 0, UTC)
    for ending in ("", f".{32 * 'a'}", f".{32 * 'a'}.zst"):
        assert names.archived_at(f"{name}.{how}.{stamp}{ending}") == made


@pytest.mark.parametrize(
    "name",
    [
        ".deleted.2026-11-21T00-41-24.769Z",
        "a\nb.jsonl.deleted.2026-11-21T00-41-24.769Z",
        "a1.jsonl.deleted.2026-11-21T00-41-24.769Z.x",
        "a1.jsonl.deleted.2026-11-21T00-41-24.769Z.deleted.x",
        "a1.jsonl.deleted.2026-13-21T00-41-24.769Z",
        "a1.jsonl.deleted.",
        "a1.jsonl",
        "",
    ],
)
def test_what_is_no_archive_has_no_moment(name: str) -> None:
    assert names.archived_at(name) is None
