"""Says why no command can run here, in text and in JSON, or goes on in a Python in which one can.

This file must parse on Python 3.6, so that an old interpreter gets one clear line and not a traceback.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

MISSING_DEPENDENCY = 69


def go_on_in_a_newer_one(minimum: "tuple[int, ...]", names: "Iterable[str]", environ: "Mapping[str, str]") -> None:
    """Go on in the first Python of these names that is new enough; raises SystemExit where there is none."""
    import shutil
    import subprocess

    null = subprocess.DEVNULL
    check = "import sys; sys.exit(sys.version_info < {})".format(minimum)
    for name in names:
        python = shutil.which(name)
        # A shim on PATH may not start, and what is found in the folder where we were called may be anybody's.
        if (
            python
            and os.path.isabs(python)
            and subprocess.call([python, "-c", check], stdin=null, stdout=null, stderr=null) == 0
        ):
            os.execve(python, [python, *sys.argv], dict(environ))
    raise failure(
        "needs Python {}.{} or newer, this is {}.{}.{}".format(*minimum, *sys.version_info[:3]),
        "put python{}.{} or a later one on PATH".format(*minimum),
    )


def failure(message: str, remedy: str) -> SystemExit:
    """Say what is missing and what to do, in JSON too if asked for, and return the exit to raise."""
    words = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    if "--json" in words:
        import json

        error = {"code": MISSING_DEPENDENCY, "name": "missing_dependency", "message": message, "remedy": remedy}
        say(sys.stdout, json.dumps(envelope(os.path.basename(sys.argv[0]), error)))
    tell("session-closer: {}. Try: {}".format(message, remedy))
    return SystemExit(MISSING_DEPENDENCY)


def tell(line: str) -> None:
    """Print a line on stderr."""
    say(sys.stderr, line)


def say(stream: "TextIO | None", line: str) -> None:
    """Print a line where there is a stream that can take it."""
    # None is how Python calls a stream that the caller has closed, and what print() takes for stdout.
    if stream is None:
        return
    try:
        print(line, file=stream, flush=True)
    except OSError:
        # What is left in the buffer would fail at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def envelope(operation: str, error: "dict[str, object]") -> "dict[str, object]":
    """Return the members of every document (docs/json.md), as of a run that has looked at nothing."""
    is_dry = "--dry-run" in sys.argv and operation not in ("list-sessions", "export-sessions")
    members = {"ok": False, "exitCode": MISSING_DEPENDENCY, "operation": operation}  # type: dict[str, object]
    members.update(dryRun=is_dry, gateway=None, warnings=[], error=error)
    if operation == "list-sessions":
        members.update(hasMore=False, count=0, totalCount=0, limitApplied=None, activeMinutes=None)
        members.update(allAgents=True, path=None, stores=[], sessions=[])
    elif operation == "export-sessions":
        members.update(output=None, exported=[], failed=[])
    else:
        off, none = {"needed": False, "ok": None, "result": "not-needed", "detail": None}, {"count": 0, "bytes": 0}
        members.update(dict.fromkeys(("kept", "children", "receipt", "undo", "free")), stores=[], results=[])
        members.update(restart=off, putAway=none, freed=none, broughtBack=none)
    return members
