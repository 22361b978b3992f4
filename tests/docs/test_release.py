"""What a tag sets off needs no secret, runs nothing that can change under it, and builds what is here."""

from __future__ import annotations

import re
from typing import Any

import yaml
from entry.checkout import ROOT

PATH = ROOT / ".github" / "workflows" / "release.yml"
TEXT = PATH.read_text()
FLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS = FLOW["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
RUN = "\n".join(step["run"] for step in STEPS if "run" in step)


def test_each_action_is_pinned_by_its_commit_and_says_its_version() -> None:
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) == sum("uses" in step for step in STEPS) > 5
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert all("==" in word for word in re.findall(r"pip install (.*)", RUN)[0].split())


def test_no_secret_is_read_and_no_job_may_more_than_it_needs() -> None:
    assert "secrets." not in TEXT
    assert "password" not in TEXT
    assert FLOW["permissions"] == {}
    may = {name: job["permissions"] for name, job in JOBS.items()}
    assert may["build"] == {"contents": "read"}
    # Who publishes checks nothing out, so nothing of the repository runs with its identity.
    assert may["publish"] == {"id-token": "write"}
    assert not any(
        "checkout" in step.get("uses", "") for name in ("publish", "release") for step in JOBS[name]["steps"]
    )
    assert JOBS["publish"]["environment"] == "pypi"


def test_nothing_of_the_event_is_put_into_a_shell() -> None:
    assert "${{" not in RUN


def test_it_tests_what_it_publishes_and_lists_what_is_in_it() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r"make ([a-z]+)", RUN))
    assert {"check", "test", "skill"} == made <= targets
    assert JOBS["publish"]["needs"] == "build"
    assert JOBS["release"]["needs"] == "publish"
    assert "cyclonedx-py requirements lib/requirements.lock" in RUN
    assert (ROOT / "lib/requirements.lock").is_file()
    assert FLOW[True]["push"]["tags"] == ["v*"]


def test_a_tag_that_is_not_the_version_stops_it() -> None:
    (checked,) = [step for step in STEPS if step.get("name") == "The tag is the version"]
    wanted = (ROOT / "lib/session_closer/__init__.py").read_text()
    version = re.findall(r'^__version__ = "(.*)"$', wanted, re.MULTILINE)[0]
    assert checked["run"] == 'grep -qx "__version__ = \\"${TAG#v}\\"" lib/session_closer/__init__.py'
    assert f'__version__ = "{version}"\n' in wanted
