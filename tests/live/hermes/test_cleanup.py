"""A cleanup of a home that a real Hermes has made: what nobody needs goes, nothing else does, and all comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from session_closer.hermes import kinds

from ..lab import REPOSITORY
from .install import NEW, provide
from .lab import Answer, Lab
from .picture import Picture, differences, histories, picture
from .story import (
    ACTIVE,
    ARCHIVED,
    BOSS,
    CRON,
    HANDING,
    LOCKED,
    LONG,
    LONG_AGO,
    LONGER,
    ODD_OPEN,
    OPEN,
    OVER,
    PENDING,
    RESUMED,
    WAITING,
    WORKER,
    WORKS,
    YOUNG,
    Told,
)  # fmt: skip

pytestmark = pytest.mark.live

# Why each session keeps its files; of all versions, and of newer ones.
REASONS = {
    OPEN: "open", RESUMED: "open", LONG: "open", ODD_OPEN: "open", WORKS: "open", PENDING: "handoff",
    HANDING: "handoff", LONG_AGO: "ancestor", YOUNG: "young",
}  # fmt: skip
NEWER = {LOCKED: "locked", ARCHIVED: "archived", ACTIVE: "running", BOSS: "delegated", WAITING: "delegated",
         WORKER: "reopenable"}  # fmt: skip
OLDER = {LONGER: "unsaved"}


def cleanup(lab: Lab, *words: str) -> Answer:
    answer = lab.ours("cleanup-sessions", *words)
    assert answer.code == 0, answer
    assert answer.json["error"] is None
    return answer


def paths(lab: Lab, answer: Answer, status: str) -> dict[str, str]:
    """Return what has become so: path below the home -> kind."""
    rows = [row for row in answer.json["results"] if row["status"] == status]
    return {str(Path(row["path"]).relative_to(lab.home)): str(row["kind"]) for row in rows}


def old(told: Told) -> dict[str, str]:
    """Return what goes by age, of the kinds that a cleanup knows."""
    known = {rule.name for rule in kinds.RULES}
    return {path: kind for path, kind in told.goes.items() if kind in known}


def gone(told: Told, before: Picture) -> Picture:
    """Return a picture without what goes by age."""
    projects = {Path(path).stem for path, kind in old(told).items() if kind == "checkpoint_v2"}
    places = {f"checkpoints of {project}" for project in projects}
    places |= {f"checkpoints/store/indexes/{project}" for project in projects} | set(old(told))
    return {
        place: found
        for place, found in before.items()
        if place not in places and not any(place.startswith(f"{folder}/") for folder in old(told))
    }


def test_what_is_old_goes_and_nothing_else_and_comes_back_as_it_was(told: Told) -> None:
    lab = told.lab
    before = picture(lab)
    files = {str(path.relative_to(lab.home)) for path in lab.home.rglob("*")}
    assert paths(lab, cleanup(lab, "--dry-run"), "would_archive") == old(told)
    assert differences(before, picture(lab)) == {}
    new = {str(path.relative_to(lab.home)) for path in lab.home.rglob("*")} - files
    assert new <= {"state.db-wal", "state.db-shm"}
    answer = cleanup(lab)
    assert paths(lab, answer, "archived") == old(told)
    assert differences(gone(told, before), picture(lab)) == {}
    assert answer.json["freed"]["bytes"] == 0
    back = lab.ours("restore-sessions", "last")
    assert (back.code, paths(lab, back, "restored")) == (0, old(told)), back
    assert differences(before, picture(lab)) == {}


def test_each_session_that_something_holds_keeps_its_files_and_the_reason_is_said(told: Told) -> None:
    lab = told.lab
    wanted = REASONS | (NEWER if lab.hermes.is_new else OLDER)
    wanted |= {told.ids["chat"]: "routed", told.ids["next"]: "open"}
    answer = cleanup(lab, "--verbose", "--dry-run")
    found: dict[str, set[str]] = {}
    for row in answer.json["results"]:
        if row["status"] == "kept" and row["kind"] in ("session_json", "request_dump", "transcript_jsonl"):
            found.setdefault(str(row["sessionId"]), set()).add(str(row["reason"]))
    assert {session: reasons for session, reasons in found.items() if session in wanted} == {
        session: {reason} for session, reason in wanted.items()
    }
    assert found.keys() == wanted.keys()


def listed(lab: Lab, hermes: Lab) -> set[str]:
    """Return the sessions that the command line shows."""
    done = hermes.command("sessions", "list", "--limit", "1000")
    assert done.returncode == 0, done
    return {session for (session,) in lab.rows("select id from sessions") if session in done.stdout}


def test_hermes_goes_on_with_what_is_left(told: Told) -> None:
    lab = told.lab
    newer = Lab(provide(NEW), lab.root, lab.model)
    told_list = listed(lab, newer)
    told.anew()
    cleanup(lab)
    assert listed(lab, newer) == told_list
    before = histories(lab)
    for session in (OVER, RESUMED, CRON):
        said = lab.rows("select count(*) from messages where session_id = ?", session)[0][0]
        assert newer.chat("hello again", "--resume", session) == session
        assert lab.rows("select count(*) from messages where session_id = ?", session)[0][0] == said + 2
    for number, name in enumerate(("young", "old")):
        path = lab.project(name) / "again.txt"
        call = f"call write_file {json.dumps({'path': str(path), 'content': 'again'})}"
        newer.chat(call, "--checkpoints", cwd=path.parent)
        assert sum(map(len, histories(lab).values())) == sum(map(len, before.values())) + number + 1
    done = newer.command("sessions", "prune", "--older-than", "30", "--yes")
    assert (done.returncode, "Pruned" in done.stdout) == (0, True), done
    assert newer.command("checkpoints", "prune", "--retention-days", "14", "--keep-orphans").returncode == 0


@pytest.mark.hermes(NEW)
def test_an_agent_of_hermes_has_the_skill_in_its_list(lab: Lab) -> None:
    folder = lab.home / "skills" / "session-closer"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_bytes((REPOSITORY / "SKILL.md").read_bytes())
    done = lab.command("skills", "list")
    assert "session-closer" in done.stdout, done
