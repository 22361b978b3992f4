"""The repository as a skill: OpenClaw finds it and says that it can be used."""

from __future__ import annotations

import json
import shutil

import pytest

from .lab import REPOSITORY, Lab, create, run
from .snapshots import rows

pytestmark = pytest.mark.live

NAME = "session-closer"
# What a checkout may hold besides the skill; OpenClaw caps a skill's files.
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")


def test_openclaw_lists_the_skill_as_eligible(lab: Lab) -> None:
    assert (REPOSITORY / "SKILL.md").is_file()
    copy = lab.root / NAME
    shutil.copytree(REPOSITORY, copy, ignore=LEFT_OUT, symlinks=True)
    installed = lab.openclaw("skills", "install", str(copy), "--agent", "project-lead")
    if installed.returncode != 0:
        # 2026.5.7 installs from its own registry only: the folder goes where later versions put it.
        assert "Invalid skill slug" in installed.stdout + installed.stderr
        shutil.copytree(copy, lab.workspace("project-lead") / "skills" / NAME, symlinks=True)

    info = lab.openclaw("skills", "info", NAME, "--agent", "project-lead", "--json")
    assert info.returncode == 0, info.stderr
    skill = json.loads(info.stdout)
    assert (skill["name"], skill["eligible"]) == (NAME, True), skill
    assert skill["description"], "without a description OpenClaw does not find a skill at all"

    listing = lab.openclaw("skills", "list", "--agent", "project-lead", "--json")
    assert listing.returncode == 0, listing.stderr
    (listed,) = [entry for entry in json.loads(listing.stdout)["skills"] if entry["name"] == NAME]
    assert listed["eligible"] is True, listed


def test_the_installed_skill_works_where_openclaw_put_it(lab: Lab) -> None:
    folder = lab.workspace("project-lead") / "skills" / NAME
    shutil.copytree(REPOSITORY, folder, ignore=LEFT_OUT, symlinks=True)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    lab.start()
    key = "agent:project-lead:project-from-skill"
    with lab.rpc() as rpc:
        create(rpc, key)
        result = run(lab, "close-project", "from-skill", repository=folder)
        assert (result.code, result.statuses()) == (0, {key: "closed"}), result
        assert not rows(rpc)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "a command wrote into the skill"
