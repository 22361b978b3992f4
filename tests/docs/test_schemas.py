"""docs/schema has a JSON Schema for each document of docs/json.md, and refuses what that page does not have."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import ExitCode
from session_closer.core.findings import Action
from session_closer.core.status import Life, Reason, Route, Status
from session_closer.core.words import Kind
from session_closer.render.effects import KINDS
from support import documents
from support.commands import one_document, run_json
from support.stores import Store

from .pages import COMMANDS, rows, spans, text, words

JSON = text("docs/json.md")
SCHEMAS = {path.stem: documents.schema(path.stem) for path in documents.FOLDER.iterdir()}
CLOSING = {"close-project", "close-project-batch", "keep-only-sessions"}
SHARED = SCHEMAS["shared"]["$defs"]
# Each is a table of members: `| member |`, `| of a run |`.
_TABLE = re.compile(r"^\| (?:member|of a \w+|of the document) \|.*\n(?:\|.*\n)+", re.MULTILINE)
_NESTED = re.compile(r"`\[?\{([\w, \[\]]+)\}\]?`")


def test_every_command_has_a_schema_and_every_schema_is_one() -> None:
    assert set(SCHEMAS) == {"shared", "close"} | (set(COMMANDS) - CLOSING)
    for schema in SCHEMAS.values():
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert jsonschema_rs.meta.is_valid(schema)
    assert not jsonschema_rs.meta.is_valid({**SCHEMAS["close"], "required": "ok"})


def test_the_page_links_every_schema() -> None:
    for name in SCHEMAS:
        assert f"(schema/{name}.json)" in JSON


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a schema."""
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects(inner)


def members() -> set[str]:
    """Return the names of all members that the schemas have."""
    every = [each for schema in SCHEMAS.values() for each in objects(schema)]
    return {name for each in every if isinstance(each.get("properties"), dict) for name in each["properties"]}


def test_every_member_of_the_page_is_in_a_schema() -> None:
    named = {name for table in _TABLE.findall(JSON) for row in rows(table) for name in spans(row[0])}
    # The one in braces that is no part of a document is a line of a file.
    inside = [part for part in _NESTED.findall(JSON) if part != "database, table, key, row"]
    named |= {name.removesuffix("[]") for part in inside for name in part.split(", ")}
    assert len(named) > 100
    assert named - members() == set()


def test_every_member_of_a_schema_is_on_the_page() -> None:
    named = {word for span in spans(JSON) for word in re.findall(r"\w+", span)}
    # An example shows all of an effect.
    named |= set(re.findall(r'"(\w+)":', JSON))
    assert members() - named == set()


def test_the_words_are_those_of_the_program() -> None:
    assert set(SHARED["status"]["enum"]) == set(map(str, Status))
    assert set(SHARED["exitCode"]["enum"]) == set(map(int, ExitCode))
    assert set(SHARED["gateway"]["properties"]["state"]["enum"]) == set(map(str, Life))
    assert set(SHARED["row"]["properties"]["reason"]["enum"]) == {None, *map(str, Reason)}
    assert set(SHARED["row"]["properties"]["route"]["enum"]) == {None, *map(str, Route)}
    lost = SCHEMAS["restore-sessions"]["$defs"]["lost"]["properties"]["kind"]["anyOf"][1]["enum"]
    assert {*SHARED["effectKind"]["anyOf"][0]["enum"], *lost} == set(KINDS)
    cleaned = SCHEMAS["cleanup-sessions"]["$defs"]["row"]["properties"]
    assert set(cleaned["action"]["enum"]) == set(map(str, Action))
    assert set(SCHEMAS["list-sessions"]["$defs"]["session"]["properties"]["kind"]["enum"]) == set(map(str, Kind))
    # That the page has all that there are, and no others, is shown beside this.
    listed = words(JSON.partition("`error.name`: ")[2].partition("\n\n")[0])
    assert set(SHARED["error"]["properties"]["name"]["enum"]) == {name for name in listed if "--" not in name}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_missing_dependency_leaves_is_such_a_document(name: str) -> None:
    unable = importlib.import_module("unable")
    error = {"code": 69, "name": "missing_dependency", "message": "no plumbum", "remedy": "pip install plumbum"}
    assert documents.problems_of(unable.envelope(name, error)) == []


def altered(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a document with another value at a path, or without a member where the value is `...`."""
    copy = json.loads(json.dumps(document))
    *way, last = path.split("/")
    place = copy
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return dict(copy)


WRONG = [
    ("surprise", 1, "surprise"),
    ("undo", ..., "undo"),
    ("kept", "2", "kept"),
    ("kept", -1, "kept"),
    ("ok", False, "exitCode"),
    ("exitCode", 7, "exitCode"),
    ("counts", {"closed": 1}, "resultsOmitted"),
    ("results/0/surprise", 1, "results/0"),
    ("results/0/effects", ..., "results/0"),
    ("results/0/status", "restored", "results/0/status"),
    ("results/0/until", "2026", "results/0"),
    ("results/0/effects", [{"kind": "cron-job"}], "results/0/effects/0"),
    ("stores/0/agentId", "a", "stores/0"),
    ("stores/0/era", "paper", "stores/0/era"),
    ("restart/needed", None, "restart/needed"),
    ("gateway/state", "gone", "gateway/state"),
    ("error", {"code": 1, "name": "nonsense", "message": "", "remedy": None}, "error"),
    ("report", None, "report"),
    ("warnings", [None], "warnings/0"),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG)
def test_a_wrong_document_is_refused(store: Store, path: str, value: Any, said: str) -> None:
    right = run_json(CloseProject, "kelly-dashboard", state=store.state).data
    assert documents.problems_of(right) == []
    with pytest.raises(AssertionError, match=r"close-project --json is not as docs/schema says:\n(.*\n)*.*" + said):
        one_document(json.dumps(altered(right, path, value)) + "\n")


def test_a_document_of_any_command_takes_no_other_members(store: Store, tmp_path: Path) -> None:
    run_json(CloseProject, "kelly-dashboard", state=store.state)
    policy = ("--stale", "project=1d", "--orphans", "1d", "--max-disk", "1gb", "--dry-run")
    found = [
        (run_json(CleanupSessions, *policy, state=store.state).data, ("", "stores/0/", "stores/0/diskBudget/")),
        (run_json(ListSessions, state=store.state).data, ("", "stores/0/", "sessions/0/")),
        (run_json(ListSessions, "--usage", state=store.state).data, ("", "stores/0/", "usage/0/")),
        (run_json(RestoreSessions, "--list", state=store.state).data, ("", "receipts/0/")),
        (run_json(RestoreSessions, "--show", "last", state=store.state).data, ("run/", "run/by/", "run/parts/0/")),
        (run_json(RestoreSessions, "--found", state=store.state).data, ("found/0/",)),
        (run_json(RestoreSessions, "last", state=store.state).data, ("", "results/0/", "stores/0/")),
        (
            run_json(ExportSessions, "topics", "no", "--output", str(tmp_path / "out"), state=store.state).data,
            ("", "exported/0/", "failed/0/"),
        ),
    ]
    for right, places in found:
        assert documents.problems_of(right) == []
        for place in places:
            assert documents.problems_of(altered(right, place + "surprise", 1)), (right["operation"], place)
