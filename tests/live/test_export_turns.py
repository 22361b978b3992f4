"""Exporting what a model has answered: an image that was sent, and a compaction, are in the folder and on the page."""

from __future__ import annotations

import base64
import json
import struct
import uuid
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .gateway import Rpc, wait_until
from .lab import Lab, create, run
from .model import Asked, Call, Model
from .snapshots import settled
from .test_export import AGENT, KEY, events, exported
from .test_skill import let_agents_act

pytestmark = pytest.mark.live

TURN_SECONDS = 120
LONG = "what was said at length, so that there is something to be summed up. " * 200


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture() -> str:
    """Return a picture of one point, in base64."""
    head, point = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), zlib.compress(b"\0\xff\0\0")
    whole = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", point) + _chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()


def answering(_: Asked) -> Generator[Call | str, Asked, None]:
    """Answer whatever is asked."""
    number = 0
    while True:
        number += 1
        yield f"answer {number}. {LONG}"


def turn(rpc: Rpc, lab: Lab, message: str, **more: Any) -> None:
    """Say something, and wait for the answer."""
    before = lab.store.said(AGENT, KEY).count('"assistant"')
    rpc("chat.send", sessionKey=KEY, message=message, idempotencyKey=str(uuid.uuid4()), **more)
    wait_until(
        lambda: lab.store.said(AGENT, KEY).count('"assistant"') > before, TURN_SECONDS, f"an answer to {message}"
    )


def told(folder: Path) -> list[dict[str, Any]]:
    """Return all events of a folder, those of earlier windows and checkpoints, too."""
    parts = [folder / "transcript.jsonl", *folder.glob("windows/*"), *folder.glob("checkpoints/*")]
    return [event for path in parts for event in events(path.read_text())]


@pytest.mark.depth("2026.5.7")
def test_an_image_and_a_compaction_are_in_the_folder_and_on_the_page(lab: Lab, tmp_path: Path) -> None:
    with Model(answering) as model:
        let_agents_act(lab, model)
        path = lab.state / "openclaw.json"
        config = json.loads(path.read_text())
        [[provided]] = [each["models"] for each in config["models"]["providers"].values()]
        provided["input"] = ["text", "image"]
        path.write_text(json.dumps(config))
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, KEY)
            image = {"type": "image", "mimeType": "image/png", "fileName": "red.png", "content": picture()}
            turn(rpc, lab, "what is on it?", attachments=[image])
            for number in range(3):
                turn(rpc, lab, f"question {number}. {LONG}")
            answer = rpc("sessions.compact", key=KEY)
            assert answer.get("compacted", answer.get("ok")) is True, answer
        settled(lab)
        folder = exported(run(lab, "export-sessions", KEY, "--media", "--output", str(tmp_path / "out")))
        lab.stop()
    assert events((folder / "transcript.jsonl").read_text()) == events(lab.store.said(AGENT, KEY))
    kinds = [event.get("type") for event in told(folder)]
    assert "compaction" in kinds, kinds
    page = (folder / "transcript.md").read_text()
    assert "## compaction · " in page
    assert "*image image/png" in page or "*attachment* " in page
