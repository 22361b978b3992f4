"""Cut the power at every step: every state that may be on disk then holds, and the next run finishes the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults import power
from faults.image import Image
from faults.scenarios import BATCH, SCENARIOS
from faults.sweep import Bench
from session_closer.system.disk import Disk
from session_closer.system.files import put
from support.shares import Share


@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_power_cut_at_any_step_loses_nothing(number: int, tmp_path: Path, some: Share) -> None:
    bench = Bench(SCENARIOS[number], str(tmp_path / "bench"))
    found = power.states(bench)
    assert len(found) > 100
    for what, image in some(found, 7, lambda cut: cut[0].split()[4]):
        power.cut(bench, what, image)
    assert bench.broken == []


def test_the_model_loses_what_is_not_synced(tmp_path: Path) -> None:
    """A file synced under a name that is not, then renamed, then the folder synced."""
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    recorder = power.Recorder(str(place), Image.of(str(place)))
    put(recorder, str(place / "one"), b"whole")
    recorder.rename(str(place / "one"), str(place / "two"))
    recorder.sync_folder(str(place))
    seen = [
        {name: content for name, (_, content) in image.nodes.items() if name} for _, image in recorder.seen.values()
    ]
    assert {} in seen
    assert {"one": b"whole"} in seen
    assert {"one": b"wh"} in seen
    assert {"one": b""} in seen
    assert {"one": b"\0" * 5} in seen
    assert seen[-1] == {"two": b"whole"}
    assert {"two": b"wh"} not in seen
    assert os.listdir(place) == ["two"]


def test_a_disk_without_sync_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    monkeypatch.setattr(power.Recorder, "sync", Disk.sync)
    for what, image in power.states(bench):
        power.cut(bench, what, image)
        if bench.broken:
            return
    raise AssertionError("nothing was found")
