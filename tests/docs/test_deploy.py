"""The snippets of docs/deploy.md are what their own programs take, and their command lines are ours."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from entry.checkout import ROOT
from live.install import Unavailable, cache_root, cached, install_wheels
from support.patience import PATIENCE_SECONDS
from support.stores import Store

from .pages import section, text
from .test_reference import HELP

PAGE = text("docs/deploy.md")
OURS = "/opt/session-closer"
_CODE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(heading: str) -> list[str]:
    """Return the code below a heading."""
    return [code for language, code in _CODE.findall(section(PAGE, heading)) if language != "sh"]


SERVICE, TIMER = snippets("systemd")
(PLIST,) = snippets("launchd")
(COMPOSE,) = snippets("compose")
(CRON_JOB,) = snippets("Kubernetes")


def container() -> Mapping[str, Any]:
    """Return the container of the CronJob."""
    pod = yaml.safe_load(CRON_JOB)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return dict(found)


def command_lines() -> dict[str, list[str]]:
    """Return the words of each snippet's command."""
    (started,) = re.findall(r"^ExecStart=(.*)$", SERVICE, re.MULTILINE)
    inside = container()
    return {
        "systemd": started.split(),
        "launchd": plistlib.loads(PLIST.encode())["ProgramArguments"],
        "compose": yaml.safe_load(COMPOSE)["services"]["session-closer"]["command"][1:],
        "Kubernetes": [*inside["command"], *inside["args"]][1:],
    }


LINES = command_lines()


def tool_from_pypi(package: str) -> Path:
    """Return a folder with a package from PyPI; without it the test is skipped."""
    try:
        return cached(cache_root(), f"{package}-py3.{sys.version_info[1]}", lambda at: install_wheels(at, package))
    except Unavailable as problem:
        pytest.skip(f"{package} cannot be had: {problem}")


@pytest.mark.parametrize("name", LINES)
def test_a_command_line_is_one_of_ours(name: str) -> None:
    program, *words = LINES[name]
    assert program == f"{OURS}/bin/cleanup-sessions"
    assert (ROOT / program.removeprefix(f"{OURS}/")).is_file()
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert options <= set(HELP["cleanup-sessions"])
    assert {"--yes", "--quiet", "--expire-archives", "--reason"} <= options


@pytest.mark.parametrize("name", ["systemd", "launchd"])
def test_a_command_line_does_what_the_page_says(store: Store, name: str) -> None:
    program, *words = LINES[name]
    argv = [program.replace(OURS, str(ROOT)), *words, "--state-dir", str(store.state)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    (receipt,) = store.receipts()
    assert receipt["reason"] == "nightly"


@pytest.mark.parametrize("name", ["compose", "Kubernetes"])
def test_a_gateway_in_a_container_is_named(name: str) -> None:
    options = dict(word.partition("=")[::2] for word in LINES[name][1:])
    assert {"--url", "--gateway-state-dir", "--state-dir", "--token-file"} <= set(options)
    assert options["--gateway-state-dir"] != options["--state-dir"]
    # By the command itself: it would not send a token in clear text.
    argv = [ROOT / "bin/list-sessions", f"--url={options['--url']}", "--json", "--state-dir", "/nonexistent"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert "--url" not in json.loads(done.stdout)["error"]["message"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not on this machine")
    service = tmp_path / "session-closer.service"
    service.write_text(SERVICE.replace(OURS, str(ROOT)))
    (tmp_path / "session-closer.timer").write_text(TIMER)
    units = [service, tmp_path / "session-closer.timer"]
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    when = re.findall(r"^OnCalendar=(.*)$", TIMER, re.MULTILINE)
    done = subprocess.run([analyze, "calendar", *when], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # It sees what is wrong.
    service.write_text(SERVICE.replace(OURS, "/nonexistent"))
    assert subprocess.run([analyze, "verify", "--man=no", service], capture_output=True, check=False).returncode != 0


def test_the_property_list_is_one() -> None:
    found = plistlib.loads(PLIST.encode())
    assert found["Label"] in section(PAGE, "launchd").partition("```")[0]
    assert found["StartCalendarInterval"] == {"Hour": 4, "Minute": 17}
    assert set(map(type, found["ProgramArguments"])) == {str}


def test_what_is_mounted_is_what_the_commands_name() -> None:
    service = yaml.safe_load(COMPOSE)["services"]["session-closer"]
    targets = {mount.split(":")[1] for mount in service["volumes"]}
    inside = container()
    mounts = {mount["name"]: mount["mountPath"] for mount in inside["volumeMounts"]}
    assert targets == {OURS, "/state", "/cache"} == set(mounts.values()) - {"/run/openclaw"}
    assert service["environment"] == {"SESSION_CLOSER_CACHE": "/cache"}
    named = {mount.split(":")[0] for mount in service["volumes"] if not mount.startswith("/")}
    assert named == set(yaml.safe_load(COMPOSE)["volumes"])
    pod = yaml.safe_load(CRON_JOB)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)


@pytest.mark.live
def test_compose_takes_the_file(tmp_path: Path) -> None:
    """By docker where it has compose, else by a parser of the published specification."""
    path = tmp_path / "compose.yaml"
    docker = shutil.which("docker")
    has_compose = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if has_compose and has_compose.returncode == 0:
        words = ["docker", "compose", "-f", str(path), "config", "--quiet"]
        environ = dict(os.environ)
    else:
        program = "import sys; from compose_spec import PyCompose as C; C.from_yaml(open(sys.argv[1]).read())"
        words = [sys.executable, "-c", program, str(path)]
        environ = {"PYTHONPATH": str(tool_from_pypi("compose-spec")), "PATH": "/usr/bin:/bin"}
    (tmp_path / "openclaw-token").write_text("x")
    whole = yaml.safe_load(COMPOSE)
    whole["services"]["gateway"] = {"image": "openclaw"}
    right = yaml.safe_dump(whole)
    for content, is_right in ((right, True), (right.replace("service:gateway", "{}"), False)):
        path.write_text(content)
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is is_right, done.stderr


@pytest.mark.live
def test_kubernetes_takes_the_job(tmp_path: Path) -> None:
    """By the published schemas of its API, unknown members included."""
    path = tmp_path / "job.yaml"
    program = (
        "import sys, yaml, kubernetes_validate as k; k.validate(yaml.safe_load(open(sys.argv[1])), '1.31', strict=True)"
    )
    environ = {"PYTHONPATH": str(tool_from_pypi("kubernetes-validate")), "PATH": "/usr/bin:/bin"}
    for content, is_right in ((CRON_JOB, True), (CRON_JOB.replace("concurrencyPolicy", "concurrency"), False)):
        path.write_text(content)
        words = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is is_right, done.stderr
