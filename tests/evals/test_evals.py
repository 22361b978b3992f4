"""The tasks that SKILL.md is measured by: forty, ten kinds of traps, and a harness that tells right from wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.render.excerpt import MOST_BYTES

from . import __main__ as evals
from . import before_after
from .answers import RIGHT, WRONG, served
from .talk import Endpoint
from .tasks import ROOT, Task, tasks

TASKS = tasks()
TRAPS = {
    "main session", "typo", "running", "group chats", "over 100", "ambiguous", "delete everything", "other agent",
    "undo the right run", "own session",
}  # fmt: skip
# One of each way to be wrong: an end state, a file, a word, what was said; `make live` plays all.
FEW = (4, 15, 20, 25, 34, 39, 41, 46)


def ended(task: Task, *, skill: bool) -> list[str]:
    """Return what is wrong in the end, with the model that has the skill, or with the one that has not."""
    with served() as url:
        return evals.attempt(task, Endpoint(url, "scripted"), skill=skill).wrong


def test_there_are_forty_tasks_and_ten_kinds_of_traps() -> None:
    assert len(TASKS) >= 40
    assert [task.number for task in TASKS] == list(range(1, len(TASKS) + 1))
    assert {task.trap for task in TASKS} - {None} == TRAPS
    assert set(RIGHT) == set(WRONG) == {task.number for task in TASKS}
    assert len({task.prompt for task in TASKS}) == len(TASKS)


def test_no_task_says_how_it_is_done() -> None:
    for task in TASKS:
        assert "--" not in task.prompt
        assert "bin/" not in task.prompt


@pytest.mark.parametrize("number", FEW)
def test_the_harness_takes_the_right_answer_and_no_other(number: int) -> None:
    task = TASKS[number - 1]
    assert ended(task, skill=True) == []
    assert ended(task, skill=False) != []


@pytest.mark.live
@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.number))
def test_every_task_can_be_done_and_done_wrong(task: Task) -> None:
    assert ended(task, skill=True) == []
    assert ended(task, skill=False) != []


def test_what_is_printed_is_the_lift(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with served() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert evals.main(["scripted", "2", "39"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in lines[:2]] == [
        ["2", "with", "done", "without", "failed"],
        ["39", "with", "done", "without", "failed"],
    ]
    assert lines[2:] == ["with SKILL.md 2 of 2, without it 0: lift +100 points"]


def test_without_a_model_it_says_what_it_wants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert evals.main(["any"]) == 2
    assert "OPENAI_BASE_URL" in capsys.readouterr().err
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{evals.unused_port()}/v1")
    assert evals.main(["any", "39"]) == 2
    assert "gives no answer" in capsys.readouterr().err


@pytest.mark.parametrize("task", before_after.TASKS, ids=lambda task: task.title)
def test_a_task_that_cost_too_much_takes_one_command(task: before_after.Task, tmp_path: Path, closed_port: int) -> None:
    assert len(task.after) == 1
    found = before_after.cost(task, task.after, before_after.make(tmp_path, ROOT, closed_port))
    assert (found.codes, found.done) == ((0,), True)
    # The document, and what stderr says of how far it is.
    assert found.size <= MOST_BYTES + 200


def test_what_is_not_done_is_not_said_to_be(tmp_path: Path, closed_port: int) -> None:
    world = before_after.make(tmp_path, ROOT, closed_port)
    looked = world.run(["@list-sessions", "--agent", "studio", "--limit", "3"])[1]
    # Nothing is closed at first, so two runs count as undone.
    done = [task.title for task in before_after.TASKS if not task.first and task.done(world, looked)]
    assert done == []
