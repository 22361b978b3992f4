"""The skill as it is published: OpenClaw finds it, and an agent that follows it closes what it was asked to."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .gateway import Rpc, wait_until
from .lab import AGENTS, REPOSITORY, Lab, closer_environ, create
from .model import NAME as MODEL
from .model import Asked, Call, Model
from .snapshots import rows, tree, without

pytestmark = pytest.mark.live

NAME = "session-closer"

ME = "agent:project-lead:project-me"
OTHERS = {"agent:project-lead:project-kelly": "kelly", "agent:project-lead:hydration": "hydration"}
MAIN = "agent:project-lead:main"
ASKED = "Close the projects kelly and hydration, then this session."
ENDED = "That was my last act."
TURN_SECONDS = 120
# Else OpenClaw's exec answers after ten seconds, whatever the command does.
YIELD_MS = 60_000


def install(lab: Lab, *where: str, folder: Path) -> None:
    """Install the skill as its page says: by OpenClaw itself, else by a copy."""
    copy = lab.root / NAME
    published(copy)
    if lab.install.version == "2026.5.7":
        # It installs from its own registry only: the folder goes where later versions put it.
        copy.replace(folder)
        return
    done = lab.openclaw("skills", "install", str(copy), *where)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(copy)


def published(copy: Path) -> None:
    """Write the skill as it is published, and as an installer leaves it that takes execute bits away."""
    words = [sys.executable, "-B", "-m", "publish", str(copy.parent / "dist")]
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)
    (copy.parent / "dist" / NAME).replace(copy)
    for path in (copy / "bin").iterdir():
        path.chmod(0o644)


def found(rpc: Rpc, agent: str) -> tuple[bool, str]:
    """Return whether the gateway calls the skill eligible for an agent, and where it found it."""
    (skill,) = [skill for skill in rpc("skills.status", agentId=agent)["skills"] if skill["name"] == NAME]
    return skill["eligible"], skill["filePath"]


def let_agents_act(lab: Lab, model: Model) -> None:
    """Configure the model for all agents, and what their exec needs to run our commands."""
    path = lab.state / "openclaw.json"
    config = json.loads(path.read_text())
    config["models"]["providers"] = {MODEL: model.provider()}
    config["agents"]["defaults"] |= {"model": {"primary": f"{MODEL}/{MODEL}"}, "heartbeat": {"every": "0m"}}
    # Its PATH begins with the system's folders, whose Python may have none of our dependencies.
    config["tools"] = {"exec": {"pathPrepend": [str(Path(sys.executable).parent)]}}
    config["env"] = {"vars": closer_environ()}
    path.write_text(json.dumps(config))


def obey(lab: Lab, skill: Path, asked: Asked) -> Generator[Call | str, Asked, None]:
    """Do what an agent can do that knows nothing but what OpenClaw and SKILL.md tell it."""
    listed = re.search(rf"<name>{NAME}</name>.*?<location>(.*?)</location>", asked.prompt, re.DOTALL)
    assert listed is not None, "the agent is not told of the skill"
    assert listed[1] == str(skill)
    asked = yield asked.call("read", path=listed[1])
    page = asked.result
    preview, close, *_ = re.findall(r"`(python3 \{baseDir\}/bin/close-project-batch [^`]*)`", page)
    (show,) = re.findall(r"`(python3 \{baseDir\}/bin/list-sessions --json)[^`]*`", page)
    assert {"`session_status`", "`--self KEY`"} <= set(re.findall(r"`[^`]+`", page)), "how to spare the own session"

    asked = yield asked.call("session_status", sessionKey="current")
    own = re.search(r"Session: (agent:\S+)", asked.result)
    assert own is not None, asked.result
    targets = f"--self {own[1]} {' '.join(OTHERS.values())} {own[1]}"

    def run(command: str) -> Call:
        words = command.replace("{baseDir}", shlex.quote(str(skill.parent))).replace("ID...", targets)
        return asked.call("exec", command=words, yieldMs=YIELD_MS)

    asked = yield run(preview)
    word = "closed" if lab.era == "files" else "archived"
    planned = "would_close" if lab.era == "files" else "would_archive"
    assert statuses(asked.result) == {**dict.fromkeys(OTHERS, planned), ME: "would_defer"}
    asked = yield run(close)
    closed = answer(asked.result)
    assert closed["ok"] is True
    assert statuses(asked.result) == {**dict.fromkeys(OTHERS, word), ME: "deferred"}
    with lab.rpc() as rpc:
        assert set(rows(rpc)) == {MAIN, ME}, "the others go at once, the own session stays for its turn"
    # As long as this takes, the turn goes on below the process that waits for its end.
    asked = yield run(show)
    shown = [row for row in answer(asked.result)["sessions"] if not row["archived"]]
    assert {row["key"]: row["running"] for row in shown} == {MAIN: False, ME: True}
    yield f"{ENDED} Receipt: {closed['receipt']} Undo: {closed['undo']}"


def answer(result: str) -> dict[str, Any]:
    """Return the document among what an exec shows: stdout and stderr are one there."""
    (document,) = [line for line in result.splitlines() if line.startswith("{")]
    return dict(json.loads(document))


def statuses(result: str) -> dict[str, str]:
    """Return the status of each key in what an exec shows."""
    return {row["key"]: row["status"] for row in answer(result)["results"]}


def childless(listed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a list without whose parent a session is: what is archived is still a child of others."""
    return {key: {name: value for name, value in row.items() if name != "childSessions"} for key, row in listed.items()}


