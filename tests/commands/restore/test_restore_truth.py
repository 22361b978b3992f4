"""What a restore says is so: nothing else is touched, nothing comes back by half, nothing is passed over in silence."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names
from session_closer.journal import history, written
from session_closer.journal.history import open_runs, unborn_runs
from session_closer.journal.journal import bury_unborn
from session_closer.operations import apply, give_back
from session_closer.system.disk import Disk
from support.commands import restore, run, run_json
from support.interrupted import perform
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import tree

KELLY, TOPICS, ALPHA, REVIEW = LEAD + "kelly-dashboard", LEAD + "topics", LEAD + "alpha", LEAD + "alpha-review"
READER = "agent:researcher:kelly-dashboard"


def close(store: Store, *words: str) -> str:
    """Close sessions; return the run's id."""
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert answer.code == 0, answer
    return Path(answer.data["receipt"]).stem


def picture(store: Store) -> dict[str, bytes]:
    """Return what is in the agents' folders, backups aside."""
    files = store.state.joinpath("agents").rglob("*")
    return {str(path): path.read_bytes() for path in files if path.is_file() and ".bak-" not in path.name}


# Of whose files it is made


def test_a_transcript_in_another_agent_s_folder_comes_back_with_that_agent_s_session_and_until_then_it_is_said(
    store: Store,
) -> None:
    own, theirs = LEAD + "shared", "agent:researcher:shares"
    path = store.transcript(f"{session_id('shared')}.jsonl")
    store.add((own, {"sessionId": session_id("shared"), "updatedAt": 1}))
    entry = {"sessionId": session_id("shared"), "updatedAt": 1, "sessionFile": str(path)}
    store.add((theirs, entry), agent="researcher")
    for words in ((own, theirs), (theirs,)):
        run_id = close(store, *words)
        if own not in words:
            close(store, own)
        for more in (["--check"], ["--dry-run"], []):
            answer = restore(store, run_id, theirs, *more)
            [row] = answer.data["results"]
            assert (answer.code, row["status"]) == (0, "would_restore" if more else "restored")
            [left] = row["notRestored"]
            assert (left["kind"], str(path) in left["why"], path.exists()) == ("transcript", True, False)
        # Where that comes back, too, there is nothing to be said of it, neither ahead nor afterwards.
        assert restore(store, "last" if own not in words else run_id, own).rows == [(own, "restored")]
        assert path.exists()
        both = close(store, own, theirs)
        for more in (["--dry-run"], []):
            rows = restore(store, both, *more).data["results"]
            assert [(row["key"], "notRestored" in row) for row in rows] == [(own, False), (theirs, False)]
        assert path.exists()


def test_an_archive_where_the_agent_was_before_is_nobody_s_loss(store: Store, tmp_path: Path) -> None:
    name = f"2016-11-21T00-41-24-769Z_{session_id('moved')}.jsonl"
    before = tmp_path / "before" / name
    before.parent.mkdir()
    (before.parent / f"{name}.deleted.2016-11-21T00-41-24.769Z").write_text("{}\n")
    path = store.transcript(name)
    store.add((LEAD + "moved", {"sessionId": session_id("moved"), "updatedAt": 1, "sessionFile": str(before)}))
    run_id = close(store, LEAD + "moved")
    assert not path.exists()
    for words in (["--dry-run"], []):
        [row] = restore(store, run_id, *words).data["results"]
        assert ("notRestored" in row, row["error"]) == (False, None)
    assert path.exists()


def test_a_transcript_that_cannot_be_looked_at_any_more_ends_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = store.transcript(f"{session_id('shared')}.jsonl"), "agent:researcher:shares"
    store.add((LEAD + "shared", {"sessionId": session_id("shared"), "updatedAt": 1}))
    entry = {"sessionId": session_id("shared"), "updatedAt": 1, "sessionFile": str(path)}
    store.add((theirs, entry), agent="researcher")
    run_id = close(store, LEAD + "shared", theirs)

    def fail(_path: str) -> bool:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(give_back, "files", SimpleNamespace(is_reached=fail))
    answer = restore(store, run_id, theirs)
    assert (answer.code, answer.rows, store.open_runs()) == (0, [(theirs, "restored")], [])
    assert [left["kind"] for left in answer.data["results"][0]["notRestored"]] == ["transcript"]


