"""The process that restarts the gateway after the command that closed the sessions has ended."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from .. import processes
from ..files import Disk
from ..home import Home
from ..journal import Journal
from ..locks import iso_now
from ..record import RestartRecord
from .find import find
from .restart import restart

_WAIT_SECONDS = 60.0


def main(words: list[str]) -> int:
    """Wait for the caller to end (bounded), restart, finish the record; the receipt shows how it ended."""
    state, run, descriptor, caller, config = words
    deadline = time.monotonic() + _WAIT_SECONDS
    started = processes.start_ticks(int(caller))
    while processes.is_same(int(caller), started) and time.monotonic() < deadline:
        time.sleep(0.1)
    where = Home(state, "worker", {**os.environ, "OPENCLAW_CONFIG_PATH": config})
    journal = Journal(Disk(), state, run)
    journal.descriptor = int(descriptor)
    record = journal.read()
    if record is None:
        return 1
    result = restart(where, find(where))
    owed = RestartRecord(True, bool(result.ok), result.result, result.detail)
    journal.finish(replace(record, restart=owed, state="done", finished_at=iso_now()))
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
