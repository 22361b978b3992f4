"""Cleaning up: what OpenClaw's own rules take is taken, what is in use stays, and a database is not overwhelmed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .gateway import Rpc, wait_until
from .install import Install
from .lab import AGENTS, Lab, Result, create, end_run, has_run, laboratory, run, start_run
from .meanwhile import meanwhile
from .snapshots import change, digests, everything, rows, settled, without
from .stores import DATABASE

pytestmark = pytest.mark.live

HOUR, DAY = 3600.0, 86_400.0
STALE = (
    "agent:main:cron:job:run:1",
    "agent:main:cron:job:run:2",
    "agent:main:subagent:idle",
    "agent:project-lead:cron:job:run:3",
    "agent:project-lead:subagent:idle",
)
PINNED = "agent:main:subagent:pinned"
BUSY = "agent:project-lead:subagent:busy"
# Of kinds that the policy does not name, all of them as old as the stale ones.
OLD = (
    "agent:main:main",
    "agent:main:cron:job",
    "agent:main:telegram:group:family",
    "agent:main:telegram:direct:aunt",
    "agent:project-lead:main",
    "agent:project-lead:project-old",
)
YOUNG = ("agent:main:cron:job:run:4", "agent:project-lead:subagent:young")
# Agents of single tests.
BULK, SHELF = "bulk", "shelf"
MANY = 150
EXPIRED = "agent:shelf:expired"


@pytest.fixture(scope="module")
def aged(install: Install) -> Iterator[Lab]:
    """A lab with a running gateway, and sessions of all kinds, many of which have been idle for three days."""
    with laboratory(install) as lab:
        lab.agents = AGENTS if lab.era == "files" else (*AGENTS, BULK, SHELF)
        lab.configure()
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, *STALE, PINNED, BUSY, *OLD, *YOUNG)
            if lab.era == "sqlite":
                (template,) = create(rpc, f"agent:{BULK}:cron:job:run:0")
                create(rpc, EXPIRED)
                rpc("sessions.delete", key=EXPIRED, deleteTranscript=True)
        settled(lab)
        if lab.era == "files":
            for agent in AGENTS:
                lab.write_entries(agent, {key: older(key, entry) for key, entry in lab.entries(agent).items()})
        else:
            lab.stop()
            for agent in (*AGENTS, BULK):
                with writing(lab, agent) as connection:
                    for key, entry in lab.entries(agent).items():
                        replace(connection, key, older(key, entry))
            with writing(lab, BULK) as connection:
                multiply(connection, template, [f"{template[:-1]}{number}" for number in range(1, MANY)])
            expire(lab)
            lab.start()
        yield lab


def older(key: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry that has been idle for three days, or half a day among the many, but for the young ones."""
    days = 0.5 if key.startswith(f"agent:{BULK}:") else 3.0
    then = entry["updatedAt"] - round(days * DAY * 1000)
    pinned = {"pinnedAt": then} if key == PINNED else {}
    return {**entry, **pinned, "updatedAt": entry["updatedAt"] if key in YOUNG else then}


@contextlib.contextmanager
def writing(lab: Lab, agent: str) -> Iterator[sqlite3.Connection]:
    """Open the database of a gateway that is stopped, to prepare what would take days."""
    path = lab.state / "agents" / agent / "agent" / DATABASE
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        # A trigger of OpenClaw's calls what SQLite has from 3.43 on.
        connection.create_function("octet_length", 1, lambda value: len(str(value).encode()), deterministic=True)
        with connection:
            yield connection


def replace(connection: sqlite3.Connection, key: str, entry: Mapping[str, Any]) -> None:
    values = [json.dumps(entry), entry["updatedAt"], entry.get("pinnedAt"), key]
    statement = "update session_nodes set entry_json = ?, updated_at = ?, pinned_at = ? where session_key = ?"
    assert connection.execute(statement, values).rowcount == 1


def multiply(connection: sqlite3.Connection, template: str, keys: Sequence[str]) -> None:
    """Copy a session under other keys, with its transcript."""
    query = "select current_session_id from session_nodes where session_key = ?"
    (old,) = connection.execute(query, [template]).fetchone()
    tables = {"session_nodes": "session_key", "session_windows": "session_key", "transcript_events": "session_id"}
    found = {
        table: [
            dict(row) for row in connection.execute(f"select * from {table} where {column} in (?, ?)", [template, old])
        ]
        for table, column in tables.items()
    }
    for key in keys:
        new = str(uuid.uuid4())
        for table, records in found.items():
            for record in records:
                values = [
                    value.replace(old, new).replace(template, key) if isinstance(value, str) else value
                    for value in record.values()
                ]
                marks = ", ".join("?" * len(values))
                connection.execute(f"insert into {table} ({', '.join(record)}) values ({marks})", values)


