"""Kill or fail each step of an export of a Hermes' session: what has a final name is whole, its home as it was."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from faults.injection import Counting, fail_at, in_child, kill_at, nothing
from session_closer.artifacts import bundle
from session_closer.core.errors import CloserError
from session_closer.core.export import manifest
from session_closer.core.export.result import Export, ExportReport
from session_closer.core.wish import Options
from session_closer.hermes import entrance, parts
from session_closer.operations import export_homes
from session_closer.system.disk import Disk
from support.clock import Brisk
from support.leavings import OVER, Leavings
from support.shares import Share

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)


class Bench:
    """A home, and the folder that its session is exported to, made anew for each point."""

    def __init__(self, place: Path, *, whole: bool) -> None:
        self._home, self.out, self._whole = Leavings(place / "home"), place / "out", whole
        self._home.lay_all()
        self._home.close()
        self._before = self._home.tree()
        self.page = b""
        found = parts.parts(str(self._home.path), OVER, Brisk())
        assert found is not None
        self._wanted = {stream.name: b"".join(stream.chunks()) for stream in found.streams}

    def act(self, disk: Disk) -> ExportReport:
        """Export the session."""
        where = entrance.find({}, named=str(self._home.path), profile=None)
        ask = Export(str(self.out), self._whole)
        return export_homes.execute(where, parts, [OVER], ask, Options(), disk=disk, clock=Brisk())

    def clear(self) -> None:
        """Remove what was exported."""
        shutil.rmtree(self.out, ignore_errors=True)

    def judge(self) -> None:
        """Look at what has a final name, and at the home."""
        assert self._home.tree() == self._before
        for path in self.out.glob("default/*"):
            if path.name.startswith(bundle.BEFORE):
                continue
            if not self._whole:
                assert path.read_bytes() == self.page
                continue
            sums = manifest.summed((path / manifest.SUMS).read_bytes())
            assert {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in sums} == sums
            assert {name: (path / name).read_bytes() for name in self._wanted} == self._wanted


@pytest.mark.parametrize("whole", [True, False], ids=["bundle", "page"])
def test_what_has_a_final_name_is_whole(tmp_path: Path, *, whole: bool, some: Share) -> None:
    bench = Bench(tmp_path, whole=whole)
    disk = Counting(nothing)
    [row] = bench.act(disk).exported
    if not whole:
        bench.page = Path(row.path).read_bytes()
        assert b"## 2 \xc2\xb7 user" in bench.page
    bench.judge()
    assert disk.calls > (20 if whole else 10)
    for point in some(range(disk.calls), 9):
        for when in ("before", "after"):
            bench.clear()
            status = in_child(lambda at=point, how=when: bench.act(Counting(kill_at(at, how))))
            assert os.WIFSIGNALED(status), f"step {point} was not reached"
            bench.judge()
            for number in ERRORS:
                bench.clear()
                with contextlib.suppress(CloserError):
                    bench.act(Counting(fail_at(point, when, number)))
                bench.judge()
            bench.clear()
            assert len(bench.act(Disk()).exported) == 1
