"""What lies beside transcripts: companions go with their session, temporary files and old windows when they are old."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run_json
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import write

DAY = 86400.0
GONE, LIVE = session_id("gone"), session_id("project-lead agent:project-lead:kelly-dashboard")
CODEX = ".jsonl.codex-app-server.json"
STAMP = "2016-11-21T00-41-24.769Z"
TEMPORARY = [
    f"sessions.json.{GONE}.tmp", f"sessions.json.4711.{GONE}.tmp", ".usage-cost-cache.json.4711.1600000000000.tmp",
    ".usage-cost-cache.json.lock.4711.99.tmp", f".usage-cost-cache.{GONE}.tmp",
]  # fmt: skip
WINDOWS = [f"{LIVE}.jsonl.reset.{STAMP}", f"{LIVE}.jsonl.bak.{STAMP}", f"{GONE}-topic-4.jsonl.reset.{STAMP}"]


def put(folder: Path, *names: str, age: float = 9 * DAY) -> list[Path]:
    for name in names:
        write(folder / name, "{}\n")
        os.utime(folder / name, (time.time() - age,) * 2)
    return [folder / name for name in names]


def inputs(store: Store, *words: str) -> list[str]:
    """Return the files of a cleanup's rows."""
    rows = run_json(CleanupSessions, *words, state=store.state).data["results"]
    return sorted(row["input"] for row in rows if row["key"] is None)


def test_a_companion_goes_with_its_session_and_comes_back_with_it(store: Store) -> None:
    [path] = put(store.folder(), LIVE + CODEX)
    raw = path.read_bytes()
    answer = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert answer.code == 0
    [archive] = [Path(each) for each in answer.data["results"][0]["archives"] if CODEX in each]
    # OpenClaw counts what ends so as no session.
    assert archive.name.startswith(f"{LIVE}{CODEX}.bak.")
    assert (archive.read_bytes(), path.exists()) == (raw, False)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert path.read_bytes() == raw


def test_a_companion_without_its_session_is_an_orphan_and_that_of_a_live_one_is_none(store: Store) -> None:
    live, gone = put(store.folder(), LIVE + CODEX, GONE + CODEX)
    assert inputs(store, "--orphans", "1h", "--dry-run") == [gone.name]
    assert inputs(store, "--orphans", "1h") == [gone.name]
    assert (live.exists(), gone.exists()) == (True, False)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert gone.exists()


def test_a_companion_counts_in_the_size_of_its_session(store: Store) -> None:
    def size() -> int:
        rows = run_json(ListSessions, "--agent", "project-lead", state=store.state).data["sessions"]
        return int(next(row["transcriptBytes"] for row in rows if row["key"] == LEAD + "kelly-dashboard"))

    before = size()
    [path] = put(store.folder(), LIVE + CODEX)
    assert size() == before + path.stat().st_size


def test_temporary_files_are_put_away_with_the_orphans_and_come_back(store: Store) -> None:
    paths = put(store.folder(), *TEMPORARY)
    young = put(store.folder(), *(name.replace("4711", "12") for name in TEMPORARY if "4711" in name), age=DAY / 2)
    assert inputs(store, "--orphans", "1h", "--dry-run") == sorted(TEMPORARY)
    assert inputs(store, "--orphans", "1h") == sorted(TEMPORARY)
    assert not any(path.exists() for path in paths)
    assert all(path.exists() for path in young)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert all(path.exists() for path in paths)


def test_those_of_an_index_elsewhere_are_found_beside_it(store: Store) -> None:
    data = store.state.parent / "data"
    data.mkdir()
    store.configure(session={"store": str(data / "{agentId}.json")})
    for agent in ("main", "project-lead"):
        os.rename(store.index(agent), data / f"{agent}.json")
    paths = put(data, f"main.json.{GONE}.tmp", f"project-lead.json.12.{GONE}.tmp")
    [other] = put(data, f"else.json.{GONE}.tmp")
    assert inputs(store, "--orphans") == sorted(map(str, paths))
    assert other.exists()
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert all(path.exists() for path in paths)


def test_old_windows_are_freed_with_the_archives_and_not_before(store: Store) -> None:
    put(store.folder(), *WINDOWS)
    fresh = time.strftime("%Y-%m-%dT%H-%M-%S.000Z", time.gmtime(time.time() - DAY / 2))
    [young] = put(store.folder(), f"{LIVE}.jsonl.reset.{fresh}")
    assert not set(inputs(store, "--dry-run")) & {*WINDOWS}
    assert not set(inputs(store, "--orphans", "1h", "--dry-run")) & {*WINDOWS}
    assert {*WINDOWS} <= set(inputs(store, "--expire-archives", "1h"))
    assert not {*WINDOWS} & store.names()
    assert young.exists()


def test_nothing_of_it_is_touched_by_default(store: Store) -> None:
    paths = put(store.folder(), *TEMPORARY, *WINDOWS, GONE + CODEX)
    run_json(CleanupSessions, "--enforce", state=store.state)
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("count", [1, 5])
def test_what_nothing_tells_the_owner_of_is_said(store: Store, count: int) -> None:
    strange = put(store.folder(), *(f"strange-{number}.sqlite" for number in range(count)))
    put(store.folder(), *TEMPORARY, *WINDOWS, LIVE + CODEX, "sessions.json.bak.12", ".usage-cost-cache.json")
    warnings = run_json(CleanupSessions, "--orphans", "--dry-run", state=store.state).data["warnings"]
    [warning] = [one for one in warnings if "nothing tells whose" in one]
    assert warning.startswith(f"{count} file{'' if count == 1 else 's'} of agent project-lead")
    assert '"strange-0.sqlite"' in warning
    assert all(path.exists() for path in strange)


def test_what_was_put_away_of_temporary_files_is_freed_in_the_end(store: Store) -> None:
    put(store.folder(), *(f"{name}.bak.{STAMP}" for name in TEMPORARY))
    run_json(CleanupSessions, "--expire-archives", "1h", state=store.state)
    assert not any(name.endswith(STAMP) and ".tmp" in name for name in store.names())
