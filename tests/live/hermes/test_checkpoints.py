"""A project whose checkpoints were put away: Hermes takes it for a new one, goes on beside it, and has it back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from session_closer.hermes.checkpoints import Store
from session_closer.hermes.projects import Project
from session_closer.system.disk import Disk

from ..gateway import wait_until
from .install import OLD
from .lab import Lab, Step
from .picture import differences, histories, picture

pytestmark = [pytest.mark.live, pytest.mark.depth(OLD)]


def taken(lab: Lab, project: str, count: int, name: str) -> Step:
    return "checkpoints", {"folder": str(lab.project(project)), "count": count, "name": name}


def rolled(lab: Lab, project: str, steps: int = 0) -> Step:
    return "rollback", {"folder": str(lab.project(project)), "steps": steps}


def of(lab: Lab, name: str) -> Project:
    (found,) = (one for one in Store(str(lab.home), Disk()).projects() if one.workdir == str(lab.project(name)))
    return found


def is_there(lab: Lab, name: str) -> bool:
    return str(lab.project(name)) in {one.workdir for one in Store(str(lab.home), Disk()).projects()}


def put_away(lab: Lab, name: str) -> tuple[Store, Project, str]:
    store, project = Store(str(lab.home), Disk()), of(lab, name)
    folder = lab.home / "session-closer" / name
    folder.mkdir(parents=True)
    assert store.put_away(project, str(folder))
    assert store.collect_garbage() == ""
    return store, project, str(folder)


def test_hermes_goes_on_beside_what_was_put_away_and_with_what_came_back(lab: Lab) -> None:
    assert lab.play(taken(lab, "old", 3, "before"), taken(lab, "kept", 3, "before")) == [3, 3]
    before, whole = histories(lab), picture(lab)
    store, project, folder = put_away(lab, "old")
    assert histories(lab) == {name: history for name, history in before.items() if name != project.id}
    assert lab.play(rolled(lab, "old"), taken(lab, "kept", 2, "between")) == [[], 2]
    assert store.bring_back(project.id, folder) == "live"
    assert store.settle(project.id, folder) == "live"
    assert histories(lab)[project.id] == before[project.id]
    places = differences(whole, picture(lab)).keys()
    assert {place for place in places if "old" in place or project.id in place} == set()
    said, more, _ = lab.play(rolled(lab, "old", 2), taken(lab, "old", 1, "after"), taken(lab, "kept", 1, "after"))
    assert (said, more) == (["before 2", "before 1", "before 0"], 1)
    assert [len(histories(lab)[of(lab, name).id]) for name in ("old", "kept")] == [4, 6]
    assert "missing" not in lab.git("fsck", "--full")


def test_what_hermes_has_begun_anew_meanwhile_stays_as_it_is(lab: Lab) -> None:
    lab.play(taken(lab, "old", 2, "before"))
    store, project, folder = put_away(lab, "old")
    assert lab.play(taken(lab, "old", 1, "anew")) == [1]
    before = picture(lab)
    assert store.bring_back(project.id, folder) == "taken"
    assert differences(before, picture(lab)) == {}
    assert lab.play(rolled(lab, "old")) == [["anew 0"]]


def test_an_agent_that_takes_checkpoints_all_the_while_loses_none_of_them(lab: Lab) -> None:
    names = [f"old-{number}" for number in range(4)]
    lab.play(*(taken(lab, name, 2, "before") for name in names))
    with ThreadPoolExecutor() as pool:
        agent = pool.submit(lab.play, taken(lab, "kept", 40, "busy"))
        wait_until(lambda: agent.done() or is_there(lab, "kept"), 60, "the first checkpoint")
        away = {name: put_away(lab, name) for name in names}
    (count,) = agent.result()
    # Where a folder vanishes under its hands git takes none in that turn; what was taken is there.
    assert len(histories(lab)[of(lab, "kept").id]) == count > 20
    for store, project, folder in away.values():
        assert store.bring_back(project.id, folder) == "live"
    assert lab.play(*(rolled(lab, name) for name in names)) == [["before 1", "before 0"]] * len(names)
    assert lab.git("fsck", "--full", "--no-dangling") == ""
