"""docs/ansible, played: three state directories on this machine are three hosts."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support.homes import CALLERS_HOME, CallersEnviron
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.stores import Store, build
from support.trees import tree

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "ansible"
PAGE = (EXAMPLE / "README.md").read_text()
LOCK = ROOT / "tests" / "ansible" / "requirements.lock"
PLAYBOOK = [sys.executable, str(ROOT / "lib" / "bootstrap.py"), "--with", str(LOCK), "-m", "ansible.cli.playbook"]
HOSTS = ("one", "two", "three")
KEY = LEAD + "calculator-app"
OLD = 1_600_000_000_000


class Played(NamedTuple):
    """How a playbook ended: its exit code, the counts of the recap and the last word about each host."""

    code: int
    recap: dict[str, dict[str, int]]
    said: dict[str, str]
    output: str

    def count(self, what: str) -> dict[str, int]:
        """Return one count of the recap by host."""
        return {host: counts[what] for host, counts in self.recap.items()}


Play = Callable[..., Played]
# A program of somebody else's, that is installed and takes its time: `make live`.
PLAYED = pytest.mark.live


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The cache with Ansible in it, where the tools of the tests are, too; a skip where it cannot be had."""
    env = CallersEnviron(**environment(tmp_path_factory.mktemp("ansible")))
    done = subprocess.run([*PLAYBOOK, "--version"], capture_output=True, text=True, env=env, check=False)
    if done.returncode == 69:
        pytest.skip(f"no Ansible: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    bootstrap = importlib.import_module("bootstrap")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", CALLERS_HOME)
        return str(bootstrap.cache_root(bootstrap.cache_name(str(LOCK))))


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Ansible knows nothing of whoever runs the tests, and writes into a folder only."""
    (folder / "ansible.cfg").touch()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        **{name: str(folder) for name in ("ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP")},
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_FORMAT_PRETTY": "0",
    }


@pytest.fixture
def play(tmp_path: Path, cache: str) -> Play:
    """Return what runs a playbook of the example as its page says."""
    folder = tmp_path / "ansible"
    folder.mkdir()

    def run(*words: str) -> Played:
        done = subprocess.run(
            [*PLAYBOOK, *words],
            cwd=EXAMPLE,
            env={**environment(folder), "SESSION_CLOSER_CACHE": cache},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
        counts = re.findall(r"^(\S+) +: (ok=.*)$", done.stdout.partition("PLAY RECAP")[2], re.MULTILINE)
        said = re.findall(r"^(?:ok|fatal): \[(\S+)\].*? => (\{.*\})$", done.stdout, re.MULTILINE)
        return Played(
            done.returncode,
            {host: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)} for host, line in counts},
            {host: json.loads(result)["msg"] for host, result in said},
            done.stdout,
        )

    return run


@pytest.fixture
def stores(tmp_path: Path, closed_port: int) -> dict[str, Store]:
    """Three hosts' stores; no gateway runs."""
    found = {host: build(tmp_path / host, closed_port) for host in HOSTS}
    for store in found.values():
        store.add((KEY, store.session(KEY)))
    return found


def inventory(tmp_path: Path, stores: dict[str, Store], **of_one: dict[str, Any]) -> str:
    """Write an inventory of local hosts, with variables of single ones; return its path."""
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "session_closer_bin": str(ROOT / "bin"),
    }
    hosts = {
        host: {"session_closer_state_dir": str(store.state), **of_one.get(host, {})} for host, store in stores.items()
    }
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"openclaw": {"hosts": hosts, "vars": common}}))
    return str(path)


def variables(**values: Any) -> list[str]:
    return ["-e", json.dumps({f"session_closer_{name}": value for name, value in values.items()})]


def pictures(stores: dict[str, Store]) -> dict[str, Any]:
    return {host: tree(store.state) for host, store in stores.items()}


@PLAYED
def test_one_of_three_hosts_has_a_running_session_and_the_others_go_on(
    tmp_path: Path, stores: dict[str, Store], play: Play
) -> None:
    lock = stores["three"].lock_transcript(KEY)
    words = ["-i", inventory(tmp_path, stores), "close-sessions.yml", *variables(arguments=["calculator-app"])]
    before = pictures(stores)

    check = play(*words, "--check")
    assert check.code != 0
    assert check.count("changed") == {"one": 1, "two": 1, "three": 0}
    assert check.count("failed") == {"one": 0, "two": 0, "three": 1}
    assert check.said["one"] == "1 would_close"
    assert pictures(stores) == before

    real = play(*words)
    assert real.code != 0
    assert [real.count(what) for what in ("changed", "failed")] == [check.count("changed"), check.count("failed")]
    assert check.count("skipped") == real.count("skipped") == dict.fromkeys(HOSTS, 1)
    assert real.said["three"] == check.said["three"]
    assert re.fullmatch(rf"close-project-batch ended with 3: {KEY} refused running \([^\n]+\)", real.said["three"])
    assert re.fullmatch(r"1 closed; undo: \S+/restore-sessions --state-dir \S+/one \S+", real.said["one"])
    assert [host for host, store in stores.items() if KEY in store.listed()] == ["three"]
    assert tree(stores["three"].state) == before["three"]
    assert [store.receipts()[0]["reason"] for store in stores.values() if store.receipts()] == ["ansible", "ansible"]

    lock.unlink()
    later = play(*words)
    assert (later.code, later.count("changed")) == (0, {"one": 0, "two": 0, "three": 1})
    assert later.said["one"] == "1 already_closed"

    before = pictures(stores)
    again = play(*words)
    assert (again.code, again.count("changed")) == (0, dict.fromkeys(HOSTS, 0))
    assert pictures(stores) == before


