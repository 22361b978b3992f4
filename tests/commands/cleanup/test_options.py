"""Which rows --fix-missing, --fix-dm-scope and the limits take, and which they never do."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cleanup import (
    ALL_KINDS,
    BARE_RUN,
    DAY,
    OLD_CHILD,
    OLD_RUN,
    YOUNG_RUN,
    actions,
    ago,
    clean,
    gone,
    put,
    strange,
    summary,
)
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import write

# Rows whose transcript is gone


def test_rows_whose_transcript_is_gone_go_and_nothing_else(filled: Store) -> None:
    keys = [LEAD + "gone", LEAD + "only-companion", LEAD + "just-made", LEAD + "gone-elsewhere", LEAD + "telegram:dm:5"]
    for key in keys:
        put(filled, key, 60.0 if "just" in key else DAY)
    for key in keys:
        Path(filled.entries()[key]["sessionFile"]).unlink()
    companion = filled.transcript(session_id(f"project-lead {LEAD}only-companion") + ".trajectory.jsonl")
    filled.add((keys[3], {**filled.entries()[keys[3]], "sessionFile": "/nowhere/at-all.jsonl"}))
    filled.add((LEAD + "no-id", {"updatedAt": ago(DAY)}))
    topics = put(filled, LEAD + "topics", DAY)
    Path(filled.entries()[LEAD + "topics"]["sessionFile"]).unlink()
    filled.transcript(f"{topics}-topic-4.jsonl")
    answer = clean(filled, "--only", "fix-missing")
    assert gone(answer) == {LEAD + "gone", LEAD + "only-companion"}
    assert {row["action"] for row in answer.data["results"]} == {"prune-missing"}
    assert (summary(answer)["missing"], summary(answer)["spared"]) == (2, {"direct": 1})
    assert not companion.exists()


# Direct messages that dmScope has left behind


DIRECT = [LEAD + tail for tail in ("direct:anna", "telegram:direct:4711", "telegram:work:direct:4711")]
NO_PEER = [LEAD + "telegram:dm:5", LEAD + "subagent:direct:x", LEAD + "hook:direct:y", LEAD + "a:b:c:direct:z"]


@pytest.mark.parametrize("scope", [None, "main", "per-peer", "per-channel-peer", "per-account-channel-peer"])
def test_peers_rows_go_only_where_direct_messages_share_the_main_session(filled: Store, scope: str | None) -> None:
    if scope is not None:
        filled.configure(session={"dmScope": scope})
    for key in (*DIRECT, *NO_PEER):
        put(filled, key, 60)
    put(filled, LEAD + "signal:direct:pinned", 60, pinnedAt=1)
    put(filled, LEAD + "signal:direct:busy", 60)
    put(filled, LEAD + "signal:direct:active", 60)
    put(filled, LEAD + "signal:direct:silent", DAY, spoken=False)
    filled.lock_transcript(LEAD + "signal:direct:busy")
    rules = ("--only", "fix-dm-scope,fix-missing")
    answer = clean(filled, *rules, "--active-key", LEAD + "signal:direct:active")
    assert answer.code == 0
    if scope not in (None, "main"):
        assert answer.data["results"] == []
        assert scope in answer.data["warnings"][0]
        return
    assert gone(answer) == {*DIRECT, LEAD + "signal:direct:silent"}
    assert summary(answer)["dmScopeRetired"] == 4
    assert summary(answer)["spared"] == {"active": 1, "pinned": 1, "running": 1}


def test_a_peer_s_row_goes_by_no_other_rule(filled: Store) -> None:
    put(filled, DIRECT[0], 400 * DAY, spoken=False)
    stale = [word for kind in ALL_KINDS for word in ("--stale", f"{kind}=0s")]
    clean(filled, *stale, "--fix-missing", "--max-entries", "1", "--max-disk", "1", "--yes")
    assert DIRECT[0] in filled.listed()


# Limits


def test_the_oldest_above_a_number_go_and_durable_ones_count(filled: Store) -> None:
    lead = ("--agent", "project-lead", "--only", "max-entries")
    total = len(filled.listed())
    answer = clean(filled, *lead, "--max-entries", str(total - 3))
    # Of the same age, the first in the file goes first.
    assert gone(answer) == {LEAD + "kelly", LEAD + "hook:mail", OLD_CHILD}
    assert {row["action"] for row in answer.data["results"]} == {"cap-overflow"}
    assert (summary(answer)["capped"], summary(answer)["afterCount"]) == (3, total - 3)
    assert clean(filled, *lead, "--max-entries", str(total - 3)).data["results"] == []


def test_what_is_stale_makes_room_before_a_number_does(filled: Store) -> None:
    total = len(filled.listed())
    answer = clean(filled, "--agent", "project-lead", "--stale", "cron-run=24h", "--max-entries", str(total - 2))
    assert actions(answer) == {
        ("project-lead", OLD_RUN, "prune-stale"),
        ("project-lead", BARE_RUN, "prune-stale"),
    }


def test_rows_of_unknown_age_are_not_taken_for_room(filled: Store) -> None:
    keys = strange(filled)
    assert gone(clean(filled, "--max-entries", "1", "--max-disk", "1b", "--only", "max-entries,max-disk")).isdisjoint(
        keys
    )
    assert gone(clean(filled, "--max-entries", "1", "--only", "max-entries", "--unknown-age-is-old")) == keys


def size_of(store: Store, *keys: str) -> int:
    return sum(Path(store.entries()[key]["sessionFile"]).stat().st_size for key in keys)


def weigh(store: Store, key: str, count: int) -> None:
    path = Path(store.entries()[key]["sessionFile"])
    write(path, "x" * count)


def test_the_oldest_go_until_the_transcripts_fit(filled: Store) -> None:
    for key, count in ((LEAD + "kelly", 50_000), (OLD_CHILD, 30_000), (YOUNG_RUN, 9_000)):
        weigh(filled, key, count)
    total = size_of(filled, *filled.listed())
    kelly, hook = LEAD + "kelly", LEAD + "hook:mail"
    limit = total - 50_000 - size_of(filled, hook) - 1
    answer = clean(filled, "--agent", "project-lead", "--max-disk", f"{limit}b", "--only", "max-disk")
    assert gone(answer) == {kelly, hook, OLD_CHILD}
    assert {row["action"] for row in answer.data["results"]} == {"evict-budget"}
    left = size_of(filled, *filled.listed())
    assert summary(answer)["diskBudget"] == {
        "totalBytesBefore": total,
        "totalBytesAfter": left,
        "removedEntries": 3,
        "maxBytes": limit,
        "overBudget": False,
    }
    assert next(row["bytes"] for row in answer.data["results"] if row["key"] == kelly) == 50_000
    tight = clean(filled, "--agent", "project-lead", "--max-disk", "1b", "--only", "max-disk", "--dry-run")
    assert summary(tight)["diskBudget"]["overBudget"] is True


def test_a_transcript_of_two_rows_is_weighed_once(filled: Store) -> None:
    """The template of a cron job and its last run share one: taking the run would free nothing."""
    twin = LEAD + "cron:nightly:run:twin"
    put(filled, twin, 500 * DAY, like=LEAD + "cron:nightly")
    weigh(filled, LEAD + "cron:nightly", 100_000)
    assert clean(filled, "--agent", "project-lead", "--max-disk", "150000b", "--only", "max-disk").data["results"] == []


def test_what_stays_of_a_session_counts_for_none_of_its_bytes(filled: Store) -> None:
    user = filled.session("user")
    shared, key = Path(user["sessionFile"]), LEAD + "subagent:shared"
    write(shared, "x" * 1000)
    run = filled.session("shared-run", updatedAt=ago(30 * DAY))
    own = Path(run["sessionFile"]).stat().st_size
    filled.add((key, {**run, "sessionFile": str(shared)}), (LEAD + "user", {**user, "updatedAt": ago(60.0)}))
    for words in (("--dry-run",), ()):
        answer = clean(filled, "--stale", "subagent=1d", *words)
        [row] = [row for row in answer.data["results"] if row["key"] == key]
        assert (row["left"], row["bytes"]) == ([str(shared)], own)
