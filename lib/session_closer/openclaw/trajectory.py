"""OpenClaw's own bundle of a session, for its support: made by its command, which masks and leaves out; no copy."""

from __future__ import annotations

import os
from typing import Any

from ..core.errors import Refused, StorageFailed
from .gateway.command import first_object
from .gateway.link import LinkLost, LinkRefused
from .installation import Installation

# A start takes up to a minute on a busy machine, 5,000 messages take some more.
_SECONDS = 600.0
_SAID = 300
# In the answer: where the bundle is.
_FOLDER = "outputDir"


def made(here: Installation, agent: str, key: str, workspace: str, name: str | None) -> tuple[str, dict[str, Any]]:
    """Have OpenClaw write its bundle of a session below a workspace; return its folder, and all that OpenClaw says.

    Refused where its command cannot be started, StorageFailed where no bundle is there afterwards.
    """
    words = ["sessions", "export-trajectory", f"--session-key={key}", f"--agent={agent}", f"--workspace={workspace}"]
    words += [f"--output={name}"] if name is not None else []
    try:
        code, out, err = here.gateway.command().run(*words, "--json", seconds=_SECONDS)
    except LinkRefused as problem:
        raise Refused(str(problem)) from None
    except LinkLost as problem:
        raise StorageFailed(str(problem)) from None
    answer = first_object(out)
    folder = answer.get(_FOLDER)
    if code == 0 and isinstance(folder, str) and os.path.isdir(folder):
        return folder, answer
    raise StorageFailed(f"openclaw has made no bundle: {_why(answer, err or out) or f'it ended with {code}'}")


def _why(answer: dict[str, Any], said: str) -> str:
    """Return in one line why there is none: newer versions say it in JSON, older ones in words."""
    error = answer.get("error")
    found = error.get("message") if isinstance(error, dict) else error
    return " ".join((found if isinstance(found, str) else said).split())[:_SAID]
