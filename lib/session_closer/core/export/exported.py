"""What was exported of one session (pure)."""

from __future__ import annotations

from ...core.tuples import NamedTuple


class Exported(NamedTuple):
    """A session that was exported: `path` is its folder, or its page, `sha256` that of SHA256SUMS, or of the page.

    `mark` is that of the session as it was compared.
    """

    agent: str
    key: str
    path: str
    files: int
    size: int
    sha256: str
    events: int
    mark: str = ""
