"""How much of the files that it renames one run may read to hash them (pure)."""

from __future__ import annotations

# A transcript of a thousand messages, and what a person closes at once; more is not worth the time of a batch.
FILE_BYTES = 256 << 10
_RUN_BYTES = 4 << 20
_RUN_FILES = 250


class HashBudget:
    """What is left of it, for all stores of a run together: so many `files`, and their bytes."""

    def __init__(self, files: int = _RUN_FILES) -> None:
        self.files, self._bytes = files, _RUN_BYTES

    def takes(self, size: int) -> bool:
        """Tell whether a file of this size, in bytes, may be read, and count it if so."""
        if not self.files or size > min(FILE_BYTES, self._bytes):
            return False
        self.files -= 1
        self._bytes -= size
        return True
