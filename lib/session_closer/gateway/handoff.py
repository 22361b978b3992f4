"""Leave the restart to a process that survives it, where this command runs below the gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from .. import processes
from ..home import Home
from ..journal import Journal


def below(pid: int | None) -> bool:
    """Tell whether this process runs below the gateway."""
    return pid is not None and pid in processes.ancestors(os.getpid())


def start(home: Home, journal: Journal, run: str) -> int:
    """Start the process that waits for this one to end, restarts the gateway and finishes the record.

    It inherits the record's flock, so nobody takes the run for an interrupted one.
    """
    # -B: a skill folder is copied with all that is in it, so nothing is left there.
    words = [sys.executable, "-B", "-m", "session_closer.gateway.worker", home.state, run, str(journal.descriptor)]
    words += [str(os.getpid()), home.config_path]
    if processes.control_group(os.getpid()).endswith(".service") and shutil.which("systemd-run"):
        # A service that is stopped takes its whole control group along; a scope of its own escapes.
        words = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--", *words]
    environ = dict(os.environ)
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        cwd="/",
        start_new_session=True,
        pass_fds=(journal.descriptor,),
    )
    return process.pid
