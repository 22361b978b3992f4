"""Exporting a session that has gone on elsewhere: its folder has the events of every branch, its page the active one.

Each version makes the branch itself. In a database `sessions.rewind` does what a person does who edits a question. A
gateway of 2026.7 that is killed before the model has answered leaves a question that the next one drops. One of 2026.5
goes on from there, and has no other door: the library by which it writes transcripts makes it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .gateway import wait_until
from .install import BETWEEN
from .lab import Lab, create, run
from .model import Asked, Call, Model
from .snapshots import settled
from .test_export import AGENT, KEY, events, exported
from .test_export_turns import TURN_SECONDS, turn
from .test_skill import let_agents_act

pytestmark = pytest.mark.live

# What is given: the library, the transcript, and the event that is gone on from.
BRANCH = """
const [library, transcript, before] = process.argv.slice(1);
const { SessionManager } = await import(library);
const manager = SessionManager.open(transcript);
manager.branch(before);
manager.appendCustomEntry("branched", {});
"""
FIRST, LEFT, TAKEN = "the first question", "a question that is left behind", "a question that is gone on with"


def answering(is_over: threading.Event) -> Callable[[Asked], Generator[Call | str, Asked, None]]:
    """Return what answers all questions; with an answer to what is left behind it waits until that is over."""

    def script(asked: Asked) -> Generator[Call | str, Asked, None]:
        while True:
            asked_last = asked.said("user")[-1]
            if LEFT in asked_last and TAKEN not in asked_last:
                is_over.wait(TURN_SECONDS)
            asked = yield f"an answer to {len(asked.said('user'))}"

    return script


def spoken(lab: Lab) -> list[dict[str, Any]]:
    return events(lab.store.said(AGENT, KEY))


def text_of(event: Mapping[str, Any]) -> str:
    return str((event.get("message") or {}).get("content"))


def question(every: Sequence[Mapping[str, Any]], text: str) -> str | None:
    """Return the id of the event in which something was asked, and nothing was taken instead; None: there is none."""
    asked = [each for each in every if (each.get("message") or {}).get("role") == "user" and text in text_of(each)]
    ids = [str(each["id"]) for each in asked if text == TAKEN or TAKEN not in text_of(each)]
    return ids[-1] if ids else None


def way_to_the_end(every: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the ids of the last message, and of all that it came from."""
    above = {each["id"]: each.get("parentId") for each in every}
    found, at = set[str](), [each["id"] for each in every if each["type"] == "message"][-1]
    while at is not None:
        found.add(at)
        at = above.get(at)
    return found


def leave_behind(lab: Lab, is_over: threading.Event) -> None:
    """Ask what is left behind, and go back to what was said before."""
    if lab.install.version in BETWEEN:
        be_killed(lab, is_over)
        return
    is_over.set()
    with lab.rpc() as rpc:
        turn(rpc, lab, LEFT)
        settled(lab)
        left = question(spoken(lab), LEFT)
        if lab.era == "sqlite":
            rpc("sessions.rewind", sessionKey=KEY, entryId=left)
            return
    lab.stop()
    [before] = [each["parentId"] for each in spoken(lab) if each["id"] == left]
    library = lab.install.modules / "@mariozechner" / "pi-coding-agent" / "dist" / "index.js"
    words = ["--input-type=module", "-e", BRANCH, str(library), str(lab.transcript(AGENT, KEY)), before]
    subprocess.run([str(lab.install.node), *words], check=True, env=lab.environ(), timeout=TURN_SECONDS)
    lab.start()


def be_killed(lab: Lab, is_over: threading.Event) -> None:
    """Ask what is left behind, and kill the gateway before there is an answer."""
    with lab.rpc() as rpc:
        rpc("chat.send", sessionKey=KEY, message=LEFT, idempotencyKey="left-behind")
        wait_until(lambda: question(spoken(lab), LEFT) is not None, TURN_SECONDS, "the question in the transcript")
    assert lab.gateway is not None
    os.kill(lab.gateway.pid, signal.SIGKILL)
    is_over.set()
    lab.stop()
    lab.start()


@pytest.mark.depth("2026.5.7")
def test_all_branches_are_in_the_folder_and_the_active_one_is_on_the_page(lab: Lab, tmp_path: Path) -> None:
    is_over = threading.Event()
    with Model(answering(is_over)) as model:
        let_agents_act(lab, model)
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, KEY)
            turn(rpc, lab, FIRST)
        leave_behind(lab, is_over)
        with lab.rpc() as rpc:
            turn(rpc, lab, TAKEN)
            settled(lab)
            history = rpc("chat.history", sessionKey=KEY)["messages"]
        folder = exported(run(lab, "export-sessions", KEY, "--output", str(tmp_path / "out")))
        lab.stop()
    every = spoken(lab)
    assert events((folder / "transcript.jsonl").read_text()) == every
    left, way = question(every, LEFT), way_to_the_end(every)
    assert question(every, FIRST) in way
    assert question(every, TAKEN) in way
    assert left is not None
    assert left not in way, "OpenClaw has made no branch"
    page = (folder / "transcript.md").read_text()
    shown = re.findall(r"^## [0-9]+ · user · .*\n\n((?:>.*\n)+)", page, re.MULTILINE)
    assert len(shown) == sum(each.get("role") == "user" for each in history)
    assert [text for text in shown if LEFT in text and TAKEN not in text] == []
    assert FIRST in shown[0]
    assert TAKEN in shown[-1]
    assert "\n- events of other branches, which are not on this page: " in page
