"""A cleanup or an undo of a Hermes that is cut short anywhere is finished by the next run; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.wish import Options
from session_closer.hermes import entrance
from session_closer.operations import bring_back
from session_closer.ports.context import Console
from session_closer.system.disk import Disk
from support.hermes import DAY
from support.interrupted import killed
from support.leavings import FREE, Leavings, by_status
from support.shares import Share

pytestmark = pytest.mark.usefixtures("no_power_is_cut")
YOUNG = "sessions/session_young.json"


def bring(home: Leavings, disk: Disk) -> None:
    place = entrance.find({}, named=str(home.path), profile=None)
    bring_back.perform(place, "last", [], Options(), console=Console(), disk=disk)


def filled(path: Path) -> Leavings:
    home = Leavings(path)
    home.lay_all()
    home.lay(YOUNG, age=DAY)
    return home


def places(home: Leavings, paths: list[str]) -> list[int]:
    """Return in how many places each of them is."""
    return [home.has(path) + any(f"{one}/".startswith(f"{path}/") for one in home.archived()) for path in paths]


def each_point(tmp_path: Path, some: Share) -> list[tuple[int, Path]]:
    return [(point, tmp_path / str(point)) for point in some(range(400), each=4)]


def test_a_cleanup_that_is_killed_anywhere_is_finished_and_can_be_undone(tmp_path: Path, some: Share) -> None:
    paths = list(FREE.values())
    for point, path in each_point(tmp_path, some):
        home = filled(path)
        before = home.tree()
        hit = killed(lambda disk, home=home: home.clean(disk), point)
        assert places(home, paths) == [1] * len(paths), point
        answer = home.run(CleanupSessions, "--yes")
        assert answer.code == 0, point
        assert (places(home, paths), any(map(home.has, paths))) == ([1] * len(paths), False), point
        assert not list((home.path / "session-closer" / "open").iterdir()), point
        for receipt in sorted((home.path / "session-closer" / "receipts").iterdir(), reverse=True):
            home.run(RestoreSessions, receipt.stem)
        assert home.tree() == before, point
        home.close()
        if not hit:
            assert point > 20
            return
    pytest.fail("the run never ended")


def test_an_undo_that_is_killed_anywhere_is_finished(tmp_path: Path, some: Share) -> None:
    paths = list(FREE.values())
    for point, path in each_point(tmp_path, some):
        home = filled(path)
        before = home.tree()
        home.clean(Disk())
        hit = killed(lambda disk, home=home: bring(home, disk), point)
        assert places(home, paths) == [1] * len(paths), point
        first = next(iter(sorted((home.path / "session-closer" / "receipts").iterdir())))
        answer = home.run(RestoreSessions, first.stem)
        assert set(by_status(answer)) <= {"restored", "already_restored"}, point
        assert home.tree() == before, point
        assert home.archived() == [], point
        home.close()
        if not hit:
            return
    pytest.fail("the run never ended")


@pytest.mark.long
def test_a_deletion_that_is_killed_anywhere_is_finished_and_touches_nothing_else(tmp_path: Path, some: Share) -> None:
    for point, path in each_point(tmp_path, some):
        home = filled(path)
        before = home.tree()
        hit = killed(lambda disk, home=home: home.clean(disk, delete=True), point)
        assert home.run(CleanupSessions, "--delete", "--yes").code == 0, point
        stays = {name for name in before if not any(f"{name}/".startswith(f"{one}/") for one in FREE.values())}
        assert set(home.tree()) == stays, point
        assert home.archived() == [], point
        home.close()
        if not hit:
            return
    pytest.fail("the run never ended")


def test_freeing_that_is_killed_anywhere_is_finished_by_any_run(tmp_path: Path, some: Share) -> None:
    finished = 0
    for point, path in each_point(tmp_path, some):
        home = filled(path)
        home.clean(Disk())
        put_away = home.archived()
        home.age_receipts(8 * DAY)
        hit = killed(lambda disk, home=home: home.clean(disk, expire=7 * DAY), point)
        is_open = any(not one.name.startswith("new-") for one in (home.path / "session-closer" / "open").iterdir())
        assert home.run(CleanupSessions).code == 0, point
        # All of it or nothing; what has begun ends, also where nobody asks for it again.
        assert home.archived() in ([], [] if is_open else put_away), point
        finished += is_open
        home.close()
        if not hit:
            break
    else:
        pytest.fail("the run never ended")
    assert finished > 2


def test_a_dry_run_says_that_a_run_was_interrupted_and_leaves_it(tmp_path: Path) -> None:
    home = filled(tmp_path / "home")
    assert killed(home.clean, 25)
    before = home.tree()
    answer = home.run(CleanupSessions, "--dry-run")
    assert "was interrupted: the next changing command finishes it" in "".join(answer.data["warnings"])
    assert home.tree() == before
    told = home.run(CleanupSessions, "--yes").data["warnings"]
    assert "was interrupted and is finished now" in "".join(told)
    home.close()
