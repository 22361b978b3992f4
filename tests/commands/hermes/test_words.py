"""What is said of words that make no sense for a Hermes, of homes that cannot be read, and of which home is meant."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import Refused
from session_closer.journal.journal import Journal
from session_closer.journal.record import RunRecord
from session_closer.system import flock
from support.clock import Brisk, handed
from support.commands import run, run_json
from support.hermes import DAY
from support.leavings import FREE, OVER, Leavings, by_status

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--older-than", "0"), "is no age for --older-than"),
        (("--older-than", "0d"), "is too short an age for --older-than"),
        (("--older-than", "-3d"), "begins with -"),
        (("--older-than", "soon"), "is no age for --older-than"),
        (("--older-than", "101000d"), "is no age for --older-than"),
        (("--stale", "session_json=5m"), "is too short an age"),
        (("--stale", "session_json"), "is no rule"),
        (("--stale", "session=30d"), "is no kind of artifact; next: one of session_json, request_dump"),
        (("--stale", "session_json=30d,bogus=1d"), "is no kind of artifact"),
        (("--stale", "request_dump=9d", "--kind", "session_json"), "is not among --kind"),
        (("--kind", "sessions"), "is no kind of artifact"),
        (("--kind", ""), "is empty"),
        (("--max-disk", "0"), "a size above 0"),
        (("--max-disk", "lots"), "a size above 0"),
        (("--keep-last", "0"), "is no number"),
        (("--expire-archives", "5m"), "leaves no time for an undo"),
        (("--orphans",), "--orphans means nothing for hermes"),
        (("--orphans=24h",), "--orphans means nothing for hermes"),
        (("--agent", "main"), "--agent means nothing for hermes"),
        (("--via", "files"), "--via means nothing for hermes"),
        (("--archive",), "--archive means nothing for hermes"),
        (("--print-policy",), "--print-policy means nothing for hermes"),
        (("--policy", "/nowhere.toml"), "cannot be read"),
        (("word",), "is one word too many"),
        (("--profile", "nobody"), 'has no profile "nobody"; next: --profile with one of default'),
        (("--profile", "No Such"), "is no profile"),
        (("--runtime", "herpes"), "is no runtime; next: --runtime openclaw|hermes"),
    ],
)
def test_words_that_make_no_sense_are_usage_and_nothing_goes(home: Leavings, words: tuple[str, ...], said: str) -> None:
    home.lay_all()
    before = home.tree()
    result = run(CleanupSessions, *words, state=home.path)
    assert (result.code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert home.tree() == before
    assert not home.has("session-closer")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[stale]\nsession_json = 5", "is no age"),
        ("[stale]\nbogus = '5d'", "is no kind of artifact"),
        ("stale = 5", "stale is no table"),
        ("max-disk = true", "max-disk is"),
        ("keep-last = 0", "keep-last is"),
        ("orphans = '5d'", "is no setting"),
        ("x = ", "is no TOML"),
    ],
)
def test_a_policy_that_makes_no_sense_is_usage(home: Leavings, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    result = run(CleanupSessions, "--policy", str(path), state=home.path)
    assert result.code == 2
    assert result.stderr.startswith(f"error: {path}: ")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("command", "words"), [(CloseProject, ("x",)), (CloseProjectBatch, ("x", "y")), (KeepOnlySessions, ("x",))]
)
def test_commands_that_close_sessions_name_the_one_that_cleans_up(
    home: Leavings, command: type, words: tuple[str, ...]
) -> None:
    for place in (("--home", str(home.path)), ("--runtime", "hermes", "--home", str(home.path))):
        result = run(command, *place, *words)
        assert (result.code, result.stderr.count("\n")) == (2, 1)
        said = "what they left is put away with: cleanup-sessions --runtime hermes"
        assert f"is not for sessions of hermes; next: {said}" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no receipt was given"),
        (("--list", "x"), "--list takes no names"),
        (("--found",), "--found means nothing for hermes"),
        (("last", "--as", "key"), "--as means nothing for hermes"),
        (("last", "--stop-gateway"), "--stop-gateway means nothing for hermes"),
    ],
)
def test_words_of_a_restore_that_make_no_sense_are_usage(home: Leavings, words: tuple[str, ...], said: str) -> None:
    result = run(RestoreSessions, *words, state=home.path)
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


def test_kind_belongs_to_runtimes_that_keep_files(tmp_path: Path) -> None:
    result = run(CleanupSessions, "--kind", "session_json", state=tmp_path)
    assert result.code == 2
    assert "--kind says which files of another runtime go" in result.stderr


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _damaged(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"x" * 4096)


def _foreign(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("create table sessions (id text, ended_at real)")
        made.execute("create table messages (session_id text)")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (Path.unlink, "no_database"),
        (_empty, "empty_database"),
        (_damaged, "damaged_database"),
        (_foreign, "foreign_database"),
    ],
)
@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--delete", "--older-than", "1d", "--max-disk", "1b")])
def test_where_the_database_cannot_be_read_nothing_goes(
    home: Leavings, spoil: object, name: str, words: tuple[str, ...]
) -> None:
    paths = home.lay_all()
    home.close()
    for side in ("-wal", "-shm"):
        (home.path / f"state.db{side}").unlink(missing_ok=True)
    assert callable(spoil)
    spoil(home.path / "state.db")
    answer = run_json(CleanupSessions, "--runtime", "hermes", *words, state=home.path)
    assert (answer.code, answer.error) == (3, name)
    assert all(map(home.has, paths))
    assert not home.archived()


def test_a_database_that_stays_locked_is_waited_for_and_then_left(
    home: Leavings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_closer.artifacts.database._BUSY_SECONDS", 0.01)
    paths = home.lay_all()
    home.database.execute("pragma journal_mode = delete")
    home.database.execute("begin exclusive")
    with handed(Brisk()):
        answer = home.run(CleanupSessions)
    assert (answer.code, answer.error) == (4, "locked_database")
    assert all(map(home.has, paths))


@pytest.mark.long
def test_a_run_beside_another_waits_and_then_says_busy(home: Leavings) -> None:
    home.lay_all()
    with flock.folder(os.path.realpath(home.path)), handed(Brisk()):
        answer = home.run(CleanupSessions)
    assert answer.code == 4
    assert all(map(home.has, FREE.values()))
    assert home.run(CleanupSessions).code == 0


@pytest.fixture
def root(home: Leavings) -> Leavings:
    """A home with two profiles, each of which has left something."""
    for name in ("work", "idle"):
        made = Leavings(home.path / "profiles" / name)
        made.lay_all()
        made.close()
    home.lay_all()
    return home


def agents(root: Leavings, *words: str) -> set[str]:
    answer = root.run(CleanupSessions, "--dry-run", *words)
    assert answer.code == 0
    found = {row["agent"] for row in answer.data["results"]}
    assert found == {store["agent"] for store in answer.data["stores"]}
    return found


def test_all_profiles_are_meant_or_the_one_that_is_named(root: Leavings, tmp_path: Path) -> None:
    assert agents(root) == {"default", "work", "idle"}
    assert agents(root, "--profile", "work") == {"work"}
    assert agents(root, "--profile", "default") == {"default"}
    # A profile that has never been used, a link, and what is no profile's name.
    (root.path / "profiles" / "new").mkdir()
    (root.path / "profiles" / "Upper").mkdir()
    (root.path / "profiles" / "link").symlink_to(root.path / "profiles" / "work")
    assert agents(root) == {"default", "work", "idle"}
    whole = root.path / "profiles" / "work"
    alone = run_json(CleanupSessions, "--dry-run", state=whole)
    assert {row["agent"] for row in alone.data["results"]} == {"work"}
    other = run_json(CleanupSessions, "--dry-run", "--profile", "idle", state=whole)
    assert (other.code, other.error) == (2, "usage")


def test_one_undo_brings_back_what_went_of_all_profiles_or_of_one(root: Leavings) -> None:
    before = root.tree()
    assert root.run(CleanupSessions).code == 0
    assert root.run(RestoreSessions, "last", "--profile", "work").code == 0
    assert all((root.path / "profiles" / "work" / path).exists() for path in FREE.values())
    assert not any(map(root.has, FREE.values()))
    first = first_run(root)
    assert root.run(RestoreSessions, first).code == 0
    tree = {path: entry for path, entry in root.tree().items() if "session-closer" not in path}
    assert tree == {path: entry for path, entry in before.items() if "session-closer" not in path}


@pytest.mark.parametrize("changed", [0, 1])
def test_what_is_refused_once_a_home_has_changed_is_not_said_to_have_changed_nothing(
    root: Leavings, monkeypatch: pytest.MonkeyPatch, changed: int
) -> None:
    check, stores = Journal.check, []

    def full(self: Journal, record: RunRecord) -> None:
        stores.append(record.stores[-1].agent)
        if len(stores) > changed:
            raise Refused("this is too much for one record", name="record")
        check(self, record)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "check", full)
        answer = root.run(CleanupSessions)
    # Exit 3 says that nothing was changed.
    assert (answer.code, answer.error) == (1 if changed else 3, "record")
    assert ("archived" in {row["status"] for row in answer.data["results"]}) is bool(changed)
    assert root.run(CleanupSessions).code == 0


def test_what_was_freed_ahead_of_a_refusal_counts_as_a_change(root: Leavings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert root.run(CleanupSessions, "--profile", "default").code == 0
    root.age_receipts(40 * DAY)
    check, stores = Journal.check, []

    def full(self: Journal, record: RunRecord) -> None:
        stores.append(record.stores[-1].agent)
        if len(stores) > 1:
            raise Refused("this is too much for one record", name="record")
        check(self, record)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "check", full)
        answer = root.run(CleanupSessions, "--expire-archives", "30d")
    assert (answer.code, answer.error) == (1, "record")
    assert "expired" in {row["status"] for row in answer.data["results"]}


def test_a_profile_that_cannot_be_read_is_left_and_the_others_are_cleaned_up(root: Leavings) -> None:
    (root.path / "profiles" / "work" / "state.db").write_bytes(b"")
    answer = root.run(CleanupSessions)
    assert answer.code == 1
    failed = [row for row in answer.data["results"] if row["status"] == "failed"]
    assert [(row["agent"], row["reason"]) for row in failed] == [("work", "empty_database")]
    assert all((root.path / "profiles" / "work" / path).exists() for path in FREE.values())
    assert not any(map(root.has, FREE.values()))


@pytest.mark.parametrize(
    ("words", "environ", "name"),
    [
        (("--runtime", "hermes"), {}, ".hermes"),
        (("--runtime", "hermes"), {"HERMES_HOME": "{world}/elsewhere"}, "elsewhere"),
        (("--runtime", "hermes", "--home", "{world}/other"), {"HERMES_HOME": "{world}/elsewhere"}, "other"),
        (("--home", "{world}/other"), {}, "other"),
        (("--state-dir", "{world}/other"), {}, "other"),
        (("--home", "~/other"), {}, "other"),
    ],
)
def test_the_home_is_the_one_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str], name: str
) -> None:
    for each in (".hermes", "elsewhere", "other"):
        made = Leavings(tmp_path / each)
        made.lay_all()
        made.close()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HERMES_HOME", raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value.format(world=tmp_path))
    answer = run_json(CleanupSessions, "--dry-run", *(word.format(world=tmp_path) for word in words))
    assert [store["path"] for store in answer.data["stores"]] == [str(tmp_path / name)]


def test_what_is_there_again_is_never_overwritten(home: Leavings) -> None:
    home.lay_all()
    home.run(CleanupSessions)
    anew = home.lay(FREE["session_json"], "anew")
    dry = home.run(RestoreSessions, "last", "--check")
    back = home.run(RestoreSessions, "last")
    assert (dry.code, back.code) == (1, 1)
    assert by_status(back)["conflict"] == [FREE["session_json"]]
    assert anew.read_text() == "anew"
    assert home.archived() == [FREE["session_json"]]
    anew.unlink()
    assert home.run(RestoreSessions, first_run(home)).code == 0
    assert home.archived() == []


def first_run(home: Leavings) -> str:
    return min((home.path / "session-closer" / "receipts").iterdir()).stem


def test_an_undo_that_finds_all_back_leaves_no_receipt(home: Leavings) -> None:
    home.lay_all()
    home.run(CleanupSessions)
    first = home.run(RestoreSessions, "last")
    receipts = sorted((home.path / "session-closer" / "receipts").iterdir())
    again = home.run(RestoreSessions, first_run(home))
    assert (again.code, again.data["receipt"]) == (0, None)
    assert by_status(again) == {"already_restored": by_status(first)["restored"]}
    assert sorted((home.path / "session-closer" / "receipts").iterdir()) == receipts


def test_an_undo_takes_sessions_kinds_and_paths(home: Leavings) -> None:
    home.lay_all()
    home.run(CleanupSessions)
    assert by_status(home.run(RestoreSessions, "last", "session_json")) == {"restored": [FREE["session_json"]]}
    of_it = sorted(FREE[kind] for kind in ("request_dump", "transcript_jsonl"))
    answer = home.run(RestoreSessions, first_run(home), OVER)
    assert by_status(answer) == {"restored": of_it, "already_restored": [FREE["session_json"]]}
    one = FREE["checkpoint_v1"]
    assert by_status(home.run(RestoreSessions, first_run(home), one)) == {"restored": [one]}
    whole = str(home.path / FREE["delegation_log"])
    assert by_status(home.run(RestoreSessions, first_run(home), whole)) == {"restored": [FREE["delegation_log"]]}
    answer = home.run(RestoreSessions, first_run(home), "nothing of it")
    assert (answer.code, by_status(answer)) == (1, {"not_found": ["nothing of it"]})


def test_a_receipt_that_names_what_is_no_artifact_is_refused(home: Leavings) -> None:
    home.lay_all()
    answer = home.run(CleanupSessions)
    receipt = Path(answer.data["receipt"])
    text = receipt.read_text()
    for path in ("config.yaml", "../outside", "session-closer/receipts/x.json", "/etc/passwd"):
        receipt.write_text(text.replace(FREE["session_json"], path))
        back = home.run(RestoreSessions, receipt.stem)
        assert (back.code, back.error) == (3, "no_receipt")
    assert not home.has("config.yaml")


def test_a_receipt_that_is_not_there_comes_with_the_command_that_lists_those_of_this_home(home: Leavings) -> None:
    for which in ("last", "nope"):
        result = run(RestoreSessions, which, state=home.path)
        assert result.code == 3
        assert result.stderr.endswith(f"restore-sessions --runtime hermes --home {home.path} --list\n")


def test_the_printed_commands_mean_the_same_home(home: Leavings) -> None:
    home.lay("sessions/session_x.json", age=40 * DAY)
    answer = home.run(CleanupSessions)
    assert f"--runtime hermes --home {home.path} " in answer.data["undo"]
