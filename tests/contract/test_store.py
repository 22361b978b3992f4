"""What every store promises, whatever keeps it: ports.store.Store."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.kits import AGENT, KITS, Kit
from session_closer.core import planning
from session_closer.core.errors import Refused
from session_closer.core.export.parts import ENTRY, TRANSCRIPT
from session_closer.core.keys import target
from session_closer.core.model import PlannedRow
from session_closer.core.planning import Choices
from session_closer.core.status import Route, Status
from session_closer.journal import receipts
from session_closer.journal.journal import Journal
from session_closer.journal.record import RunRecord, with_store
from session_closer.journal.source import Source
from session_closer.operations.transaction import Transaction
from session_closer.ports.store import Interrupted, Store
from session_closer.ports.undo import Returns
from session_closer.system.disk import Disk
from support.gateway import StubGateway
from support.interrupted import DiesAt, Killed

STAMP = "2020-01-02T03-04-05.678Z"
ARCHIVED = frozenset({Status.CLOSED, Status.ARCHIVED})


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest, tmp_path: Path, stub: StubGateway) -> Kit:
    """A store of each kind."""
    return KITS[request.param](tmp_path / "state", stub)


def begun(kit: Kit, disk: Disk) -> Transaction:
    """Return the record of a run that has not begun."""
    return Transaction(disk, str(kit.root), "close-project-batch")


def planned(kit: Kit, store: Store) -> tuple[PlannedRow, ...]:
    """Return what a close is going to do."""
    snapshot = store.read()
    by_gateway = Route.FILES not in store.traits.writers
    choices = Choices(stamp=STAMP)
    plan = planning.close([target(key, None) for key in kit.going], {AGENT: snapshot}, kit.view(), choices)
    assert [row.key for row in plan.closing] == list(kit.going)
    assert {row.route for row in plan.closing} == {Route.GATEWAY if by_gateway else Route.FILES}
    return plan.closing


def close(kit: Kit, disk: Disk, transaction: Transaction | None = None) -> Transaction:
    """Close the sessions that go."""
    transaction = transaction or begun(kit, disk)
    store = kit.store(disk)
    try:
        assert store.take_out(planned(kit, store), transaction, stamp=STAMP, until=math.inf) == []
    finally:
        transaction.release()
    return transaction


def settled(kit: Kit, transaction: Transaction) -> RunRecord:
    """Return the record of a close, with what became of each session."""
    [share] = transaction.shares
    assert transaction.record is not None
    return with_store(transaction.record, kit.store(Disk()).settled(share))


def finished(kit: Kit, transaction: Transaction, disk: Disk | None = None) -> RunRecord | None:
    """Finish what a killed run has left; return its record, None where it had changed nothing."""
    if transaction.record is None:
        return None
    journal = Journal(Disk(), str(kit.root), transaction.record.id)
    try:
        found = journal.read() if journal.take() else None
    finally:
        journal.release()
    if found is None or not found.stores:
        return None
    [store] = found.stores
    run = Interrupted(id=found.id, started_at=found.started_at, young=False, frees=True, note=lambda _: None)
    return with_store(found, kit.store(disk or Disk()).finish(store, run))


@pytest.fixture
def fresh(request: pytest.FixtureRequest, kit: Kit, tmp_path: Path, stub: StubGateway) -> Callable[[int], Kit]:
    """Make one more store of the same kind."""
    return lambda number: type(kit)(tmp_path / f"state-{number}", stub)


def ended(kit: Kit, record: RunRecord | None) -> dict[str, str]:
    """Return what a record says became of each of them."""
    return {session.key: session.status for store in record.stores for session in store.sessions} if record else {}


def bring_back(kit: Kit, record: RunRecord, disk: Disk, ledger: Transaction | None = None) -> dict[str, Status]:
    """Bring back all that a record says was closed; return what became of each session."""
    chosen, unknown = receipts.select(Source(record.stores, run=record.id, began=record.started_at), ())
    assert unknown == []
    store = kit.store(disk)
    returns = Returns(store.returnable(chosen))
    transaction = ledger or begun(kit, disk)
    try:
        store.bring_back(chosen, transaction, returns)
    finally:
        transaction.release()
    return {item.key: item.status for item in returns}


def held(root: Path) -> dict[str, bytes]:
    """Return what is in each file; who reads a database leaves that in the memory that its readers share."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {str(path): path.read_bytes() for path in files}


def are_away(kit: Kit, record: RunRecord | None) -> bool:
    """Tell whether what was closed has files, each of them under its archive name and no other one."""
    stores = record.stores if record is not None else ()
    gone = [(store, one) for store in stores for one in store.sessions if one.status in ("closed", "archived")]
    there = {
        (os.path.lexists(os.path.join(store.roots[move.root], name)), name == move.target)
        for store, session in gone
        for move in session.moves
        for name in (move.source, move.target)
    }
    assert there <= {(True, True), (False, False)}, gone
    return all(session.moves for _, session in gone)


