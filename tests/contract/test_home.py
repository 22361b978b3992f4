"""What every runtime that keeps files promises, however it does it: ports.artifacts.Home."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from contract.toy_home import BUSY, DAY, place
from faults.homes import changed, used, used_1, used_2
from session_closer.core import retention
from session_closer.core.listed import Sought
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options
from session_closer.hermes import entrance
from session_closer.journal.record import HOME, PLANNED, ArtifactRecord, Damaged, StoreRecord
from session_closer.operations import bring_back, inventory, prune, recover_homes
from session_closer.operations.transaction import Transaction
from session_closer.ports.artifacts import Place
from session_closer.ports.context import Console
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk
from support.interrupted import killed
from support.leavings import FREE, OPEN, OVER, Leavings
from support.nanoclaw import ACTIVE, CLOSED, USED, V1Home, V2Home
from support.shares import Share

OURS = "session-closer"
# What a look may write to is a database that others write to at the same time.
DATABASES = ("state.db", "data/v2.db")


class Kit(NamedTuple):
    """A home: `old` is what goes by its age, `busy` what is as old and in use; `has` counts what each session has.

    `use` has somebody go on with a session that has left some of `old`, and gives the paths of that.
    """

    place: Place
    root: Path
    old: tuple[str, ...]
    busy: tuple[str, ...]
    has: Mapping[str, int]
    use: Callable[[Path], list[str]]

    def facts(self) -> Mapping[str, bytes]:
        """Return all that is there, but for what is ours or a database's."""
        return {
            path: each.read_bytes()
            for each in sorted(self.root.rglob("*"))
            if each.is_file() and not (path := each.relative_to(self.root).as_posix()).startswith((OURS, *DATABASES))
        }

    def stays(self, before: Mapping[str, bytes]) -> set[str]:
        """Return the paths that no cleanup takes."""
        return {path for path in before if not any(f"{path}/".startswith(f"{one}/") for one in self.old)}

    def archived(self) -> list[str]:
        """Return the names in the archives."""
        archives = self.root / OURS / "archives"
        return sorted(os.listdir(archives)) if archives.exists() else []

    def clean(self, disk: Disk | None = None, *, delete: bool = False, dry_run: bool = False) -> Report:
        """Clean up by the default ages."""
        limits = retention.limits(retention.Asked(), self.place.rules)
        options = Options(delete=delete, dry_run=dry_run)
        return prune.perform(self.place, limits, options, told="", console=Console(), disk=disk)

    def bring(self, which: str = "last", disk: Disk | None = None) -> Report:
        """Undo a cleanup."""
        return bring_back.perform(self.place, which, [], Options(), console=Console(), disk=disk)

    def said(self, receipt: str) -> set[str]:
        """Return what a receipt says of all that it names."""
        text = (self.root / OURS / "receipts" / receipt).read_text()
        return {one["status"] for store in json.loads(text)["stores"] for one in store["artifacts"]}

    def forget(self) -> None:
        """Remove all receipts."""
        for receipt in (self.root / OURS / "receipts").iterdir():
            receipt.unlink()

    def first(self) -> str:
        """Return the first run."""
        return min((self.root / OURS / "receipts").iterdir()).stem


def toy(root: Path) -> Kit:
    """Return the shortest home."""
    old = ("notes/over.note", "pages/x/over", "boxes/over.box")
    busy = ("notes/used.note", "pages/x/used", "boxes/used.box")
    for path in (*old, *busy, "notes/no.txt", "other/over.note"):
        made = root / path
        if path.startswith("pages/"):
            made = made / "one" / "two"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(path)
    (root / BUSY).write_text("used\n")

    def use(home: Path) -> list[str]:
        (home / BUSY).write_text("used\nover\n")
        return [*old]

    at = time.time() - 60 * DAY
    for each in root.rglob("*"):
        os.utime(each, (at, at))
    return Kit(place(os.path.realpath(root)), root, old, busy, {"used": 3}, use)


def hermes(root: Path) -> Kit:
    """Return a home of Hermes."""
    home = Leavings(root)
    home.lay_all()
    busy = (f"sessions/session_{OPEN}.json", f"sessions/{OPEN}.jsonl")
    for path in busy:
        home.lay(path)
    home.close()
    place = entrance.find({}, named=str(root), profile=None)
    return Kit(place, root, tuple(FREE.values()), busy, {OVER: 3, OPEN: 2}, used)


def nanoclaw_1(root: Path) -> Kit:
    """Return a home of NanoClaw's first version."""
    return _nanoclaw(V1Home(root), {USED: 5}, used_1)


