"""Restoring: what a close took away is back as it was, in the files, in the rows and in what the gateway shows."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from .gateway import Rpc, wait_until
from .lab import Lab, Result, begin, create, run
from .snapshots import INDEX, digests, everything, rows, without
from .stores import DATABASE

pytestmark = pytest.mark.live

ALPHA = "agent:project-lead:project-alpha"
BETA = "agent:project-lead:beta"
GAMMA = "agent:main:project-gamma"
GOES = (ALPHA, BETA, GAMMA)
NAMES = ("alpha", "beta", GAMMA)
STAYS = ("agent:project-lead:main", "agent:project-lead:project-beta-two", "agent:main:main")
AGENTS = ("main", "project-lead")
# A gateway goes on finding things out about a session for a while after it was made.
REST_SECONDS = 1.5


def agent_of(key: str) -> str:
    return key.split(":")[1]


def furnish(lab: Lab) -> None:
    with lab.rpc() as rpc:
        create(rpc, *GOES, *STAYS, messages=2)
    if lab.era == "files":
        lab.add_companions(agent_of(ALPHA), ALPHA)


def remembers(rpc: Rpc, key: str) -> bool:
    """Tell whether the gateway still finds what was said in a session, from the first word to the last."""
    said = str(rpc("chat.history", sessionKey=key)["messages"])
    return all(f"message {number} of {key}" in said for number in range(2))


def undo(lab: Lab, closed: Result, *words: str) -> Result:
    """Restore by the receipt that a close has left."""
    return run(lab, "restore-sessions", Path(str(closed.json["receipt"])).stem, *words)


def without_backups(found: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in found.items() if f"{INDEX}.bak-" not in path}


def images(lab: Lab) -> dict[str, bytes]:
    return {agent: lab.index(agent).read_bytes() for agent in AGENTS}


def close_all(lab: Lab, word: str = "--delete") -> Result:
    result = run(lab, "close-project-batch", word, *NAMES)
    assert result.code == 0, result
    assert set(result.statuses()) == set(GOES)
    return result


@pytest.mark.depth("2026.5.7")
@pytest.mark.openclaw("files")
def test_a_restore_of_files_is_the_identity_with_the_gateway_stopped_and_running(lab: Lab) -> None:
    lab.start()
    furnish(lab)
    with lab.rpc() as rpc:
        listed = rows(rpc)
    lab.stop()

    files, stores = digests(lab), images(lab)
    closed = close_all(lab)
    before = everything(lab)
    look = undo(lab, closed, "--check")
    assert everything(lab) == before
    assert (look.code, look.statuses()) == (0, dict.fromkeys(GOES, "would_restore")), look
    restored = undo(lab, closed)
    assert (restored.code, restored.statuses()) == (0, dict.fromkeys(GOES, "restored")), restored
    assert without_backups(digests(lab)) == files
    assert images(lab) == stores

    lab.start()
    with lab.rpc() as rpc:
        assert rows(rpc) == listed
        assert all(remembers(rpc, key) for key in GOES)
        files = without_backups(digests(lab))
        entries = {agent: lab.entries(agent) for agent in AGENTS}
        with lab.restarting(0):
            closed = close_all(lab)
        assert rows(rpc) == without(listed, *GOES)
    with lab.restarting(1):
        restored = undo(lab, closed)
    assert (restored.code, restored.statuses()) == (0, dict.fromkeys(GOES, "restored")), restored
    assert restored.json["restart"]["result"] == "restarted"
    now = without_backups(digests(lab))
    assert {path: digest for path, digest in now.items() if Path(path).name != INDEX} == {
        path: digest for path, digest in files.items() if Path(path).name != INDEX
    }
    assert {agent: lab.entries(agent) for agent in AGENTS} == entries
    with lab.rpc() as rpc:
        assert rows(rpc) == listed
        assert all(remembers(rpc, key) for key in (*GOES, *STAYS))
        rpc("chat.inject", sessionKey=ALPHA, message="one more")
        assert "one more" in lab.store.said(agent_of(ALPHA), ALPHA)


def tables(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """Return every row of the sessions and of their transcripts, by agent and table."""
    found = {}
    for agent in AGENTS:
        path = lab.state / "agents" / agent / "agent" / DATABASE
        mode = "mode=ro" if path.with_name(f"{DATABASE}-wal").exists() else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"file:{path}?{mode}", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            for table, order in (("session_nodes", "session_key"), ("transcript_events", "session_id, seq")):
                rows = connection.execute(f"select * from {table} order by {order}")
                found[f"{agent} {table}"] = [dict(row) for row in rows]
    return found


def at_rest(lab: Lab) -> None:
    """Wait until nothing writes of its own accord."""

    def is_at_rest() -> bool:
        before = tables(lab)
        time.sleep(REST_SECONDS)
        return tables(lab) == before

    wait_until(is_at_rest, 60, "a gateway at rest")


def hashes(lab: Lab) -> dict[str, str]:
    """Return the hash of each session's transcript, by key."""
    return {key: hashlib.sha256(lab.store.said(agent_of(key), key).encode()).hexdigest() for key in (*GOES, *STAYS)}


