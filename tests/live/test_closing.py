"""Closing sessions: what was named goes, with everything that belongs to it, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .gateway import wait_until
from .lab import Lab, create, run
from .snapshots import Change, change, digests, everything, rows, settled, without

pytestmark = pytest.mark.live

ALPHA = "agent:project-lead:alpha"
BETA = "agent:project-lead:project-beta"
GAMMA = ("agent:project-lead:gamma", "agent:project-lead:project-gamma")
DELTA = "agent:main:project-delta"
GOES = (ALPHA, BETA, *GAMMA, DELTA)
NAMES = ("alpha", "beta", "gamma", DELTA)
STAYS = (
    "agent:project-lead:main",
    "agent:project-lead:alphabet",
    "agent:project-lead:project-alpha-two",
    "agent:project-lead:project-delta",
    "agent:main:main",
    "agent:main:alpha",
    "agent:main:project-beta",
)
AGENTS = ("main", "project-lead")
WITH_COMPANIONS = (ALPHA, DELTA, "agent:main:alpha")


def agent_of(key: str) -> str:
    return key.split(":")[1]


def names_of(found: Change) -> set[str]:
    return {Path(path).name for path in found.archived.values()}


def furnish(lab: Lab) -> dict[str, str]:
    """Create what goes and what stays, with what companions there are on both sides; key -> session id."""
    with lab.rpc() as rpc:
        made = create(rpc, *GOES, *STAYS)
    for key in WITH_COMPANIONS if lab.era == "files" else ():
        lab.add_companions(agent_of(key), key)
    return made


def live_names(lab: Lab, *keys: str) -> set[str]:
    """Return the names of all that is kept of these sessions beside their entries."""
    ids = [str(lab.entries(agent_of(key))[key]["sessionId"]) for key in keys]
    return {Path(path).name for path in digests(lab) if any(name in path for name in ids)}


@pytest.mark.late
def test_a_running_gateway_loses_what_was_named_and_nothing_else(shared: Lab) -> None:
    lab, ids = shared, furnish(shared)
    with lab.rpc() as rpc:
        listed, files = rows(rpc), digests(lab)
        entries = {agent: lab.entries(agent) for agent in AGENTS}
        belonging = live_names(lab, *GOES)
        companions = 2 * 3 if lab.era == "files" else 0
        assert len(belonging) == len(GOES) + companions, "a transcript each, and three companions for two of them"

        with lab.restarting(0):
            result = run(lab, "close-project-batch", "--delete", *NAMES)

        assert result.code == 0, result
        assert result.statuses() == dict.fromkeys(GOES, "closed")
        assert {row["route"] for row in result.rows.values()} == {"gateway"}
        assert {key: row["sessionId"] for key, row in result.rows.items()} == {key: ids[key] for key in GOES}
        assert {store["agent"]: store["era"] for store in result.json["stores"]} == dict.fromkeys(AGENTS, lab.era)
        assert rows(rpc) == without(listed, *GOES)
        done = change(files, digests(lab))
        assert {Path(path).name for path in done.archived} == belonging
        told = {name for row in result.rows.values() for name in row["archives"]}
        assert told == {str(lab.state / name) for name in done.archived.values()}
        for agent in AGENTS:
            goes = {key: entry for key, entry in entries[agent].items() if key in GOES}
            saved = lab.store.saved(result.json, agent)
            assert {key: saved[key] for key in goes} == goes
            assert lab.entries(agent) == {key: entry for key, entry in entries[agent].items() if key not in goes}
    assert result.json["restart"]["needed"] is False


@pytest.mark.openclaw("files")
def test_a_stopped_gateway_finds_exactly_the_rest_when_it_starts(lab: Lab) -> None:
    lab.start()
    ids = furnish(lab)
    with lab.rpc() as rpc:
        listed = rows(rpc)
    lab.stop()
    files = digests(lab)
    images = {agent: lab.index(agent).read_bytes() for agent in AGENTS}
    belonging = live_names(lab, *GOES)

    result = run(lab, "close-project-batch", "--delete", *NAMES)

    assert result.code == 0, result
    assert result.statuses() == dict.fromkeys(GOES, "closed")
    assert {row["route"] for row in result.rows.values()} == {"files"}
    done = change(files, digests(lab))
    assert {Path(path).name for path in done.archived} == belonging
    for agent in AGENTS:
        assert result.backup(agent).read_bytes() == images[agent]
        entries = json.loads(images[agent])
        assert as_openclaw_writes(entries) == images[agent], "the yardstick must be right before anything is measured"
        kept = {key: entry for key, entry in entries.items() if key not in GOES}
        assert lab.index(agent).read_bytes() == as_openclaw_writes(kept)
        assert lab.index(agent).stat().st_mode & 0o777 == 0o600

    lab.start()
    with lab.rpc() as rpc:
        assert rows(rpc) == without(listed, *GOES)
        again = create(rpc, *GOES)
        assert not set(again.values()) & set(ids.values())
        assert set(rows(rpc)) == set(listed)


def as_openclaw_writes(entries: object) -> bytes:
    return json.dumps(entries, indent=2, ensure_ascii=False).encode()


@pytest.mark.depth("2026.5.7")
def test_a_closed_key_is_free_again_and_can_be_closed_as_often_as_it_is_used(shared: Lab) -> None:
    key = "agent:project-lead:project-phoenix"
    with shared.rpc() as rpc:
        for _ in range(2):
            name = create(rpc, key)[key]
            files = digests(shared)
            first = run(shared, "close-project", "--delete", "phoenix")
            assert (first.code, first.statuses()) == (0, {key: "closed"}), first
            assert first.rows[key]["sessionId"] == name
            assert key not in rows(rpc)
            archived = change(files, digests(shared)).archived
            assert first.rows[key]["archives"] == [str(shared.state / path) for path in archived.values()]
            assert [Path(path).name for path in archived] == [f"{name}.jsonl"]

            files = digests(shared)
            second = run(shared, "close-project", "--delete", "phoenix")
            assert (second.code, second.statuses()) == (0, {key: "already_closed"}), second
            assert digests(shared) == files


def test_a_key_that_was_never_there_is_not_found(shared: Lab) -> None:
    files = digests(shared)
    result = run(shared, "close-project", "--delete", "never-seen-anywhere")
    assert result.code == 1, result
    assert [row["status"] for row in result.json["results"]] == ["not_found"]
    assert digests(shared) == files


@pytest.mark.depth("2026.9.6")
def test_main_sessions_are_refused(lab: Lab) -> None:
    mains = ["agent:main:main", "agent:project-lead:main"]
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, *mains)
    for state in ("running", "stopped"):
        if state == "stopped":
            lab.stop()
        before = everything(lab)
        for words in (mains, ["main", "agent:main:main"], ["--force", "--yes", *mains]):
            result = run(lab, "close-project-batch", "--delete", *words)
            assert result.code == 3, (state, result)
            assert result.statuses() == dict.fromkeys(mains, "refused")
            assert {row["reason"] for row in result.rows.values()} == {"main"}
            assert everything(lab) == before
        assert all(set(lab.entries(agent)) == {f"agent:{agent}:main"} for agent in AGENTS)


@pytest.mark.depth("2026.9.6")
def test_keep_only_closes_the_rest_of_one_agent(lab: Lab) -> None:
    keep_only(lab, is_running=True)


@pytest.mark.depth
@pytest.mark.openclaw("files")
def test_keep_only_closes_the_rest_of_one_agent_while_the_gateway_is_stopped(lab: Lab) -> None:
    keep_only(lab, is_running=False)


def keep_only(lab: Lab, *, is_running: bool) -> None:
    kept = ["agent:project-lead:main", "agent:project-lead:project-wanted", "agent:project-lead:needed"]
    goes = [
        "agent:project-lead:old",
        "agent:project-lead:project-needed-not",
        "agent:project-lead:project-old",
    ]
    others = ["agent:main:main", "agent:main:old"]
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, *kept, *goes, *others)
        listed = rows(rpc)
    if not is_running:
        lab.stop()
    before = settled(lab)

    unknown = run(lab, "keep-only-sessions", "--delete", "wanted", "neeeded")
    assert unknown.code == 3, unknown
    assert [row["status"] for row in unknown.json["results"]] == ["not_found"]
    assert digests(lab) == before
    assert not (lab.state / "session-closer").exists()

    result = run(lab, "keep-only-sessions", "--delete", "wanted", kept[2])
    assert result.code == 0, result
    assert result.statuses() == dict.fromkeys(goes, "closed")
    change(before, digests(lab))
    if not is_running:
        lab.start()
    with lab.rpc() as rpc:
        assert rows(rpc) == without(listed, *goes)


@pytest.mark.parametrize(
    ("words", "code", "predicted"),
    [
        (["rehearsed", DELTA], 0, {"agent:project-lead:rehearsed": "would_close", DELTA: "would_close"}),
        (
            ["rehearsed", "main"],
            1,
            {"agent:project-lead:rehearsed": "would_close", "agent:project-lead:main": "refused"},
        ),
        (["main"], 3, {"agent:project-lead:main": "refused"}),
    ],
    ids=["all-good", "one-refused", "all-refused"],
)
def test_a_dry_run_changes_nothing_and_says_what_the_real_run_does(
    shared: Lab, words: list[str], code: int, predicted: dict[str, str]
) -> None:
    rehearse(shared, words, code, predicted)


@pytest.mark.openclaw("files")
def test_a_dry_run_of_an_edit_below_a_gateway_changes_nothing(shared: Lab) -> None:
    words = ["rehearsed", "--via", "files", "--no-restart"]
    rehearse(shared, words, 0, {"agent:project-lead:rehearsed": "would_close"})


def rehearse(shared: Lab, words: list[str], code: int, predicted: dict[str, str]) -> None:
    """Run a command dry and then in earnest."""
    with shared.rpc() as rpc:
        create(rpc, "agent:project-lead:rehearsed", "agent:project-lead:main", DELTA)
        listed = rows(rpc)
        before = everything(shared)

        dry = run(shared, "close-project-batch", "--delete", "--dry-run", *words)

        assert everything(shared) == before
        assert rows(rpc) == listed
        assert (dry.code, dry.statuses()) == (code, predicted), dry
        assert dry.json["dryRun"] is True

        real = run(shared, "close-project-batch", "--delete", *words)
        assert real.code == code, real
        done = {key: status.replace("would_close", "closed") for key, status in predicted.items()}
        assert real.statuses() == done
        closed = [key for key, status in done.items() if status == "closed"]
        assert rows(rpc) == without(listed, *closed)


@pytest.mark.openclaw("files")
def test_archived_companions_are_counted_by_nobody(shared: Lab) -> None:
    key = "agent:main:costly"
    with shared.rpc() as rpc:
        name = create(rpc, key)[key]
        transcript = shared.transcript("main", key)
        answer = {
            "type": "message",
            "id": "costly",
            "parentId": None,
            "timestamp": "2026-01-02T03:04:05.000Z",
            "message": {
                "role": "assistant",
                "content": [{"type": "text", "text": "dear"}],
                "provider": "silent",
                "model": "silent",
                "usage": {"input": 1000, "output": 100, "totalTokens": 1100},
                "timestamp": 1767323045000,
            },
        }
        with transcript.open("a") as file:
            file.write(json.dumps(answer) + "\n")
        for companion in shared.add_companions("main", key):
            if companion.endswith(".jsonl"):
                transcript.with_name(companion).write_bytes(transcript.read_bytes())

        assert run(shared, "close-project", "--delete", "--session-key", key).code == 0

        def counted() -> dict[str, int]:
            usage = rpc("sessions.usage", startDate="2026-01-01", endDate="2026-01-03", limit=1000)
            return {row["sessionId"]: row["usage"]["totalTokens"] for row in usage["sessions"] if row.get("usage")}

        # Later versions count in the background and answer with what they have.
        wait_until(lambda: name in counted(), 60, "the count")
        assert {other: tokens for other, tokens in counted().items() if name in other} == {name: 1100}


@pytest.mark.openclaw("files")
def test_a_file_store_knows_no_archived_sessions(shared: Lab) -> None:
    key = "agent:project-lead:project-hidden"
    with shared.rpc() as rpc:
        create(rpc, key)
        before = everything(shared)
        for words in ([], ["--dry-run"]):
            refused = run(shared, "close-project", "--archive", *words, "hidden")
            assert (refused.code, refused.json["error"]["name"]) == (3, "no_archive"), refused
            assert everything(shared) == before
