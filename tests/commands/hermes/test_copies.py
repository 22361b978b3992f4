"""cleanup-sessions --export of a Hermes: what goes has a copy of its session first, or stays; what has none is said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.hermes import parts
from session_closer.system import files
from session_closer.system.clock import REAL
from support import fake_hermes
from support.clock import Ahead
from support.commands import run
from support.hermes import DAY
from support.leavings import FREE, OPTIONAL, OVER, Leavings, by_status
from support.worker import BeforeComparing

OF_SESSION = sorted(FREE[kind] for kind in ("session_json", "request_dump", "transcript_jsonl"))
ALONE = sorted(set(FREE.values()) - set(OF_SESSION))
SECOND = "20200103_000000_aaaaaa"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


def folder_of(out: Path, name: str = OVER) -> Path:
    return out / "default" / f"{name}-{name[:8]}"


def files_in(folder: Path) -> dict[str, bytes]:
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def take_name(out: Path) -> None:
    """Have something where the copy of the session that is over is to be."""
    folder_of(out).mkdir(parents=True)
    out.chmod(0o700)


def lay_second(home: Leavings) -> str:
    """Leave a snapshot of another session that is over; return its path."""
    home.session(SECOND)
    return home.lay(f"sessions/session_{SECOND}.json", json.dumps({"session_id": SECOND}), age=60 * DAY).name


def test_each_session_is_exported_once_and_then_what_it_left_is_put_away(home: Leavings, out: Path) -> None:
    home.lay_all()
    lay_second(home)
    before = home.tree()
    answer = home.run(CleanupSessions, "--export", str(out))
    assert answer.code == 0, answer
    assert by_status(answer) == {"archived": sorted([*OF_SESSION, *ALONE, f"sessions/session_{SECOND}.json"])}
    assert {(row["agent"], row["key"]) for row in answer.data["exported"]} == {("default", OVER), ("default", SECOND)}
    for row in answer.data["exported"]:
        subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=row["path"], check=True)
    found = files_in(folder_of(out))
    for path in OF_SESSION:
        assert found[f"files/{Path(path).name}"] == before[path].data
    assert len(found["rows.jsonl"].splitlines()) == 3
    back = home.run(RestoreSessions, "last")
    assert back.code == 0
    assert home.tree() == before


def test_what_is_of_no_session_goes_without_a_copy_which_is_said_once(home: Leavings, out: Path) -> None:
    home.lay_all(optional=True)
    kinds = ",".join([*FREE, "spawn_tree"])
    answer = home.run(CleanupSessions, "--export", str(out), "--kind", kinds)
    assert answer.code == 0
    said = [line for line in answer.data["warnings"] if "no export" in line]
    what = f"{len(ALONE) + 1} files and folders that go are in no export, or not whole"
    assert said == [f"{what}: of no session, or not of what was said in one"]
    assert not any(home.has(path) for path in ALONE)
    assert len(answer.data["exported"]) == 1


def test_what_a_session_has_left_stays_where_it_cannot_be_exported_and_the_rest_goes(home: Leavings, out: Path) -> None:
    home.lay_all()
    lay_second(home)
    take_name(out)
    before = home.tree()
    answer = home.run(CleanupSessions, "--export", str(out))
    assert answer.code == 1
    assert by_status(answer) == {"refused": OF_SESSION, "archived": sorted([*ALONE, f"sessions/session_{SECOND}.json"])}
    refused = [row for row in answer.data["results"] if row["status"] == "refused"]
    assert {(row["reason"], row["ok"]) for row in refused} == {("export", False)}
    assert all("is there already" in row["error"] for row in refused)
    assert all(home.tree()[path] == before[path] for path in OF_SESSION)
    assert [row["key"] for row in answer.data["exported"]] == [SECOND]
    assert answer.data["putAway"]["count"] == len(ALONE) + 1


def test_where_nothing_can_be_exported_nothing_is_changed(home: Leavings, out: Path) -> None:
    home.lay_kind("session_json", FREE["session_json"])
    take_name(out)
    answer = home.run(CleanupSessions, "--export", str(out), "--delete")
    assert (answer.code, by_status(answer)) == (3, {"refused": [FREE["session_json"]]})
    assert answer.data["receipt"] is None
    assert home.has(FREE["session_json"])


def test_a_session_that_is_written_to_all_the_time_came_back(
    home: Leavings, out: Path, before_comparing: BeforeComparing
) -> None:
    home.lay_all()
    at = iter(range(100))

    def say(_: str) -> None:
        home._insert("messages", session_id=OVER, role="user", content=f"{next(at)}", timestamp=home.now)

    before_comparing(say)
    answer = home.run(CleanupSessions, "--export", str(out))
    assert answer.code == 1
    assert by_status(answer) == {"came_back": OF_SESSION, "archived": ALONE}
    assert answer.data["exported"] == []
    assert not out.exists()


def test_a_file_that_is_written_to_after_its_export_stays(
    home: Leavings, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from session_closer.operations import put_away

    home.lay_all()
    perform = put_away.perform

    def later(*given: object) -> object:
        home.lay(FREE["session_json"], json.dumps({"session_id": OVER, "more": 1}))
        return perform(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(put_away, "perform", later)
    answer = home.run(CleanupSessions, "--export", str(out), "--delete", "--verbose")
    assert by_status(answer)["kept"] == [FREE["session_json"]]
    assert home.has(FREE["session_json"])


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_of_secrets_is_told_where_there_is_a_copy_that_they_are_in(
    home: Leavings, out: Path, mode: tuple[str, ...]
) -> None:
    assert not any("secrets" in line for line in home.run(CleanupSessions, "--export", str(out)).data["warnings"])
    home.lay_kind("session_json", FREE["session_json"])
    take_name(out)
    for folder, is_said in ((out, False), (out.with_name("other"), True)):
        answer = home.run(CleanupSessions, "--export", str(folder), *mode)
        assert any("secrets" in line for line in answer.data["warnings"]) is is_said, answer


def test_a_dry_run_exports_nothing_and_says_which_names_are_taken(home: Leavings, out: Path) -> None:
    home.lay_all()
    lay_second(home)
    take_name(out)
    before = home.tree()
    answer = home.run(CleanupSessions, "--export", str(out), "--dry-run")
    assert answer.code == 1
    assert by_status(answer) == {
        "refused": OF_SESSION, "would_archive": sorted([*ALONE, f"sessions/session_{SECOND}.json"])
    }  # fmt: skip
    assert answer.data["exported"] == []
    assert [each.name for each in (out / "default").iterdir()] == [folder_of(out).name]
    assert home.tree() == before


def test_a_dry_run_sees_rows_that_cannot_be_read(home: Leavings, out: Path) -> None:
    home.lay_all()
    home._insert("messages", session_id=OVER, role="user", content="?", timestamp=home.now - 60 * DAY)
    home.database.execute("update messages set content = cast(x'ff' as text) where session_id = ?", (OVER,))
    ahead, done = (home.run(CleanupSessions, "--export", str(out), *mode) for mode in (["--dry-run"], []))
    assert (ahead.code, by_status(ahead)["refused"]) == (1, OF_SESSION)
    assert (done.code, by_status(done)["refused"]) == (1, OF_SESSION)
    assert ahead.data["warnings"] == done.data["warnings"]


def test_more_than_may_go_is_refused_ahead_of_any_export(home: Leavings, out: Path) -> None:
    home.lay_all()
    answer = home.run(CleanupSessions, "--export", str(out), "--max", "1")
    assert answer.code != 0
    assert not out.exists()


def test_a_file_that_says_it_is_of_another_session_is_no_copy_of_that_of_its_name(home: Leavings, out: Path) -> None:
    path = "sessions/session_copy.json"
    home.lay(path, json.dumps({"session_id": SECOND}), age=60 * DAY)
    answer = home.run(CleanupSessions, "--export", str(out))
    assert (answer.code, by_status(answer), answer.data["exported"]) == (0, {"archived": [path]}, [])
    [said] = [line for line in answer.data["warnings"] if "no export" in line]
    assert said.startswith("1 file or folder that goes is in no export")


def test_where_a_session_is_gone_before_its_copy_is_whole_what_it_left_stays(
    home: Leavings, out: Path, before_comparing: BeforeComparing
) -> None:
    home.lay_kind("spawn_tree", OPTIONAL["spawn_tree"])

    def gone(_: str) -> None:
        for table, column in (("messages", "session_id"), ("sessions", "id")):
            home.database.execute(f"delete from {table} where {column} = ?", (OVER,))

    before_comparing(gone)
    answer = home.run(CleanupSessions, "--export", str(out), "--kind", "spawn_tree")
    assert (answer.code, by_status(answer)) == (3, {"refused": [OPTIONAL["spawn_tree"]]})
    assert home.has(OPTIONAL["spawn_tree"])
    assert not out.exists()


def test_rows_that_go_are_in_the_copy_of_their_session(
    home: Leavings, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", fake_hermes.install(tmp_path / "bin"))
    answer = home.run(CleanupSessions, "--export", str(out), "--rows", "cli=30d")
    assert (answer.code, by_status(answer)) == (0, {"deleted": [f"state.db/{OVER}"]})
    assert len(files_in(folder_of(out))["rows.jsonl"].splitlines()) == 3
    assert not any("no export" in line for line in answer.data["warnings"])


@pytest.mark.parametrize("words", [["--redact"], ["--rehearse"]])
def test_what_is_no_copy_is_not_made_of_what_goes(home: Leavings, out: Path, words: list[str]) -> None:
    home.lay_all()
    result = run(CleanupSessions, "--export", str(out), *words, state=home.path)
    assert (result.code, result.stdout) == (2, ""), result
    assert not out.exists()


def test_no_folder_within_a_home_takes_copies(home: Leavings) -> None:
    paths = home.lay_all()
    answer = home.run(CleanupSessions, "--export", str(home.path / "kept"))
    assert answer.code == 3
    assert all(map(home.has, paths))


def test_where_copies_are_is_said_on_the_terminal(home: Leavings, out: Path) -> None:
    home.lay_all()
    result = run(CleanupSessions, "--export", str(out), state=home.path)
    assert f"\nexported {folder_of(out)}\n" in result.stdout


def test_of_very_many_copies_a_short_document_has_those_of_its_rows(home: Leavings, out: Path) -> None:
    for number in range(150):
        name = f"20200101_{number + 1:06d}_abcdef"
        home.session(name)
        home.lay(f"sessions/session_{name}.json", json.dumps({"session_id": name}), age=60 * DAY)
    answer = home.run(CleanupSessions, "--export", str(out), "--yes")
    assert answer.code == 0
    assert len(json.dumps(answer.data)) < 32 * 1024
    told = {row["sessionId"] for row in answer.data["results"]}
    assert {row["key"] for row in answer.data["exported"]} == told
    assert answer.data["resultsOmitted"] == 150 - len(told) > 0


@pytest.mark.parametrize("is_at_rest", [True, False])
def test_a_folder_that_nobody_changes_is_listed_once_for_all_sessions(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, is_at_rest: bool
) -> None:
    listed: list[str] = []
    real = files.listed

    def counted(path: str) -> list[str]:
        listed.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(files, "listed", counted)
    clock = Ahead(days=1) if is_at_rest else REAL

    def found() -> list[int]:
        both = [parts.parts(str(home.path), name, clock) for name in (OVER, SECOND)]
        return [
            0 if each is None else sum(stream.name.startswith("files/") for stream in each.streams) for each in both
        ]

    lay_second(home)
    assert [found(), found()] == [[0, 1]] * 2
    assert listed.count("sessions") == (1 if is_at_rest else 4)
    home.lay_kind("session_json", FREE["session_json"])
    assert found() == [1, 1]
