"""What is bound to a session that is closed: cron jobs, and a worktree with files that only it has."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .belongings import worktree
from .gateway import Rpc
from .lab import Lab, Result, create, run

pytestmark = pytest.mark.live

AGENT = "project-lead"
KEYS = tuple(f"agent:{AGENT}:project-bound-{number}" for number in range(4))
TREE = f"agent:{AGENT}:project-tree"
NEVER_MS = 3_600_000


def add(rpc: Rpc, key: str, name: str, **more: Any) -> str:
    """Add a job; return its id."""
    job = {"sessionTarget": f"session:{key}", "enabled": True, **more}
    schedule = {"kind": "every", "everyMs": NEVER_MS}
    payload = {"kind": "agentTurn", "message": "report"}
    made = rpc("cron.add", name=name, agentId=AGENT, schedule=schedule, payload=payload, wakeMode="now", **job)
    return str(made["id"])


def is_on(lab: Lab, *names: str) -> list[bool]:
    # An undo of files restarts the gateway.
    with lab.rpc() as rpc:
        jobs = {job["id"]: job["enabled"] for job in rpc("cron.list", includeDisabled=True)["jobs"]}
    return [jobs[name] for name in names]


def row(result: Result, key: str) -> dict[str, Any]:
    (found,) = (each for each in result.json["results"] if each["key"] == key)
    return dict(found)


def effects(result: Result, key: str, kind: str) -> dict[str, str]:
    """Return what became of each thing of a kind, by name."""
    return {one["name"]: one["action"] for one in row(result, key)["effects"] if one["kind"] == kind}


def undo(lab: Lab, closed: Result) -> Result:
    return run(lab, "restore-sessions", Path(str(closed.json["receipt"])).stem)


@pytest.mark.depth("2026.5.7")
def test_jobs_stay_on_and_are_named_or_go_off_and_come_back(shared: Lab) -> None:
    plain, reporting, touched, other = KEYS
    with shared.rpc() as rpc:
        create(rpc, *KEYS)
        jobs = add(rpc, plain, "runs"), add(rpc, plain, "off", enabled=False), add(rpc, other, "other")
        lane = add(rpc, reporting, "reports", sessionTarget="isolated", sessionKey=reporting)
        changed = add(rpc, touched, "touched")
    closed = run(shared, "close-project-batch", plain, reporting)
    assert closed.code == 0, closed
    assert is_on(shared, *jobs, lane) == [True, False, True, True]
    assert effects(closed, plain, "cron-job") == {"runs": "kept"}
    assert effects(closed, reporting, "cron-job") == {"reports": "kept"}
    assert undo(shared, closed).code == 0

    closed = run(shared, "close-project-batch", "--with-jobs", plain, reporting, touched)
    assert closed.code == 0, closed
    assert is_on(shared, *jobs, lane, changed) == [False, False, True, False, False]
    assert effects(closed, plain, "cron-job") == {"runs": "disabled"}
    with shared.rpc() as rpc:
        rpc("cron.update", id=changed, patch={"name": "touched since"})
    back = undo(shared, closed)
    assert back.code == 0, back
    assert is_on(shared, *jobs, lane, changed) == [True, False, True, True, False]
    (left,) = row(back, touched)["notRestored"]
    assert left["kind"] == "cron-job"
    assert "changed it since" in left["why"]
    assert "notRestored" not in row(back, plain)


@pytest.mark.openclaw("sqlite")
def test_with_a_deletion_jobs_go_off_ahead_of_it(shared: Lab) -> None:
    key = f"agent:{AGENT}:project-deleted"
    with shared.rpc() as rpc:
        create(rpc, key)
        job = add(rpc, key, "deleted")
        closed = run(shared, "close-project", "--delete", "--with-jobs", key)
        assert (closed.code, closed.statuses()) == (0, {key: "closed"}), closed
        assert is_on(shared, job) == [False]


def commit(lab: Lab) -> None:
    """Make the agent's workspace a repository."""
    folder = lab.workspace(AGENT)
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*.log\n.env\n")
    (folder / ".worktreeinclude").write_text(".env\n")
    (folder / ".env").write_text("KEPT=1\n")
    (folder / "known.txt").write_text("known")
    git = ("git", "-c", "user.name=lab", "-c", "user.email=lab@localhost")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")):
        subprocess.run([*git, *words], cwd=folder, check=True, env={**lab.environ(), "GIT_CONFIG_NOSYSTEM": "1"})


def modes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in folder.rglob("*")
        if path.name != ".git" and path.suffix != ".log"
    }


@pytest.mark.late
@pytest.mark.openclaw("sqlite")
def test_a_worktree_is_left_with_what_only_it_has_and_comes_back_as_it_was(shared: Lab) -> None:
    lab = shared
    commit(lab)
    with lab.rpc() as rpc:
        rpc("sessions.create", key=TREE, worktree=True)
        rpc("chat.inject", sessionKey=TREE, message="hello")
        folder = worktree(lab, TREE)
        (folder / "known.txt").chmod(0o600)
        (folder / "private").mkdir(mode=0o700)
        (folder / "private" / "key").write_text("key")
        (folder / "private" / "key").chmod(0o400)
        (folder / "run.log").write_text("a log")
        before = modes(folder)

        refused = run(lab, "close-project", TREE)
        assert (refused.code, row(refused, TREE)["reason"]) == (3, "worktree"), refused
        assert "run.log" in row(refused, TREE)["error"]
        assert ".env" not in row(refused, TREE)["error"]
        assert modes(folder) == before

        closed = run(lab, "close-project", "--lose-ignored", TREE)
        assert (closed.code, closed.statuses()) == (0, {TREE: "archived"}), closed
        assert effects(closed, TREE, "worktree") == {str(folder): "removed"}
        assert not folder.exists()

        back = undo(lab, closed)
        assert (back.code, back.statuses()) == (0, {TREE: "restored"}), back
        assert {one["kind"]: one["count"] for one in row(back, TREE)["notRestored"]} == {"ignored-file": 1}
        assert modes(folder) == before
        assert (folder / ".env").read_text() == "KEPT=1\n"
        assert not (folder / "run.log").exists()
        assert run(lab, "close-project", TREE).code == 0
