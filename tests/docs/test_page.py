"""The page in docs/export.md is the one that an export makes of the talk in the sample."""

from __future__ import annotations

import json
import re
import textwrap
import uuid

from entry.checkout import ROOT
from session_closer.core.export.events import survey
from session_closer.core.export.head import Heading
from session_closer.core.export.page import page

from .sample import NAMES, TALK, TALK_OF

SECONDS = (32, 35, 36, 37)


def test_the_page_that_is_shown_is_word_for_word_what_is_written() -> None:
    found = re.search(r"^## The page\n\n((?:    .*\n|\n)+)", (ROOT / "docs" / "export.md").read_text(), re.MULTILINE)
    assert found is not None
    said = re.search(r"\d{4}-\d\d-\d\d", found[1])
    assert said is not None
    lines = [
        json.dumps({"type": "message", "timestamp": f"{said[0]}T12:20:{second}.000Z", "message": one}).encode()
        for second, one in zip(SECONDS, TALK, strict=True)
    ]
    heading = Heading(TALK_OF, "project-lead", str(uuid.uuid5(NAMES, TALK_OF)))
    made = b"".join(page(lines, survey(lines), heading)).decode()
    assert textwrap.dedent(found[1]).strip() == made.strip()