# Undoing a restore


@pytest.mark.parametrize("word", [KELLY, "kelly-dashboard", READER])
def test_only_what_a_restore_brought_back_is_closed_again(store: Store, word: str) -> None:
    close(store, "topics")
    back = Path(restore(store, "last").data["receipt"]).stem
    before = tree(store.state)
    answer = restore(store, back, word)
    assert (answer.code, [row["status"] for row in answer.data["results"]]) == (1, ["not_found"])
    assert tree(store.state) == before


def test_a_session_that_took_the_key_of_a_conflict_is_not_closed_by_its_name(store: Store) -> None:
    close(store, "alpha-review", "topics")
    store.add((TOPICS, {"sessionId": "anew", "updatedAt": 1}))
    answer = restore(store, "last")
    assert dict(answer.rows) == {REVIEW: "restored", TOPICS: "conflict"}
    assert restore(store, Path(answer.data["receipt"]).stem, "topics").code == 1
    assert store.entries()[TOPICS]["sessionId"] == "anew"


def test_what_is_out_of_the_store_again_as_the_run_ends_is_not_called_restored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = close(store, "topics", "alpha-review")
    left, restart_once = store.index().read_bytes(), apply.restart_once

    def rewritten(*given: Any) -> Any:
        store.index().write_bytes(left)
        return restart_once(*given)

    monkeypatch.setattr(apply, "restart_once", rewritten)
    answer = restore(store, "last")
    assert (answer.code, dict(answer.rows)) == (1, {TOPICS: "failed", REVIEW: "failed"})
    assert {row["error"] for row in answer.data["results"]} == {
        "it was brought back, and is out of the store again, as a gateway writes it: bring it back again"
    }
    monkeypatch.undo()
    again = restore(store, closed)
    assert dict(again.rows) == {TOPICS: "restored", REVIEW: "restored"}


# Entries as they were closed


def shared(store: Store) -> Path:
    """Put the sessions of all agents into one index."""
    index = store.state / "all.json"
    parts = [store.entries(agent) for agent in ("project-lead", "researcher", "main")]
    # One of each agent in turn, as they come.
    rows = sorted((item for part in parts for item in part.items()), key=lambda item: session_id(item[0]))
    index.write_text(json.dumps(dict(rows), indent=2))
    index.chmod(0o600)
    for agent in ("project-lead", "researcher", "main"):
        store.index(agent).unlink()
    store.configure(session={"store": str(index)})
    return index


def test_an_index_of_all_agents_is_byte_for_byte_what_it_was(store: Store) -> None:
    index = shared(store)
    before = index.read_bytes()
    close(store, KELLY, READER, "agent:main:hydration-tracker")
    assert restore(store, "last").code == 0
    assert index.read_bytes() == before


def test_an_entry_with_an_empty_key_comes_back_as_an_entry(store: Store) -> None:
    row = store.session("")
    store.add(("", row))
    backup = store.index().with_name("sessions.json.bak-2016-11-20T10-00-00.000Z")
    shutil.copyfile(store.index(), backup)
    live = Path(row["sessionFile"])
    live.rename(f"{live}.deleted.2016-11-20T10-00-00.000Z")
    store.write({key: value for key, value in store.entries().items() if key != ""})
    answer = restore(store, str(backup))
    assert (answer.code, [found["status"] for found in answer.data["results"]]) == (0, ["restored"])
    assert store.entries()[""] == row
    assert live.is_file()


# Transcripts


def test_a_session_that_was_written_back_without_its_files_gets_them(store: Store) -> None:
    before = picture(store)
    close(store, "kelly-dashboard")
    (backup,) = store.backups()
    shutil.copyfile(backup, store.index())
    assert dict(restore(store, "last", "--check").rows)[KELLY] == "would_restore"
    answer = restore(store, "last")
    assert (answer.code, dict(answer.rows)[KELLY]) == (0, "restored")
    assert picture(store) == before
    again = restore(store, answer.data["receipt"])
    assert (again.code, dict(again.rows)) == (1, {KELLY: "conflict", LEAD + "project-kelly-dashboard": "conflict"})
    assert picture(store) == before
    assert set(dict(restore(store, store.receipts()[0]["id"]).rows).values()) == {"already_restored"}


