"""A transcript that another agent's session uses stays, whatever is closed and however that agent's store looks."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.files import commit, neighbours
from session_closer.operations import apply
from session_closer.ports.runtime import Runtime
from session_closer.ports.store import Ledger
from support.commands import Answer, run_json
from support.keys import LEAD
from support.stores import Stage, Store
from support.trees import write
from support.worker import Between

READER = "agent:researcher:"
KEY = LEAD + "subagent:2b1c"
DAY = 86400.0
Spelling = Callable[[Store, Path], str]


def lend(store: Store, path: str | Path, agent: str = "researcher") -> None:
    """Add a session of another agent that goes on in this file."""
    store.add(
        (f"agent:{agent}:borrower", {"sessionId": "borrower", "updatedAt": 1, "sessionFile": str(path)}), agent=agent
    )


def transcript(store: Store, key: str = KEY) -> Path:
    return Path(store.entries()[key]["sessionFile"])


def stray(store: Store, name: str, agent: str = "project-lead") -> Path:
    path = store.transcript(name, agent)
    os.utime(path, (time.time() - 3 * DAY,) * 2)
    return path


def linked(store: Store, path: Path) -> str:
    os.symlink(store.state, store.state.parent / "alias")
    return str(path).replace(str(store.state), str(store.state.parent / "alias"))


def linked_elsewhere(store: Store, path: Path) -> str:
    os.symlink(path.parent, store.state.parent / "anywhere")
    return str(store.state.parent / "anywhere" / path.name)


def relative(store: Store, path: Path) -> str:
    return os.path.relpath(path, store.folder("researcher"))


WAYS: dict[str, tuple[type[Command], tuple[str, ...]]] = {
    "close-project": (CloseProject, ("--session-key", KEY)),
    "batch": (CloseProjectBatch, (KEY, LEAD + "alpha")),
    "keep-only": (KeepOnlySessions, ("--agent", "project-lead", "kelly-dashboard")),
    "cleanup": (CleanupSessions, ("--agent", "project-lead", "--stale", "subagent=1h")),
    "cleanup of all": (CleanupSessions, ("--stale", "subagent=1h")),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_a_file_that_another_agent_s_session_uses_stays(store: Store, way: str) -> None:
    path, companion = transcript(store), transcript(store).with_suffix(".trajectory.jsonl")
    store.transcript(companion.name)
    lend(store, path)
    command, words = WAYS[way]
    for dry in (("--dry-run",), ()):
        answer = run_json(command, *words, *dry, state=store.state)
        [row] = [row for row in answer.data["results"] if row["key"] == KEY]
        assert (answer.code, row["status"]) == (0, "would_close" if dry else "closed")
        assert row["archives"] == []
        for name in (path.name, companion.name):
            assert f'"{name}" is used by a session of agent researcher: left where it is' in answer.data["warnings"]
        assert path.exists()
        assert companion.exists()
    assert KEY not in store.entries()


@pytest.mark.parametrize("spelled", [lambda _, path: str(path), linked, linked_elsewhere, relative])
@pytest.mark.parametrize("writer", [{}, {"ensure_ascii": True, "indent": None}, "escaped"])
def test_however_the_path_is_written(store: Store, spelled: Spelling, writer: Any) -> None:
    path = transcript(store)
    lend(store, spelled(store, path))
    rows = store.entries("researcher")
    text = json.dumps(rows, **(writer if isinstance(writer, dict) else {}))
    if writer == "escaped":
        text = text.replace("/", "\\/").replace("sessions", "\\u0073essions")
        assert json.loads(text) == rows
        text = text.replace("\\u0073essionsFile", "sessionFile")
    write(store.index("researcher"), text)
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert answer.rows == [(KEY, "closed")]
    assert path.exists()


def test_only_what_is_used_stays_and_an_own_file_is_nobody_else_s(store: Store) -> None:
    used, free = transcript(store), transcript(store, LEAD + "alpha")
    lend(store, used)
    # A session of the same id in another folder uses another file.
    store.add((READER + "namesake", store.session(READER + "namesake", agent="researcher")), agent="researcher")
    store.add((READER + "twin", {"sessionId": free.stem, "updatedAt": 1}), agent="researcher")
    keys = (KEY, LEAD + "alpha", LEAD + "alpha-review")
    answer = run_json(CloseProjectBatch, *keys, state=store.state)
    assert (answer.code, [status for _, status in answer.rows]) == (0, ["closed"] * 3)
    assert (used.exists(), free.exists()) == (True, False)
    assert len(answer.data["warnings"]) == 1


def test_a_file_that_another_agent_uses_by_now_stays(store: Store, between: Between) -> None:
    path = transcript(store)
    between(lambda: lend(store, path))
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert answer.rows == [(KEY, "closed")]
    assert path.exists()
    assert answer.data["warnings"] == [f'"{path.name}" is used by a session of agent researcher: left where it is']


def test_an_orphan_that_another_agent_uses_by_now_stays(store: Store, between: Between) -> None:
    used, free = stray(store, "used.jsonl"), stray(store, "free.jsonl")
    between(lambda: lend(store, used))
    answer = run_json(CleanupSessions, "--agent", "project-lead", "--only", "orphans", state=store.state)
    assert answer.code == 0
    assert (used.exists(), free.exists()) == (True, False)


def test_the_gateway_is_told_to_leave_it(stage: Stage) -> None:
    store = stage("up")
    path = transcript(store)
    lend(store, path)
    answer = run_json(CloseProject, "--session-key", KEY, "--force", state=store.state)
    assert answer.rows == [(KEY, "closed")]
    assert answer.data["results"][0]["route"] == "gateway"
    assert path.exists()


def test_a_run_that_is_broken_off_leaves_what_another_agent_uses(stage: Stage) -> None:
    store = stage("up", active=[KEY])
    path = transcript(store)
    lend(store, path)
    answer = run_json(CloseProject, "--session-key", KEY, "--force", state=store.state)
    assert answer.rows == [(KEY, "closed")]
    assert path.exists()


def test_a_damaged_store_of_another_agent_keeps_what_it_names_and_hinders_nothing(store: Store) -> None:
    path, free = transcript(store), transcript(store, LEAD + "telegram:group:-1001234")
    lend(store, path)
    raw = store.index("researcher").read_bytes()
    write(store.index("researcher"), raw[:-1])
    keys = (KEY, LEAD + "telegram:group:-1001234")
    answer = run_json(CloseProjectBatch, *keys, state=store.state)
    assert (answer.code, [status for _, status in answer.rows]) == (0, ["closed"] * 2)
    assert (path.exists(), free.exists()) == (True, False)
    told = "the store of agent researcher is cut off: what else it uses of other agents is not known"
    assert answer.data["warnings"].count(told) == 1


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"\0" * 512, "holds NUL bytes"),
        (b'{"a": {}}' + b"\0" * 512, "holds NUL bytes"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"", "is empty"),
        (b'{"a": {', "is cut off"),
        (b'{"a": {}, "b": 1}', ""),
    ],
)
def test_what_is_wrong_with_a_store_of_another_agent_is_said_as_it_is(store: Store, raw: bytes, wrong: str) -> None:
    transcript(store)
    write(store.index("researcher"), raw)
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    tail = ": what else it uses of other agents is not known"
    assert answer.data["warnings"] == ([f"the store of agent researcher {wrong}{tail}"] if wrong else [])


@pytest.mark.parametrize("left", [b"-", b"/sess"])
def test_a_store_that_ends_in_the_name_of_a_file_leaves_no_file_without_a_session(store: Store, left: bytes) -> None:
    """For OpenClaw that store is empty, and it deletes files that nobody claims: an archive can come back."""
    path = transcript(store)
    lend(store, path)
    raw = store.index("researcher").read_bytes()
    write(store.index("researcher"), raw[: raw.rindex(left)])
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert (answer.rows, path.exists()) == ([(KEY, "closed")], False)
    assert answer.data["warnings"] == [
        "the store of agent researcher is cut off: what else it uses of other agents is not known"
    ]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert path.exists()


def test_where_another_agent_s_store_cannot_be_read_at_all_it_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = transcript(store), neighbours.files.read

    def read(where: str, limit: int) -> Any:
        if where == str(store.index("researcher")):
            raise PermissionError(13, "Permission denied", where)
        return real(where, limit)

    monkeypatch.setattr(neighbours.files, "read", read)
    answer = run_json(CloseProjectBatch, KEY, LEAD + "alpha", state=store.state)
    assert (answer.code, [status for _, status in answer.rows]) == (0, ["closed"] * 2)
    assert not path.exists()
    told = "the store of agent researcher cannot be read: what else it uses of other agents is not known"
    assert answer.data["warnings"].count(told) == 1


@pytest.mark.parametrize("odd", ["folder", "pipe", "dangling link"])
def test_what_is_no_store_at_all_claims_nothing(store: Store, odd: str) -> None:
    index = store.index("researcher")
    index.unlink()
    make = {"folder": index.mkdir, "pipe": lambda: os.mkfifo(index), "dangling link": lambda: os.symlink("no", index)}
    make[odd]()
    path = transcript(store)
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert (answer.rows, answer.data["warnings"]) == ([(KEY, "closed")], [])
    assert not path.exists()


@pytest.mark.parametrize("words", [("--agent", "project-lead"), ()])
@pytest.mark.parametrize("claimed", [True, False])
def test_orphans_stay_where_another_agent_s_store_is_cut_off(
    store: Store, words: tuple[str, ...], claimed: bool
) -> None:
    path = stray(store, "theirs.jsonl")
    if claimed:
        lend(store, path)
    raw = store.index("researcher").read_bytes()
    write(store.index("researcher"), raw[: len(raw) // 2])
    answer = run_json(CleanupSessions, *words, "--only", "orphans", state=store.state)
    assert answer.code == (1 if not words else 0)
    assert path.exists()
    assert any(
        warning.startswith("the store of agent researcher cannot be read") for warning in answer.data["warnings"]
    )


def test_in_a_folder_that_two_agents_have_a_session_id_is_a_claim(store: Store, tmp_path: Path) -> None:
    store.configure(session={"store": str(tmp_path / "indexes" / "{agentId}.json")})
    (tmp_path / "indexes").mkdir()
    for agent in ("project-lead", "researcher"):
        shutil.move(store.index(agent), tmp_path / "indexes" / f"{agent}.json")
    rows = json.loads((tmp_path / "indexes" / "project-lead.json").read_bytes())
    path = Path(rows[KEY]["sessionFile"])
    shutil.rmtree(store.folder("researcher"))
    os.symlink(store.folder(), store.folder("researcher"))
    entries = {READER + "same": {"sessionId": path.stem, "updatedAt": 1}}
    write(tmp_path / "indexes" / "researcher.json", json.dumps(entries))
    answer: Answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert answer.rows == [(KEY, "closed")]
    assert path.exists()


def test_of_others_nothing_is_read_twice_and_nothing_large_where_no_file_would_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = neighbours.files.read

    def counted(where: str, limit: int) -> Any:
        read.append(where)
        return real(where, limit)

    monkeypatch.setattr(neighbours.files, "read", counted)
    others = {str(store.index("researcher")), str(store.index("main"))}
    run_json(CloseProject, "--dry-run", "never-spoken", state=store.state)
    assert sorted(path for path in read if path in others) == sorted(others)
    read.clear()
    with monkeypatch.context() as small:
        small.setattr(neighbours, "SEARCHED_BYTES", 10)
        run_json(CloseProject, "never-spoken", state=store.state)
        assert others.isdisjoint(read)
    run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert sorted(path for path in read if path in others) == sorted(others)


@pytest.mark.parametrize(("owner", "user"), [("project-lead", "main"), ("main", "project-lead")])
@pytest.mark.parametrize("dry", [True, False])
def test_what_only_a_session_uses_that_goes_too_is_archived(store: Store, owner: str, user: str, dry: bool) -> None:
    key, borrower = f"agent:{owner}:mine", f"agent:{user}:borrower"
    store.add((key, store.session(key, agent=owner)), agent=owner)
    path = Path(store.entries(owner)[key]["sessionFile"])
    store.add((borrower, {"sessionId": path.stem, "sessionFile": str(path), "updatedAt": 1}), agent=user)
    answer = run_json(CloseProjectBatch, key, borrower, *(["--dry-run"] if dry else []), state=store.state)
    assert (answer.code, [line for line in answer.data["warnings"] if "is used by" in line]) == (0, [])
    (row,) = [row for row in answer.data["results"] if row["key"] == key]
    assert [Path(name).name.partition(".deleted.")[0] for name in row["archives"]] == [path.name]
    assert path.exists() is dry


TAKEN = {
    "the same session id": ("project-lead", lambda path: {"sessionId": path.stem}),
    "the same file": ("project-lead", lambda path: {"sessionId": "taker", "sessionFile": str(path)}),
    "another agent": ("researcher", lambda path: {"sessionId": "taker", "sessionFile": str(path)}),
}


def take(store: Store, path: Path, way: str) -> None:
    """Add a row that goes on in a transcript."""
    agent, row = TAKEN[way]
    store.add((f"agent:{agent}:taker", {"updatedAt": 1, **row(path)}), agent=agent)


@pytest.mark.parametrize("life", ["down", "up"])
@pytest.mark.parametrize("way", list(TAKEN))
def test_a_file_that_is_taken_into_use_as_soon_as_it_is_put_away_comes_back(
    stage: Stage, afterwards: Between, life: str, way: str
) -> None:
    """On both routes; of it the receipt and the undo know nothing, and no byte is another one."""
    store = stage(life)
    path, companion = transcript(store), transcript(store).with_suffix(".trajectory.jsonl")
    store.transcript(companion.name)
    before, rows = path.read_bytes(), store.entries()
    afterwards(lambda: take(store, path, way))
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    [row] = answer.data["results"]
    assert (answer.code, row["status"], row["archives"]) == (0, "closed", [])
    assert row["route"] == ("files" if life == "down" else "gateway")
    who = "a session of agent researcher" if way == "another agent" else "another session"
    told = [f'"{name}" is used by {who} by now: it stays where it is' for name in (path.name, companion.name)]
    assert sorted(answer.data["warnings"]) == sorted(told)
    assert (path.read_bytes(), companion.exists()) == (before, True)
    assert not [name for name in store.names() if name.startswith(path.stem) and ".jsonl." in name]
    [receipt] = store.receipts()
    assert [session["moves"] for session in receipt["stores"][0]["sessions"]] == [[]]
    assert run_json(RestoreSessions, "last", state=store.state).rows == [(KEY, "restored")]
    assert {key: row for key, row in store.entries().items() if key != LEAD + "taker"} == rows
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", list(TAKEN))
def test_a_file_that_is_taken_into_use_as_the_store_is_exchanged_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path, real, taken = transcript(store), commit._swap, mock.Mock()

    def swap(*given: Any) -> Any:
        if not taken.called:
            taken(take(store, path, way))
        return real(*given)

    monkeypatch.setattr(commit, "_swap", swap)
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    assert (answer.code, answer.rows, answer.data["results"][0]["archives"]) == (0, [(KEY, "closed")], [])
    assert path.exists()
    agent = TAKEN[way][0]
    assert f"agent:{agent}:taker" in store.entries(agent)


@pytest.mark.parametrize("life", ["down", "up"])
def test_what_was_begun_anew_meanwhile_is_not_overwritten(stage: Stage, afterwards: Between, life: str) -> None:
    store = stage(life)
    path = transcript(store)
    before = path.read_bytes()

    def begin() -> None:
        take(store, path, "another agent")
        path.write_text("anew")

    afterwards(begin)
    answer = run_json(CloseProject, "--session-key", KEY, state=store.state)
    [row] = answer.data["results"]
    [archive] = row["archives"]
    assert (answer.code, path.read_text(), Path(archive).read_bytes()) == (0, "anew", before)
    told = f'"{path.name}" was begun anew while it was put away: what it held before is in "{Path(archive).name}"'
    assert answer.data["warnings"] == [told]


def test_what_a_session_uses_that_was_to_go_too_and_stays_comes_back(store: Store, between: Between) -> None:
    """The store of the one is done before it turns out that the other one stays."""
    mine, borrower = "agent:main:mine", LEAD + "borrower"
    store.add((mine, store.session(mine, agent="main")), agent="main")
    path = Path(store.entries("main")[mine]["sessionFile"])
    row = {"sessionId": path.stem, "sessionFile": str(path), "updatedAt": 1}
    store.add((borrower, row))
    lock = store.folder() / f"{path.name}.lock"
    # The store of the other one is done then.
    between(lambda: None if path.exists() else write(lock, json.dumps({"pid": os.getpid()})))
    answer = run_json(CloseProjectBatch, mine, borrower, state=store.state)
    assert dict(answer.rows) == {mine: "closed", borrower: "refused"}
    assert answer.data["kept"] == len(store.entries()) + len(store.entries("main"))
    assert path.exists()
    assert borrower in store.entries()


@pytest.mark.parametrize("way", list(TAKEN))
def test_an_orphan_that_is_taken_into_use_as_soon_as_it_is_put_away_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    used, free = stray(store, "used.jsonl"), stray(store, "free.jsonl")
    real = apply.restart_once

    def taken(runtime: Runtime, ledger: Ledger) -> Any:
        take(store, used, way)
        return real(runtime, ledger)

    monkeypatch.setattr(apply, "restart_once", taken)
    answer = run_json(CleanupSessions, "--agent", "project-lead", "--only", "orphans", state=store.state)
    assert (answer.code, used.exists(), free.exists()) == (0, True, False)
    assert [row["input"] for row in answer.data["results"]] == ["free.jsonl"]
    [receipt] = store.receipts()
    assert [move["source"] for move in receipt["stores"][0]["orphans"]] == ["free.jsonl"]