def test_a_look_changes_nothing_and_says_the_same_again(kit: Kit) -> None:
    before = held(kit.root)
    store = kit.store(Disk())
    assert store.read() == store.read() == kit.store(Disk()).read()
    assert set(kit.going) < set(store.read().sessions)
    assert held(kit.root) == before


def test_what_is_closed_is_gone_and_nothing_else_is(kit: Kit) -> None:
    before = kit.facts()
    record = settled(kit, close(kit, Disk()))
    assert kit.facts() == {key: said for key, said in before.items() if key not in kit.going}
    hidden = kit.store(Disk()).traits.hides
    assert are_away(kit, record) is not hidden
    assert ended(kit, record) == dict.fromkeys(kit.going, "archived" if hidden else "closed")


def test_all_that_a_session_said_is_in_its_parts(kit: Kit) -> None:
    store = kit.store(Disk())
    snapshot, before = store.read(), held(kit.root)
    if type(store).parts is Store.parts:
        with pytest.raises(Refused, match="cannot be exported"):
            store.parts(snapshot.sessions[kit.going[0]], snapshot, with_media=False)
        return
    for key, text in kit.facts().items():
        with store.parts(snapshot.sessions[key], snapshot, with_media=False) as found:
            read, again = ({stream.name: b"".join(stream.chunks()) for stream in found.streams} for _ in range(2))
            assert read == again
            said = [each.replace(b"\n", b"").decode() for name, each in read.items() if name.endswith(".jsonl")]
            assert text.replace("\n", "") in [*said, ""], key
            assert text == "" or TRANSCRIPT in read
            assert read[ENTRY] == found.entry
            assert {stream.name: stream.size for stream in found.streams} == {name: len(read[name]) for name in read}
    assert held(kit.root) == before


def test_a_record_is_there_before_anything_is_changed(kit: Kit) -> None:
    before = kit.facts()

    noted = []

    class First(Transaction):
        def note_first(self, store: Any) -> None:
            assert kit.facts() == before
            super().note_first(store)

        def note(self, store: Any) -> None:
            noted.append(kit.facts() == before)
            super().note(store)

    transaction = First(Disk(), str(kit.root), "close-project-batch")
    store = kit.store(Disk())
    store.take_out(planned(kit, store), transaction, stamp=STAMP, until=math.inf)
    transaction.release()
    assert transaction.record is not None
    assert noted[0]
    assert [share.record.agent for share in transaction.shares] == [AGENT]


def test_what_was_closed_comes_back_as_it_was(kit: Kit) -> None:
    before = kit.facts()
    record = settled(kit, close(kit, Disk()))
    assert bring_back(kit, record, Disk()) == dict.fromkeys(kit.going, Status.RESTORED)
    assert kit.facts() == before
    assert bring_back(kit, record, Disk()) == dict.fromkeys(kit.going, Status.ALREADY_RESTORED)
    assert kit.facts() == before


def test_a_close_that_is_killed_anywhere_can_be_finished_and_undone(kit: Kit, fresh: Callable[[int], Kit]) -> None:
    steps = DiesAt()
    close(kit, steps)
    for at in range(steps.steps):
        one = fresh(at)
        before = one.facts()
        transaction = begun(one, DiesAt(at))
        with pytest.raises(Killed):
            close(one, transaction.disk, transaction)
        record = finished(one, transaction)
        said = ended(one, record)
        are_away(one, record)
        gone = {key for key, status in said.items() if status in ("closed", "archived")}
        assert one.facts() == {key: text for key, text in before.items() if key not in gone}, at
        assert {status for key, status in said.items() if key not in gone} <= {"dropped"}, at
        assert ended(one, finished(one, transaction)) == said, at
        if record is not None and gone:
            assert set(bring_back(one, record, Disk()).values()) == {Status.RESTORED}, at
        assert one.facts() == before, at


def test_an_undo_that_is_killed_anywhere_can_be_finished_and_done_again(kit: Kit, fresh: Callable[[int], Kit]) -> None:
    before = kit.facts()
    steps = DiesAt()
    bring_back(kit, settled(kit, close(kit, Disk())), steps)
    for at in range(steps.steps):
        one = fresh(at)
        closed = settled(one, close(one, Disk()))
        transaction = begun(one, DiesAt(at))
        with pytest.raises(Killed):
            bring_back(one, closed, transaction.disk, transaction)
        said = ended(one, finished(one, transaction))
        back = {key for key, status in said.items() if status == "restored"}
        assert one.facts() == {key: text for key, text in before.items() if key not in kit.going or key in back}, at
        assert ended(one, finished(one, transaction)) == said, at
        bring_back(one, closed, Disk())
        assert one.facts() == before, at