@pytest.mark.openclaw("sqlite")
def test_a_restore_of_rows_is_the_identity_archived_and_deleted(lab: Lab) -> None:
    lab.start()
    furnish(lab)
    at_rest(lab)
    with lab.rpc() as rpc:
        listed, transcripts = rows(rpc), hashes(lab)

        closed = close_all(lab, "--archive")
        # Archived ones are still children of others.
        assert set(rows(rpc)) == set(listed) - set(GOES)
        with lab.restarting(0):
            restored = undo(lab, closed)
        assert (restored.code, restored.statuses()) == (0, dict.fromkeys(GOES, "restored")), restored
        assert {key: shown(row) for key, row in rows(rpc).items()} == {key: shown(row) for key, row in listed.items()}
        assert hashes(lab) == transcripts
        assert all(remembers(rpc, key) for key in GOES)

        at_rest(lab)
        listed, whole = rows(rpc), tables(lab)
        closed = close_all(lab)
        refused = undo(lab, closed)
        assert (refused.code, refused.json["error"]["name"]) == (3, "gateway_running"), refused
        assert "openclaw gateway stop" in refused.json["error"]["remedy"]
    lab.stop()

    look = undo(lab, closed, "--check")
    assert (look.code, look.statuses()) == (0, dict.fromkeys(GOES, "would_restore")), look
    restored = undo(lab, closed)
    assert (restored.code, restored.statuses()) == (0, dict.fromkeys(GOES, "restored")), restored
    assert not [path for agent in AGENTS for path in lab.sessions(agent).glob(f"{INDEX}*")]
    # Nor any plain copy of what the importer was given, which a later import would take for history that it missed.
    assert not [*lab.state.glob("agents/*/session-sqlite-import-archive"), *lab.state.glob("session-sqlite-*")]
    assert tables(lab) == whole
    assert hashes(lab) == transcripts
    again = undo(lab, closed)
    assert (again.code, again.statuses()) == (0, dict.fromkeys(GOES, "already_restored")), again

    lab.start()
    with lab.rpc() as rpc:
        assert rows(rpc) == listed
        assert all(remembers(rpc, key) for key in (*GOES, *STAYS))
        rpc("chat.inject", sessionKey=ALPHA, message="one more")
        assert "one more" in lab.store.said(agent_of(ALPHA), ALPHA)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the list without what archiving and taking back count as a change."""
    return {name: value for name, value in row.items() if name != "updatedAt"}


@pytest.mark.openclaw("sqlite")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_importer_that_outlives_its_restore_is_waited_for(lab: Lab, number: signal.Signals) -> None:
    """openclaw starts itself once more, so that ending it leaves an importer which works on what it was given."""
    lab.start()
    furnish(lab)
    at_rest(lab)
    whole = tables(lab)
    closed = close_all(lab)
    lab.stop()
    begun = begin(lab, "restore-sessions", Path(str(closed.json["receipt"])).stem)
    own = lab.state / "session-closer"
    wait_until(lambda: [*own.glob("import-*")], 60, "an importer")
    time.sleep(0.3)
    begun.send_signal(number)
    begun.communicate()
    again = undo(lab, closed)
    assert (again.code, again.statuses().keys()) == (0, set(GOES)), again
    assert set(again.statuses().values()) <= {"restored", "already_restored"}
    assert not [*own.glob("import-*"), *(path for agent in AGENTS for path in lab.sessions(agent).glob(f"{INDEX}*"))]
    assert not [*lab.state.glob("agents/*/session-sqlite-import-archive"), *lab.state.glob("session-sqlite-*")]
    assert tables(lab) == whole


@pytest.mark.openclaw("sqlite")
def test_what_a_cleanup_archived_and_what_it_freed_come_back_in_two_turns(lab: Lab) -> None:
    stays, freed = "agent:main:project-one", "agent:main:subagent:spent"
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, stays, freed, STAYS[0], messages=1)
    at_rest(lab)
    closed = run(lab, "cleanup-sessions", "--stale", "project=1s,subagent=1s")
    assert closed.statuses() == {stays: "archived", freed: "closed"}, closed
    first = undo(lab, closed)
    assert (first.code, first.statuses()) == (1, {stays: "restored", freed: "failed"}), first
    assert any("openclaw gateway stop" in line for line in first.json["warnings"])
    lab.stop()
    second = undo(lab, closed)
    assert (second.code, second.statuses()) == (0, {stays: "already_restored", freed: "restored"}), second
    lab.start()
    with lab.rpc() as rpc:
        assert {stays, freed} <= set(rows(rpc))
