"""Several runs are undone by one command, newest first, each on its own; what a word is, is never guessed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import restore as operation
from support.commands import restore, run, run_json
from support.gateway import StubGateway
from support.interrupted import interrupt
from support.keys import LEAD, session_id
from support.leavings import Leavings, by_status
from support.restore import ALPHA, KELLY, LEGACY, ROWS, TOPICS, close, held, receipt_of, statuses
from support.sqlite import Bases
from support.stores import Store
from support.trees import tree


@pytest.fixture
def two(store: Store) -> list[str]:
    """Two runs, the newer one first."""
    return [receipt_of(store, close(store, *words)) for words in (("topics",), ("alpha", "kelly-dashboard"))][::-1]


def told(answer: object) -> list[tuple[str, bool]]:
    return [(one["id"], one["ok"]) for one in answer.data["runs"]]  # type: ignore[attr-defined]


def test_several_runs_are_undone_newest_first_each_with_a_receipt_of_its_own(store: Store) -> None:
    before = store.index().read_bytes()
    names = [receipt_of(store, close(store, word)) for word in ("topics", "alpha", "kelly-dashboard")]
    answer = restore(store, names[0], names[2], names[1])
    assert answer.code == 0
    assert told(answer) == [(name, True) for name in reversed(names)]
    assert [row["run"] for row in answer.data["results"]] == [names[2], names[2], names[1], names[0]]
    assert {row["status"] for row in answer.data["results"]} == {"restored"}
    assert len({one["receipt"] for one in answer.data["runs"]}) == 3
    assert answer.data["receipt"] is None
    assert store.index().read_bytes() == before
    # And what is printed undoes all of it.
    again = restore(store, *answer.data["undo"].split()[-3:])
    assert (again.code, len(again.data["runs"])) == (0, 3)
    assert {TOPICS, ALPHA, KELLY}.isdisjoint(store.listed())


def test_a_dry_run_plans_all_of_them_and_changes_nothing(store: Store, two: list[str]) -> None:
    before = tree(store.state)
    answer = restore(store, "--dry-run", *two)
    assert tree(store.state) == before
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((TOPICS, ALPHA, KELLY, LEGACY), "would_restore"))
    assert answer.data["dryRun"] is True
    assert statuses(restore(store, *two)) == dict.fromkeys((TOPICS, ALPHA, KELLY, LEGACY), "restored")


def test_names_are_looked_for_in_every_run_and_what_none_holds_is_told_once(store: Store, two: list[str]) -> None:
    answer = restore(store, "topics", two[1], two[0], "alpha", "nowhere")
    assert answer.code == 1
    assert [(row["input"], row["status"]) for row in answer.data["results"]] == [
        ("alpha", "restored"), ("nowhere", "not_found"), ("topics", "restored"),
    ]  # fmt: skip
    assert KELLY not in store.listed()


def test_last_and_a_path_name_runs_and_the_same_run_is_meant_once(store: Store, two: list[str]) -> None:
    path = str(store.state / "session-closer" / "receipts" / f"{two[1]}.json")
    answer = restore(store, path, "last", two[0])
    assert (answer.code, [one["id"] for one in answer.data["runs"]]) == (0, two)


@pytest.mark.parametrize("check", [[], ["--dry-run"]])
def test_a_word_that_could_be_a_run_and_a_session_is_never_guessed(store: Store, check: list[str]) -> None:
    name = receipt_of(store, close(store, "topics"))
    store.add((LEAD + name[:8], store.session(name[:8])), (LEAD + "last", store.session("last")))
    closed = receipt_of(store, close(store, name[:8], "last"))
    before = tree(store.state)
    for word in (name[:8], "last"):
        result = run(RestoreSessions, *check, closed, word, state=store.state)
        assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert f'"{word}" may be a run' in result.stderr
        assert closed in result.stderr
    assert tree(store.state) == before
    assert restore(store, closed, LEAD + "last").rows == [(LEAD + "last", "restored")]


@pytest.mark.parametrize("word", ["found:4be10c77a9d2", "backup"])
def test_what_is_no_run_does_not_come_back_with_one(store: Store, two: list[str], word: str) -> None:
    before = tree(store.state)
    given = str(store.backups()[0]) if word == "backup" else word
    for words in ((given, two[0], two[1]), (two[0], two[1], given)):
        answer = restore(store, *words)
        assert answer.code == 2, words
    assert tree(store.state) == before


def test_a_run_that_fails_leaves_the_others_be_and_the_exit_code_says_so(store: Store, two: list[str]) -> None:
    newer = store.state / "session-closer" / "receipts" / f"{two[0]}.json"
    newer.write_bytes(b"{")
    answer = restore(store, *two)
    # Nobody can tell when one that is damaged was.
    assert (answer.code, sorted(told(answer))) == (1, sorted([(two[0], False), (two[1], True)]))
    assert [one["error"]["name"] for one in answer.data["runs"] if one["error"]] == ["no_receipt"]
    assert answer.rows == [(TOPICS, "restored")]
    result = run(RestoreSessions, *two, state=store.state)
    assert result.code == 1
    assert f"run {two[0]}: error: " in result.stderr
    for said in (result.stderr, result.stdout):
        assert f"restore-sessions --state-dir {store.state} --list" in said


def test_a_session_that_fails_is_told_with_its_run(store: Store, two: list[str]) -> None:
    (archive,) = [
        path for path in store.folder().iterdir() if path.name.startswith(archived(store, KELLY) + ".jsonl.d")
    ]
    archive.unlink()
    answer = restore(store, *two)
    assert answer.code == 1
    assert [one["exitCode"] for one in answer.data["runs"]] == [1, 0]
    assert {row["run"] for row in answer.data["results"] if not row["ok"]} == {two[0]}


def test_an_interruption_ends_the_others_too(store: Store, two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(operation, "execute", interrupted)
    answer = restore(store, *two)
    assert (answer.code, told(answer)) == (130, [(two[0], False), (two[1], False)])
    assert answer.data["runs"][1]["error"]["message"] == "not reached"
    monkeypatch.undo()
    assert restore(store, *two).code == 0


def test_since_undoes_what_is_not_back_and_again_nothing(store: Store, two: list[str]) -> None:
    restore(store, two[0], "alpha")
    answer = restore(store, "--since", "1h")
    assert answer.code == 0
    assert statuses(answer) == {ALPHA: "already_restored", KELLY: "restored", LEGACY: "restored", TOPICS: "restored"}
    again = restore(store, "--since", "1h")
    assert (again.code, again.data["runs"], again.data["results"]) == (0, [], [])
    shown = run(RestoreSessions, "--since", "1h", state=store.state).stdout
    assert shown.startswith("nothing to restore")


def test_since_takes_names_and_leaves_runs_alone_that_are_older(store: Store) -> None:
    old = receipt_of(store, close(store, "topics"))
    path = store.state / "session-closer" / "receipts" / f"{old}.json"
    text = path.read_text()
    started = text.partition('"startedAt":"')[2].partition('"')[0]
    path.write_text(text.replace(started, "2016-11-21T06:40:03.544Z"))
    newer = receipt_of(store, close(store, "alpha", "kelly-dashboard"))
    answer = restore(store, "--since", "1h", "alpha")
    assert (answer.code, answer.rows, told(answer)) == (0, [(ALPHA, "restored")], [(newer, True)])
    assert restore(store, "--since", "1h", "topics").code == 1
    assert restore(store, "--since", "1h", "last").code == 2
    assert TOPICS not in store.listed()


def test_what_was_closed_twice_comes_back_as_the_newer_run_left_it(store: Store) -> None:
    first = receipt_of(store, close(store, "topics"))
    store.add((TOPICS, store.session("another")))
    second = receipt_of(store, close(store, "topics"))
    planned = restore(store, "--dry-run", first, second)
    done = restore(store, first, second)
    expected = [(second, "restored"), (first, "conflict")]
    assert [(row["run"], row["status"]) for row in done.data["results"]] == expected
    assert [row["status"] for row in planned.data["results"]] == ["would_restore", "conflict"]
    assert planned.code == done.code == 1


def test_a_dry_run_of_two_runs_of_one_session_says_of_the_older_what_the_run_does(store: Store) -> None:
    own = LEAD + "own"
    store.add((own, store.session("own")))
    first = receipt_of(store, close(store, "own"))
    assert restore(store, first).code == 0
    with (store.folder() / f"{store.entries()[own]['sessionId']}.jsonl").open("a") as transcript:
        transcript.write('{"type":"message"}\n')
    second = receipt_of(store, close(store, "own"))
    assert restore(store, "--dry-run", first).rows == [(own, "failed")]
    planned = restore(store, "--dry-run", first, second)
    done = restore(store, first, second)
    assert [row["status"] for row in planned.data["results"]] == ["would_restore", "already_restored"]
    assert [row["status"] for row in done.data["results"]] == ["restored", "already_restored"]
    assert planned.code == done.code == 0


def test_an_interrupted_run_is_finished_ahead_and_last_may_be_that_run(store: Store, two: list[str]) -> None:
    interrupt(store, "never-spoken", committed=True)
    (left,) = store.open_runs()
    answer = restore(store, "last", two[1])
    assert [one["id"] for one in answer.data["runs"]] == [left, two[1]]
    assert answer.code == 0
    assert store.open_runs() == []


def archived(store: Store, key: str) -> str:
    """Return the session id that a key had, as a receipt has it."""
    every = (one for receipt in store.receipts() for each in receipt["stores"] for one in each["sessions"])
    return next(str(one["sessionId"]) for one in every if one["key"] == key)


@pytest.mark.parametrize("times", [3, 4])
@pytest.mark.parametrize("era", ["files", "sqlite"])
def test_a_dry_run_takes_each_run_for_done_when_it_plans_the_next(
    request: pytest.FixtureRequest, era: str, times: int
) -> None:
    """Closes of one session and their undos, in turn: whichever of them are undone, it says what the run does."""
    place = request.getfixturevalue("store") if era == "files" else request.getfixturevalue("bases").store
    runs = []
    for number in range(times):
        command, word = (RestoreSessions, "last") if number % 2 else (CloseProjectBatch, ALPHA)
        runs.append(Path(run_json(command, word, state=place.state).data["receipt"]).stem)
    ends = {"would_close": "closed", "would_archive": "archived", "would_restore": "restored"}
    for meant in (runs[1:], runs[1::2], runs, runs[::2]):
        planned, done = restore(place, *meant, "--dry-run"), restore(place, *meant)
        assert [(key, ends.get(status, status)) for key, status in planned.rows] == done.rows
        for moved in ("putAway", "broughtBack"):
            # What a run leaves of a database, and how long, only that run tells.
            assert era == "sqlite" or planned.data[moved] == done.data[moved], (moved, meant)


def test_each_file_that_belonged_to_none_is_one_of_its_own(store: Store) -> None:
    for name in ("one", "two"):
        os.utime(store.transcript(f"{session_id(name)}.jsonl"), (1_480_000_000, 1_480_000_000))
    cleaned = run_json(CleanupSessions, "--orphans", state=store.state)
    assert len([row for row in cleaned.data["results"] if row["key"] is None]) >= 2
    run_json(CloseProjectBatch, ALPHA, state=store.state)
    planned, done = restore(store, "--since", "1h", "--dry-run"), restore(store, "--since", "1h")
    assert (planned.code, done.code) == (0, 0)
    assert [row["status"] for row in planned.data["results"]] == ["would_restore"] * len(done.data["results"])
    assert planned.data["broughtBack"] == done.data["broughtBack"]


@pytest.mark.long
def test_several_runs_over_a_database(bases: Bases, stub: StubGateway) -> None:
    before = held(bases)
    for key in ROWS:
        assert run_json(CloseProjectBatch, "--archive", key, state=bases.store.state).code == 0
    planned = restore(bases.store, "--since", "1h", "--dry-run")
    assert statuses(planned) == dict.fromkeys(ROWS, "would_restore")
    answer = restore(bases.store, "--since", "1h")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(ROWS, "restored"))
    assert len(answer.data["runs"]) == len(ROWS)
    assert {agent: found[1] for agent, found in held(bases).items()} == {agent: one[1] for agent, one in before.items()}


@pytest.mark.parametrize("since", [True, False])
def test_several_runs_of_a_home_of_files(tmp_path: Path, since: bool) -> None:
    home = Leavings(tmp_path / "hermes")
    home.lay_all()
    before = home.tree()
    kinds = ("transcript_jsonl", "session_json", "request_dump")
    receipts = [home.run(CleanupSessions, "--kind", kind).data["receipt"] for kind in kinds]
    assert None not in receipts
    assert home.tree() != before
    words = ("--since", "1h") if since else tuple(Path(path).stem for path in receipts)
    planned = home.run(RestoreSessions, "--dry-run", *words)
    assert [row["status"] for row in planned.data["results"]] == ["would_restore"] * len(kinds)
    answer = home.run(RestoreSessions, *words)
    assert answer.code == 0
    assert [one["id"] for one in answer.data["runs"]] == [Path(path).stem for path in reversed(receipts)]
    assert home.tree() == before
    assert home.run(RestoreSessions, "--since", "1h").data["runs"] == []


def test_a_kind_of_files_is_a_name_in_every_run_that_has_it(tmp_path: Path) -> None:
    home = Leavings(tmp_path / "hermes")
    home.lay_all()
    receipts = [home.run(CleanupSessions, "--kind", kind).data["receipt"] for kind in ("session_json", "request_dump")]
    answer = home.run(RestoreSessions, *(Path(path).stem for path in receipts), "session_json")
    assert (answer.code, list(by_status(answer))) == (0, ["restored"])
    assert [(one["id"], one["counts"]) for one in answer.data["runs"]] == [
        (Path(receipts[1]).stem, {}), (Path(receipts[0]).stem, {"restored": 1}),
    ]  # fmt: skip