def expire(lab: Lab) -> None:
    """Make the archive of a deleted session forty days old."""
    (archive,) = lab.sessions(SHELF).glob("*.zst")
    name = re.sub(
        r"deleted\.\d{4}-\d\d-\d\d",
        time.strftime("deleted.%Y-%m-%d", time.gmtime(time.time() - 40 * DAY)),
        archive.name,
    )
    archive.rename(archive.with_name(name))
    with writing(lab, SHELF) as connection:
        statement = "update session_transcript_archives set archive_name = ?, created_at = created_at - ?"
        assert connection.execute(statement, [name, round(40 * DAY * 1000)]).rowcount == 1


def clean(lab: Lab, *words: str) -> Result:
    """Clean up although the configuration says to warn only; the answer has all rows."""
    return run(lab, "cleanup-sessions", "--enforce", "--verbose", *words)


def summaries(result: Result) -> dict[str, dict[str, Any]]:
    """Return the summary of each agent's store."""
    return {str(store["agent"]): store for store in result.json["stores"]}


def kept(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return the entries of the two agents that all versions have here."""
    return {key: entry for agent in AGENTS for key, entry in lab.entries(agent).items()}


@pytest.mark.depth("2026.5.7")
def test_a_dry_run_of_all_rules_leaves_every_byte_alone(aged: Lab) -> None:
    ages = [f"--stale={kind}=1s" for kind in ("cron-run", "subagent", "project")]
    rules = [
        "--orphans=1s",
        "--fix-missing",
        "--fix-dm-scope",
        "--max-entries=1",
        "--max-disk=1b",
        "--expire-archives=1h",
    ]
    settled(aged)
    before = everything(aged)
    result = clean(aged, "--dry-run", "--all-agents", "--yes", *ages, *rules)
    assert result.code == 0, result
    assert {"agent:project-lead:project-old", *YOUNG} <= set(result.statuses())
    # What a machine has made is freed, what a person may go on with is archived where there is an archive.
    put_away = "would_close" if aged.era == "files" else "would_archive"
    assert result.statuses()["agent:project-lead:project-old"] == put_away
    assert set(result.statuses().values()) <= {"would_close", put_away, "would_expire"}
    assert everything(aged) == before
    # Where OpenClaw is told to warn only, so are we.
    warned = run(aged, "cleanup-sessions", "--maintenance")
    assert (warned.code, warned.json["dryRun"], warned.json["receipt"]) == (0, True, None), warned
    assert any("session.maintenance.mode is warn" in warning for warning in warned.json["warnings"])
    assert everything(aged) == before


def apart(found: Mapping[str, Any], rpc: Rpc) -> dict[str, Any]:
    """Return what was found, by key or path, without the session that runs and writes."""
    name = str(rpc("sessions.describe", key=BUSY)["session"]["sessionId"])
    return {what: value for what, value in found.items() if BUSY not in what and name not in what}


def test_what_is_stale_goes_nothing_else_and_comes_back(aged: Lab) -> None:
    with aged.rpc() as rpc:
        start_run(rpc, aged, "project-lead", BUSY)
        files, before, listed = apart(settled(aged), rpc), apart(kept(aged), rpc), apart(rows(rpc), rpc)
        looks: list[Result] = []

        def is_idle() -> bool:
            """Tell whether a second has passed since the gateway wrote of the run, which it does now and then."""
            looks.append(clean(aged, "--dry-run", "--all-agents", "--stale=subagent=1s", "--active-key", STALE[2]))
            return bool(summaries(looks[-1])["project-lead"]["spared"])

        wait_until(is_idle, 60, "a look a second after the last sign of the run")
        young = looks[-1]
        spared = {agent: store["spared"] for agent, store in summaries(young).items()}
        assert (spared["main"], spared["project-lead"]) == ({"active": 1, "pinned": 1}, {"running": 1})
        assert not {BUSY, PINNED, STALE[2]} & set(young.rows)

        with aged.restarting(0):
            result = clean(aged, "--all-agents")

        assert (result.code, result.statuses()) == (0, dict.fromkeys(STALE, "closed")), result
        assert {row["action"] for row in result.rows.values()} == {"prune-stale"}
        assert summaries(result)["main"]["spared"] == {"pinned": 1}
        assert apart(kept(aged), rpc) == {key: entry for key, entry in before.items() if key not in STALE}
        assert len(change(files, apart(settled(aged), rpc)).archived) == len(STALE)
        # A cron run is in no list of the gateway.
        assert apart(rows(rpc), rpc) == without(listed, *(key for key in STALE if key in listed))
        assert has_run(rpc, BUSY)
        again = clean(aged, "--all-agents")
        assert (again.code, again.json["results"], again.json["receipt"]) == (0, [], None), again
        end_run(rpc, aged, "project-lead", BUSY)

    check = ["--check"] if aged.era == "sqlite" else []
    restored = run(aged, "restore-sessions", Path(str(result.json["receipt"])).stem, *check)
    status = "would_restore" if check else "restored"
    assert (restored.code, restored.statuses()) == (0, dict.fromkeys(STALE, status)), restored
    if check:
        return
    assert {key: entry for key, entry in kept(aged).items() if key in STALE} == {key: before[key] for key in STALE}
    with aged.rpc() as rpc:
        assert {key for key in rows(rpc) if key in STALE} == {key for key in listed if key in STALE}
        assert all(f"message 0 of {key}" in str(rpc("chat.history", sessionKey=key)["messages"]) for key in STALE)


@pytest.mark.openclaw("sqlite")
def test_files_from_before_a_database_are_only_told_of(aged: Lab) -> None:
    strays = [aged.sessions("main") / name for name in (f"{uuid.uuid4()}.jsonl", f"{uuid.uuid4()}.jsonl")]
    for stray in strays:
        stray.parent.mkdir(mode=0o700, exist_ok=True)
        stray.write_text('{"type":"session","version":3}\n')
        os.utime(stray, (time.time() - 9 * DAY,) * 2)
    try:
        before = everything(aged)
        result = clean(aged, "--agent", "main", "--only", "orphans")
        assert (result.code, result.json["results"]) == (0, []), result
        assert any(f"{len(strays)} transcript files of agent main" in warning for warning in result.json["warnings"])
        assert everything(aged) == before
    finally:
        for stray in strays:
            stray.unlink()


@pytest.mark.openclaw("sqlite")
def test_an_old_archive_is_deleted_and_the_gateway_goes_on(aged: Lab) -> None:
    (archive,) = aged.sessions(SHELF).glob("*.zst")
    look = clean(aged, "--agent", SHELF, "--only=expire-archives", "--expire-archives=50d")
    assert (look.code, look.json["results"]) == (0, []), look
    result = clean(aged, "--agent", SHELF, "--only=expire-archives", "--expire-archives=30d")
    assert (result.code, [row["status"] for row in result.json["results"]]) == (0, ["expired"]), result
    assert not archive.exists()
    with aged.rpc() as rpc:
        (again,) = create(rpc, EXPIRED)
        assert again in rows(rpc)


@pytest.mark.openclaw("sqlite")
def test_hundreds_are_hidden_at_once_and_the_gateway_answers_meanwhile(aged: Lab) -> None:
    before = aged.entries(BULK)
    assert len(before) == MANY
    words = ["--agent", BULK, "--stale=cron-run=6h", "--archive"]
    answers: list[bool] = []
    with aged.rpc() as rpc:

        def ask() -> None:
            answers.append(rpc.raw("sessions.list", limit=10).get("ok") is True)

        with meanwhile(ask, 0.05, least=6):
            refused = clean(aged, *words)
            result = clean(aged, *words, "--yes")
    assert (refused.code, refused.json["error"]["name"]) == (3, "too_many"), refused
    assert (result.code, result.statuses()) == (0, dict.fromkeys(before, "archived")), result
    assert all(answers)
    assert all(entry["archivedAt"] for entry in aged.entries(BULK).values())
    restored = run(aged, "restore-sessions", "last", "--verbose")
    assert (restored.code, restored.statuses()) == (0, dict.fromkeys(before, "restored")), restored
    assert {key: undated(entry) for key, entry in aged.entries(BULK).items()} == {
        key: undated(entry) for key, entry in before.items()
    }


def undated(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without what archiving and taking back count as a change."""
    return {name: value for name, value in entry.items() if name != "updatedAt"}


class Kept(NamedTuple):
    """One generated session and what a rule may make of it; `age` in seconds, None where there is no usable time."""

    key: str
    kind: str
    entry: dict[str, Any]
    age: float | None
    transcript: str
    guard: str | None = None


KEYS = {
    "direct": "telegram:direct:{}", "group": "telegram:group:{}", "channel": "discord:channel:{}",
    "thread": "telegram:group:g:topic:{}", "cron": "cron:{}", "heartbeat": "{}:heartbeat",
    "cron-run": "cron:job:run:{}", "subagent": "subagent:{}", "hook": "hook:{}", "acp": "acp:{}",
    "dreaming": "dreaming-narrative-{}", "project": "project-{}", "other": "explicit:{}",
    "probe": "explicit:model-run-00000000-0000-0000-0000-000000000{}",
}  # fmt: skip
# People talk there: OpenClaw spares them, too.
TALKS = ("group", "channel", "thread")
# What OpenClaw takes by age, and we never.
DURABLE = ("main", "direct", "cron", "heartbeat")
COMMON = (*TALKS, "cron-run", "subagent", "hook", "acp", "dreaming", "project", "other")
MOST, YOUNG_SECONDS = 36, 600.0
SAID = (
    '{{"type":"session","version":3,"id":"{}"}}\n{{"type":"message","message":{{"role":"user","content":"hello"}}}}\n'
)
SILENT = '{{"type":"session","version":3,"id":"{}"}}\n'


def generate(lab: Lab, agent: str, *, common: bool) -> dict[str, Kept]:
    """Write a store of sessions of all kinds and ages; `common`: only such as both tools have the same rules for."""
    dice = random.Random(20261121 + common)
    ages = [HOUR, 30 * HOUR, 5 * DAY, 9.9 * DAY, 10.1 * DAY, 40 * DAY]
    kinds = [kind for kind in (COMMON if common else KEYS) for _ in range(6 if common else 4)]
    plain = [
        (kind, dice.choice(ages) * dice.uniform(0.995, 1.005), dice.choice(("said", "said", "gone"))) for kind in kinds
    ]
    made = [
        one(agent, kind, number, age, "said" if common and kind in TALKS else transcript)
        for number, (kind, age, transcript) in enumerate(plain, 100)
    ]
    if not common:
        odd = [("cron-run", None, "said"), ("subagent", -DAY, "said"), ("project", None, "gone")]
        odd += [("subagent", 60.0, "gone"), ("cron-run", 30.0, "gone"), ("hook", 5 * DAY, "silent")]
        made += [
            one(agent, *(kind, number, age, transcript)) for number, (kind, age, transcript) in enumerate(odd, 300)
        ]
        made += [one(agent, "subagent", 400 + at, 20 * DAY, what, "pinned") for at, what in enumerate(("said", "gone"))]
        made += [one(agent, "project", 500 + at, 20 * DAY, "said", "running") for at in range(2)]
        made.append(one(agent, "main", 600, 40 * DAY, "said"))
    dice.shuffle(made)
    lab.write_entries(agent, {row.key: row.entry for row in made})
    for row in made:
        name = str(row.entry["sessionId"])
        text = {"said": SAID, "silent": SILENT}.get(row.transcript)
        if text is not None:
            (lab.sessions(agent) / f"{name}.jsonl").write_text(text.format(name))
        if row.guard == "running":
            created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
            lock = {"pid": os.getpid(), "createdAt": created}
            (lab.sessions(agent) / f"{name}.jsonl.lock").write_text(json.dumps(lock))
    return {row.key: row for row in made}


def one(agent: str, kind: str, number: int, age: float | None, transcript: str, guard: str | None = None) -> Kept:
    rest = "main" if kind == "main" else KEYS[kind].format(number)
    entry: dict[str, Any] = {"sessionId": str(uuid.UUID(int=number))}
    if age is not None:
        entry["updatedAt"] = round((time.time() - age) * 1000)
    if guard == "pinned":
        entry["pinnedAt"] = entry["updatedAt"]
    return Kept(f"agent:{agent}:{rest}", kind, entry, age if age is not None and age >= 0 else None, transcript, guard)


def cell(key: str) -> str:
    """Return a key as OpenClaw's table shows it."""
    return key if len(key) <= 26 else f"{key[:16]}...{key[-6:]}"


def their_plan(lab: Lab, *words: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """Return what OpenClaw would do: a summary of each agent's store, and an action for each cell."""
    command = ("sessions", "cleanup", "--dry-run", "--all-agents", *words)
    with ThreadPoolExecutor() as pool:
        shown, told = pool.map(lambda more: lab.openclaw(*command, *more), ([], ["--json"]))
    assert (shown.returncode, told.returncode) == (0, 0), (shown, told)
    plans: dict[str, dict[str, str]] = {}
    for agent, table in re.findall(r"^Agent: (\S+)$(.*?)(?=^Agent: |\Z)", shown.stdout, re.DOTALL | re.MULTILINE):
        plans[agent] = {key: action for action, key in re.findall(r"^([a-z-]+) +(agent:\S+)", table, re.MULTILINE)}
    return {store["agentId"]: store for store in json.loads(told.stdout)["stores"]}, plans


def reason(row: Kept, theirs: str, ours: str) -> str:
    """Return why the two tools may differ over a session; AssertionError where nothing that we know of explains it."""
    if theirs == "prune-model-run":
        return "probe"
    if theirs == "prune-missing" and row.transcript == "silent":
        return "silent"
    if ours == "keep":
        if row.guard is not None:
            return row.guard
        if row.kind in DURABLE or (row.kind in TALKS and theirs == "prune-missing"):
            return "durable"
        if theirs == "prune-missing" and row.age is not None and row.age < YOUNG_SECONDS:
            return "young"
        if theirs in ("cap-overflow", "prune-missing") and row.age is None:
            return "unknown-age"
    if (theirs, ours) == ("keep", "cap-overflow"):
        return "counted"
    raise AssertionError(f"{row}: OpenClaw says {theirs}, we say {ours}")


def is_free(row: Kept) -> bool:
    """Tell whether a rule may take a session at all."""
    return row.guard is None and row.kind not in (*DURABLE, *TALKS)


@pytest.mark.openclaw("files")
def test_what_goes_is_what_openclaw_would_take_but_for_what_is_in_use(lab: Lab) -> None:
    stores = {"main": generate(lab, "main", common=False), "project-lead": generate(lab, "project-lead", common=True)}
    config = json.loads((lab.state / "openclaw.json").read_bytes())
    config["session"]["maintenance"] = {"mode": "enforce", "pruneAfter": "10d", "maxEntries": MOST}
    (lab.state / "openclaw.json").write_text(json.dumps(config))
    dm = ["--fix-dm-scope"] if lab.install.version == "2026.7.35" else []
    stale = [
        f"--stale={kind}=10d"
        for kind in ("hook", "dreaming", "acp", "probe", "project", "other", "cron-orphan", "cron-run", "subagent")
    ]
    before = digests(lab)
    why: Counter[str] = Counter()
    for theirs, ours in (
        ([], ["--maintenance"]),
        (["--fix-missing", *dm], ["--fix-missing", *dm, *stale, f"--max-entries={MOST}"]),
    ):
        their_summaries, plans = their_plan(lab, *theirs)
        result = run(lab, "cleanup-sessions", "--dry-run", "--verbose", "--all-agents", "--yes", *ours)
        assert result.code == 0, result
        for agent, made in stores.items():
            mine = {key: str(result.rows[key]["action"]) if key in result.rows else "keep" for key in made}
            assert len({cell(key) for key in made}) == len(made) == len(plans[agent])
            pairs = {key: (plans[agent][cell(key)], mine[key]) for key in made}
            summary, their_summary = summaries(result)[agent], their_summaries[agent]
            names = ["beforeCount", "afterCount", "pruned", "capped", "missing", *(["dmScopeRetired"] if dm else [])]
            if agent == "project-lead":
                assert {key: pair for key, pair in pairs.items() if pair[0] != pair[1]} == {}
                assert [summary[name] for name in names] == [their_summary[name] for name in names]
                assert summary["pruned"] * summary["capped"] > 0, "a rule was not met: nothing was tested"
            else:
                reasons = {key: reason(made[key], *pair) for key, pair in pairs.items() if pair[0] != pair[1]}
                why.update(reasons.values())
                capped = [made[key].age or 0 for key, action in mine.items() if action == "cap-overflow"]
                free = [row.age for key, row in made.items() if mine[key] == "keep" and is_free(row) and row.age]
                assert summary["afterCount"] == MOST
                assert min(capped) > max(free)
        assert summaries(result)["project-lead"]["missing"] == 0 or theirs
    expected = {"durable", "pinned", "running", "young", "unknown-age", "counted"}
    assert set(why) == expected | ({"probe", "silent"} if dm else set())
    assert digests(lab) == before
