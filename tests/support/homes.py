"""The home of whoever runs the tests, which no test may touch."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

# Where the first process of a test run says whose home it was started in, before it takes one of its own.
CALLER = "TESTS_CALLERS_HOME"
CALLERS_HOME = os.environ.get(CALLER) or os.environ.get("HOME") or os.path.sep
# Of whoever runs the tests: $HOME and the account's own home may differ.
REAL_HOMES = {Path(CALLERS_HOME), Path(pwd.getpwuid(os.getuid()).pw_dir)}


class CallersEnviron(dict[str, str]):
    """The environment of whoever runs the tests, for what only fetches packages: an index has settings in a home."""

    def __init__(self, **more: str) -> None:
        super().__init__({**os.environ, **more, "HOME": CALLERS_HOME})
