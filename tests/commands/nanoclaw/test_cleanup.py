"""A NanoClaw cleaned up and brought back: which home is meant, what is never touched, links, databases that fail."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.artifacts import Limits
from session_closer.journal import clocks
from session_closer.nanoclaw import kinds
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk
from support.clock import Ahead, handed
from support.commands import Answer, run, run_json
from support.nanoclaw import ACTIVE, CLOSED, DAY, GROUP, LOST, OVER, USED, NanoclawHome, V1Home, V2Home

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


def gone(answer: Answer, home: NanoclawHome) -> set[str]:
    """Return the paths below the home of all that went."""
    root = os.path.realpath(home.path)
    return {os.path.relpath(row["path"], root) for row in answer.data["results"] if row["status"] == "archived"}


@pytest.mark.skipif(not clocks.uptime().boot, reason="nobody says how long the machine has been up")
def test_what_a_clock_that_was_set_ahead_alone_makes_old_stays(first: V1Home) -> None:
    first.lay_free()
    assert run_json(CleanupSessions, state=first.path).code == 0
    young = first.lay_all_of(first.claude, first.projects, OVER, age=0.0)
    with handed(Ahead(days=40)):
        answer = run_json(CleanupSessions, state=first.path)
    assert (answer.code, gone(answer, first)) == (0, set()), answer
    assert all(map(first.has, young.values()))


def test_tool_results_that_alone_are_asked_for_stay_while_their_transcript_is_young(first: V1Home) -> None:
    free = first.lay_free()
    first.age(free["transcript"], DAY)
    words = ("--kind", "tool_results")
    assert gone(run_json(CleanupSessions, *words, state=first.path), first) == set()
    first.age(free["transcript"], 60 * DAY)
    assert gone(run_json(CleanupSessions, *words, state=first.path), first) == {free["tool_results"]}


def test_what_is_of_a_session_in_use_stays_whatever_the_case_of_its_id(first: V1Home) -> None:
    free = first.lay_free()
    first.add("sessions", group_folder="other", session_id=OVER.upper())
    assert gone(run_json(CleanupSessions, state=first.path), first) == {free["group_log"]}


def test_a_folder_that_is_too_deep_stays_and_all_else_goes(second: V2Home) -> None:
    free = second.lay_free()
    second.dig(free["session_dir"])
    second.age(free["session_dir"], 60 * DAY)
    answer = run_json(CleanupSessions, state=second.path)
    assert (answer.code, gone(answer, second)) == (0, set(free.values()) - {free["session_dir"]}), answer


def test_a_folder_with_its_database_is_a_nanoclaws_without_a_word(first: V1Home) -> None:
    free = first.lay_free()
    answer = run_json(CleanupSessions, state=first.path)
    assert (answer.code, gone(answer, first)) == (0, set(free.values()))
    assert answer.data["stores"][0]["era"] == "nanoclaw"


def test_without_a_folder_the_one_we_stand_in_is_meant(second: V2Home, monkeypatch: pytest.MonkeyPatch) -> None:
    free = second.lay_free()
    monkeypatch.chdir(second.path)
    assert gone(run_json(CleanupSessions, "--runtime", "nanoclaw"), second) == set(free.values())


@pytest.mark.parametrize("text", ['{"name": "other"}', "[]", "{", None])
def test_a_folder_of_something_else_is_not(first: V1Home, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    first.lay_free()
    (first.path / "package.json").unlink()
    if text is not None:
        (first.path / "package.json").write_text(text)
    monkeypatch.chdir(first.path)
    before = first.tree()
    result = run(CleanupSessions, "--runtime", "nanoclaw")
    assert result.code == 2
    assert "is no NanoClaw's; next: --home DIR" in result.stderr
    assert first.tree() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "main"), "has no profiles"),
        (("--agent", "main"), "--agent means nothing for nanoclaw"),
        (("--agent", "main"), "besides --runtime, --home, --state-dir there are --delete"),
        (("--agent", "main"), "--report, --stale"),
        (("--rows", "x=7d"), "--rows means nothing for nanoclaw"),
        (("--kind", "session_dir"), "is no kind of artifact; next: one of transcript, tool_results"),
        (("--older-than", "5m"), "is too short an age"),
    ],
)
def test_words_that_make_no_sense_are_usage(first: V1Home, words: tuple[str, ...], said: str) -> None:
    first.lay_free()
    before = first.tree()
    result = run(CleanupSessions, "--runtime", "nanoclaw", *words, state=first.path)
    assert result.code == 2
    assert said in result.stderr
    assert first.tree() == before


def test_beside_the_second_version_nothing_of_the_first_goes(second: V2Home, tmp_path: Path) -> None:
    free = second.lay_free()
    second.lay(f"{V1Home.claude}/projects/{V1Home.projects}/{OVER}.jsonl")
    second.lay("store/messages.db")
    assert gone(run_json(CleanupSessions, state=second.path), second) == set(free.values())


def test_what_the_first_version_had_comes_back_beside_the_second(first: V1Home, tmp_path: Path) -> None:
    free = first.lay_free()
    before = first.tree()
    run_json(CleanupSessions, state=first.path)
    (first.path / "data").mkdir(exist_ok=True)
    V2Home(tmp_path / "other").close()
    (tmp_path / "other/data/v2.db").rename(first.path / "data/v2.db")
    answer = run_json(RestoreSessions, "last", state=first.path)
    assert [row["status"] for row in answer.data["results"]] == ["restored"] * len(free)
    assert {path: data for path, data in first.tree().items() if path != "data/v2.db"} == before


def test_of_two_rows_the_one_that_only_the_wal_has_counts(second: V2Home) -> None:
    used = second.lay_used()
    second.lay_free()
    alone = sqlite3.connect(f"file:{second.path}/data/v2.db?immutable=1", uri=True)
    assert alone.execute("select count(*) from sessions").fetchone() == (0,)
    alone.close()
    run_json(CleanupSessions, "--older-than", "1d", state=second.path)
    assert all(map(second.has, used.values()))


def test_the_database_of_a_host_that_was_killed_is_read_and_stays_as_it_is(second: V2Home, tmp_path: Path) -> None:
    used = second.lay_used()
    free = second.lay_free()
    # Its newest rows are in the -wal alone, and nobody has it open.
    left = tmp_path / "left"
    shutil.copytree(second.path, left)
    before = [(left / f"data/v2.db{side}").read_bytes() for side in ("", "-wal")]
    answer = run_json(CleanupSessions, state=left)
    assert {row["path"].removeprefix(f"{left}/") for row in answer.data["results"]} == set(free.values())
    assert all((left / path).exists() for path in used.values())
    assert [(left / f"data/v2.db{side}").read_bytes() for side in ("", "-wal")] == before
    assert before[1]


NEVER = (
    "CLAUDE.md", "groups/main/CLAUDE.md", "groups/main/memory/one.md", "groups/main/conversations/one.md",
    "data/ipc/main/one.json", "groups/main/logs/one.txt", "groups/main/one.log",
)  # fmt: skip
NEVER_OF_CLAUDE = (
    "sessions-index.json", "settings.json", "skills/one/SKILL.md", "agent-runner-src/index.ts", "debug/latest",
    "shell-snapshots/one.sh", f"file-history/{OVER}/one", f"todos/{OVER}.json", f"debug/{OVER}.log",
    f"telemetry/{OVER}.json", "projects/-other/" + OVER + ".jsonl",
)  # fmt: skip
OF_NO_SESSION = (
    "memory/one.md",
    "sessions-index.json",
    "agent-0123456789abcdef.jsonl",
    f"{OVER}x.jsonl",
    "n.jsonl",
)


@pytest.mark.parametrize("make", [V1Home, V2Home])
def test_names_of_other_forms_stay_however_old(tmp_path: Path, make: type[V1Home] | type[V2Home]) -> None:
    home = make(tmp_path / "home")
    own = [f"{home.claude}/{name}" for name in NEVER_OF_CLAUDE]
    own += [f"{home.claude}/projects/{home.projects}/{name}" for name in OF_NO_SESSION]
    own += [f"data/v2-sessions/{GROUP}/agent-runner-src/index.ts", "data/v2-sessions/.hidden/one"]
    for path in (*NEVER, *own):
        home.lay(path)
    before = home.tree()
    answer = run_json(CleanupSessions, "--older-than", "1d", state=home.path)
    assert (answer.code, gone(answer, home)) == (0, set())
    assert home.tree() == before
    home.close()


@pytest.mark.parametrize(
    "at", ["data", "data/v2-sessions", "data/v2-sessions/" + GROUP, V2Home.claude, f"{V2Home.claude}/projects"]
)
def test_a_link_on_the_way_leads_nowhere(second: V2Home, tmp_path: Path, at: str) -> None:
    second.lay_free()
    if at == "data":
        second.close()
    elsewhere = tmp_path / "elsewhere"
    (second.path / at).rename(elsewhere)
    (second.path / at).symlink_to(elsewhere)
    before = sorted(path for path in elsewhere.rglob("*") if not path.name.startswith("v2.db-"))
    answer = run_json(CleanupSessions, "--older-than", "1d", state=second.path)
    assert sorted(path for path in elsewhere.rglob("*") if not path.name.startswith("v2.db-")) == before
    assert not any(path.startswith(f"{at}/") for path in gone(answer, second))
    if at == "data":
        assert answer.error == "no_database"


def test_a_link_of_the_right_name_stays(second: V2Home, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    folder = second.path / V2Home.claude / "projects" / V2Home.projects
    folder.mkdir(parents=True)
    for name in (f"{OVER}.jsonl", OVER):
        (folder / name).symlink_to(tmp_path / "precious")
        os.utime(folder / name, (0, 0), follow_symlinks=False)
    assert gone(run_json(CleanupSessions, state=second.path), second) == set()


def test_a_session_that_is_a_link_keeps_what_it_might_go_on_with(second: V2Home, tmp_path: Path) -> None:
    free = second.lay_free()
    used = second.lay_used()
    elsewhere = tmp_path / "elsewhere"
    (second.path / used["session_dir"]).rename(elsewhere)
    (second.path / used["session_dir"]).symlink_to(elsewhere)
    answer = run_json(CleanupSessions, state=second.path)
    assert gone(answer, second) == {free["rotated"], free["group_dir"]}
    assert any("cannot be read" in line for line in answer.data["warnings"])


@pytest.mark.long
def test_an_endless_query_of_a_container_ends(second: V2Home) -> None:
    free = second.lay_free()
    (second.path / free["session_dir"] / "outbound.db").unlink()
    second.write(
        free["session_dir"],
        "outbound",
        """create view processing_ack as with recursive n(status) as (select 'x' union all select status from n)
        select status from n;""",
    )
    second.age(free["session_dir"], 60 * DAY)
    answer = run_json(CleanupSessions, "--kind", "session_dir", state=second.path)
    assert (gone(answer, second), answer.data["spared"]) == (set(), {"unreadable": 1})


def _named(home: NanoclawHome) -> list[str]:
    return sorted(each.relative_to(home.path).as_posix() for each in (home.path / "data").rglob("*"))


@pytest.mark.parametrize("side", ["", "outbound.db-journal", "outbound.db-wal"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nothing_is_made_beside_the_databases_of_a_session(second: V2Home, mode: str, side: str) -> None:
    free = second.lay_free()
    second.lay_used()
    for session in (CLOSED, ACTIVE):
        second.write(f"data/v2-sessions/{GROUP}/{session}", "outbound", f"pragma journal_mode = {mode}")
    if side:
        second.lay(f"{free['session_dir']}/{side}", "something")
    before = _named(second), second.tree()
    run_json(CleanupSessions, "--dry-run", state=second.path)
    run_json(ListSessions, "--runtime", "nanoclaw", "--usage", state=second.path)
    assert (_named(second), second.tree()) == before


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("create table sessions (id)")
    database.close()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _linked(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


@pytest.mark.parametrize("make", [V1Home, V2Home])
@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (_empty, "empty_database"),
        (_damaged, "damaged_database"),
        (_foreign, "foreign_database"),
        (_folder, "damaged_database"),
        (_linked, "no_database"),
        (Path.unlink, "no_database"),
    ],
)
def test_a_central_database_that_cannot_be_read_keeps_everything(
    tmp_path: Path, make: type[V1Home] | type[V2Home], spoil: Callable[[Path], None], name: str
) -> None:
    home = make(tmp_path / "home")
    home.lay_free()
    home.close()
    spoil(home.path / home.database)
    before = home.tree()
    for words in ((), ("--delete",), ("--dry-run",)):
        answer = run_json(CleanupSessions, "--runtime", "nanoclaw", *words, state=home.path)
        assert (answer.code, answer.error) == (3, name)
    assert home.tree() == before


def test_a_central_database_that_is_locked_keeps_everything(first: V1Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_closer.artifacts.database._BUSY_SECONDS", 0.01)
    first.lay_free()
    before = first.tree()
    first.central.execute("begin exclusive")
    answer = run_json(CleanupSessions, state=first.path)
    first.central.execute("rollback")
    assert (answer.code, answer.error, first.tree()) == (4, "locked_database", before)


@pytest.mark.parametrize(("times", "error"), [(2, None), (9, "damaged_database")])
def test_a_short_error_of_the_disk_beside_a_writer_is_waited_for(
    second: V2Home, monkeypatch: pytest.MonkeyPatch, times: int, error: str | None
) -> None:
    second.lay_free()
    connect, left = sqlite3.connect, [sqlite3.SQLITE_IOERR_SHORT_READ] * times

    def failing(*arguments: Any, **more: Any) -> sqlite3.Connection:
        if left and "mode=ro" in str(arguments[0]):
            problem = sqlite3.OperationalError("beside a writer")
            problem.sqlite_errorcode = left.pop()
            raise problem
        return connect(*arguments, **more)

    monkeypatch.setattr(sqlite3, "connect", failing)
    answer = run_json(CleanupSessions, "--dry-run", state=second.path)
    assert (answer.code, answer.error) == (3 if error else 0, error)


def test_a_session_folder_that_is_back_is_said_to_wait_for_its_row(second: V2Home) -> None:
    free = second.lay_free()
    run_json(CleanupSessions, "--kind", "session_dir", state=second.path)
    receipt = json.loads(next((second.path / "session-closer" / "receipts").iterdir()).read_text())
    assert [one["note"] for one in receipt["stores"][0]["artifacts"]] == [kinds.INERT]
    assert kinds.INERT in run_json(RestoreSessions, "last", "--dry-run", state=second.path).data["warnings"]
    answer = run_json(RestoreSessions, "last", state=second.path)
    assert kinds.INERT in answer.data["warnings"]
    assert second.has(free["session_dir"])


def test_a_file_that_is_back_has_nothing_to_be_said_of(first: V1Home) -> None:
    first.lay_free()
    run_json(CleanupSessions, state=first.path)
    assert run_json(RestoreSessions, "last", state=first.path).data["warnings"] == []


def test_a_list_of_the_first_version_has_the_current_sessions(first: V1Home) -> None:
    first.lay_used()
    first.lay_free()
    found = run_json(ListSessions, "--runtime", "nanoclaw", state=first.path).data
    [row] = found["sessions"]
    assert (row["sessionId"], row["source"], row["state"], row["protected"]) == (USED, "main", "open", "current")
    assert (row["artifacts"], found["orphans"][0]["count"]) == (5, 5)


def test_a_list_of_the_second_version_has_all_rows_of_the_database(second: V2Home) -> None:
    second.lay_used()
    second.lay_free()
    second.row("sess-3-runs", age=2 * DAY, container_status="running")
    second.row("sess-4-undated", last_active="never")
    second.session("sess-4-undated")
    found = run_json(ListSessions, "--runtime", "nanoclaw", state=second.path).data
    said = {row["sessionId"]: (row["state"], row["protected"], row["artifacts"]) for row in found["sessions"]}
    assert said == {
        ACTIVE: ("open", "active", 7),
        CLOSED: ("closed", None, 1),
        "sess-3-runs": ("closed", "container", 0),
        "sess-4-undated": ("closed", None, 1),
    }
    assert [row["sessionId"] for row in found["sessions"] if row["running"]] == ["sess-3-runs"]
    days = {row["sessionId"]: row["ageSeconds"] and row["ageSeconds"] // DAY for row in found["sessions"]}
    assert days == {ACTIVE: 60, CLOSED: 60, "sess-3-runs": 2, "sess-4-undated": None}
    assert {row["source"] for row in found["sessions"]} == {GROUP}
    assert found["orphans"][0]["count"] == 5
    # Of a folder that was put away nothing is left that would keep its session.
    assert run_json(CleanupSessions, state=second.path).code == 0
    left = run_json(ListSessions, "--runtime", "nanoclaw", state=second.path).data["sessions"]
    assert [(row["protected"], row["artifacts"]) for row in left if row["sessionId"] == CLOSED] == [(None, 0)]


@pytest.mark.parametrize("make", [V1Home, V2Home])
def test_usage_has_each_kind_and_the_central_database(tmp_path: Path, make: type[V1Home] | type[V2Home]) -> None:
    home = make(tmp_path / "home")
    free = home.lay_free()
    used = run_json(ListSessions, "--runtime", "nanoclaw", "--usage", state=home.path).data["usage"]
    assert {row["kind"]: row["count"] for row in used} == dict.fromkeys((*free, home.database), 1)
    sides = [home.path / f"{home.database}{side}" for side in ("", "-wal")]
    sizes = {row["kind"]: row["bytes"] for row in used}
    assert sizes[home.database] == sum(each.stat().st_size for each in sides if each.exists()) > 0
    assert sizes["transcript"] == (home.path / free["transcript"]).stat().st_size
    home.close()


def test_the_folder_of_a_group_that_is_there_by_now_stays(second: V2Home) -> None:
    free = second.lay_free()
    place = second.place()
    home = place.opened(place.profiles()[0], Disk(), REAL)
    [going] = home.look(Limits({"group_dir": DAY}))
    assert (going.path, home.objection(going)) == (free["group_dir"], "")
    second.add("agent_groups", id=LOST, name=LOST, folder=LOST)
    assert home.objection(going) == "group"
    second.central.execute("drop table agent_groups")
    assert home.objection(going) == "unreadable"
    home.close()


def test_a_session_that_was_active_since_it_was_looked_at_stays(second: V2Home) -> None:
    free = second.lay_free()
    place = second.place()
    home = place.opened(place.profiles()[0], Disk(), REAL)
    [going] = home.look(Limits({"session_dir": DAY}))
    assert (going.path, home.objection(going)) == (free["session_dir"], "")
    # It is closed again by now.
    now = datetime.fromtimestamp(second.now, UTC).isoformat()
    second.central.execute("update sessions set last_active = ? where id = ?", (now, CLOSED))
    assert home.objection(going) == "active"
    home.close()


def test_what_lies_in_the_folder_of_no_group_goes_with_it_alone(second: V2Home) -> None:
    folder = f"data/v2-sessions/{LOST}"
    second.lay_all_of(f"{folder}/.claude-shared", second.projects, OVER)
    second.session("sess-9", group=LOST)
    second.lay(f"{folder}/note.txt", age=DAY)
    assert gone(run_json(CleanupSessions, state=second.path), second) == set()
    second.age(folder, 40 * DAY)
    assert gone(run_json(CleanupSessions, state=second.path), second) == {folder}


@pytest.mark.parametrize("spoiled", ["a long id", "no folder"])
def test_a_session_whose_folder_cannot_be_is_listed_like_any_other(second: V2Home, spoiled: str) -> None:
    name = "x" * 300 if spoiled == "a long id" else "sess-plain"
    second.row(name)
    second.session("sess-beside")
    if spoiled == "no folder":
        shutil.rmtree(second.path / "data" / "v2-sessions", ignore_errors=True)
        (second.path / "data" / "v2-sessions").write_text("no folder")
    answer = run_json(ListSessions, "--runtime", "nanoclaw", state=second.path)
    assert (answer.code, name in json.dumps(answer.data["sessions"])) == (0, True)


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_what_goes_stands_where_the_dry_run_has_it(first: V1Home, words: tuple[str, ...]) -> None:
    first.lay_free()
    dry = run_json(CleanupSessions, "--dry-run", *words, state=first.path)
    done = run_json(CleanupSessions, *words, state=first.path)
    paths = [row["path"] for row in dry.data["results"]]
    assert [row["path"] for row in done.data["results"]] == paths
    # A folder is deleted behind all files.
    assert paths == sorted(paths)
    kinds_of = [row["kind"] for row in done.data["results"]]
    assert kinds_of.index("tool_results") < len(kinds_of) - 1
