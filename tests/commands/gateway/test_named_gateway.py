"""A gateway that was named, or that only the `openclaw` command reaches: asked for what it has, never bypassed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run, run_json
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD
from support.stores import TOKEN, Store, build
from support.trees import tree

KEY = LEAD + "topics"
WEAK: dict[str, dict[str, Any]] = {
    "a hello without the scope": {"scopes": ["operator.read", "operator.write"]},
    "a hello without any": {"scopes": []},
    "a hello that says nothing": {"refuse": "delete"},
}


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    """The sample store, of which no trace of a gateway is to be found."""
    return build(tmp_path / "state", closed_port)


@pytest.fixture
def named(tmp_path: Path, store: Store, stub: StubGateway) -> Any:
    """Serve the sample store from nowhere; the options that name the gateway."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)

    def serve(**order: Any) -> tuple[str, ...]:
        stub.serve(store.state, TOKEN, **order)
        assert stub.lock is not None
        stub.lock.unlink()
        return ("--url", f"ws://127.0.0.1:{stub.port}", "--token-file", str(token))

    return serve


@pytest.fixture
def unused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubOpenClaw:
    """An `openclaw` command that could restart something."""
    made = StubOpenClaw(tmp_path / "bin")
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(made.path))
    return made


@pytest.mark.parametrize("how", WEAK)
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--via", "gateway"), ("--restart", "never")], ids=" ".join)
def test_a_named_gateway_that_lets_us_close_nothing_is_not_bypassed(
    store: Store, named: Any, unused: StubOpenClaw, how: str, more: tuple[str, ...]
) -> None:
    words = named(**WEAK[how])
    before = tree(store.state)
    for command, word in ((CloseProject, "topics"), (KeepOnlySessions, "alpha")):
        result = run(command, word, *words, *more, state=store.state)
        assert result.code == 6
        assert "None" not in result.stdout + result.stderr
        assert result.stderr.count("error: ") == 1
    assert tree(store.state) == before
    assert unused.calls("restart") == []


def test_whoever_says_so_edits_the_file_below_it_and_is_told_that_nothing_was_restarted(
    store: Store, named: Any
) -> None:
    result = run(CloseProject, "topics", *named(scopes=[]), "--via", "files", state=store.state)
    assert KEY not in store.listed()
    assert "NOT restarted" in result.stdout
    assert "None" not in result.stdout + result.stderr


def test_a_named_gateway_that_refuses_in_the_middle_is_not_bypassed(store: Store, named: Any) -> None:
    entries = store.entries()
    words = named(scopes=["operator.read", "operator.write", "operator.admin"], refuse="delete")
    answer = run_json(CloseProject, "topics", *words, state=store.state)
    assert (answer.code, answer.rows) == (1, [(KEY, "failed")])
    assert store.entries() == entries


def test_a_named_gateway_that_falls_silent_is_not_taken_for_one_that_has_gone(store: Store, named: Any) -> None:
    entries = store.entries()
    words = named(faults=[{"method": "sessions.delete", "do": "drop-before"}])
    answer = run_json(CloseProject, "topics", *words, state=store.state)
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert store.entries() == entries


def test_no_process_is_named_where_none_is_known(store: Store, named: Any) -> None:
    words = named(scopes=["operator.read", "operator.write", "operator.admin"])
    assert run(ListSessions, *words, state=store.state).code == 0
    result = run(CloseProject, "topics", "--verbose", *words, state=store.state)
    assert result.code == 0
    assert "gateway  running: no restart needed" in result.stdout
    assert "None" not in result.stdout + result.stderr


def test_a_dry_run_says_that_a_person_would_have_to_restart_it(store: Store, named: Any) -> None:
    words = named(scopes=["operator.read", "operator.write", "operator.admin"])
    result = run(CloseProject, "topics", "--via", "files", "--dry-run", *words, state=store.state)
    said = "gateway  running: would be restarted once, but its process is not known here, so a person would have to"
    assert (result.code, said in result.stdout) == (0, True), result
    assert run(CloseProject, "topics", "--via", "files", *words, state=store.state).code == 1


# Only the command gets in


@pytest.mark.parametrize(
    ("said", "route"),
    [
        # 2026.2.17, whose gateway knows no such method and looks at the scope first.
        ("Gateway call failed: Error: unknown method: update.status", "gateway"),
        ("Gateway call failed: Error: missing scope: operator.admin", "files"),
        ("Gateway call failed: Error: unauthorized: gateway password mismatch", "files"),
    ],
)
def test_a_gateway_that_knows_no_probe_is_asked_by_the_command_if_that_has_the_scope(
    served: Store, openclaw: StubOpenClaw, said: str, route: str
) -> None:
    served.configure(token=None)
    openclaw.answers("call", {}, code=1, complaint=said)
    answer = run_json(CloseProject, "topics", "--via", "gateway", state=served.state)
    assert answer.code == 6
    asked = [line.split()[2] for line in openclaw.calls("call")]
    assert asked == ["update.status", *(["sessions.delete"] if route == "gateway" else [])]


def test_what_is_said_of_a_session_is_no_reason_to_edit_the_file_below(served: Store, openclaw: StubOpenClaw) -> None:
    served.configure(token=None)
    entries = served.entries()
    said = f"Gateway call failed: Error: Session {KEY} is still active; try again in a moment."
    openclaw.answers("call", {}, code=1, complaint=said)
    answer = run_json(CloseProject, "topics", state=served.state)
    assert (answer.code, answer.rows) == (1, [(KEY, "failed")])
    assert served.entries() == entries
    assert openclaw.calls("restart") == []
