"""An `openclaw` that has to be ended ends with what it has started itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from session_closer.openclaw.gateway.command import OpenClaw
from session_closer.openclaw.gateway.link import LinkLost
from session_closer.openclaw.home import Home
from session_closer.system import processes
from support.patience import it_ends


def test_what_writes_into_a_file_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    program = tmp_path / "openclaw"
    program.write_text("#!/bin/sh\nsleep 1000 & echo $!\nwait\n")
    program.chmod(0o700)
    home = Home(str(tmp_path), "--state-dir", {"SESSION_CLOSER_OPENCLAW": str(program)})
    path = tmp_path / "said"
    with path.open("wb") as into, pytest.raises(LinkLost, match="no answer within"):
        OpenClaw(home, None, None).run("doctor", seconds=1.0, into=into)
    with it_ends():
        while processes.is_alive(int(path.read_text())):
            time.sleep(0.01)
