"""A disk that fails loses nothing, and the next run succeeds."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest
from session_closer.core import keys
from session_closer.core.errors import StorageFailed
from session_closer.system.disk import Disk
from support.hostile import close
from support.interrupted import perform
from support.keys import session_id
from support.stores import Store


class Failing(Disk):
    """A disk on which one step fails."""

    def __init__(self, step: str, number: int) -> None:
        self.step = step
        self.number = number
        self.hit = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in vars(Disk) or name.startswith("_") or name != self.step:
            return found

        def fail(*arguments: Any) -> Any:
            self.hit = True
            raise OSError(self.number, os.strerror(self.number), arguments[0] if arguments else None)

        return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "rename_exclusive", "exchange", "make_folder"])
def test_a_disk_that_fails_loses_nothing_and_the_next_run_succeeds(store: Store, step: str, number: int) -> None:
    entries = store.entries()
    disk = Failing(step, number)
    report = perform(store, "kelly-dashboard", disk=disk)
    assert disk.hit
    assert report.error is not None
    assert int(report.error.code) == 1
    assert os.strerror(number) in report.error.message
    assert "\n" not in report.error.message
    copies = [store.entries(), *(json.loads(path.read_bytes()) for path in store.backups())]
    assert entries in copies
    assert close(store, "kelly-dashboard").code == 0
    assert not [key for key in store.listed() if "kelly-dashboard" in key]
    assert store.open_runs() == []


def test_the_sample_store_is_what_it_says(store: Store) -> None:
    assert keys.is_main(store.listed()[0])
    assert len(store.listed()) == 14
    assert f"{session_id('newer')}.jsonl" in store.names()


def test_a_group_that_cannot_be_kept_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Disk):
        def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    real = os.stat

    def foreign(path: Any, **words: Any) -> os.stat_result:
        found = real(path, **words)
        if path != str(store.index()):
            return found
        return os.stat_result((*found[:5], 54321, *found[6:]))

    before = store.index().read_bytes()
    monkeypatch.setattr(os, "stat", foreign)
    report = perform(store, "alpha", disk=Strict())
    monkeypatch.undo()
    assert isinstance(report.error, StorageFailed)
    assert "the group 54321 of the old one" in report.error.message
    assert store.index().read_bytes() == before