@pytest.mark.parametrize("first", [ALPHA, REVIEW])
def test_a_transcript_that_a_later_run_has_closed_comes_back_with_the_first_session(store: Store, first: str) -> None:
    """Two sessions share it: it stayed when the first one was closed, and went with the second."""
    second = {ALPHA: REVIEW, REVIEW: ALPHA}[first]
    before = picture(store)
    rows = store.entries()
    one, two = close(store, first), close(store, second)
    answer = restore(store, one)
    assert (answer.code, answer.rows) == (0, [(first, "restored")])
    assert Path(rows[first]["sessionFile"]).is_file()
    assert restore(store, two).rows == [(second, "restored")]
    assert {name: content for name, content in picture(store).items() if name != str(store.index())} == {
        name: content for name, content in before.items() if name != str(store.index())
    }
    assert store.entries() == rows


def test_what_stayed_with_another_comes_back_beside_a_transcript_that_went(store: Store) -> None:
    """Of two transcripts one went with the first close, the other with a later one."""
    both = LEAD + "both"
    entry, shared = store.session(both), store.entries()[ALPHA]["sessionFile"]
    own = Path(entry["sessionFile"])
    store.add((both, {**entry, "sessionFile": shared}))
    one = close(store, both)
    assert (own.exists(), Path(shared).exists()) == (False, True)
    close(store, ALPHA), close(store, REVIEW)
    assert not Path(shared).exists()
    assert restore(store, one).rows == [(both, "restored")]
    assert (own.is_file(), Path(shared).is_file()) == (True, True)


# Receipts that cannot be read, or are not there yet


def test_last_is_never_an_older_run_than_one_that_cannot_be_read(store: Store) -> None:
    close(store, "topics")
    newest = store.state / "session-closer" / "receipts" / f"{close(store, 'alpha')}.json"
    newest.write_bytes(newest.read_bytes().replace(b"session-closer/2", b"session-closer/9"))
    before = tree(store.state)
    answer = restore(store, "last")
    assert (answer.code, answer.error) == (3, "no_receipt")
    assert str(newest) in answer.data["error"]["message"]
    assert f"{newest.stem}  " in run(RestoreSessions, "--list", state=store.state).stdout
    assert tree(store.state) == before


def test_where_nothing_was_closed_last_says_so(store: Store) -> None:
    answer = restore(store, "last")
    assert (answer.code, answer.error) == (3, "no_receipt")
    assert "no run has closed anything" in answer.data["error"]["message"]


