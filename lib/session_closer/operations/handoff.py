"""Leave what cannot be done while the caller lives to a process that survives it: a restart, its own session."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from ..system import processes
from .task import Task

if TYPE_CHECKING:
    from ..core.wish import Options
    from ..journal.journal import Journal
    from ..ports.runtime import Runtime

# Python starts slowly on a busy machine.
_BEGIN_SECONDS = 10.0
_WORKER = "session_closer.operations.worker"
# Not PYTHONPATH: a path may hold its separator.
_PROGRAM = (
    "import importlib, json, sys; module, paths, begun, task = sys.argv[1:]; sys.path[:] = json.loads(paths); "
    "sys.exit(importlib.import_module(module).main(task, begun=int(begun)))"
)


def start(runtime: Runtime, journal: Journal, run_id: str, options: Options) -> str:
    """Start the process that waits for this one to end, does what is left and finishes the record.

    It inherits the record's flock, so nobody takes the run for an interrupted one. Return why there is none, "" where
    it has begun.
    """
    task = Task(
        root=runtime.root,
        place=runtime.task(),
        run=run_id,
        descriptor=journal.descriptor,
        caller=os.getpid(),
        via=options.via,
        restart=options.restart,
        reason=options.reason,
        archive=options.archive,
        delete=options.delete,
        lose_ignored=options.lose_ignored,
        with_jobs=options.with_jobs,
        export=options.export,
    )
    why = ""
    for way in _ways():
        why = _begin(way, task.encoded(), journal.descriptor)
        if not why:
            break
    return why and f"the process that was to outlive this command {why}"


def _ways() -> list[list[str]]:
    """Return the words ahead of those that start the process, by each way there is, the best one first."""
    scope = shutil.which("systemd-run") or ""
    # What is found in the folder where we were called may be anybody's.
    if processes.control_group(os.getpid()).endswith(".service") and os.path.isabs(scope):
        # A service that is stopped takes its whole control group along; a scope of its own, if to be had, escapes.
        return [[scope, "--user", "--scope", "--quiet", "--collect", "--"], []]
    return [[]]


def _folder() -> str:
    """Return where the process works: a path in the configuration may be relative to where this one was called."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _begin(way: list[str], task: str, descriptor: int) -> str:
    """Start the process and wait until it says that it has begun; return why it has not, else ""."""
    paths = json.dumps([os.path.abspath(path) for path in sys.path if path])
    ready, begun = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                # -B: a skill folder is copied with all that is in it, so nothing is left there.
                # -P: else Python would import from the folder where we were called, which may be anybody's.
                [*way, sys.executable, "-B", "-P", "-c", _PROGRAM, _WORKER, paths, str(begun), task],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=_folder(),
                start_new_session=True,
                pass_fds=(descriptor, begun),
            )
        except OSError as problem:
            return f"cannot be started: {problem.strerror}"
        finally:
            os.close(begun)
        said = None
        try:
            # Nothing to be read is the pipe's end: the process has ended.
            said = os.read(ready, 1) if select.select([ready], [], [], _BEGIN_SECONDS)[0] else None
        finally:
            if not said:
                process.kill()
                process.wait()
        if said is None:
            return f"has not begun within {_BEGIN_SECONDS:.0f} s"
        return "" if said else "has ended before it began"
    finally:
        os.close(ready)
