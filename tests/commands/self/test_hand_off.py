"""docs/hand-off.md, played: its three lines of shell in the script of a caller, and the JSON that it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.app import EXIT_CODES
from support.commands import Result, one_document
from support.gateway import StubGateway
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.programs import ROOT, importable, put_python
from support.sqlite import build_sqlite
from support.stores import Stage, Store
from support.trees import tree

PAGE = (ROOT / "docs" / "hand-off.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = [(part.split("\n")[0], part.split("```json\n")[1].split("```")[0]) for part in PAGE.split("\n### ")[1:]]
# Codes of close-project, what they depend on, what the script ends with.
CODES = re.findall(r"^\| (\d+(?:(?:, | or )\d+)*)(, reason `running`)? \| ([a-z0-9 ]+) \|", PAGE, re.MULTILINE)

KEY, TYPO = LEAD + "calculator-app", LEAD + "calculator-ap"
REASON = 'it\'s shipped; $HOME "sweet" home'
LATER = 75
FIRST = "Closed"
# What differs from run to run.
LEVELLED = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z"), "STAMP"),
    (re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}"), "RUN"),
    (re.compile(r"process \d+"), "process PID"),
    (re.compile(r"port \d+"), "port PORT"),
    (re.compile(r"/\S*/openclaw-\d+/gateway"), "TMP/gateway"),
)


@pytest.fixture(autouse=True)
def _python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the scripts."""
    folder = tmp_path / "python"
    folder.mkdir()
    put_python(folder)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", importable())


def level(value: Any, state: str, closer: str) -> Any:
    """Return a document without what differs from run to run; its members, their order and their kinds stay."""
    if isinstance(value, dict):
        levelled = {name: level(member, state, closer) for name, member in value.items()}
        return {**levelled, **{name: 0 for name in ("pid", "port") if isinstance(value.get(name), int)}}
    if isinstance(value, list):
        return [level(member, state, closer) for member in value]
    if isinstance(value, str):
        # The undo names a state directory that is not at its usual place.
        value = value.replace(state, "STATE").replace(" --state-dir STATE", "").replace(closer, "CLOSER")
        for pattern, word in LEVELLED:
            value = pattern.sub(word, value)
    return value


def shown(name: str) -> dict[str, Any]:
    """Return a document as the page shows it: the first one whole, of the others what differs from it."""
    documents = {title: json.loads(text) for title, text in SHOWN}
    whole = {**documents[FIRST], **documents[name]}
    assert list(whole) == list(documents[FIRST]), "a member that the first document does not have"
    found = level(whole, "/data", "/opt/session-closer/bin")
    assert isinstance(found, dict)
    return found


