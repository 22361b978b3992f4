"""What names a session to an export is what names it to a close, and so is what is said of a name that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.export_sessions import ExportSessions
from support.commands import Answer, run_json
from support.keys import LEAD
from support.said import KEY, Said
from support.stores import Store


def export(store: Store, out: Path, *words: str) -> Answer:
    return run_json(ExportSessions, *words, "--output", str(out), state=store.state)


def said_of(answer: Answer) -> str:
    """Return what is said of the only name, which is not there."""
    [row] = answer.data["failed"]
    assert (answer.code, row["status"]) == (1, "not_found")
    return str(row["error"])


@pytest.mark.parametrize("length", [8, 36])
def test_a_session_id_is_a_name(said: Said, out: Path, length: int) -> None:
    answer = export(said.store, out, said.own[:length])
    assert (answer.code, [row["key"] for row in answer.data["exported"]]) == (0, [KEY])


def test_one_session_by_two_names_is_exported_once(said: Said, out: Path) -> None:
    answer = export(said.store, out, said.own, "export-me")
    assert (answer.code, [row["key"] for row in answer.data["exported"]]) == (0, [KEY])


@pytest.mark.parametrize("by", ["project", "key", "id"])
def test_what_a_run_has_closed_is_exported_from_its_receipt(store: Store, out: Path, by: str) -> None:
    names = {"project": "topics", "key": LEAD + "topics", "id": store.entries()[LEAD + "topics"]["sessionId"]}
    run_json(CloseProject, "topics", state=store.state)
    said = said_of(export(store, out, names[by]))
    listed = f"restore-sessions --state-dir {store.state} --list"
    assert said == f"a run has closed it: --from RUN exports it, one of: {listed}"


def test_the_agent_that_has_it_is_named(store: Store, out: Path) -> None:
    store.write({"agent:main:main": store.session("agent:main:main", agent="main")}, "main")
    assert said_of(export(store, out, "--agent", "main", "alpha")) == f"not in agent main; there is {LEAD}alpha"


def test_where_nobody_has_it_there_is_a_way_to_see_what_there_is(store: Store, out: Path) -> None:
    listed = f"list-sessions --state-dir {store.state} --agent project-lead"
    found = f"restore-sessions --state-dir {store.state} --found quite-another"
    said = said_of(export(store, out, "quite-another"))
    assert said == f"not in agent project-lead; see them with: {listed}; what was deleted: {found}"


def test_the_agents_are_named_where_there_is_none_of_that_name(store: Store, out: Path) -> None:
    said = said_of(export(store, out, "--agent", "nobody", "alpha"))
    assert said.startswith("agent nobody has no sessions here; agents: ")
