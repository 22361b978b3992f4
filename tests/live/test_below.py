"""A command that an agent's exec starts runs below the gateway: a restart would end it before it has answered."""

from __future__ import annotations

import json
import shlex
import sys
import uuid
from pathlib import Path

import pytest

from .gateway import wait_until
from .lab import REPOSITORY, Lab, closer_environ, create

pytestmark = pytest.mark.live

ONE = "agent:project-lead:project-one"
SELF = "agent:project-lead:self"
OTHER = "agent:project-lead:other"


def allow_exec(lab: Lab) -> None:
    """Let a chat run `/bash`, which is OpenClaw's own exec without a model in between."""
    path = lab.state / "openclaw.json"
    config = json.loads(path.read_text())
    config["commands"] = {"bash": True}
    config["tools"] = {"elevated": {"enabled": True, "allowFrom": {"webchat": ["*"]}}}
    path.write_text(json.dumps(config))


def exec_below(lab: Lab, *words: str) -> tuple[Path, Path]:
    """Have the gateway run one of our commands; the files that get its stdout and its exit code."""
    out, code = lab.root / "below.json", lab.root / "below.code"
    environ = [f"{name}={shlex.quote(value)}" for name, value in closer_environ().items()]
    command = shlex.join([sys.executable, str(REPOSITORY / "bin" / words[0]), "--json", *words[1:]])
    line = f"{' '.join(environ)} {command} > {shlex.quote(str(out))}; echo $? > {shlex.quote(str(code))}"
    with lab.rpc() as rpc:
        rpc("chat.send", sessionKey=SELF, message=f"/bash {line}", idempotencyKey=str(uuid.uuid4()))
    return out, code


@pytest.mark.openclaw("files")
def test_below_the_gateway_the_answer_comes_first_and_the_restart_is_handed_over(lab: Lab) -> None:
    allow_exec(lab)
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, ONE, SELF, OTHER)
    with lab.restarting(1):
        out, code = exec_below(lab, "close-project", "--delete", "--via", "files", "one")
        wait_until(lambda: code.exists() and code.read_text().strip() != "", 60, "the end of the command")
        answer = json.loads(out.read_text())
        receipt = Path(answer["receipt"])
        wait_until(receipt.exists, 120, "the receipt of the process that restarts the gateway")
        open_runs = lab.state / "session-closer" / "open"
        wait_until(lambda: not list(open_runs.iterdir()), 10, "the end of the process that restarts the gateway")

    assert code.read_text().strip() == "0"
    assert [row["status"] for row in answer["results"]] == ["closed"]
    assert (answer["restart"]["result"], answer["restart"]["ok"]) == ("handed-off", None)
    assert not list((REPOSITORY / "lib").rglob("__pycache__")), "a skill folder is copied with all that is in it"
    written = json.loads(receipt.read_text())
    assert written["state"] == "done"
    assert written["restart"]["result"] == "restarted"
    assert set(lab.entries("project-lead")) == {SELF, OTHER}


@pytest.mark.depth
def test_below_the_gateway_a_close_through_it_needs_no_restart(lab: Lab) -> None:
    allow_exec(lab)
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, ONE, SELF, OTHER)
    with lab.restarting(0):
        out, code = exec_below(lab, "close-project", "--delete", "one")
        wait_until(lambda: code.exists() and code.read_text().strip() != "", 60, "the end of the command")
    answer = json.loads(out.read_text())
    assert [(row["status"], row["route"]) for row in answer["results"]] == [("closed", "gateway")]
    assert answer["restart"]["needed"] is False
    assert set(lab.entries("project-lead")) == {SELF, OTHER}
