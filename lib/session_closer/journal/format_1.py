"""The receipts of versions that wrote session-closer/1, in the form of today (pure)."""

from __future__ import annotations

from typing import Any

from ..core.durable import SESSIONS

FORMAT = "session-closer/1"
# What the rows of an output had besides, which the durable form does not repeat.
_ROW = {"input": "given", "agent": "agent", "key": "key", "ok": "ok", "status": "status", "reason": "reason",
        "sessionId": "sessionId", "route": "route", "error": "error", "receipt": "receipt"}  # fmt: skip


def raised(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the old form in the new one; KeyError, TypeError or AttributeError where it is neither."""
    stores = [_store(dict(store)) for store in listed(record["stores"])]
    return {**record, "stores": stores, "results": [_ended(row) for row in listed(record["results"])]}


def listed(value: Any) -> list[Any]:
    """Return a list of a record; TypeError for anything else that can be gone through."""
    if not isinstance(value, list):
        raise TypeError("holds a list that is none")
    return value


def _ended(row: dict[str, Any]) -> dict[str, Any]:
    """Return what became of a target, which was a row of the output."""
    found = {name: row[old] for old, name in _ROW.items() if old in row}
    return {"sessionId": None, **found, "key": found["key"] or "", "late": "receipt" in row}


def _store(store: dict[str, Any]) -> dict[str, Any]:
    # There was one root, and every move was in it.
    store["roots"] = {SESSIONS: store.pop("transcripts")}
    # Written by versions that archived all sessions of a store, or none.
    hidden = store.pop("archive", False)
    if type(hidden) is not bool:
        raise TypeError("holds an archive that is none")
    if hidden:
        store["sessions"] = [{**session, "hidden": True} for session in listed(store["sessions"])]
    return store
