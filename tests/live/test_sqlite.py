"""Sessions in a database: its gateway alone changes it, and what stops in between can be finished."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .gateway import Rpc, wait_until
from .install import Install
from .lab import AGENTS, WRONG, Lab, Result, begin, create, finish, laboratory, run, with_wrong_token
from .snapshots import change, digests, everything, rows, tree, without

pytestmark = [pytest.mark.live, pytest.mark.openclaw("sqlite")]

ONE = "agent:project-lead:project-one"
TWO = "agent:main:project-two"
REST = ("agent:project-lead:main", "agent:main:project-one")
GHOSTS = ("agent:ghost:project-one", "agent:ghost:project-two")
BATCH = tuple(f"agent:project-lead:project-batch-{number}" for number in range(10))
AT_ONCE = 60


@pytest.fixture(scope="module")
def stopped(install: Install) -> Iterator[Lab]:
    """A lab with sessions in it, some of an agent that was removed, and no gateway that runs."""
    with laboratory(install) as made:
        made.agents = (*AGENTS, "ghost")
        made.configure()
        made.start()
        with made.rpc() as rpc:
            create(rpc, ONE, TWO, *REST, *GHOSTS)
        made.stop()
        made.agents = AGENTS
        made.configure()
        yield made


def remembers(rpc: Rpc, key: str) -> bool:
    """Tell whether the gateway still finds what was said in a session."""
    return f"message 0 of {key}" in str(rpc("chat.history", sessionKey=key)["messages"])


def error_of(result: Result) -> tuple[int, str]:
    """Return the exit code of a run that ended as a whole, and the name of its error."""
    return result.code, str((result.json["error"] or {}).get("name"))


def written(lab: Lab) -> list[bytes]:
    """Return all that our commands have written in the state directory, which nobody else may read."""
    files = [path for path in (lab.state / "session-closer").rglob("*") if path.is_file()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    return [path.read_bytes() for path in files]


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--archive"], ["--delete"], ["--via", "gateway"]], ids=" ".join)
def test_without_its_gateway_nothing_is_changed_and_the_remedy_is_named(stopped: Lab, words: list[str]) -> None:
    before = tree(stopped.state)
    result = run(stopped, "close-project-batch", *words, "one", TWO)
    assert error_of(result) == (6, "gateway_needed"), result
    assert "openclaw gateway start" in result.json["error"]["remedy"]
    assert tree(stopped.state) == before


def test_without_its_gateway_what_is_not_there_is_told(stopped: Lab) -> None:
    before = tree(stopped.state)
    result = run(stopped, "close-project", "--delete", "never-seen-anywhere")
    assert (result.code, [row["status"] for row in result.json["results"]]) == (1, ["not_found"]), result
    assert tree(stopped.state) == before


def test_a_database_is_never_edited_as_a_file(stopped: Lab) -> None:
    before = tree(stopped.state)
    result = run(stopped, "close-project", "--delete", "--via", "files", "one")
    assert error_of(result) == (3, "sqlite_store"), result
    assert tree(stopped.state) == before


@pytest.mark.depth
def test_a_gateway_of_another_state_directory_is_asked_to_change_nothing(shared: Lab, stopped: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
    others = everything(shared)
    stopped.configure(port=shared.port, auth=shared.auth)
    token = stopped.root / "token"
    token.write_text(shared.auth["token"])
    try:
        before = tree(stopped.state)
        found = run(stopped, "close-project-batch", "--delete", "one", TWO)
        named = ["--url", f"ws://127.0.0.1:{shared.port}", "--token-file", str(token)]
        given = run(stopped, "close-project-batch", "--delete", *named, "one", TWO)
        assert tree(stopped.state) == before
    finally:
        stopped.configure()
    assert error_of(found) == (6, "gateway_needed"), found
    assert error_of(given) == (6, "other_gateway"), given
    assert everything(shared) == others


@pytest.mark.depth
def test_a_file_beside_the_database_is_refused_and_does_not_grow_roots(stopped: Lab) -> None:
    stale = stopped.index("project-lead")
    stale.parent.mkdir(mode=0o700, exist_ok=True)
    stale.write_text("{}")
    stale.chmod(0o600)
    before = tree(stopped.state)
    for words in ([], ["--dry-run"], ["--via", "files"], ["--archive"], ["--delete"]):
        result = run(stopped, "close-project", *words, "one")
        assert error_of(result) == (3, "mixed_store"), result
        assert "openclaw doctor" in result.json["error"]["remedy"]
        assert tree(stopped.state) == before

    stale.unlink()
    stopped.start()
    try:
        with stopped.rpc() as rpc:
            listed = rows(rpc)
            result = run(stopped, "close-project-batch", "--delete", "one", TWO)
            assert (result.code, result.statuses()) == (0, {ONE: "closed", TWO: "closed"}), result
            assert rows(rpc) == without(listed, ONE, TWO)
    finally:
        stopped.stop()


@pytest.mark.depth
def test_an_install_that_was_updated_is_refused_until_it_is_migrated(install: Install, older: Install) -> None:
    with laboratory(older) as lab:
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, ONE, TWO, *REST)
        lab.stop()
        lab.install = install
        before = tree(lab.state)
        for words in ([], ["--dry-run"], ["--via", "files"]):
            refused = run(lab, "close-project-batch", "--delete", *words, "one", TWO)
            assert error_of(refused) == (3, "unmigrated_store"), refused
            assert "openclaw doctor" in refused.json["error"]["remedy"]
            assert tree(lab.state) == before

        migrated = lab.openclaw("doctor", "--fix", "--non-interactive", seconds=300)
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        lab.start()
        with lab.rpc() as rpc:
            listed, files = rows(rpc), digests(lab)
            assert {ONE, TWO, *REST} <= set(listed)
            result = run(lab, "close-project-batch", "--delete", "one", TWO)
            assert (result.code, result.statuses()) == (0, {ONE: "closed", TWO: "closed"}), result
            assert rows(rpc) == without(listed, ONE, TWO)
            assert len(change(files, digests(lab)).archived) == 2
            assert all(remembers(rpc, key) for key in REST)


def test_with_a_wrong_token_nothing_is_changed_and_the_token_is_not_told(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
    environ = with_wrong_token(shared)
    token = shared.root / "wrong-token"
    token.write_text(WRONG)
    named = ["--url", f"ws://127.0.0.1:{shared.port}", "--token-file", str(token)]
    before = digests(shared)
    dry = run(shared, "close-project-batch", "--delete", "--dry-run", "one", TWO, environ=environ)
    assert WRONG not in dry.stdout + dry.stderr
    for words, more in (([], environ), (named, {})):
        result = run(shared, "close-project-batch", "--delete", *words, "one", TWO, environ=more)
        assert error_of(result) == (6, "gateway_needed"), result
        assert WRONG not in result.stdout + result.stderr
        assert digests(shared) == before
    assert not any(WRONG.encode() in content for content in written(shared))


def test_a_gateway_that_is_named_closes_with_the_token_that_is_given(shared: Lab) -> None:
    token = shared.root / "right-token"
    token.write_text(shared.auth["token"])
    named = ["--url", f"ws://127.0.0.1:{shared.port}", "--token-file", str(token)]
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
        listed = rows(rpc)
        result = run(shared, "close-project-batch", "--delete", *named, "one", TWO, environ=with_wrong_token(shared))
        assert (result.code, result.statuses()) == (0, {ONE: "closed", TWO: "closed"}), result
        assert rows(rpc) == without(listed, ONE, TWO)
    secret = shared.auth["token"]
    assert secret not in result.stdout + result.stderr
    assert not any(secret.encode() in content for content in written(shared))


def test_an_archived_session_is_hidden_and_comes_back_whole(shared: Lab) -> None:
    hidden, kept, goes = "agent:main:project-hidden", "agent:main:kept", "agent:main:goes"
    with shared.rpc() as rpc:
        session_id = create(rpc, hidden, kept, goes)[hidden]
        listed = rows(rpc)
        said = shared.store.said("main", hidden)
        before = everything(shared)
        dry = run(shared, "close-project", "--dry-run", "--session-key", hidden)
        assert (dry.code, dry.statuses()) == (0, {hidden: "would_archive"}), dry
        assert everything(shared) == before

        done = run(shared, "close-project", "--session-key", hidden)
        assert (done.code, done.statuses()) == (0, {hidden: "archived"}), done
        assert done.rows[hidden]["keyFree"] is False
        assert done.rows[hidden]["archives"] == []
        assert rows(rpc) == without(listed, hidden)
        again = run(shared, "close-project", "--session-key", hidden)
        assert (again.code, again.statuses()) == (0, {hidden: "already_closed"}), again

        rest = run(shared, "keep-only-sessions", "--agent", "main", kept)
        assert (rest.code, rest.statuses()[goes]) == (0, "archived"), rest
        assert hidden not in rest.rows
        assert set(shared.entries("main")) >= {hidden, kept, goes}
        assert shared.store.said("main", hidden) == said
        back = run(shared, "restore-sessions", Path(str(rest.json["receipt"])).stem)
        assert (back.code, back.statuses()[goes]) == (0, "restored"), back

        rpc("sessions.patch", key=hidden, expectedSessionId=session_id, archived=False)
        assert rows(rpc)[hidden]["sessionId"] == session_id
        assert remembers(rpc, hidden)


def test_an_archived_session_can_be_closed_for_good(shared: Lab) -> None:
    key = "agent:project-lead:project-shelved"
    with shared.rpc() as rpc:
        create(rpc, key)
        first = run(shared, "close-project", "shelved")
        assert (first.code, first.statuses()) == (0, {key: "archived"}), first
        files = digests(shared)
        second = run(shared, "close-project", "--delete", "shelved")
        assert (second.code, second.statuses(), second.rows[key]["keyFree"]) == (0, {key: "closed"}, True), second
        archived = change(files, digests(shared)).archived
        assert second.rows[key]["archives"] == [str(shared.state / path) for path in archived.values()]
        assert key not in shared.entries("project-lead")
        create(rpc, key)
        assert key in rows(rpc)


def test_the_runs_of_a_cron_job_can_be_closed_although_no_list_shows_them(shared: Lab) -> None:
    key = "agent:main:cron:job:run:1"
    with shared.rpc() as rpc:
        create(rpc, key, *REST)
        listed = rows(rpc)
        assert key not in listed
        files = digests(shared)
        result = run(shared, "close-project-batch", "--delete", key)
        assert (result.code, result.statuses()) == (0, {key: "closed"}), result
        assert key not in shared.entries("main")
        assert len(change(files, digests(shared)).archived) == 1
        assert rows(rpc) == listed


@pytest.mark.depth
def test_sessions_of_an_agent_that_was_removed_can_be_closed(stopped: Lab) -> None:
    gone, stays = GHOSTS
    stopped.start()
    try:
        result = run(stopped, "close-project-batch", "--delete", gone)
        assert (result.code, result.statuses()) == (0, {gone: "closed"}), result
        assert result.rows[gone]["archives"]
        assert set(stopped.entries("ghost")) == {stays}
    finally:
        stopped.stop()


def when_two_are_gone(lab: Lab) -> None:
    """Wait until a run has closed two sessions of the batch."""

    def is_so() -> bool:
        left = set(BATCH) & set(lab.entries("project-lead"))
        return len(left) <= len(BATCH) - 2

    wait_until(is_so, AT_ONCE, "two sessions to be closed")


def tells_what_is_done(lab: Lab, result: Result) -> None:
    """Assert that rows and record say the same as the database."""
    left = set(BATCH) & set(lab.entries("project-lead"))
    assert 0 < len(left) < len(BATCH), "the run was not stopped in the middle: nothing was tested"
    assert {key for key, status in result.statuses().items() if status == "closed"} == set(BATCH) - left
    pending = {(row["status"], row["reason"], row["ok"]) for key, row in result.rows.items() if key in left}
    assert pending == {("archived", "pending", False)}
    # A transcript is out of the database a moment before its archive is there: of the call that was cut off.
    assert sum(not row["archives"] for key, row in result.rows.items() if key not in left) <= 1
    (store,) = json.loads(Path(result.json["receipt"]).read_bytes())["stores"]
    told = {session["key"]: session["status"] for session in store["sessions"]}
    assert {key for key, status in told.items() if status == "closed"} == set(BATCH) - left


def finishes(lab: Lab, names: list[str], files: dict[str, str]) -> None:
    """Assert that the same command again closes the rest; the archives are all there, and the receipts name them."""
    again = run(lab, "close-project-batch", "--delete", *names)
    assert again.code == 0, again
    assert set(again.statuses()) == set(BATCH)
    assert set(again.statuses().values()) <= {"closed", "already_closed"}
    assert not set(BATCH) & set(lab.entries("project-lead"))
    archived = change(files, digests(lab)).archived
    assert len(archived) == len(BATCH)
    assert not list((lab.state / "session-closer" / "open").iterdir())
    receipts = [json.loads(path.read_bytes()) for path in (lab.state / "session-closer" / "receipts").glob("*.json")]
    sessions = [session for receipt in receipts for store in receipt["stores"] for session in store["sessions"]]
    told = {move["target"] for session in sessions if session["key"] in BATCH for move in session["moves"]}
    there = {Path(path).name for path in archived.values()}
    assert there == told


def test_a_gateway_that_is_killed_in_the_middle_loses_nothing(lab: Lab) -> None:
    names = [key.rpartition("project-")[2] for key in BATCH]
    gateway = lab.start()
    with lab.rpc() as rpc:
        create(rpc, *BATCH, *REST)
    files = digests(lab)
    closing = begin(lab, "close-project-batch", "--delete", *names)
    when_two_are_gone(lab)
    os.kill(gateway.pid, signal.SIGKILL)
    result = finish(closing)
    lab.stop()

    assert error_of(result) == (6, "gateway_needed"), result
    tells_what_is_done(lab, result)
    down = run(lab, "close-project-batch", "--delete", *names)
    assert error_of(down) == (6, "gateway_needed"), down
    lab.start()
    # The archive that it was writing it writes only when it starts again, after the receipt has been written.
    finishes(lab, names, files)
    with lab.rpc() as rpc:
        assert set(rows(rpc)) == set(REST)
        assert all(remembers(rpc, key) for key in REST)


def test_an_interrupted_command_says_how_far_it_came_and_is_finished_by_the_same_again(shared: Lab) -> None:
    names = [key.rpartition("project-")[2] for key in BATCH]
    with shared.rpc() as rpc:
        create(rpc, *BATCH, *REST)
        listed, files = rows(rpc), digests(shared)
        closing = begin(shared, "close-project-batch", "--delete", *names)
        when_two_are_gone(shared)
        closing.send_signal(signal.SIGINT)
        result = finish(closing)

        assert error_of(result) == (130, "interrupted"), result
        tells_what_is_done(shared, result)
        finishes(shared, names, files)
        assert rows(rpc) == without(listed, *BATCH)
