"""Puts manual pages and completions into the wheel, made of the commands as they are."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Makes the files ahead of the build, and removes them behind it."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Make them and name them to the builder."""
        sys.dont_write_bytecode = True
        sys.path.insert(0, self.root)
        from publish import manual

        self.made = Path(tempfile.mkdtemp(prefix="session-closer-share-"))
        shared = build_data.setdefault("shared_data", {})
        shared |= {str(path): f"share/{name}" for path, name in manual.write(self.made).items()}

    def finalize(self, *_: object) -> None:
        """Remove what was made."""
        shutil.rmtree(self.made, ignore_errors=True)