def call(
    key: str,
    reason: str = REASON,
    *,
    state: Path | None = None,
    first: str = "set -eu",
    path: Path = ROOT / "bin",
    more: str = "",
) -> Result:
    """Run a caller's script with the three lines in it; what comes after them only happens where it may."""
    lines = SHELL[0].replace("close-project ", f"close-project {more}", 1)
    script = f"{first}\nkey=$1 reason=$2\n{lines}echo the project is removed >&2\n"
    done = subprocess.run(
        ["sh", "-c", script, "project-closer", key, reason],
        env={
            **os.environ,
            **({} if state is None else {"OPENCLAW_STATE_DIR": str(state)}),
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ("the project is removed" in done.stderr) is (done.returncode == 0), done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def lead(served: Store) -> Store:
    """The sample store with the session of the page; its gateway runs."""
    served.add((KEY, served.session(KEY)))
    return served


class Case(NamedTuple):
    """A document of the page: the store it comes from, the key, the script's exit code."""

    prepare: Callable[[pytest.FixtureRequest], Store]
    key: str = KEY
    code: int = 0


def idle(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue("lead")
    return store


def closed(request: pytest.FixtureRequest) -> Store:
    store = idle(request)
    assert call(KEY, state=store.state).code == 0
    return store


def running(request: pytest.FixtureRequest) -> Store:
    store = idle(request)
    stub: StubGateway = request.getfixturevalue("stub")
    stub.tell(active=[KEY])
    return store


def sqlite_without_gateway(request: pytest.FixtureRequest) -> Store:
    bases = build_sqlite(Store(request.getfixturevalue("tmp_path") / "state", request.getfixturevalue("closed_port")))
    bases.add(KEY)
    return bases.store


CASES = {
    FIRST: Case(idle),
    "Closed already": Case(closed),
    "Missing": Case(idle, TYPO, 1),
    "Running": Case(running, KEY, LATER),
    "The gateway is needed and does not answer": Case(sqlite_without_gateway, KEY, LATER),
}


def test_the_page_has_three_lines_of_shell_and_no_document_that_is_not_played() -> None:
    assert [block.count("\n") for block in SHELL] == [3]
    assert [title for title, _ in SHOWN] == list(CASES)
    assert PAGE.count("```") == 2 * (len(SHELL) + len(SHOWN))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        pytest.param(name, first, marks=[] if first == "set -eu" or name == FIRST else [pytest.mark.depth])
        for name in CASES
        for first in ("set -eu", "set -u", "")
    ],
)
def test_the_script_ends_as_the_page_says_and_hands_on_the_document_it_shows(
    request: pytest.FixtureRequest, name: str, first: str
) -> None:
    store = CASES[name].prepare(request)
    before = tree(store.state)
    done = call(CASES[name].key, state=store.state, first=first)
    assert done.code == CASES[name].code
    assert level(one_document(done.stdout), str(store.state), str(ROOT / "bin")) == shown(name)
    if name != FIRST:
        assert tree(store.state) == before


def test_the_reason_and_the_key_arrive_as_they_are(lead: Store) -> None:
    odd = LEAD + "it's $(odd) `key`; *"
    lead.add((odd, lead.session(odd)))
    assert call(odd, state=lead.state).code == 0
    assert odd not in lead.listed()
    (receipt,) = lead.receipts()
    assert receipt["reason"] == REASON
    assert [session["key"] for store in receipt["stores"] for session in store["sessions"]] == [odd]


@pytest.mark.long
def test_a_running_session_is_closed_by_a_later_call_and_a_third_one_changes_nothing(
    lead: Store, stub: StubGateway
) -> None:
    stub.tell(active=[KEY])
    assert [call(KEY, state=lead.state).code for _ in range(2)] == [LATER, LATER]
    assert KEY in lead.listed()
    stub.tell(active=[])
    assert call(KEY, state=lead.state).code == 0
    assert KEY not in lead.listed()
    before = tree(lead.state)
    assert call(KEY, state=lead.state).code == 0
    assert tree(lead.state) == before


def test_a_session_with_a_live_transcript_lock_is_left_for_later_without_a_gateway_too(store: Store) -> None:
    store.add((KEY, store.session(KEY)))
    lock = store.lock_transcript(KEY)
    before = tree(store.state)
    done = call(KEY, state=store.state)
    assert (done.code, one_document(done.stdout)["results"][0]["reason"]) == (LATER, "running")
    assert tree(store.state) == before
    lock.unlink()
    assert call(KEY, state=store.state).code == 0


@pytest.mark.long
def test_one_of_two_sessions_of_a_project_that_runs_is_left_for_later(store: Store) -> None:
    legacy = LEAD + "project-calculator-app"
    store.add(*((key, store.session(key)) for key in (KEY, legacy)))
    lock = store.lock_transcript(legacy)
    assert call("calculator-app", state=store.state).code == LATER
    assert KEY not in store.listed()
    assert call("calculator-app", state=store.state).code == LATER
    lock.unlink()
    assert call("calculator-app", state=store.state).code == 0
    assert legacy not in store.listed()


def test_sessions_in_files_are_closed_without_a_gateway(store: Store) -> None:
    store.add((KEY, store.session(KEY)))
    done = call(KEY, state=store.state)
    assert (done.code, one_document(done.stdout)["gateway"]["state"]) == (0, "down")
    assert KEY not in store.listed()


@pytest.mark.parametrize(
    ("key", "reason", "code"),
    [
        ("", REASON, 2),
        (KEY, "", 2),
        (KEY, "-x", 2),
        ("--dry-run", REASON, 2),
        (LEAD + "main", REASON, 3),
        # What the lines look for cannot come from a key: its quotes are escaped.
        (LEAD + 'x"reason": "running"', REASON, 1),
    ],
)
def test_what_no_later_call_can_mend_is_not_left_for_later(store: Store, key: str, reason: str, code: int) -> None:
    before = tree(store.state)
    done = call(key, reason, state=store.state)
    assert (done.code, one_document(done.stdout)["exitCode"]) == (code, code)
    assert tree(store.state) == before


def test_a_session_that_is_missing_is_fine_for_a_script_that_is_sure_of_its_keys(store: Store) -> None:
    assert "`--missing-ok`" in PAGE
    done = call(TYPO, state=store.state, more="--missing-ok ")
    assert (done.code, one_document(done.stdout)["results"][0]["status"]) == (0, "not_found")


def test_the_session_that_the_script_runs_in_is_deferred(stage: Stage) -> None:
    assert '`--self "$key"`' in PAGE
    store = stage("up", active=[KEY])
    store.add((KEY, store.session(KEY)))
    assert call(KEY, state=store.state).code == LATER
    done = call(KEY, state=store.state, more='--dry-run --self "$key" ')
    assert (done.code, one_document(done.stdout)["results"][0]["status"]) == (0, "would_defer")


def endings() -> list[tuple[int, str, int]]:
    """Return each code of the page's table, what close-project prints with it, and the script's."""
    found = []
    for codes, why, ending in CODES:
        answer = '{"results": [{"status": "refused", "reason": "running"}]}' if why else '{"results": []}'
        for code in map(int, re.findall(r"\d+", codes)):
            words = {"goes on": 0, "the same": code}
            found.append((code, answer, words[ending] if ending in words else int(ending)))
    return found


def test_the_page_names_every_exit_code() -> None:
    assert {int(line.split()[0]) for line in EXIT_CODES} <= {code for code, _, _ in endings()}
    assert {code for code, _, ending in endings() if ending == LATER} >= {4, 5, 6, 130}


@pytest.mark.parametrize(("code", "answer", "ending"), endings())
def test_the_script_ends_with_the_code_of_the_table(tmp_path: Path, code: int, answer: str, ending: int) -> None:
    stand_in = tmp_path / "close-project"
    stand_in.write_text(f"#!/bin/sh\necho '{answer}'\nexit {code}\n")
    stand_in.chmod(0o700)
    done = call(KEY, path=tmp_path)
    assert (done.code, done.stdout) == (ending, f"{answer}\n")


def test_without_the_command_the_script_ends_before_anything_is_removed(tmp_path: Path) -> None:
    assert call(KEY, path=tmp_path).code == 127
