"""What OpenClaw's importer leaves of what an undo gave to it goes again; nothing older, and nobody else's, does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from session_closer.core.actions import How
from session_closer.core.durable import Move
from session_closer.core.effects import Effect
from session_closer.core.status import Status
from session_closer.openclaw import home
from session_closer.openclaw.sqlite import leftovers, returnable
from session_closer.ports.undo import Item
from session_closer.system.disk import Disk
from support.commands import restore
from support.interrupted import Killed
from support.keys import LEAD
from support.service import Service
from support.sqlite import Bases, Delete, build_sqlite
from support.stores import TOKEN, Store

ALPHA, BETA = LEAD + "alpha", LEAD + "beta"


@pytest.fixture
def bases(tmp_path: Path, closed_port: int) -> Bases:
    """Databases whose gateway does not run."""
    return build_sqlite(Store(tmp_path / "state", closed_port))


@pytest.fixture
def service(bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """An `openclaw` command with an importer."""
    made = Service(tmp_path / "bin", bases.store.state, TOKEN, bases.store.port)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(made.folder / "openclaw"))
    yield made
    made.run("gateway", "stop")


@pytest.fixture
def closed(bases: Bases, service: Service, delete: Delete) -> str:
    """Return the id of the receipt of a run that has deleted two sessions."""
    return delete(bases, ALPHA, BETA)


def away(bases: Bases) -> Path:
    return bases.store.folder().parent / leftovers.ARCHIVE


def runs(bases: Bases) -> Path:
    return bases.store.state / leftovers.RUNS


def test_no_plain_copy_is_left(bases: Bases, closed: str) -> None:
    answer = restore(bases, closed)
    assert (answer.code, sorted(answer.rows)) == (0, [(ALPHA, "restored"), (BETA, "restored")]), answer
    assert answer.data["warnings"] == []
    assert not away(bases).exists()
    assert not runs(bases).exists()


def test_what_is_older_or_somebody_elses_stays(bases: Bases, closed: str) -> None:
    away(bases).mkdir()
    runs(bases).mkdir()
    older = away(bases) / "legacy-store.sessions.json.imported-1600000000000"
    theirs = away(bases) / "x.jsonl.imported-9999999999999"
    manifest = runs(bases) / "session-sqlite-1600000000000-aa.json"
    target = {"agentId": "project-lead", "completedMoves": [], "plannedMoves": []}
    found = {"startedAt": "2020-09-13T12:26:40Z", "completedAt": "2020-09-13T12:26:40Z", "targets": [target]}
    for path, text in ((older, "{}"), (theirs, "theirs"), (manifest, json.dumps(found))):
        path.write_text(text)
    answer = restore(bases, closed)
    assert (answer.code, sorted(answer.rows)) == (0, [(ALPHA, "restored"), (BETA, "restored")]), answer
    assert sorted(away(bases).iterdir()) == sorted([older, theirs])
    assert list(runs(bases).iterdir()) == [manifest]
    (warning,) = answer.data["warnings"]
    assert str(theirs) in warning


def test_the_same_bytes_from_before_stay(bases: Bases, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as kept:
        kept.setattr(leftovers, "clear", lambda *_: [])
        assert restore(bases, closed).code == 0
    made = sorted(away(bases).iterdir())
    assert len(made) == 3
    ours = {leftovers.content(path.read_bytes()) for path in made}
    where = home.find(os.environ, state_dir=str(bases.store.state))
    later = datetime.now(UTC) + timedelta(hours=1)
    assert leftovers.clear(Disk(), where, "project-lead", ours, later) == []
    assert sorted(away(bases).iterdir()) == made
    assert leftovers.clear(Disk(), where, "project-lead", ours, later - timedelta(hours=2)) == []
    assert not away(bases).exists()


def test_an_interrupted_undo_is_finished_without_leftovers(
    bases: Bases, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:

        def killed(*_: object) -> list[str]:
            raise Killed

        cut.setattr(leftovers, "clear", killed)
        with pytest.raises(Killed):
            restore(bases, closed)
    assert len(os.listdir(away(bases))) == 3
    answer = restore(bases, closed)
    assert sorted(answer.rows) == [(ALPHA, "already_restored"), (BETA, "already_restored")], answer
    assert not away(bases).exists()
    assert not runs(bases).exists()


def test_what_the_importer_did_not_take_is_not_looked_for(bases: Bases, closed: str, service: Service) -> None:
    service.tell(importer="fails")
    answer = restore(bases, closed)
    assert sorted(status for _, status in answer.rows) == ["failed", "failed"]
    assert not away(bases).exists()


def test_an_archive_that_memory_search_finds_is_named() -> None:
    moves = (Move("s.jsonl", "s.jsonl.deleted.zst"),)
    item = Item(ALPHA, "project-lead", ALPHA, "s", Status.RESTORED, How.DELETE, moves=moves)
    assert returnable.with_twice(item).not_restored() == ()
    indexed = item.but(effects=(Effect("memory", "", "", 1, "kept", "exact"),))
    (left,) = returnable.with_twice(indexed).not_restored()
    assert (left.kind, left.count) == ("file:agents/project-lead/sessions/", 1)
    assert moves[0].target in left.why