def nanoclaw_2(root: Path) -> Kit:
    """Return a home of NanoClaw's second version."""
    return _nanoclaw(V2Home(root), {ACTIVE: 7, CLOSED: 1}, used_2)


def _nanoclaw(home: V1Home | V2Home, has: Mapping[str, int], use: Callable[[Path], list[str]]) -> Kit:
    old, busy = tuple(home.lay_free().values()), tuple(home.lay_used().values())
    # Nobody has it open: a side file that is removed at the end is no change of ours.
    home.close()
    return Kit(home.place(), home.path, old, busy, has, use)


@pytest.fixture(params=[toy, hermes, nanoclaw_1, nanoclaw_2], ids=["toy", "hermes", "nanoclaw-1", "nanoclaw-2"])
def kit(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    """A home of each runtime."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return request.param(tmp_path / "home")


@pytest.fixture
def fresh(kit: Kit, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Kit]:
    """Another home of the same runtime, for each number."""
    make = request.node.callspec.params["kit"]
    return lambda number: make(tmp_path / "fresh" / str(number))


def told(report: Report, kit: Kit) -> dict[str, set[str]]:
    """Return the paths of each status, but for what stays."""
    found: dict[str, set[str]] = {}
    for row in report.artifacts or ():
        if row.status is Status.KEPT:
            continue
        found.setdefault(str(row.status), set()).add(os.path.relpath(row.path, os.path.realpath(kit.root)))
    return found


def test_a_look_changes_nothing_and_tells_what_goes(kit: Kit) -> None:
    before = kit.facts()
    report = kit.clean(dry_run=True)
    assert told(report, kit) == {"would_archive": set(kit.old)}
    assert report.totals is not None
    assert sum(report.totals.spared.values()) == len(kit.busy)
    assert kit.facts() == before
    assert not (kit.root / OURS).exists()


def test_what_is_old_goes_what_is_busy_stays_and_an_undo_is_the_identity(kit: Kit) -> None:
    before = kit.facts()
    assert told(kit.clean(), kit) == {"archived": set(kit.old)}
    assert set(kit.facts()) == kit.stays(before)
    assert told(kit.bring(), kit) == {"restored": set(kit.old)}
    assert (kit.facts(), kit.archived()) == (before, [])
    assert told(kit.bring(kit.first()), kit) == {"already_restored": set(kit.old)}


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen once all was looked at, and before any of it goes."""
    real = Transaction.note_first

    def let(work: Callable[[], object]) -> None:
        def note(transaction: Transaction, store: StoreRecord) -> None:
            real(transaction, store)
            work()

        monkeypatch.setattr(Transaction, "note_first", note)

    return let


@pytest.mark.parametrize("delete", [False, True])
def test_what_has_come_into_use_since_the_look_stays(
    kit: Kit, meanwhile: Callable[[Callable[[], object]], None], delete: bool
) -> None:
    stays: list[str] = []
    meanwhile(lambda: stays.extend(kit.use(kit.root)))
    gone = told(kit.clean(delete=delete), kit).get("deleted" if delete else "archived", set())
    assert stays
    assert all((kit.root / path).exists() for path in stays)
    assert gone == {one for one in kit.old if not any(f"{path}/".startswith(f"{one}/") for path in stays)}


@pytest.mark.parametrize("delete", [False, True])
def test_what_was_written_to_since_the_look_stays(
    kit: Kit, meanwhile: Callable[[Callable[[], object]], None], delete: bool
) -> None:
    meanwhile(lambda: changed(kit.root, kit.old))
    assert told(kit.clean(delete=delete), kit) == {}
    assert all((kit.root / path).exists() for path in kit.old)


def test_a_deletion_frees_and_leaves_no_archive(kit: Kit) -> None:
    before = kit.facts()
    assert told(kit.clean(delete=True), kit) == {"deleted": set(kit.old)}
    assert (set(kit.facts()), kit.archived()) == (kit.stays(before), [])


def test_what_a_deletion_has_only_laid_aside_is_not_called_deleted(kit: Kit) -> None:
    class Failing(Disk):
        def unlink_in(self, folder: int, name: str) -> None:
            place = os.path.realpath(f"/proc/self/fd/{folder}")
            if "/archives/" in place:
                raise OSError(errno.EIO, os.strerror(errno.EIO), name)
            super().unlink_in(folder, name)

    report = kit.clean(Failing(), delete=True)
    assert report.error is not None
    aside = {path for path in kit.old if (kit.root / OURS / "archives" / kit.archived()[0] / path).exists()}
    assert aside
    assert not aside & told(report, kit).get("deleted", set())
    kit.clean(delete=True)
    assert kit.archived() == []


def test_what_is_there_again_is_a_conflict_and_nothing_is_overwritten(kit: Kit) -> None:
    kit.clean()
    path = kit.root / kit.old[0]
    path.write_bytes(b"anew")
    assert told(kit.bring(), kit)["conflict"] == {kit.old[0]}
    assert path.read_bytes() == b"anew"
    assert kit.archived()


def test_a_cleanup_that_is_killed_anywhere_is_finished_by_the_next(kit: Kit, some: Share) -> None:
    before = kit.facts()
    stays = kit.stays(before)
    # The home goes on from point to point: what a killed run has left is what the next one begins with.
    for point in some(range(300), each=5):
        hit = killed(kit.clean, point)
        report = kit.clean()
        assert report.error is None, point
        assert set(kit.facts()) == stays, point
        assert not os.listdir(kit.root / OURS / "open"), point
        if not hit:
            return
        for receipt in sorted((kit.root / OURS / "receipts").iterdir(), reverse=True):
            kit.bring(receipt.stem)
        kit.forget()
        assert (kit.facts(), kit.archived()) == (before, []), point
    pytest.fail("the run never ended")


def test_a_deletion_that_is_killed_anywhere_is_finished_by_the_next(fresh: Callable[[int], Kit], some: Share) -> None:
    for point in some(range(300), each=5):
        kit = fresh(point)
        before = kit.facts()
        hit = killed(lambda disk, kit=kit: kit.clean(disk, delete=True), point)
        assert {path: before[path] for path in kit.stays(before)}.items() <= kit.facts().items(), point
        report = kit.clean(delete=True)
        assert report.error is None, point
        assert (set(kit.facts()), kit.archived()) == (kit.stays(before), []), point
        assert not os.listdir(kit.root / OURS / "open"), point
        if not hit:
            return
    pytest.fail("the run never ended")


def test_an_undo_that_is_killed_anywhere_is_finished_by_the_next(kit: Kit, some: Share) -> None:
    before = kit.facts()
    for point in some(range(300), each=5):
        kit.clean()
        run = max((kit.root / OURS / "receipts").iterdir()).stem
        hit = killed(lambda disk, run=run: kit.bring(run, disk), point)
        assert set(told(kit.bring(run), kit)) <= {"restored", "already_restored"}, point
        # Nothing that is undone counts as put away.
        said = [kit.said(name) for name in sorted(os.listdir(kit.root / OURS / "receipts")) if run not in name]
        assert set().union(*said) <= {"restored", "dropped"}, point
        assert (kit.facts(), kit.archived()) == (before, []), point
        if not hit:
            return
        kit.forget()
    pytest.fail("the run never ended")


def test_a_list_knows_every_session_and_whose_all_of_it_is(kit: Kit) -> None:
    found = inventory.look(kit.place, Sought(usage=True))
    assert {line.id: line.number for line in found.rows} == kit.has
    assert found.total == len(kit.has)
    assert all(line.size for line in found.rows)
    [home] = [kit.place.opened(profile, Disk(), REAL) for profile in kit.place.profiles()]
    renamed = {rule.name for rule in kit.place.rules if rule.on and home.disposal(rule.name) is None}
    going = {row.kind for row in kit.clean(dry_run=True).artifacts or ()}
    assert {use.kind for use in found.usage or ()} >= renamed | going


def test_what_returns_is_brought_back_by_what_took_it_away(kit: Kit) -> None:
    [home] = [kit.place.opened(profile, Disk(), REAL) for profile in kit.place.profiles()]
    for rule in home.rules:
        taken = home.disposal(rule.name)
        assert home.stowage(rule.name) is (taken if rule.returns else None), rule


@pytest.mark.parametrize("restores", [False, True])
def test_a_record_that_brings_back_what_nothing_brings_back_is_damaged(kit: Kit, restores: bool) -> None:
    [home] = [kit.place.opened(profile, Disk(), REAL) for profile in kit.place.profiles()]
    final = [rule.name for rule in home.rules if not rule.returns]
    for kind in final:
        one = ArtifactRecord(kind, "state.db/x", "x", 0, status=PLANNED if restores else "archived")
        store = StoreRecord(
            home.agent, kit.place.runtime, home.root, {HOME: home.root}, artifacts=(one,), restores=restores
        )
        with pytest.raises(Damaged):
            recover_homes.check_record(home, store)
        recover_homes.check_record(home, store.but(artifacts=(one.but(status="deleted"),), restores=False))
    assert bool(final) is (kit.place.runtime == "hermes")
