"""The proof of the file store: `make prove`. What each part does, and what it found: docs/reliability.md."""
