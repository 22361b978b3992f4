"""SKILL.md is short, says when it is meant and what it installs, and each command line in it works as written."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from entry.checkout import ROOT
from support.keys import LEAD
from support.moments import BORN
from support.patience import PATIENCE_SECONDS
from support.stores import Store

from .pages import links, resolved, spans, text

PAGE = text("SKILL.md")
MATTER = yaml.safe_load(PAGE.split("---\n")[1])
MOST_WORDS = 450
# What a prompt holds of it, always.
MOST_OF_A_DESCRIPTION = 160
LINES = [span for span in spans(PAGE) if span.startswith("python3 {baseDir}/bin/")]
TEN_DAYS_MS = 10 * 24 * 3600 * 1000
HYDRATION = LEAD + "project-hydration-tracker"
WORDS = {
    "ID...": "kelly-dashboard", "[WORD...]": "kelly", "--agent A": "--agent project-lead", "KEY": HYDRATION,
    '"why"': "why",
}  # fmt: skip


def test_it_is_read_whole_in_no_time() -> None:
    assert len(PAGE.split()) <= MOST_WORDS


def test_its_description_is_one_line_with_the_words_that_people_use() -> None:
    said = MATTER["description"]
    assert len(said) < MOST_OF_A_DESCRIPTION
    assert not {"\n", "<", ">"} & set(said)
    after = said.partition("Use when ")[2]
    assert all(word in after for word in ("shipped", "done", "stale", "test sessions", "disk", "undo"))


def test_it_declares_what_the_first_run_installs() -> None:
    packages = {name for name, *_ in importlib.import_module("bootstrap").PACKAGES}
    assert packages <= set(re.findall(r"[\w.]+\w", MATTER["compatibility"]))
    # Which of them are installed depends on the Python; what is declared does not.
    assert {"backports.zstd", "typing_extensions"} <= set(re.findall(r"[\w.]+\w", MATTER["compatibility"]))
    assert "3.11" in MATTER["compatibility"]
    wanted = MATTER["metadata"]["openclaw"]
    assert set(wanted["requires"]["bins"]) <= {name for one in wanted["install"] for name in one["bins"]}
    assert MATTER["license"] == "MIT"
    assert MATTER["name"] == "session-closer"


def test_it_links_to_nothing_that_is_not_in_the_skill() -> None:
    for link in links(PAGE):
        assert resolved("SKILL.md", link)[0].split("/")[0] in ("bin", "lib", "evals", "LICENSE"), link


def test_it_has_an_example_of_each_job() -> None:
    jobs = {
        "close yourself": "--self KEY KEY", "all test sessions": "--match '*test*'", "older than": "--older-than 7d",
        "uses disk": "--usage", "undo one": "RECEIPT KEY", "what was said": "--output DIR",
    }  # fmt: skip
    for job, words in jobs.items():
        (item,) = [one for one in re.split(r"\n- ", PAGE) if job in one.lower() and "python3" in one]
        assert words in item.partition("python3")[2], job
    for said in (
        "`hasMore`",
        "List and cleanup mean all agents",
        "`project-closer`",
        "`${HERMES_SKILL_DIR}`",
        "`lib/`",
    ):
        assert said in PAGE


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_works_as_it_is_written(store: Store, tmp_path: Path, line: str) -> None:
    for key in (LEAD + "test-login", LEAD + "project-old-tests"):
        store.add((key, store.session(key) | {"updatedAt": BORN - TEN_DAYS_MS}))
    receipt = ""
    if "RECEIPT" in line:
        receipt = Path(run(f"{script('close-project-batch')} --json {HYDRATION}", store)["receipt"]).stem
    words = line.replace("{baseDir}", str(ROOT))
    for named, meant in WORDS.items():
        words = words.replace(named, meant)
    words = words.replace("RECEIPT", receipt).replace("DIR", str(tmp_path / "kept"))
    # The process that closes a session when its turn has ended would outlive the test.
    done = run(words + (" --dry-run" if "--self" in words else ""), store)
    assert done["ok"] is True
    # A word that nobody has replaced would be looked for, and not be found.
    assert not re.search(r"\b[A-Z]{2,}\b", re.sub(r"/\S+", "", words))


def test_there_are_command_lines() -> None:
    assert len(LINES) > 10
    assert {Path(line.split()[1]).name for line in LINES} == {
        "close-project-batch", "keep-only-sessions", "cleanup-sessions", "list-sessions", "restore-sessions",
        "export-sessions",
    }  # fmt: skip


def test_what_it_offers_beside_its_command_lines_is_taken(store: Store) -> None:
    """Options that stand alone, each by the command of its line."""
    offered = "--delete --with-jobs --yes --lose-ignored --force"
    run(f"{script('close-project-batch')} --json {offered} kelly-dashboard", store)
    run(f"{script('restore-sessions')} --list --json", store)
    run(f"{script('list-sessions')} --json --limit all", store)


def script(name: str) -> str:
    """Return how a command is called."""
    return f"python3 {ROOT}/bin/{name}"


def run(words: str, store: Store) -> dict[str, Any]:
    """Run a line in a shell, as an agent does; it must end well, with one document."""
    done = subprocess.run(
        ["sh", "-c", f"{words} --state-dir {store.state}"],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))
