"""Where transcripts are: by a path of another host, outside, or beside an index that `session.store` puts elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run, run_json
from support.interrupted import Killed, KilledDisk, perform
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import tree, write

KEY = f"{LEAD}far"
OWN = session_id("far")
DAY = 86400.0
STAMP = "2016-11-21T00-41-24-769Z"
# What people's rows hold: a root's, a container's, an older product's, a Mac's and a Windows folder.
FOLDERS = [
    "/root/.openclaw/agents/project-lead/sessions/", "/home/node/.openclaw/agents/project-lead/sessions/",
    "{home}/.clawdbot/agents/project-lead/sessions/", "/Users/kelly/.openclaw/agents/main/sessions/",
    "C:\\Users\\kelly\\.openclaw\\agents\\project-lead\\sessions\\", "\\\\nas\\share\\sessions\\",
    "D:/openclaw/sessions/", "elsewhere/", "",
]  # fmt: skip
NAMES = [f"{OWN}.jsonl", f"{session_id('older')}.jsonl", f"{STAMP}_{OWN}.jsonl", f"{OWN}-topic-42.jsonl"]
TEMPLATES = ["{data}/{agentId}/sessions/store.json", "{data}/{agentId}.json", "{data}/all.json"]


def written(path: Path, text: str = "{}\n", age: float = 0.0) -> Path:
    """Write a file, which is as old as that."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(path, text)
    os.utime(path, (time.time() - age,) * 2)
    return path


