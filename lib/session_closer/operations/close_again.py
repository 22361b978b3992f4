"""Undo a restore: close what it has brought back, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..core.keys import Target
from ..core.report import Outcome
from ..core.status import Status
from ..core.wish import Wish
from ..journal import receipts
from ..journal.source import ChosenSession, Source
from ..ports.past import Past


def wish(past: Past, source: Source, wanted: Sequence[str], operation: str) -> tuple[Wish, list[Outcome]]:
    """Return the wish that undoes a restore, and a row for each session that it cannot be undone for."""
    chosen, unknown = receipts.select(source, wanted, ("restored",))
    before = [past.keys_before(store) for store in source.stores]
    snapshot = cache(past.snapshot)
    targets, others = [], []
    for one in chosen:
        # A restore puts no file away.
        assert isinstance(one, ChosenSession)
        agent, session = one.store.agent, one.session
        now = None if session.key in before[one.at] else snapshot(agent).sessions.get(session.key)
        why = ""
        if session.key in before[one.at]:
            why = "it was there before the restore, which brought only its files back"
        elif now is not None and now.session_id != session.session_id:
            why = "the key is in use again, by another session"
        if why:
            others.append(Outcome(one.given, agent, session.key, Status.CONFLICT, None, session.session_id, error=why))
        else:
            targets.append(Target(one.given, agent, (session.key,)))
    # Only what the restore has brought back is closed, whatever else the words could stand for.
    absent = "the run brought no session of this name back"
    others += [Outcome(name, "", name, Status.NOT_FOUND, error=absent) for name in unknown]
    return Wish(operation, tuple(targets)), others
