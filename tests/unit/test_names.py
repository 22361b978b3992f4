"""File names in a sessions folder: the forms that OpenClaw 2026.5.7 writes and parses."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
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
        ("/b/a1.jsonl", "a1"),
        ("/b/a1.trajectory.jsonl", "a1"),
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


@example("a1.trajectory.jsonl")
@example("a b.trajectory.jsonl")
@example("a1-topic-5.trajectory-path.json")
@example(CHECKPOINT)
@example("a1-topic-5-topic-6.jsonl")
@example("2016-11-21T00-41-24-769Z_12345678-1234-4123-8123-123456789012-topic-5.jsonl")
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


STAMP, LATER = "2026-11-21T00-41-24.769Z", "2026-11-21T00-41-24.770Z"
UUID = "12345678-1234-4123-8123-123456789012"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("index.json", True),
        ("index.json.bak", True),
        ("sessions.json", True),
        (".usage-cost-cache.json", True),
        ("a1.jsonl.lock", True),
        ("a1.jsonl", True),
        ("notes.jsonl.deleted." + STAMP, True),
        ("a1.lock", False),
        ("notes.txt", False),
    ],
)
def test_what_belongs_in_a_sessions_folder_is_known(name: str, known: bool) -> None:
    assert names.is_known(name, "index.json") is known


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        (f"index.json.{UUID}.tmp", True),
        (f"index.json.7.{UUID}.tmp", True),
        (f"/b/index.json.{UUID}.tmp", True),
        (".usage-cost-cache.7.tmp", True),
        (f"sessions.json.{UUID}.tmp", False),
        (f"indexxjson.{UUID}.tmp", False),
        ("index.json.tmp", False),
        (f"index.json.{UUID}", False),
    ],
)
def test_only_what_openclaw_was_writing_is_temporary(name: str, temporary: bool) -> None:
    assert names.is_temporary(name, "index.json") is temporary


@pytest.mark.parametrize(
    ("live", "how", "away", "old"),
    [
        ("a1.jsonl", "deleted", True, False),
        ("a1.jsonl", "bak", False, True),
        ("a1.jsonl", "reset", False, True),
        ("a1.trajectory.jsonl", "bak", True, False),
        ("a1.trajectory.jsonl", "deleted", True, False),
        ("sessions.json", "bak", False, False),
    ],
)
def test_an_archive_is_of_a_session_that_was_deleted_or_of_what_one_said_before(
    live: str, how: str, away: bool, old: bool
) -> None:
    name = f"{live}.{how}.{STAMP}"
    assert (names.is_put_away(name), names.is_old_window(name)) == (away, old)


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_archives_the_latest_that_a_rename_brings_back_is_on_the_shelf(order: int) -> None:
    listed = [f"a1.jsonl.deleted.{STAMP}", f"a1.jsonl.deleted.{LATER}", "a1.jsonl", f"b2.jsonl.reset.{STAMP}"]
    listed.append(f"c3.jsonl.deleted.{LATER}.{'a' * 32}.zst")
    assert names.shelf(listed[::order]) == {"a1.jsonl": f"a1.jsonl.deleted.{LATER}"}


def test_an_archive_is_made_since_a_moment_as_far_as_its_name_tells() -> None:
    moment = datetime(2026, 11, 21, 0, 41, 24, 769000, UTC)
    found = [names.is_made_since(f"a1.jsonl.deleted.{at}", moment) for at in (STAMP, LATER, "2026-11-21T00-41-24Z")]
    assert found == [True, True, True]
    early = ("2026-11-21T00-41-24.768Z", "2026-11-21T00-41-23Z")
    assert not any(names.is_made_since(f"a1.jsonl.deleted.{at}", moment) for at in early)
    assert not names.is_made_since("a1.jsonl", moment)
    assert not names.is_made_since(f"a1.jsonl.deleted.{STAMP}", None)


def test_a_name_is_beside_another_only_in_the_same_folder() -> None:
    assert names.is_beside("/b/a1.jsonl", "/b/x", "a1.jsonl")
    assert names.is_beside("a1.jsonl", "x", "a1.jsonl")
    assert not names.is_beside("/c/a1.jsonl", "/b/x", "a1.jsonl")
    assert not names.is_beside("a1.jsonl", "/b/x", "a1.jsonl")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/s/a1.jsonl", ("/s", "a1.jsonl")),
        ("/a1.jsonl", ("/", "a1.jsonl")),
        ("a1.jsonl", ("", "a1.jsonl")),
        ("C:\\s\\a1.jsonl", ("C:/s", "a1.jsonl")),
        ("/s/a\\1.jsonl", ("/s", "a\\1.jsonl")),
    ],
)
def test_a_path_of_any_system_has_a_folder_and_a_name(path: str, parts: tuple[str, str]) -> None:
    assert names.parted(path) == parts


def test_a_name_is_too_long_by_its_own_bytes_alone() -> None:
    assert not names.is_too_long("a" * 255)
    assert names.is_too_long("a" * 256)
    assert names.is_too_long("\U0001f600" * 64)
    assert not names.is_too_long("/folder" * 40 + "/a1.jsonl")


@pytest.mark.parametrize(
    ("name", "backup"),
    [
        ("index.json.bak", True),
        ("index.json.bak.1", True),
        (f"index.json.bak-{STAMP}", True),
        ("index.json.imported-1", True),
        ("index.json.back", False),
        ("sessions.json.bak", False),
    ],
)
def test_a_copy_of_an_index_is_known_by_its_name(name: str, backup: bool) -> None:
    assert names.is_index_backup(name, "index.json") is backup


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("a1.jsonl", "a1"),
        ("/b/a1.jsonl", "a1"),
        ("a b.jsonl", "a b"),
        ("a1-topic-5.jsonl", None),
        ("a1.trajectory.jsonl", None),
        (f"2026-11-21T00-41-24-769Z_{UUID}.jsonl", None),
        ("a1.jsonl.lock", None),
    ],
)
def test_a_plain_transcript_has_one_owner(name: str, owner: str | None) -> None:
    assert names.only_owner(name) == owner


def test_a_companion_beside_an_index_elsewhere_is_archived_as_one_and_a_topic_as_a_transcript() -> None:
    assert names.archive_name("/b/a1.trajectory.jsonl", STAMP) == f"/b/a1.trajectory.jsonl.bak.{STAMP}"
    assert names.archive_name("/b/a1-topic-5.jsonl", STAMP) == f"/b/a1-topic-5.jsonl.deleted.{STAMP}"
    assert names.archive_name(f"index.json.{UUID}.tmp", STAMP) == f"index.json.{UUID}.tmp.bak.{STAMP}"
