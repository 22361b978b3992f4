"""The database that all agents share, with cron jobs and worktrees as OpenClaw 2026.9.6 keeps them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support_moments import BORN

HOUR_MS = 3_600_000
# As `select sql from sqlite_master` shows them, without the columns that nobody here looks at.
SCHEMA = """
create table cron_jobs (
  store_key text not null, job_id text not null, name text not null, enabled integer not null, agent_id text,
  job_json text not null, state_json text not null default '{}', updated_at integer not null,
  primary key (store_key, job_id)
);
create table worktrees (
  id text not null primary key, repo_root text not null, path text not null, branch text not null,
  owner_kind text not null, owner_id text, snapshot_ref text, provisioned_paths_json text,
  created_at integer not null, removed_at integer
);
"""


class Refused(Exception):
    """The gateway refuses a call."""


@contextlib.contextmanager
def shared(state: str | Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to the database, made where there is none."""
    path = Path(state, "state", "openclaw.sqlite")
    fresh = not path.exists()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        if fresh:
            connection.executescript(SCHEMA)
            path.chmod(0o600)
        yield connection


def add_job(state: str | Path, name: str, **more: Any) -> str:
    """Add a cron job that is on, unless told otherwise; return its id."""
    job = {"id": f"job-{name}", "name": name, "agentId": "project-lead", "enabled": True, "createdAtMs": BORN, **more}
    with shared(state) as connection:
        connection.execute(
            "insert into cron_jobs values ('jobs', ?, ?, ?, ?, ?, ?, ?)",
            (job["id"], name, job["enabled"], job["agentId"], json.dumps(job),
             json.dumps({"nextRunAtMs": BORN + HOUR_MS}), BORN),
        )  # fmt: skip
    return str(job["id"])


def jobs(state: str | Path) -> dict[str, bool]:
    """Return which jobs are on, by name."""
    with shared(state) as connection:
        return {row["name"]: bool(row["enabled"]) for row in connection.execute("select * from cron_jobs")}


def cron(state: str | Path, method: str, params: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Do what the gateway does on `cron.get` and `cron.update`."""
    with shared(state) as connection:
        row = connection.execute("select * from cron_jobs where job_id = ?", (params["id"],)).fetchone()
        if row is None:
            raise Refused(f"unknown cron job id: {params['id']}")
        job = {**json.loads(row["job_json"]), "updatedAtMs": row["updated_at"], "state": json.loads(row["state_json"])}
        if method == "cron.get":
            return {**job, "configRevision": str(row["updated_at"])}
        if params.get("expectedConfigRevision") not in (None, str(row["updated_at"])):
            raise Refused("cron job definition no longer matches the loaded version")
        job |= {**params["patch"], "updatedAtMs": now}
        job["state"] = {"nextRunAtMs": now + HOUR_MS} if job["enabled"] else {}
        kept = {name: value for name, value in job.items() if name not in ("updatedAtMs", "state")}
        connection.execute(
            "update cron_jobs set enabled = ?, job_json = ?, state_json = ?, updated_at = ? where job_id = ?",
            (job["enabled"], json.dumps(kept), json.dumps(job["state"]), now, params["id"]),
        )
        return job


def add_worktree(state: str | Path, name: str, path: Path, *provisioned: str) -> None:
    """Record a managed worktree."""
    with shared(state) as connection:
        connection.execute(
            "insert into worktrees values (?, ?, ?, ?, 'session', null, null, ?, ?, null)",
            (name, str(path), str(path), f"openclaw/{name}", json.dumps(provisioned), BORN),
        )
