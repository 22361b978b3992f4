"""docs/json.md lists the members that the documents have, all of them and no others, with their types."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run_json
from support.gateway import StubOpenClaw
from support.keys import LEAD
from support.stores import Store

from .pages import rows, section, spans, text, words

JSON = text("docs/json.md")
NESTED = re.compile(r"\{([\w, \[\]]+)\}")
TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "number": (int,),
    "string": (str,),
    "array": (list,),
    "array of strings": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class Member(NamedTuple):
    """A member as it is documented: its type where the table has one, the members of what it holds."""

    kind: str | None
    inside: frozenset[str]


def tables(heading: str) -> list[dict[str, Member]]:
    """Return the tables of members in a section."""
    found = []
    for part in re.split(r"\n\s*\n", section(JSON, heading)):
        if part.lstrip().startswith("| member |"):
            table = {}
            for row in rows(part):
                inside = [nested for cell in row[1:] for nested in NESTED.findall(cell)]
                names = frozenset(name.removesuffix("[]") for each in inside for name in each.split(", "))
                table |= {name: Member(row[1] if len(row) == 3 else None, names) for name in spans(row[0])}
            found.append(table)
    return found


ENVELOPE, ROW = tables("The JSON envelope")
SUMMARY, CLEANED = tables("cleanup-sessions")
LIST, SESSION = tables("list-sessions")
EXPORT, EXPORTED = tables("export-sessions")
# Where it was asked for, of any command that closes.
COPIES = ENVELOPE.pop("exported")
REHEARSED = ENVELOPE.pop("rehearsal")
ENVELOPE.pop("report")
SHOWN, UNDONE = ENVELOPE.pop("run"), ENVELOPE.pop("runs")
# Where rows are left out of a long document.
SHORT = [ENVELOPE.pop(name) for name in ("counts", "resultsOmitted")]
# Where it was asked for.
TRAJECTORIES = EXPORT.pop("trajectories")
# Of one command each, and so it says.
LISTED_ONLY, FOUND_ONLY = {"receipts", "receiptsTotal", "hasMore"}, {"found", "foundTotal"}
# Of a restore that left something out, or that can be made until some day; and of a child that goes with its parent.
RESTORED_ONLY = {"notRestored", "until", "parentKey"}


def check(documented: dict[str, Member], found: dict[str, Any]) -> None:
    """The types of the members, and what is in them, are as documented."""
    for name, value in found.items():
        member = documented[name]
        if member.kind is not None:
            kinds = [kind for word in member.kind.split(" or ") for kind in TYPES[word]]
            assert type(value) in kinds, (name, value)
        if member.inside:
            for each in value if isinstance(value, list) else [value]:
                # A store of a cleanup has more, which a table of its own lists.
                assert each is None or set(each) - set(SUMMARY) == member.inside - set(SUMMARY), name


def life(store: Store) -> list[dict[str, Any]]:
    """Return the documents of some runs: dry run, close, again, a refusal, an error, an undo."""
    runs = [
        (CloseProjectBatch, "kelly-dashboard", "--dry-run"),
        (CloseProjectBatch, "kelly-dashboard", "main", "nowhere"),
        (CloseProjectBatch, "kelly-dashboard"),
        (CloseProjectBatch,),
        (KeepOnlySessions, "nowhere"),
        (RestoreSessions, "last", "--check"),
        (RestoreSessions, "last"),
        (RestoreSessions, "nothing"),
    ]
    return [run_json(command, *given, state=store.state).data for command, *given in runs]


def test_the_envelope_and_its_rows(store: Store) -> None:
    documents = life(store)
    statuses = {row["status"] for document in documents for row in document["results"]}
    assert statuses >= {"would_close", "closed", "refused", "not_found", "already_closed", "would_restore", "restored"}
    assert {document["error"] is None for document in documents} == {True, False}
    assert {document["gateway"] is None for document in documents} == {True, False}
    for document in documents:
        assert set(document) == set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY
        check(ENVELOPE, document)
        for row in document["results"]:
            assert set(row) - RESTORED_ONLY == set(ROW) - RESTORED_ONLY
    # Said where the statuses of an undo are.
    assert any("until" in row for document in documents for row in document["results"])
    assert "`until`" in section(JSON, "The JSON envelope")


def test_the_list_of_receipts(store: Store) -> None:
    life(store)
    document = run_json(RestoreSessions, "--list", state=store.state).data
    assert set(document) == set(ENVELOPE) - FOUND_ONLY
    assert len(document["receipts"]) == 2
    check(ENVELOPE, document)
    documented = {name for part in tables_of_runs() for row in part for name in spans(row[0])}
    shown = run_json(RestoreSessions, "--show", "last", state=store.state).data
    assert {type(shown["run"])} == set(TYPES[str(SHOWN.kind)])
    assert set(shown["run"]) == documented
    assert all(set(row) < documented for row in document["receipts"])
    inside = NESTED.findall(section(JSON, "Runs"))
    assert [set(one) for one in (shown["run"]["by"], shown["run"]["parts"][0])] == [set(x.split(", ")) for x in inside]


def tables_of_runs() -> list[list[list[str]]]:
    """Return the rows of the tables in the section about runs."""
    return [
        rows(part) for part in re.split(r"\n\s*\n", section(JSON, "Runs")) if part.lstrip().startswith("| of a run")
    ]


def test_several_runs(store: Store) -> None:
    names = [
        Path(run_json(CloseProjectBatch, word, state=store.state).data["receipt"]).stem for word in ("topics", "alpha")
    ]
    document = run_json(RestoreSessions, *names, state=store.state).data
    assert set(document) == (set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY) | {"runs"}
    check({"runs": UNDONE}, {"runs": document["runs"]})
    assert {"run"} == set(document["results"][0]) - set(ROW)


def test_the_list_of_what_was_found(store: Store) -> None:
    life(store)
    run_json(CloseProjectBatch, "kelly-dashboard", state=store.state)
    document = run_json(RestoreSessions, "--found", state=store.state).data
    assert set(document) == set(ENVELOPE) - LISTED_ONLY
    assert {row["receipt"] is None for row in document["found"]} == {True, False}
    check(ENVELOPE, document)


def stale_store(store: Store) -> Store:
    """Return the sample with all that a cleanup has words for."""
    long_ago = time.time() - 40 * 24 * 3600
    orphan = store.transcript("11111111-2222-4333-8444-555555555555.jsonl")
    for path in [orphan, *store.folder().glob("*.deleted.*")]:
        os.utime(path, (long_ago, long_ago))
    entries = store.entries()
    for entry in entries.values():
        entry["updatedAt"] = int(long_ago * 1000)
    store.write(entries)
    return store


@pytest.mark.parametrize("look", [True, False])
def test_a_cleanup(store: Store, look: bool) -> None:
    policy = ("--stale", "cron-run=1d", "--orphans", "1d", "--max-disk", "1gb", "--expire-archives", "1h")
    given = [*policy, *(["--dry-run"] if look else [])]
    document = run_json(CleanupSessions, *given, state=stale_store(store).state).data
    assert set(document) == (set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY) | {"resultsTotal", "rules"}
    assert {"resultsTotal", "rules"} <= words(section(JSON, "cleanup-sessions"))
    check(ENVELOPE, {name: value for name, value in document.items() if name not in ("resultsTotal", "rules")})
    for found in document["stores"]:
        assert set(found) == set(SUMMARY) | ENVELOPE["stores"].inside
        assert found["diskBudget"] is not None
        check(SUMMARY, {name: found[name] for name in SUMMARY})
    assert {row["action"] for row in document["results"]} == {"prune-stale", "archive-orphan", "expire-archive"}
    for row in document["results"]:
        assert set(row) == (set(ROW) - RESTORED_ONLY) | set(CLEANED)


def test_a_document_that_leaves_rows_out(store: Store) -> None:
    store.add(*((f"{LEAD}many-{at}", store.session(f"many-{at}")) for at in range(200)))
    document = run_json(KeepOnlySessions, "kelly-dashboard", "--yes", state=store.state).data
    assert set(document) - (set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY) == {"counts", "resultsOmitted"}
    assert [type(document[name]) for name in ("counts", "resultsOmitted")] == [TYPES[str(one.kind)][0] for one in SHORT]


def test_a_cleanup_that_ended_before_it_looked(store: Store) -> None:
    document = run_json(CleanupSessions, "--stale", "main=1d", state=store.state).data
    assert document["error"]["name"] == "usage"
    assert set(document) == set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY


def test_a_rehearsal(store: Store) -> None:
    document = run_json(CloseProjectBatch, "--rehearse", "kelly-dashboard", state=store.state).data
    assert set(document) == (set(ENVELOPE) | {"rehearsal"}) - LISTED_ONLY - FOUND_ONLY
    check({"rehearsal": REHEARSED}, {"rehearsal": document["rehearsal"]})


def test_a_close_with_an_export(store: Store, tmp_path: Path) -> None:
    words_ = ("kelly-dashboard", "--export", str(tmp_path / "out"))
    document = run_json(CloseProjectBatch, *words_, state=store.state).data
    assert set(document) == (set(ENVELOPE) - LISTED_ONLY - FOUND_ONLY) | {"exported"}
    assert len(document["exported"]) == 2
    assert {type(document["exported"])} == set(TYPES[str(COPIES.kind)])
    for row in document["exported"]:
        assert set(row) == set(EXPORTED)


def test_an_export(store: Store, tmp_path: Path) -> None:
    documents = [
        run_json(ExportSessions, *given, state=store.state).data
        for given in (("kelly-dashboard", "nowhere", "--output", str(tmp_path / "out")), ("kelly-dashboard",))
    ]
    shared = words(" ".join(section(JSON, "export-sessions").split()).partition("are those of the envelope")[0])
    assert shared <= set(ENVELOPE)
    for document in documents:
        assert set(document) == shared | set(EXPORT)
        check(EXPORT, {name: document[name] for name in EXPORT})
        check(ENVELOPE, {name: document[name] for name in shared})
        for row in document["exported"]:
            assert set(row) == set(EXPORTED)
    assert [len(documents[0][name]) for name in ("exported", "failed")] == [2, 1]
    assert documents[1]["error"]["name"] == "usage"


def test_an_export_for_support(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openclaw = StubOpenClaw(tmp_path / "bin")
    openclaw.answers("export-trajectory", {"outputDir": str(tmp_path)})
    monkeypatch.setenv("PATH", f"{openclaw.folder}{os.pathsep}{os.environ['PATH']}")
    words_ = ("--trajectory", "--workspace", str(tmp_path), "kelly-dashboard")
    document = run_json(ExportSessions, *words_, state=store.state).data
    assert set(document) - set(ENVELOPE) - set(EXPORT) == {"trajectories"}
    check({"trajectories": TRAJECTORIES}, {"trajectories": document["trajectories"]})
    assert [len(document[name]) for name in ("exported", "trajectories")] == [0, 2]


def test_a_list(store: Store) -> None:
    called = {"label": "a", "displayName": "b", "subject": "c", "channel": "d", "modelProvider": "e", "spawnedBy": LEAD}
    tokens = dict.fromkeys(("inputTokens", "outputTokens", "totalTokens", "contextTokens"), 1)
    times = dict.fromkeys(("createdAt", "updatedAt", "pinnedAt"), 1600000000000)
    full = {**called, **tokens, **times, "parentSessionKey": LEAD, "model": "f", "status": "done"}
    store.add((LEAD + "odd", {"sessionId": 7, "updatedAt": "never"}), (LEAD + "full", full))
    documents = [
        run_json(ListSessions, *given, state=store.state).data
        for given in ((), ("--limit", "all"), ("--limit", "1"), ("--agent", "No One"))
    ]
    shared = words(" ".join(section(JSON, "list-sessions").split()).partition("are those of the envelope")[0])
    assert shared <= set(ENVELOPE)
    for document in documents:
        assert set(document) == shared | {"stores"} | set(LIST)
        check(LIST, {name: document[name] for name in LIST})
        check(ENVELOPE, {name: document[name] for name in shared})
        for found in document["stores"]:
            assert set(found) == ENVELOPE["stores"].inside - {"backup"} | {"agentId"}
        assert None not in [value for row in document["sessions"] for value in row.values()]
    # Each that is documented is in some row, and in each row only what is documented.
    assert {name for row in documents[1]["sessions"] for name in row} == set(SESSION)
    assert documents[-1]["error"] is not None
    assert len([row for row in documents[1]["sessions"] if "updatedAt" not in row]) == 1
