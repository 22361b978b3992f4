"""Leave what cannot be done while the caller lives to a process that survives it: a restart, its own session."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from .. import processes
from ..home import Home
from ..journal import Journal
from ..model import Options


def below(pid: int | None) -> bool:
    """Tell whether this process runs below the gateway."""
    return pid is not None and pid in processes.ancestors(os.getpid())


def start(home: Home, journal: Journal, run: str, options: Options) -> int:
    """Start the process that waits for this one to end, does what is left and finishes the record; its id.

    It inherits the record's flock, so nobody takes the run for an interrupted one.
    """
    task = {
        "state": home.state,
        "config": home.config_path,
        "url": home.url,
        "tokenFile": os.path.abspath(home.token_file) if home.token_file else None,
        "gatewayState": home.gateway_state,
        "run": run,
        "descriptor": journal.descriptor,
        "caller": os.getpid(),
        "via": options.via,
        "archive": options.archive,
        "restart": options.restart,
        "reason": options.reason,
    }
    # -B: a skill folder is copied with all that is in it, so nothing is left there.
    words = [sys.executable, "-B", "-m", "session_closer.gateway.worker", json.dumps(task)]
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