@PLAYED
def test_a_play_that_is_in_check_mode_by_itself_changes_nothing(
    tmp_path: Path, stores: dict[str, Store], play: Play
) -> None:
    (tmp_path / "roles").symlink_to(EXAMPLE / "roles")
    checking = tmp_path / "checking.yml"
    text = (EXAMPLE / "close-sessions.yml").read_text()
    checking.write_text(text.replace("gather_facts:", "check_mode: true\n  gather_facts:"))
    before = pictures(stores)
    arguments = {host: {"session_closer_arguments": ["calculator-app"]} for host in HOSTS}
    # Refused as a whole: the real run would change nothing.
    arguments["two"]["session_closer_arguments"] += ["topics", "--max", "1"]
    done = play("-i", inventory(tmp_path, stores, **arguments), str(checking))
    assert done.count("changed") == {"one": 1, "two": 0, "three": 1}
    assert done.count("failed") == {"one": 0, "two": 1, "three": 0}
    assert re.fullmatch(r"close-project-batch ended with 3: [^\n]+; next: [^\n]+ --yes [^\n]+", done.said["two"])
    assert pictures(stores) == before


@PLAYED
def test_a_failure_is_one_line_and_a_host_may_be_changed_and_failed(
    tmp_path: Path, stores: dict[str, Store], play: Play
) -> None:
    stores["three"].index().write_text("{")
    hosts = inventory(
        tmp_path,
        stores,
        one={"session_closer_arguments": ["calculator-ap", "topics"]},
        two={"session_closer_arguments": ["topics"], "session_closer_bin": "/nowhere/bin"},
        three={"session_closer_arguments": ["topics"]},
    )
    done = play("-i", hosts, "close-sessions.yml", *variables(reason="shipped"))
    assert done.count("failed") == dict.fromkeys(HOSTS, 1)
    assert done.count("changed") == {"one": 1, "two": 0, "three": 0}
    asked = f"close-project-batch ended with 1: {LEAD}calculator-ap not_found (did you mean {KEY}?)"
    assert done.said["one"] == asked
    assert re.fullmatch(r"close-project-batch ended with 2: no answer from /nowhere/bin \([^\n]+\)", done.said["two"])
    corrupt = rf"close-project-batch ended with 3: {re.escape(str(stores['three'].index()))} [^\n]+; next: [^\n]+"
    assert re.fullmatch(corrupt, done.said["three"])
    assert [receipt["reason"] for receipt in stores["one"].receipts()] == ["shipped"]


@PLAYED
def test_a_cleanup_has_a_policy_and_openclaws_mode_warn_is_no_change(
    tmp_path: Path, stores: dict[str, Store], play: Play
) -> None:
    for store in stores.values():
        store.add((LEAD + "subagent:old", {**store.session("old"), "updatedAt": OLD}))
        store.add((LEAD + "cron:j:run:old", {**store.session("run"), "updatedAt": OLD}))
    stores["three"].configure(session={"maintenance": {"mode": "warn"}})
    policy = variables(policy=["--maintenance", "--stale", "subagent=7d"])
    words = ["-i", inventory(tmp_path, stores), "cleanup-sessions.yml", *policy]
    before = pictures(stores)
    check = play(*words, "--check")
    assert (check.code, check.count("changed")) == (0, {"one": 1, "two": 1, "three": 0})
    assert check.said == dict.fromkeys(HOSTS, "1 would_close")
    assert pictures(stores) == before
    for changed in (1, 0):
        done = play(*words)
        assert (done.code, done.count("changed")) == (0, {"one": changed, "two": changed, "three": 0})
    assert done.said == {"one": "nothing to do", "two": "nothing to do", "three": "1 would_close"}
    assert [host for host, store in stores.items() if LEAD + "subagent:old" in store.listed()] == ["three"]
    assert all(LEAD + "cron:j:run:old" in store.listed() for store in stores.values())


def commands_of_the_page() -> list[list[str]]:
    """Return the words of every call of ansible-playbook that the page shows."""
    lines = re.findall(r"^ansible-playbook (.*)$", PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@PLAYED
def test_the_commands_of_the_page_work(play: Play) -> None:
    first, *others = commands_of_the_page()
    done = play(*first)
    assert (done.code, done.count("changed"), done.said) == (0, {"localhost": 1}, {"localhost": "2 closed"})
    assert {words[2] for words in others} == {"close-sessions.yml", "cleanup-sessions.yml"}
    for words in others:
        listed = play(*words, "--list-hosts")
        hosts = re.findall(r"^ +(\S+)$", listed.output, re.MULTILINE)
        assert (listed.code, sorted(hosts)) == (0, ["one.example.org", "two.example.org"])


def test_the_page_names_every_variable_with_its_default() -> None:
    defaults = yaml.safe_load((EXAMPLE / "roles/session_closer/defaults/main.yml").read_text())
    rows = dict(re.findall(r"^\| `(session_closer_\w+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE))
    assert rows.pop("session_closer_policy") == "[]"
    assert {name: "" if value == "empty" else value for name, value in rows.items()} == {
        name: str(value) for name, value in defaults.items()
    }


def test_what_the_tests_install_is_declared_and_locked() -> None:
    wanted = [line for line in LOCK.with_suffix(".in").read_text().splitlines() if not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["test-ansible"] == wanted
    pins = LOCK.read_text().replace("\\\n", " ").splitlines()
    assert all(re.match(r"[a-z0-9.-]+==\S+ (; .+)?(\s*--hash=sha256:[0-9a-f]{64})+$", pin) for pin in pins)
    assert any(pin.startswith("ansible-core==") for pin in pins)
    assert "://" not in LOCK.read_text()
