"""The next changing command finishes a cleanup that was interrupted."""

from __future__ import annotations

import pytest
from session_closer.cli.commands.close_project import CloseProject
from support.cleanup import DAY, READER_RUN, STALE, clean, gone, shelve, stray, unchanged
from support.commands import run_json
from support.interrupted import Killed, KilledDisk
from support.stores import Store


def kill(store: Store, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, *words: str) -> None:
    from session_closer.operations import close

    with monkeypatch.context() as patch:
        patch.setattr(close, "Disk", lambda: KilledDisk(step, after=after))
        with pytest.raises(Killed):
            clean(store, *words)
    assert store.open_runs()


@pytest.mark.parametrize("step", ["exchange", "unlink"])
@pytest.mark.parametrize("other", [False, True])
def test_the_next_changing_command_finishes_what_was_interrupted(
    filled: Store, monkeypatch: pytest.MonkeyPatch, step: str, other: bool
) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    shelve(filled, 40 * DAY)
    words = ("--agent", "project-lead", "--orphans", "--expire-archives", "30d")
    if step == "exchange":
        words = ("--agent", "project-lead")
    kill(filled, monkeypatch, step, True, *words)
    (open_run,) = filled.open_runs()
    looked = unchanged(filled, *words, "--dry-run", code=0)
    assert open_run in " ".join(looked.data["warnings"])
    if other:
        run_json(CloseProject, "kelly", state=filled.state)
    else:
        assert clean(filled, *words).code == 0
    assert filled.open_runs() == []
    assert open_run in {each["id"] for each in filled.receipts()}


def test_an_interrupted_run_of_files_alone_does_not_hold_up_others_where_the_index_has_gone(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray(filled, "one.jsonl", 2 * DAY, "researcher")
    kill(filled, monkeypatch, "rename_exclusive", True, "--agent", "researcher", "--only", "orphans")
    filled.index("researcher").unlink()
    assert gone(clean(filled)) == STALE - {READER_RUN}
