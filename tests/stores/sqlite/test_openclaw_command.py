"""Without a token the `openclaw` command is asked, and nothing less is known for that."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.operations import by_store
from support.cleanup import summary
from support.commands import restore, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.programs import TESTS
from support.rows import delete, others, picture, the_row
from support.sqlite import Bases, reset
from support.trees import write


@pytest.fixture
def openclaw(bases: Bases, stub: StubGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `openclaw` command that gets through to the stub; no token is configured. Return its log."""
    bases.store.configure(token=None)
    folder = tmp_path / "bin"
    folder.mkdir()
    program = f"""\
        #!{sys.executable} -B
        import json, os, sys
        sys.path[:0] = {[str(TESTS)]!r}
        from pathlib import Path
        from support.stub import answer
        words = sys.argv[1:]
        with open({str(folder / "log")!r}, "a") as log:
            log.write(json.dumps([words, os.environ.get("OPENCLAW_STATE_DIR")]) + "\\n")
        assert words[:2] == ["gateway", "call"], words
        method, params = words[2], json.loads(words[words.index("--params") + 1])
        if method == "update.status":
            said = {{"ok": True, "payload": {{"status": "current"}}}}
        else:
            said = answer(Path({str(stub.folder)!r}), {{"id": "1", "method": method, "params": params}})
        if said["ok"]:
            print(json.dumps(said["payload"]))
        else:
            sys.stderr.write(f"Error: {{said['error']['code']}}: {{said['error']['message']}}\\n")
            sys.exit(1)
    """
    write(folder / "openclaw", textwrap.dedent(program), mode=0o700)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(folder / "openclaw"))
    return folder / "log"


def test_without_a_token_the_openclaw_command_is_asked(bases: Bases, openclaw: Path) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", LEAD + "gone", "--missing-ok")
    assert answer.code == 0, answer
    assert answer.rows == [(LEAD + "alpha", "closed"), (LEAD + "gone", "not_found")]
    assert others(bases, before, LEAD + "alpha")
    calls = [json.loads(line) for line in openclaw.read_text().splitlines()]
    assert {place for _, place in calls} == {str(bases.store.state)}
    assert {words[2] for words, _ in calls} >= {"sessions.list", "sessions.patchMany", "sessions.delete"}


def test_without_a_token_a_session_that_was_reset_stays(bases: Bases, openclaw: Path, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "do": "write-before", "agent": "project-lead",
                       "sql": reset(LEAD + "alpha", "a-new-session")}])  # fmt: skip
    assert delete(bases, "alpha").rows == [(LEAD + "alpha", "came_back")]
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_without_a_token_a_run_in_flight_is_seen_all_the_same(bases: Bases, openclaw: Path, stub: StubGateway) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before


def test_without_a_token_and_openclaw_it_is_exit_6(bases: Bases) -> None:
    bases.store.configure(token=None)
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "no token" in answer.data["error"]["message"]
    assert picture(bases) == before


@pytest.mark.parametrize("most", [by_store.MOST, 0], ids=["a plan of all", "store by store"])
def test_without_a_token_what_runs_counts_for_no_limit_of_a_cleanup(
    bases: Bases, openclaw: Path, stub: StubGateway, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_store, "MOST", most)
    stub.tell(active=[LEAD + "alpha"])
    answer = run_json(CleanupSessions, "--stale", "project=0s,other=0s", "--max", "6", state=bases.store.state)
    assert (answer.code, summary(answer)["spared"]) == (0, {"pinned": 1, "running": 1})
    assert LEAD + "alpha" not in {row["key"] for row in answer.data["results"]}
    assert {row["status"] for row in answer.data["results"]} == {"archived"}


def test_without_a_token_many_come_back_with_the_fewest_calls(bases: Bases, openclaw: Path) -> None:
    """A command takes a second to begin, in which the gateway answers others."""
    many = [f"{LEAD}many-{number}" for number in range(101)]
    for key in many:
        bases.add(key, events=1)
    assert run_json(CloseProjectBatch, "--yes", *many, state=bases.store.state).code == 0
    before = len(openclaw.read_text().splitlines())
    answer = restore(bases, "last")
    assert (answer.code, answer.data["broughtBack"]["count"]) == (0, 101)
    methods = [json.loads(line)[0][2] for line in openclaw.read_text().splitlines()[before:]]
    first = methods.index("sessions.patchMany")
    assert methods[first : first + 2] == ["sessions.patchMany", "sessions.patchMany"]
