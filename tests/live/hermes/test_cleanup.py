"""A cleanup of a home that a real Hermes has made: what nobody needs goes, nothing else does, and all comes back."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..install import cache_root
from ..lab import REPOSITORY
from . import story, upstream
from .age import age
from .install import NEW, OLD, provide
from .lab import Answer, Lab
from .picture import Picture, differences, histories, picture
from .story import DAYS, Told

pytestmark = pytest.mark.live

# Why each session keeps its files; of all versions, and of newer ones.
REASONS = {
    story.OPEN: "open", story.RESUMED: "open", story.LONG: "open", story.ODD_OPEN: "open", story.WORKS: "open",
    story.PENDING: "handoff", story.HANDING: "handoff", story.LONG_AGO: "ancestor",
}  # fmt: skip
NEWER = {
    story.LOCKED: "locked", story.ARCHIVED: "archived", story.ACTIVE: "running", story.BOSS: "delegated",
    story.WAITING: "delegated", story.WORKER: "reopenable",
}  # fmt: skip


def held(told: Told) -> dict[str, str]:
    """Return what holds each session that something holds."""
    chosen = {told.ids["chat"]: "routed", told.ids["next"]: "open"}
    return REASONS | chosen | (NEWER if told.lab.hermes.is_new else {})


def cleanup(lab: Lab, *words: str) -> Answer:
    answer = lab.ours("cleanup-sessions", *words)
    assert answer.code == 0, answer
    assert answer.json["error"] is None
    return answer


def paths(lab: Lab, answer: Answer, status: str) -> dict[str, str]:
    """Return what has become so: path below the home -> kind."""
    rows = [row for row in answer.json["results"] if row["status"] == status]
    return {str(Path(row["path"]).relative_to(lab.home)): str(row["kind"]) for row in rows}


def gone(told: Told, before: Picture) -> Picture:
    """Return a picture without what goes by age."""
    projects = {Path(path).stem for path, kind in told.goes.items() if kind == "checkpoint_v2"}
    places = {f"checkpoints of {project}" for project in projects}
    places |= {f"checkpoints/store/indexes/{project}" for project in projects} | set(told.goes)
    return {
        place: found
        for place, found in before.items()
        if place not in places and not any(place.startswith(f"{folder}/") for folder in told.goes)
    }


def test_what_is_old_goes_and_nothing_else_and_comes_back_as_it_was(told: Told) -> None:
    lab = told.lab
    before = picture(lab)
    files = {str(path.relative_to(lab.home)) for path in lab.home.rglob("*")}
    assert paths(lab, cleanup(lab, "--dry-run"), "would_archive") == told.goes
    assert differences(before, picture(lab)) == {}
    new = {str(path.relative_to(lab.home)) for path in lab.home.rglob("*")} - files
    assert new <= {"state.db-wal", "state.db-shm"}
    answer = cleanup(lab)
    assert paths(lab, answer, "archived") == told.goes
    assert differences(gone(told, before), picture(lab)) == {}
    assert answer.json["freed"]["bytes"] == 0
    back = lab.ours("restore-sessions", "last")
    assert (back.code, paths(lab, back, "restored")) == (0, told.goes), back
    assert differences(before, picture(lab)) == {}


def test_each_session_that_something_holds_keeps_its_files_and_the_reason_is_said(told: Told) -> None:
    lab = told.lab
    wanted = held(told) | {story.YOUNG: "young"} | ({} if lab.hermes.is_new else {story.LONGER: "unsaved"})
    answer = cleanup(lab, "--verbose", "--dry-run")
    found: dict[str, set[str]] = {}
    for row in answer.json["results"]:
        if row["status"] == "kept" and row["kind"] in ("session_json", "request_dump", "transcript_jsonl"):
            found.setdefault(str(row["sessionId"]), set()).add(str(row["reason"]))
    assert {session: reasons for session, reasons in found.items() if session in wanted} == {
        session: {reason} for session, reason in wanted.items()
    }
    assert found.keys() == wanted.keys()


@pytest.mark.depth(OLD)
def test_a_list_has_each_session_what_holds_it_and_how_many_files_it_has(told: Told) -> None:
    lab = told.lab
    before = picture(lab)
    answer = lab.ours("list-sessions", "--limit", "all")
    assert differences(before, picture(lab)) == {}
    assert answer.code == 0, answer
    rows = {row["sessionId"]: row for row in answer.json["sessions"]}
    assert rows.keys() == upstream.sessions(told)
    assert {session: row["protected"] for session, row in rows.items() if row["protected"]} == held(told)
    assert [session for session, row in rows.items() if row["running"]] == ([story.ACTIVE] if lab.hermes.is_new else [])
    ended = lab.rows("select id, end_reason from sessions")
    assert {session: row["state"] for session, row in rows.items()} == {name: why or "open" for name, why in ended}
    assert {row["kind"]: row["count"] for row in answer.json["orphans"]} == {"orphans": 1}
    (snapshot,) = (path for path, session in told.files().items() if session == story.ODD and "session_" in path)
    (dump,) = (path for path, session in told.files().items() if session == story.ODD and path != snapshot)
    sizes = sum((lab.home / path).stat().st_size for path in (snapshot, dump))
    assert (rows[story.ODD]["artifacts"], rows[story.ODD]["artifactBytes"]) == (2, sizes)


@pytest.mark.depth(OLD)
def test_sessions_that_are_open_for_ever_are_those_that_a_command_line_has_left(lab: Lab) -> None:
    turns = {name: ("turn", {"session": name, "said": ["hello"]}) for name in ("left", "closed", "fresh")}
    ended = ("store", {"call": "end_session", "with_": ["closed", "cli_close"]})
    lab.play(turns["left"], turns["closed"], ended, turns["fresh"])
    age(lab.home, 100, young=("fresh",))
    answer = lab.ours("list-sessions", "--older-than", "90d")
    assert [row["sessionId"] for row in answer.json["sessions"]] == ["left"]


@pytest.mark.depth(OLD)
def test_what_is_deleted_is_what_would_have_been_put_away_and_its_room_is_free(told: Told) -> None:
    lab = told.lab
    before = picture(lab)
    plan = cleanup(lab, "--dry-run")
    answer = cleanup(lab, "--delete")
    assert paths(lab, answer, "deleted") == told.goes
    assert differences(gone(told, before), picture(lab)) == {}
    assert answer.json["freed"] == plan.json["putAway"]
    assert lab.ours("restore-sessions", "last").code == 3


@pytest.mark.hermes(NEW)
def test_each_profile_is_a_home_of_its_own_and_one_alone_can_be_named(lab: Lab) -> None:
    work = lab.home / "profiles" / "work"
    lab.configure(work)
    for home in (lab.home, work):
        lab.play(("turn", {"session": story.OVER, "said": ["hello"]}), home=home)
        age(home, DAYS)
    # The same id is open in one of them only.
    lab.play(("store", {"call": "end_session", "with_": [story.OVER, "cli_close"]}), home=work)
    name = f"session_{story.OVER}.json"
    answer = cleanup(lab, "--verbose", "--kind", "session_json")
    assert {(row["agent"], row["status"]) for row in answer.json["results"]} == {
        ("default", "kept"), ("work", "archived"),
    }  # fmt: skip
    assert ((lab.sessions / name).exists(), (work / "sessions" / name).exists()) == (True, False)
    lab.play(("store", {"call": "end_session", "with_": [story.OVER, "cli_close"]}))
    assert cleanup(lab, "--profile", "work").json["results"] == []
    assert paths(lab, cleanup(lab, "--profile", "default"), "archived") == {f"sessions/{name}": "session_json"}


def project(told: Told, name: str) -> str:
    """Return the id of a project."""
    return hashlib.sha256(str(told.lab.project(name)).encode()).hexdigest()[:16]


def listed(lab: Lab, hermes: Lab) -> set[str]:
    """Return the sessions that the command line shows."""
    done = hermes.command("sessions", "list", "--limit", "1000")
    assert done.returncode == 0, done
    return {session for (session,) in lab.rows("select id from sessions") if session in done.stdout}


@pytest.mark.depth(OLD)
def test_hermes_goes_on_with_what_is_left_and_an_undo_leaves_that_as_it_is(told: Told) -> None:
    lab = told.lab
    newer = Lab(provide(NEW), lab.root, lab.model)
    there = listed(lab, newer)
    told.anew()
    cleanup(lab)
    assert listed(lab, newer) == there
    before = histories(lab)
    for session in (story.OVER, story.RESUMED, story.CRON):
        said = lab.rows("select count(*) from messages where session_id = ?", session)[0][0]
        assert newer.chat("hello again", "--resume", session) == session
        assert lab.rows("select count(*) from messages where session_id = ?", session)[0][0] == said + 2
    for number, name in enumerate(("young", "old")):
        path = lab.project(name) / "again.txt"
        call = f"call write_file {json.dumps({'path': str(path), 'content': 'again'})}"
        newer.chat(call, "--checkpoints", cwd=path.parent)
        assert sum(map(len, histories(lab).values())) == sum(map(len, before.values())) + number + 1
    after = picture(lab)
    back = lab.ours("restore-sessions", "last")
    again = {f"sessions/session_{session}.json": "session_json" for session in (story.OVER, story.CRON)}
    again |= {path: kind for path, kind in told.goes.items() if Path(path).stem == project(told, "old")}
    again = {path: kind for path, kind in again.items() if path in after or kind == "checkpoint_v2"}
    assert paths(lab, back, "conflict") == again, back
    assert {place for place, (now, _) in differences(after, picture(lab)).items() if now is not None} == set()
    done = newer.command("sessions", "prune", "--older-than", "30", "--yes")
    assert (done.returncode, "Pruned" in done.stdout) == (0, True), done
    assert newer.command("checkpoints", "prune", "--retention-days", "14", "--keep-orphans").returncode == 0


@pytest.mark.depth
def test_agents_that_talk_all_the_while_lose_nothing(told: Told) -> None:
    lab = told.lab
    names = [f"busy-{number}" for number in range(12)]
    turns = [("turn", {"session": name, "said": ["hello"] * 3}) for name in names]
    with ThreadPoolExecutor() as pool:
        agent = pool.submit(lab.play, *turns)
        found: dict[str, str] = {}
        while not agent.done():
            found |= paths(lab, lab.ours("cleanup-sessions", "--older-than", "10m", "--max-disk", "1b"), "archived")
        agent.result()
    assert not {path for path in found if "busy" in path}
    counts = dict(lab.rows("select session_id, count(*) from messages group by session_id"))
    assert [counts[name] for name in names] == [6] * len(names)
    assert all((lab.sessions / f"session_{name}.json").is_file() for name in names)


@pytest.mark.hermes(NEW)
def test_an_agent_of_hermes_has_the_skill_is_told_its_folder_and_can_do_what_it_says(lab: Lab) -> None:
    folder = lab.home / "skills" / "session-closer"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "SKILL.md", folder)
    for name in ("bin", "lib"):
        shutil.copytree(REPOSITORY / name, folder / name)
    assert "session-closer" in lab.command("skills", "list").stdout
    lab.chat(f"call skill_view {json.dumps({'name': 'session-closer'})}")
    assert f"in Hermes it is `{folder}`" in lab.answered()
    command = f"SESSION_CLOSER_CACHE={cache_root() / 'closer'} {folder}/bin/list-sessions --json --runtime hermes"
    session = lab.chat(f"call terminal {json.dumps({'command': command})}")
    listed = json.loads(json.loads(lab.answered())["output"])
    assert (listed["ok"], listed["stores"][0]["path"]) == (True, str(lab.home))
    assert [row["protected"] for row in listed["sessions"] if row["sessionId"] == session] == ["open"]


@pytest.mark.hermes(NEW)
def test_the_table_of_the_page_has_our_own_command_too(told: Told) -> None:
    rows = upstream.sessions(told)
    cleanup(told.lab)
    line = upstream.losses(told, rows).line("`bin/cleanup-sessions --runtime hermes`")
    assert line == f"| `bin/cleanup-sessions --runtime hermes` | 0 | 0 | {len(told.goes)} | 0 | 0 |"
    assert line in upstream.PAGE.read_text()
