"""Keys and ids of the sessions in the samples."""

from __future__ import annotations

import uuid

LEAD, RESEARCHER = "agent:project-lead:", "agent:researcher:"


def session_id(name: str) -> str:
    """Return the id of the session with this name: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