@pytest.mark.parametrize("hidden", ["folder", "file", "open"])
def test_receipts_that_may_not_be_read_are_not_none(store: Store, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """As root no mode keeps us out, so the calls are told to."""
    close(store, "topics")
    listdir, read = os.listdir, written.read

    def denied(path: str, *rest: Any) -> Any:
        wanted = {"folder": "receipts", "open": "open", "file": ".json"}[hidden]
        if str(path).endswith(wanted) and "session-closer" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return (read if rest else listdir)(path, *rest)

    monkeypatch.setattr(written, "read", denied)
    monkeypatch.setattr(history.os, "listdir", denied)
    for answer in (
        restore(store, "--list"),
        restore(store, "last"),
        run_json(CloseProject, "topics", state=store.state),
        run_json(CleanupSessions, "--expire-archives", "1h", state=store.state),
    ):
        assert (answer.code, answer.error) == (3, "unreadable")


# Backups


def test_a_backup_of_one_of_several_indexes_in_a_folder(store: Store) -> None:
    away = store.state / "indexes"
    away.mkdir()
    for agent in ("project-lead", "researcher", "main"):
        store.index(agent).rename(away / f"{agent}.json")
    store.configure(session={"store": str(away / "{agentId}.json")})
    before = (away / "researcher.json").read_bytes()
    close(store, READER)
    shutil.rmtree(store.state / "session-closer")
    (backup,) = away.glob("researcher.json.bak-*")
    answer = restore(store, str(backup))
    assert (answer.code, answer.rows) == (0, [(READER, "restored")])
    assert (away / "researcher.json").read_bytes() == before


def test_a_backup_of_an_index_of_all_agents_brings_each_transcript_back_to_its_agent(store: Store) -> None:
    index = shared(store)
    before, files = index.read_bytes(), picture(store)
    close(store, KELLY, READER)
    shutil.rmtree(store.state / "session-closer")
    # The first backup: the second was made when the first agent's session had gone.
    backup = min(store.state.glob("all.json.bak-*"))
    answer = restore(store, str(backup))
    assert (answer.code, dict(answer.rows)) == (0, {KELLY: "restored", READER: "restored"})
    assert json.loads(index.read_bytes()) == json.loads(before)
    assert picture(store) == files


def test_a_backup_brings_back_what_was_closed_last_under_a_name(store: Store) -> None:
    row = store.entries()[KELLY]
    live = Path(row["sessionFile"])
    before = live.read_bytes()
    close(store, "kelly-dashboard")
    shutil.rmtree(store.state / "session-closer")
    for how in (
        "reset.2099-12-01T00-00-00.000Z",
        "deleted.2020-01-01T00-00-00.000Z",
        "deleted.2099-12-01T00-00-00.000Z.zst",
    ):
        Path(f"{live}.{how}").write_text("another")
    (backup,) = store.backups()
    assert restore(store, str(backup), KELLY).code == 0
    assert live.read_bytes() == before


def test_the_shelf_holds_the_latest_archive_that_a_close_has_made() -> None:
    listed = [
        "a.jsonl.deleted.2016-11-20T10-00-00.000Z",
        "a.jsonl.deleted.2016-11-20T10-00-00Z",
        "a.jsonl.deleted.2015-11-20T10-00-00.000Z",
        "a.jsonl.reset.2016-11-21T10-00-00.000Z",
        "a.trajectory.jsonl.bak.2016-11-20T10-00-00.000Z",
        "b.jsonl.bak.2016-11-20T10-00-00.000Z",
        "b.jsonl",
        "c.jsonl.deleted.2016-99-20T10-00-00.000Z",
    ]
    found = names.shelf(listed)
    assert set(found) == {"a.jsonl", "a.trajectory.jsonl"}
    assert names.archived_at(found["a.jsonl"]) == names.archived_at(listed[0])


# Names


def test_what_was_closed_can_be_named_as_it_is(store: Store) -> None:
    odd = ("foo/bar", "foo/baz")
    for key in odd:
        store.add((key, store.session(key)))
    answer = run_json(CleanupSessions, "--stale", "project=1s,other=1s", "--yes", state=store.state)
    assert set(odd) <= {row["key"] for row in answer.data["results"]}
    assert restore(store, "last", "foo/bar").rows == [("foo/bar", "restored")]


def test_an_orphan_with_a_long_name_can_be_named(store: Store) -> None:
    name = "a" * 125 + ".jsonl"
    os.utime(store.transcript(name), (1, 1))
    os.utime(store.transcript("b.jsonl"), (1, 1))
    assert run_json(CleanupSessions, "--only", "orphans", state=store.state).code == 0
    answer = restore(store, "last", name)
    assert (answer.code, [row["input"] for row in answer.data["results"]]) == (0, [name])
    assert (store.folder() / name).is_file()


def test_of_two_runs_that_archived_one_orphan_the_list_says_which_is_back(store: Store) -> None:
    runs = []
    for _ in range(2):
        os.utime(store.transcript("b.jsonl"), (1, 1))
        cleaned = run_json(CleanupSessions, "--only", "orphans", state=store.state)
        assert cleaned.code == 0
        runs.append(Path(cleaned.data["receipt"]).stem)
    assert restore(store, runs[0]).code == 0
    rows = {one["id"]: one["restored"] for one in restore(store, "--list").data["receipts"]}
    assert (rows[runs[0]], rows[runs[1]]) == (1, 0)


# A run that begins beside another


class Buried(Disk):
    """Another command looks for dead runs when the folder of this one has just been made."""

    def __init__(self, state: Path) -> None:
        self.state = str(state)
        self.buried = 0

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        if unborn_runs(self.state) and not self.buried:
            self.buried += 1
            bury_unborn(Disk(), self.state)


def test_a_run_that_is_just_beginning_is_not_lost_to_one_that_buries_the_dead(store: Store) -> None:
    disk = Buried(store.state)
    report = perform(store, "topics", disk=disk)
    assert disk.buried == 1
    assert [(row.key, row.status) for row in report.results] == [(TOPICS, "closed")]
    assert (len(store.receipts()), open_runs(str(store.state))) == (1, [])


# Files that two sessions share


def with_companions(store: Store) -> dict[str, bytes]:
    """Give the shared transcript a topic and a trajectory; return all files."""
    own = store.entries()[ALPHA]["sessionId"]
    store.transcript(f"{own}-topic-7.jsonl")
    store.transcript(f"{own}.trajectory.jsonl")
    return picture(store)


@pytest.mark.parametrize("first", [ALPHA, REVIEW])
def test_the_files_beside_a_shared_transcript_come_with_it(store: Store, first: str) -> None:
    second = {ALPHA: REVIEW, REVIEW: ALPHA}[first]
    before = with_companions(store)
    one, two = close(store, first), close(store, second)
    assert restore(store, one).rows == [(first, "restored")]
    assert {name for name in picture(store) if ".deleted." in name or ".bak." in name} == {
        name for name in before if ".deleted." in name or ".bak." in name
    }
    assert restore(store, two).rows == [(second, "restored")]
    assert set(picture(store)) == set(before)


def test_a_shared_transcript_is_found_under_the_name_of_a_later_close(store: Store) -> None:
    before = with_companions(store)
    one, two = close(store, ALPHA), close(store, REVIEW)
    assert restore(store, one).rows == [(ALPHA, "restored")]
    three = close(store, ALPHA)
    assert restore(store, two).rows == [(REVIEW, "restored")]
    assert restore(store, three).rows == [(ALPHA, "restored")]
    assert set(picture(store)) == set(before)


def test_an_archive_that_is_another_file_is_not_taken_for_the_one_that_is_gone(store: Store) -> None:
    close(store, "topics")
    (archive,) = store.folder().glob("*topic-42.jsonl.deleted.*")
    archive.unlink()
    other = archive.with_name(archive.name.partition(".deleted.")[0] + ".deleted.2099-01-01T00-00-00.000Z")
    other.write_text("somebody else's")
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (1, [(TOPICS, "failed")])
    assert other.is_file()


# What the list says


def test_what_was_closed_again_is_not_back(store: Store) -> None:
    one = close(store, "topics")
    restore(store, "last")
    two = close(store, "topics")
    rows = {row["id"]: row for row in restore(store, "--list").data["receipts"]}
    assert (rows[one]["restored"], rows[two]["restored"]) == (1, 0)


def test_a_damaged_record_of_a_run_that_has_not_ended_is_listed_where_it_is(store: Store) -> None:
    run_of_it = close(store, "topics")
    place = store.state / "session-closer" / "open" / run_of_it
    place.mkdir(mode=0o700)
    (store.state / "session-closer" / "receipts" / f"{run_of_it}.json").rename(place / "record.json")
    (place / "record.json").write_bytes(b"{")
    (row,) = restore(store, "--list").data["receipts"]
    assert (row["state"], row["path"]) == ("damaged", str(place / "record.json"))


# Layouts


def test_a_backup_below_a_linked_folder_of_agents(store: Store) -> None:
    agents = store.state / "agents"
    agents.rename(store.state / "elsewhere")
    agents.symlink_to("elsewhere")
    before = store.entries()
    answer = run_json(CloseProject, "topics", state=store.state)
    backup = answer.data["stores"][0]["backup"]
    shutil.rmtree(store.state / "session-closer")
    assert restore(store, backup).rows == [(TOPICS, "restored")]
    assert store.entries() == before


def test_entries_come_back_where_they_were_in_whatever_order_they_are_named(store: Store) -> None:
    index = shared(store)
    before = index.read_bytes()
    run_of_it = close(store, KELLY, READER, "agent:main:hydration-tracker")
    assert restore(store, run_of_it, "agent:main:hydration-tracker", KELLY, READER).code == 0
    assert index.read_bytes() == before
