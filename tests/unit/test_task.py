"""What a command leaves to the process that outlives it comes over a command line as it was."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from session_closer.operations.task import Task, decoded

TASK = Task(
    root="/home/me/.openclaw",
    place={"state": "/home/me/.openclaw", "config": "/home/me/.openclaw/openclaw.json"},
    run="20261121T004124.769Z-1a2b3c4d",
    descriptor=7,
    caller=4711,
    via="auto",
    restart="auto",
    reason=None,
    archive=True,
    delete=False,
    lose_ignored=True,
    with_jobs=False,
)


@pytest.mark.parametrize("text", ["plain", "naïve", "\udcff no text", "a\nb", ""])
def test_it_is_read_as_it_was_written_whatever_its_names_are(text: str) -> None:
    task = replace(TASK, root=text, place={"state": text, "config": text}, reason=text)
    assert decoded(task.encoded()) == task
    # Not every byte is a word of a command line.
    assert task.encoded().isascii()


@pytest.mark.parametrize("text", ["", "[]", "{}", TASK.encoded().replace('"run"', '"ran"')])
def test_what_is_no_task_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decoded(text)


@pytest.mark.parametrize(("asked", "then"), [("auto", "auto"), ("always", "auto"), ("never", "never")])
def test_it_is_done_as_the_caller_was_asked(asked: str, then: str) -> None:
    options = replace(TASK, restart=asked, via="files", reason="why").options()
    assert (options.restart, options.via, options.reason) == (then, "files", "why")
    assert (options.archive, options.delete, options.lose_ignored, options.with_jobs) == (True, False, True, False)
    assert (options.late, options.missing_ok, options.dry_run) == (True, True, False)
