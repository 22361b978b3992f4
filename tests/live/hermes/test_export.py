"""A session of a real Hermes in a folder: all of its rows, its files as they are, a page; its home stays as it was."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .install import OLD
from .lab import Lab

pytestmark = pytest.mark.live
COMMAND = {"command": "echo a glass of $((30 + 12))"}


@pytest.mark.depth(OLD)
def test_all_that_a_session_has_is_in_its_folder(lab: Lab, tmp_path: Path) -> None:
    session = lab.chat(f"call terminal {json.dumps(COMMAND)}")
    other = lab.chat("hello")
    version = lab.rows("select version from schema_version")
    files = {path.name: path.read_bytes() for path in lab.sessions.iterdir() if path.is_file()}
    answer = lab.ours("export-sessions", session, "--output", str(tmp_path / "out"))
    assert (answer.code, answer.json["failed"]) == (0, []), answer
    [made] = answer.json["exported"]
    folder = Path(made["path"])
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    messages = [line["row"] for line in lines if line["table"] == "messages"]
    said = [(row["id"], row["role"], row["content"]) for row in messages]
    assert said == lab.rows("select id, role, content from messages where session_id = ? order by id", session)
    assert {line["table"] for line in lines} >= {"sessions", "messages"}
    assert other not in {line["row"]["session_id"] for line in lines if "session_id" in line["row"]}
    copies = {path.name: path.read_bytes() for path in (folder / "files").iterdir()}
    assert copies == {name: data for name, data in files.items() if session in name}
    assert copies
    page = (folder / "transcript.md").read_text()
    assert "<summary>terminal</summary>" in page
    assert "a glass of 42" in page
    assert made["events"] == len(said)
    assert lab.rows("select version from schema_version") == version
    assert {path.name: path.read_bytes() for path in lab.sessions.iterdir() if path.is_file()} == files
