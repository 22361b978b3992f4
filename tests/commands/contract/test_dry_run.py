"""A dry run leaves the tree as it is and has the exit code of the real run."""

from __future__ import annotations

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import run_json
from support.contract import check_envelope
from support.interrupted import interrupt
from support.keys import LEAD
from support.stores import Store
from support.trees import tree


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (CloseProject, ("alpha",), 0),
        (CloseProject, ("nowhere",), 1),
        (CloseProject, ("main",), 3),
        (CloseProjectBatch, ("alpha", "nowhere"), 1),
        (CloseProjectBatch, ("alpha", "main"), 1),
        (CloseProjectBatch, ("nowhere", "--missing-ok"), 0),
        (CloseProjectBatch, ("alpha", "topics", "--max", "1"), 3),
        (CloseProject, ("alpha", "--via", "gateway"), 6),
        (CloseProject, ("alpha", "--restart", "always"), 0),
        (KeepOnlySessions, ("alpha",), 0),
        (KeepOnlySessions, ("nowhere",), 3),
        (CloseProject, ("topics", "--agent", "main"), 1),
    ],
)
@pytest.mark.parametrize("interrupted", ["", "committed", "uncommitted"])
def test_a_dry_run_leaves_the_tree_as_it_is_and_has_the_code_of_the_real_run(
    store: Store, command: type[Command], words: tuple[str, ...], code: int, interrupted: str
) -> None:
    if interrupted:
        interrupt(store, "kelly-dashboard", committed=interrupted == "committed")
    before = tree(store.state)
    dry = run_json(command, "--dry-run", *words, state=store.state)
    assert tree(store.state) == before
    assert dry.data["dryRun"] is True
    assert dry.code == code
    assert bool(interrupted) == any("was interrupted" in warning for warning in dry.data["warnings"])
    real = run_json(command, *words, state=store.state)
    assert real.code == code
    # Where the whole run is refused the real one shows the plan, too.
    planned = "would_close" if real.data["error"] else "closed"
    assert [(key, status.replace("would_close", planned)) for key, status in dry.rows] == real.rows
    check_envelope(dry)
    check_envelope(real)


@pytest.mark.parametrize("committed", [True, False])
def test_a_dry_run_for_the_session_of_an_interrupted_run_says_what_the_real_run_says(
    store: Store, committed: bool
) -> None:
    interrupt(store, "topics", committed=committed)
    before = tree(store.state)
    dry = run_json(CloseProject, "--dry-run", "topics", state=store.state)
    assert tree(store.state) == before
    real = run_json(CloseProject, "topics", state=store.state)
    assert (real.code, real.rows) == (0, [(LEAD + "topics", "already_closed" if committed else "closed")])
    assert (dry.code, [row["status"] for row in dry.data["results"]]) == (
        0,
        ["already_closed" if committed else "would_close"],
    )


def test_a_dry_run_is_no_reason_to_say_already_closed(store: Store) -> None:
    run_json(CloseProject, "--dry-run", "alpha", state=store.state)
    assert run_json(CloseProject, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]
