"""Kill, fail or cut the power at each step of putting away, bringing back, settling and expiring."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from faults import artifacts
from faults.artifacts import DISKS, JOBS, Bench, Job
from faults.injection import Bare, Counting, Plain
from support.shares import Share

EACH = pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
ON_EACH = pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS)


@EACH
@ON_EACH
def test_undisturbed_it_does_what_it_is_to_do(job: Job, disk: type[Counting], tmp_path: Path) -> None:
    bench = Bench(job, str(tmp_path), disk)
    assert bench.steps() > 5
    bench.finish("undisturbed")
    assert bench.broken == []


@EACH
@pytest.mark.parametrize("disk", [Counting, Plain], ids=["renameat2", "links"])
def test_a_kill_leaves_what_can_be_settled(job: Job, disk: type[Counting], tmp_path: Path, some: Share) -> None:
    bench = Bench(job, str(tmp_path), disk)
    for point in some(range(bench.steps()), 2):
        artifacts.kill(bench, point, "after")
    assert bench.broken == []


@pytest.mark.long
@EACH
def test_what_settles_may_be_killed_too(job: Job, tmp_path: Path, some: Share) -> None:
    bench = Bench(job, str(tmp_path), Plain)
    for point in some(range(1, bench.steps(), 7), 2):
        artifacts.kill_twice(bench, point)
    assert bench.broken == []


@EACH
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_is_told_and_what_it_leaves_can_be_settled(job: Job, when: str, tmp_path: Path, some: Share) -> None:
    bench = Bench(job, str(tmp_path))
    for point in some(range(bench.steps()), 2):
        artifacts.fail(bench, point, when, errno.EIO)
    assert bench.broken == []


@EACH
@ON_EACH
def test_nobody_is_overwritten_who_takes_a_name_in_this_moment(
    job: Job, disk: type[Counting], tmp_path: Path, some: Share
) -> None:
    if disk is Bare:
        pytest.skip("such a file system leaves an instant between the look and the rename")
    bench = Bench(job, str(tmp_path), disk)
    for point in some(range(bench.steps()), 1):
        artifacts.plant(bench, point)
    assert bench.broken == []


@EACH
@pytest.mark.parametrize("disk", [Counting, Bare], ids=["renameat2", "neither"])
def test_a_power_cut_leaves_what_can_be_settled(job: Job, disk: type[Counting], tmp_path: Path, some: Share) -> None:
    bench = Bench(job, str(tmp_path), disk, links=False)
    artifacts.cut(bench)
    for point in some(range(1, bench.steps(), 3), 1):
        artifacts.cut_later(bench, point)
    assert bench.broken == []