def live(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return a tree without what a close and its undo leave behind on purpose."""
    found = tree(folder).items()
    kept = {name: what for name, what in found if ".bak-" not in name and "session-closer" not in name}
    # Of a folder the time changes with each rename in it, of an index with each edit.
    return {name: what if name.endswith("l") else (what[0], what[2]) for name, what in kept.items()}


def listed(store: Store, key: str = KEY) -> dict[str, Any]:
    """Return a session as list-sessions shows it."""
    [row] = [row for row in run_json(ListSessions, state=store.state).data["sessions"] if row["key"] == key]
    return {"transcriptBytes": None, **row}


# The path in a row


@pytest.mark.parametrize(
    ("folder", "name"), [*((folder, NAMES[1]) for folder in FOLDERS), *((FOLDERS[0], name) for name in NAMES)]
)
def test_a_path_that_leads_nowhere_is_found_by_its_base_name(store: Store, world: Path, folder: str, name: str) -> None:
    path = store.transcript(name)
    store.add((KEY, {"sessionId": OWN, "updatedAt": 1, "sessionFile": folder.format(home=world / "home") + name}))
    before, size = live(store.state), path.stat().st_size
    assert listed(store)["transcriptBytes"] == size
    answer = run_json(CloseProject, KEY, state=store.state)
    assert (answer.code, answer.rows, answer.data["warnings"]) == (0, [(KEY, "closed")], [])
    [row] = answer.data["results"]
    assert [Path(archive).name.partition(".deleted.")[0] for archive in row["archives"]] == [name]
    assert (row["left"], path.exists()) == ([], False)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(store.state) == before


@pytest.mark.parametrize("folder", FOLDERS[:-1:3])
def test_what_a_base_name_stands_for_goes_with_nobody_else(store: Store, world: Path, folder: str) -> None:
    path = store.transcript(NAMES[1])
    named = folder.format(home=world / "home") + path.name
    rows = [(f"{LEAD}{name}", {"sessionId": session_id(name), "sessionFile": named}) for name in ("one", "two")]
    store.add(*rows)
    answer = run_json(CloseProject, f"{LEAD}one", state=store.state)
    assert (answer.rows, path.exists()) == ([(f"{LEAD}one", "closed")], True)
    assert answer.data["results"][0]["left"] == [str(path)]


def test_a_forked_session_s_transcript_is_its_own_by_its_id_alone(store: Store) -> None:
    path = store.transcript(NAMES[2])
    store.add((KEY, {"sessionId": OWN, "updatedAt": 1}))
    assert listed(store)["transcriptBytes"] == path.stat().st_size
    assert run_json(CloseProject, KEY, state=store.state).rows == [(KEY, "closed")]
    assert not path.exists()


@pytest.mark.parametrize("folder", FOLDERS[:-1:3])
def test_a_size_that_cannot_be_told_is_not_said_to_be_none(store: Store, world: Path, folder: str) -> None:
    store.add((KEY, {"sessionId": OWN, "sessionFile": folder.format(home=world / "home") + NAMES[1]}))
    assert listed(store)["transcriptBytes"] is None
    [line] = [line for line in run(ListSessions, state=store.state).stdout.splitlines() if line.endswith(KEY)]
    assert line.split()[3] == "?"


def workspace(store: Store) -> Path:
    return store.state / "workspace-project-lead" / NAMES[0]


def older_product(store: Store) -> Path:
    return store.state.parent / ".clawdbot" / "agents" / "project-lead" / "sessions" / NAMES[0]


def other_agent(store: Store) -> Path:
    return store.folder("researcher") / NAMES[0]


def below(store: Store) -> Path:
    return store.folder() / "sub" / NAMES[0]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("place", [workspace, older_product, other_agent, below])
def test_a_file_outside_stays_and_the_result_names_it(
    store: Store, place: Callable[[Store], Path], relative: bool
) -> None:
    outside = written(place(store), "the real one\n")
    named = os.path.relpath(outside, store.folder()) if relative else str(outside)
    copy = store.transcript(outside.name)
    store.add((KEY, {"sessionId": OWN, "updatedAt": 1, "sessionFile": named}))
    before = live(store.state.parent)
    assert listed(store)["transcriptBytes"] is None
    for dry in (("--dry-run",), ()):
        answer = run_json(CloseProject, KEY, *dry, state=store.state)
        [row] = answer.data["results"]
        assert (answer.code, row["archives"], row["left"]) == (0, [], [str(outside)])
        assert answer.data["warnings"] == [f'sessionFile of "{KEY}" is "{outside}": left where it is']
    assert copy.exists()
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(store.state.parent) == before


def test_a_row_says_in_a_line_what_stays(store: Store) -> None:
    outside = written(workspace(store))
    store.transcript(f"{OWN}.trajectory.jsonl")
    store.add((KEY, {"sessionId": OWN, "updatedAt": 1, "sessionFile": str(outside)}))
    result = run(CloseProject, KEY, state=store.state)
    assert "1 file archived, 1 file left" in result.stdout
    assert str(outside) in result.stderr


# An index elsewhere


@pytest.fixture(params=TEMPLATES)
def elsewhere(request: pytest.FixtureRequest, store: Store) -> Callable[[str], Path]:
    """The sample store with its indexes elsewhere; return where an agent's index is."""
    data = store.state.parent / "data"
    template = request.param.replace("{data}", str(data))
    store.configure(session={"store": template})
    for agent in ("main", "project-lead", "researcher"):
        index = Path(template.replace("{agentId}", agent))
        known = json.loads(index.read_bytes()) if index.exists() else {}
        written(index, json.dumps({**known, **store.entries(agent)}, indent=2))
        store.index(agent).unlink()
    return lambda agent: Path(template.replace("{agentId}", agent))


def spoken(index: Path, key: str = KEY, session: str = OWN) -> Path:
    """Add a session whose transcript is beside its index, as `sessions.create` makes it; return the transcript."""
    rows = json.loads(index.read_bytes())
    written(index, json.dumps({**rows, key: {"sessionId": session, "updatedAt": 1}}, indent=2))
    return written(index.parent / f"{session}.jsonl")


def test_what_is_beside_the_index_goes_and_comes_back(store: Store, elsewhere: Callable[[str], Path]) -> None:
    path = spoken(elsewhere("project-lead"))
    other = spoken(elsewhere("researcher"), "agent:researcher:far", session_id("another"))
    companion = written(path.with_suffix(".trajectory.jsonl"))
    before = live(store.state.parent)
    assert listed(store)["transcriptBytes"] == path.stat().st_size + companion.stat().st_size
    answer = run_json(CloseProjectBatch, KEY, LEAD + "topics", state=store.state)
    assert (answer.code, answer.rows) == (0, [(KEY, "closed"), (LEAD + "topics", "closed")])
    folders = [{str(Path(archive).parent) for archive in row["archives"]} for row in answer.data["results"]]
    # What an agent's turns wrote is where they write it.
    assert folders == [{str(path.parent)}, {str(store.folder())}]
    assert (path.exists(), companion.exists(), other.exists()) == (False, False, True)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(store.state.parent) == before


@pytest.mark.parametrize("words", [("--dry-run",), ("--check",), ()])
def test_what_is_there_again_beside_the_index_is_not_overwritten(
    store: Store, elsewhere: Callable[[str], Path], words: tuple[str, ...]
) -> None:
    path = spoken(elsewhere("project-lead"))
    assert run_json(CloseProject, KEY, state=store.state).code == 0
    written(path, "somebody else's")
    answer = run_json(RestoreSessions, "last", *words, state=store.state)
    assert (answer.code, answer.rows) == (1, [(KEY, "conflict")])
    assert answer.data["results"][0]["error"].endswith("is there again")
    assert path.read_text() == "somebody else's"


def test_both_folders_are_the_session_s(store: Store, elsewhere: Callable[[str], Path]) -> None:
    paths = [spoken(elsewhere("project-lead")), store.transcript(f"{OWN}.jsonl")]
    before = live(store.state.parent)
    assert listed(store)["transcriptBytes"] == sum(path.stat().st_size for path in paths)
    answer = run_json(CloseProject, KEY, state=store.state)
    assert len(answer.data["results"][0]["archives"]) == 2
    assert not any(path.exists() for path in paths)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(store.state.parent) == before


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_default_folder_need_not_exist_and_is_not_made(tmp_path: Path, closed_port: int, template: str) -> None:
    store, data = Store(tmp_path / "state", closed_port), tmp_path / "data"
    store.configure(session={"store": template.replace("{data}", str(data))})
    index = Path(template.replace("{data}", str(data)).replace("{agentId}", "project-lead"))
    written(index, json.dumps({LEAD + "main": {"sessionId": session_id("main"), "updatedAt": 1}}))
    path = spoken(index)
    before = live(tmp_path)
    for _ in range(2):
        assert run_json(CloseProject, KEY, state=store.state).rows == [(KEY, "closed")]
        assert not path.exists()
        assert run_json(RestoreSessions, "last", state=store.state).rows == [(KEY, "restored")]
    assert live(tmp_path) == before


def test_after_an_undo_that_failed_the_next_commands_work(tmp_path: Path, closed_port: int) -> None:
    store, index = Store(tmp_path / "state", closed_port), tmp_path / "data" / "project-lead.json"
    store.configure(session={"store": str(tmp_path / "data" / "{agentId}.json")})
    written(index, "{}")
    path = spoken(index)
    answer = run_json(CloseProject, KEY, state=store.state)
    os.rename(answer.data["results"][0]["archives"][0], path.with_suffix(".taken"))
    answer = run_json(RestoreSessions, "last", state=store.state)
    assert (answer.code, answer.rows) == (1, [(KEY, "failed")])
    assert store.open_runs() == []
    assert run_json(ListSessions, state=store.state).code == 0
    spoken(index, KEY, session_id("new"))
    assert run_json(CloseProject, KEY, state=store.state).rows == [(KEY, "closed")]
    assert run_json(RestoreSessions, "last", state=store.state).rows == [(KEY, "restored")]


@pytest.mark.parametrize("step", ["exchange", "rename_new", "rename_exclusive", "sync_folder"])
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_was_killed_is_finished(
    store: Store, elsewhere: Callable[[str], Path], step: str, after: bool
) -> None:
    path = spoken(elsewhere("project-lead"))
    raw = path.read_bytes()
    with pytest.raises(Killed):
        perform(store, KEY, disk=KilledDisk(step, after=after))
    answer = run_json(CloseProject, KEY, state=store.state)
    assert answer.code == 0
    assert KEY not in json.loads(elsewhere("project-lead").read_bytes())
    [archive] = path.parent.glob(f"{path.name}.deleted.*")
    assert (archive.read_bytes(), path.exists(), store.open_runs()) == (raw, False, [])
    assert run_json(RestoreSessions, "last", KEY, state=store.state).rows == [(KEY, "restored")]
    assert path.read_bytes() == raw


def test_a_lock_that_a_kill_left_beside_the_index_is_gone_with_the_next_close(
    store: Store, elsewhere: Callable[[str], Path]
) -> None:
    index = elsewhere("project-lead")
    spoken(index)
    fresh = written(index.with_name(f"{index.name}.lock.0123456789abcdef"), "{}")
    assert run_json(CloseProject, KEY, state=store.state).rows == [(KEY, "closed")]
    assert not fresh.exists()


def test_files_without_a_session_are_put_away_there_too(store: Store, elsewhere: Callable[[str], Path]) -> None:
    place = elsewhere("project-lead").parent
    used = spoken(elsewhere("researcher"), "agent:researcher:far", session_id("another"))
    os.utime(used, (1, 1))
    stray = written(place / f"{session_id('stray')}.jsonl", age=9 * DAY)
    # Whose they are nobody can tell: the folder is not OpenClaw's own.
    others = [written(place / name, age=9 * DAY) for name in ("notes.jsonl", "data-topic-1.jsonl", "x.json")]
    before = live(store.state.parent)
    preview = run_json(CleanupSessions, "--only", "orphans", "--orphans", "1d", "--dry-run", state=store.state)
    assert [(row["input"], row["status"]) for row in preview.data["results"]] == [(str(stray), "would_archive")]
    assert preview.data["results"][0]["archives"][0].startswith(f"{stray}.deleted.")
    assert run_json(CleanupSessions, "--only", "orphans", "--orphans", "1d", state=store.state).code == 0
    assert (stray.exists(), used.exists(), [path.exists() for path in others]) == (False, True, [True] * 3)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(store.state.parent) == before


def test_old_archives_are_freed_there_too(store: Store, elsewhere: Callable[[str], Path]) -> None:
    place = elsewhere("project-lead").parent
    old = written(place / f"{session_id('stray')}.jsonl.deleted.2016-11-21T00-41-24.769Z", age=99 * DAY)
    assert run_json(CleanupSessions, "--expire-archives", "30d", state=store.state).code == 0
    assert not old.exists()


def test_what_another_agent_uses_beside_the_index_stays(store: Store, elsewhere: Callable[[str], Path]) -> None:
    path = spoken(elsewhere("project-lead"))
    index = elsewhere("researcher")
    rows = json.loads(index.read_bytes())
    written(index, json.dumps({**rows, "agent:researcher:reader": {"sessionId": "x", "sessionFile": str(path)}}))
    answer = run_json(CloseProject, KEY, state=store.state)
    assert (answer.rows, path.exists()) == ([(KEY, "closed")], True)
    assert answer.data["results"][0]["left"] == [str(path)]


def test_a_link_to_the_configured_folder_is_followed(store: Store) -> None:
    place = store.state.parent / "data" / "project-lead" / "sessions"
    place.parent.mkdir(parents=True)
    store.folder().rename(place)
    store.folder().symlink_to(place)
    store.configure(session={"store": str(place.parent.parent / "{agentId}" / "sessions" / "sessions.json")})
    before = live(place)
    assert run_json(CloseProject, LEAD + "topics", state=store.state).rows == [(LEAD + "topics", "closed")]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert live(place) == before


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("folder", ["/etc", "{place}/sub", "{place}/..", "{place}x", ""])
def test_a_receipt_names_no_file_outside_the_two_folders(
    store: Store, elsewhere: Callable[[str], Path], end: str, folder: str
) -> None:
    path = spoken(elsewhere("project-lead"))
    run_json(CloseProject, KEY, state=store.state)
    [receipt] = (store.state / "session-closer" / "receipts").glob("*.json")
    data = json.loads(receipt.read_bytes())
    move = data["stores"][0]["sessions"][0]["moves"][0]
    move[end] = f"{folder.format(place=path.parent)}/{Path(move[end]).name}"
    write(receipt, json.dumps(data))
    before = tree(store.state.parent)
    answer = run_json(RestoreSessions, receipt.stem, state=store.state)
    assert (answer.code, answer.error) == (3, "no_receipt")
    assert tree(store.state.parent) == before