def _archives(row: Mapping[str, Any]) -> list[Path]:
    """Return the archives of a session by its row: of the caller's own the receipt of its own run has them."""
    if "archives" in row:
        return list(map(Path, row["archives"]))
    stores = json.loads(Path(row["receipt"]).read_bytes())["stores"]
    return [
        Path(store["roots"]["sessions"], move["target"])
        for store in stores
        for session in store["sessions"]
        if session["key"] == row["key"]
        for move in session["moves"]
    ]


def said(lab: Lab, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a session that was put away, by its row of the results."""
    if lab.era == "sqlite":
        text = lab.store.said(str(row["agent"]), str(row["key"]))
    else:
        (archive,) = [path for path in _archives(row) if ".jsonl.deleted." in path.name]
        text = archive.read_text()
    return [event["message"] for event in map(json.loads, text.splitlines()) if event["type"] == "message"]


@pytest.mark.depth("2026.5.7", "2026.7.35")
def test_an_agent_that_follows_the_skill_closes_two_sessions_and_then_its_own(lab: Lab) -> None:
    lab.agents = (*AGENTS, "researcher")
    lab.configure()
    folder = lab.state / "skills" / NAME
    folder.parent.mkdir()
    install(lab, "--global", folder=folder)
    installed = tree(folder)

    with Model(lambda asked: obey(lab, folder / "SKILL.md", asked)) as model:
        let_agents_act(lab, model)
        lab.start()
        with lab.rpc() as rpc, lab.restarting(0):
            for agent in lab.agents:
                assert found(rpc, agent) == (True, str(folder / "SKILL.md")), agent
            ids = create(rpc, *OTHERS, MAIN)
            before, main = rows(rpc), lab.store.said("project-lead", MAIN)
            turn = rpc("agent", sessionKey=ME, message=ASKED, idempotencyKey=str(uuid.uuid4()))
            ended = rpc("agent.wait", runId=turn["runId"], timeoutMs=TURN_SECONDS * 1000)
            model.finish()
            assert ended["status"] == "ok", ended

            receipt = Path(str(answer(model.asked[-2].result)["receipt"]))
            wait_until(receipt.is_file, 60, "the receipt of the process that waits for the end of the turn")
            assert childless(rows(rpc)) == childless(without(before, *OTHERS))
            live = {key for key, entry in lab.entries("project-lead").items() if "archivedAt" not in entry}
            assert live == {MAIN}
            assert lab.store.said("project-lead", MAIN) == main
            for session_id in ids.values():
                is_there = session_id == ids[MAIN] or lab.era == "sqlite"
                assert bool(lab.store.remains("project-lead", session_id)) is is_there

    own = {row["key"]: row for row in json.loads(receipt.read_bytes())["results"]}[ME]
    assert (own["status"], own["error"]) == ("closed" if lab.era == "files" else "archived", None)
    conversation = said(lab, own)
    assert ENDED in json.dumps(conversation[-1]), "the session was closed before its turn had ended"
    assert conversation[-1]["stopReason"] == "stop"
    assert tree(folder) == installed, "a command wrote into the skill"


@pytest.mark.depth("2026.9.6")
def test_a_skill_in_a_workspace_is_eligible_for_its_agent(lab: Lab) -> None:
    folder = lab.workspace("project-lead") / "skills" / NAME
    folder.parent.mkdir(parents=True)
    install(lab, "--agent", "project-lead", folder=folder)
    done = lab.openclaw("skills", "info", NAME, "--agent", "project-lead", "--json")
    assert done.returncode == 0, done.stderr
    skill = json.loads(done.stdout)
    assert (skill["eligible"], skill["filePath"]) == (True, str(folder / "SKILL.md")), skill
    assert skill["description"], "without a description OpenClaw does not find a skill at all"


JOB = "nightly-report"
KELLY = "agent:project-lead:project-kelly"


def ask_about_jobs(skill: Path, asked: Asked) -> Generator[Call | str, Asked, None]:
    """Do what the page says of jobs: preview, tell and ask, and close as the person has answered."""
    asked = yield asked.call("read", path=str(skill))
    page = " ".join(asked.result.split())
    preview, close, *_ = re.findall(r"`(python3 \{baseDir\}/bin/close-project-batch [^`]*)`", page)
    (option,) = re.findall(r"kind `cron-job`: tell them each job's name and `note`, and ask: .*?`(--[a-z-]+)`", page)

    def run(command: str, words: str) -> Call:
        line = command.replace("{baseDir}", shlex.quote(str(skill.parent))).replace("ID...", words)
        return asked.call("exec", command=line, yieldMs=YIELD_MS)

    asked = yield run(preview, "kelly")
    (row,) = answer(asked.result)["results"]
    jobs = [f"{one['name']}: {one['note']}" for one in row["effects"] if one["kind"] == "cron-job"]
    asked = yield f"Before I close it: {'; '.join(jobs)}. Leave it on, or switch it off?"
    asked = yield run(close, f"{option} kelly")
    yield f"Done: {statuses(asked.result)}"


@pytest.mark.depth
def test_an_agent_that_follows_the_skill_tells_of_a_job_before_it_goes_wrong(lab: Lab) -> None:
    folder = lab.state / "skills" / NAME
    folder.parent.mkdir()
    install(lab, "--global", folder=folder)

    def say(rpc: Rpc, message: str) -> str:
        turn = rpc("agent", sessionKey=ME, message=message, idempotencyKey=str(uuid.uuid4()))
        ended = rpc("agent.wait", runId=turn["runId"], timeoutMs=TURN_SECONDS * 1000)
        assert ended["status"] == "ok", ended
        return json.dumps(rpc("chat.history", sessionKey=ME)["messages"][-1])

    with Model(lambda asked: ask_about_jobs(folder / "SKILL.md", asked)) as model:
        let_agents_act(lab, model)
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, KELLY, MAIN)
            job = rpc(
                "cron.add",
                name=JOB,
                agentId="project-lead",
                enabled=True,
                sessionTarget=f"session:{KELLY}",
                wakeMode="now",
                schedule={"kind": "every", "everyMs": 3_600_000},
                payload={"kind": "agentTurn", "message": "report"},
            )
            told = say(rpc, "Close the project kelly.")
            assert JOB in told
            assert "it stays on: each run" in told
            assert not lab.entries("project-lead")[KELLY].get("archivedAt")
            assert "Done" in say(rpc, "Switch it off.")
            model.finish()
            live = {key for key, entry in lab.entries("project-lead").items() if "archivedAt" not in entry}
            assert live == {MAIN, ME}
            (found_job,) = (one for one in rpc("cron.list", includeDisabled=True)["jobs"] if one["id"] == job["id"])
            assert found_job["enabled"] is False
