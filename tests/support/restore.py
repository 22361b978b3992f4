"""Close and restore sessions, and see what is where before and after."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from session_closer.cli.commands.close_project_batch import CloseProjectBatch

from support.commands import Answer, run_json
from support.keys import LEAD, RESEARCHER
from support.service import Service
from support.sqlite import CRON_RUN, Bases
from support.stores import Store

KELLY, LEGACY = LEAD + "kelly-dashboard", LEAD + "project-kelly-dashboard"
ALPHA, REVIEW, TOPICS = LEAD + "alpha", LEAD + "alpha-review", LEAD + "topics"
READER = "agent:researcher:kelly-dashboard"
# Companions, topics, a legacy and a bare key, an older transcript, a shared one, none at all, two agents.
MANY = ("kelly-dashboard", "topics", "invoices", "after-reset", ALPHA, REVIEW, "never-spoken", READER)
MANY_KEYS = {KELLY, LEGACY, TOPICS, "project-invoices", LEAD + "after-reset", ALPHA, REVIEW,
             LEAD + "never-spoken", READER}  # fmt: skip


def close(store: Store, *words: str) -> dict[str, Any]:
    """Close sessions; the answer, all of it closed."""
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert answer.code == 0, answer
    return answer.data


def rows(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in answer.data["results"]}


def statuses(answer: Answer) -> dict[str, str]:
    return dict(answer.rows)


def receipt_of(store: Store, data: dict[str, Any]) -> str:
    """Return the id of the receipt of an answer, which is there."""
    path = Path(data["receipt"])
    assert path.parent == store.state / "session-closer" / "receipts"
    return path.stem


def ends(store: Store, key: str = KELLY, ending: str = ".jsonl") -> tuple[Path, Path]:
    """Return the live name and the archive of that file of a closed session which has this behind its id."""
    (session,) = [s for each in store.receipts()[0]["stores"] for s in each["sessions"] if s["key"] == key]
    (found,) = [move for move in session["moves"] if move["source"] == session["sessionId"] + ending]
    folder = store.folder(key.split(":")[1])
    return folder / found["source"], folder / found["target"]


def edit_receipt(store: Store, change: Any) -> Path:
    """Rewrite the only receipt; return its path."""
    (path,) = (store.state / "session-closer" / "receipts").iterdir()
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))
    return path


def purged(store: Store) -> None:
    ends(store)[1].unlink()


def backup_of(store: Store) -> Path:
    (found,) = store.backups()
    return found


DAY = timedelta(days=1)
BETA, GAMMA, PUT_AWAY, SILENT = LEAD + "beta", RESEARCHER + "gamma", LEAD + "put-away", LEAD + "never-spoken"
ROWS = (ALPHA, BETA, CRON_RUN, SILENT, GAMMA)
# One of them was archived before it was deleted.
DELETED = (*ROWS, PUT_AWAY)


class Down(NamedTuple):
    """Databases whose gateway was stopped after it had deleted sessions."""

    bases: Bases
    service: Service
    closed: Answer
    before: dict[str, Any]

    @property
    def store(self) -> Store:
        return self.bases.store

    def archive(self, key: str) -> Path:
        """Return the archive of a session's transcript."""
        name = self.before["project-lead"][0][key][0]["sessionId"]
        (found,) = [path for path in self.bases.archives() if path.name.startswith(name)]
        return found

    def files(self, agent: str = "project-lead") -> set[str]:
        """Return what lies in an agent's sessions folder but archives."""
        return {name for name in self.store.names(agent) if ".jsonl.deleted." not in name}


def held(bases: Bases) -> dict[str, Any]:
    """Return the entries and the transcripts of all agents: an importer may write an entry's text anew."""
    return {
        agent: (
            {key: (json.loads(row["entry_json"]), row["archived_at"]) for key, row in bases.rows(agent).items()},
            bases.events(agent),
        )
        for agent in ("project-lead", "researcher")
    }
