"""Cron jobs that are bound to what is closed: switched off with it where that was asked for, on again by the undo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ...core.actions import DISABLED, EXACT, KEPT
from ...core.effects import Attached, Effect, Lost
from ...core.errors import CloserError
from ...core.escape import plain
from ...core.status import PUT_AWAY, Status
from ...journal.record import Off, SessionRecord, StoreRecord
from ..gateway import connection
from ..gateway.link import CallRefused, Link, LinkLost, LinkRefused

if TYPE_CHECKING:
    from ...ports.share import Share
    from ...ports.undo import Item, Returns
    from ..gateway.connection import Gateway
    from ..installation import Installation

_CALL_SECONDS = 60.0
_PAGE, _PAGES = 200, 100
_ASKED = "operator.admin was asked for, to switch cron jobs"
_NO_ANSWER = (CallRefused, LinkRefused, LinkLost)
# Switches a job on, by what the close has recorded.
Ask = Callable[[Off, Sequence[Effect]], tuple[Lost | None, bool]]


class _Jobs:
    """The gateway's cron jobs, over a connection that may change them. Methods raise what a Link's `call` raises."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, name: str) -> dict[str, Any] | None:
        """Return a job, None where there is none of this id."""
        if self._link.has("cron.get"):
            try:
                return self._link.call("cron.get", {"id": name}, _CALL_SECONDS)
            except CallRefused as problem:
                if "unknown method" not in str(problem):
                    return next((job for job in self._all() if job.get("id") == name), None)
        return next((job for job in self._all() if job.get("id") == name), None)

    def _all(self) -> Iterator[dict[str, Any]]:
        for page in range(_PAGES):
            asked = {"includeDisabled": True, "limit": _PAGE, "offset": page * _PAGE}
            found = self._link.call("cron.list", asked, _CALL_SECONDS).get("jobs")
            jobs = [job for job in found if isinstance(job, dict)] if isinstance(found, list) else []
            yield from jobs
            if len(jobs) < _PAGE:
                return

    def switch(self, job: dict[str, Any], *, on: bool) -> int:
        """Switch a job, if it is still the one that was read; return its `updatedAtMs` then."""
        asked: dict[str, Any] = {"id": job["id"], "patch": {"enabled": on}}
        if isinstance(job.get("configRevision"), str):
            asked["expectedConfigRevision"] = job["configRevision"]
        self._link.call("cron.update", asked, _CALL_SECONDS)
        now = self.get(job["id"])
        if now is None or now.get("enabled") is not on or type(now.get("updatedAtMs")) is not int:
            raise CallRefused("it says that it has, and has not")
        return int(now["updatedAtMs"])


def _begin(here: Installation, gateway: Gateway, why: str) -> _Jobs:
    """Return the jobs, asking for an admin's rights; raises LinkRefused or LinkLost."""
    here.tell(f"asking the gateway for operator.admin: {why}")
    link = connection.admin(gateway)
    if _ASKED not in here.gateway.notes:
        here.gateway.notes.append(_ASKED)
    return _Jobs(link)


def bound(attached: Collection[Attached]) -> list[Attached]:
    """Return the cron jobs among what is attached to a session."""
    return [one for one in attached if one.kind == "cron-job"]


def switch_off(here: Installation, share: Share, keys: Collection[str]) -> None:
    """Switch off the jobs that are bound to these sessions, each noted ahead of that; what stays on is said."""
    rows = [row for row in share.rows if row.attached and row.key in keys]
    wanted = [(row.key, one) for row in rows for one in bound(row.attached) if one.off]
    if not wanted:
        return
    done: dict[str, Off] = {}
    try:
        jobs = _begin(here, here.gateway, "--with-jobs switches cron jobs off")
    except (LinkRefused, LinkLost) as problem:
        for key, one in wanted:
            _left_on(share, key, one, str(problem))
        return
    for key, one in wanted:
        if one.id not in done and not _is_on(jobs, share, key, one, done):
            continue
        _note(share, key, done[one.id])


def _is_on(jobs: _Jobs, share: Share, key: str, one: Attached, done: dict[str, Off]) -> bool:
    """Switch off a job that is on, and put it into `done`; tell whether it was."""
    try:
        now = jobs.get(one.id)
        if now is None or now.get("enabled") is not True:
            _changed(share, key, one, None)  # by now it is gone, or off: not ours to switch on again
            return False
        asked = Off(one.id, int(share.clock.seconds() * 1000))
        _note(share, key, asked)
    except _NO_ANSWER as problem:
        _left_on(share, key, one, str(problem))
        return False
    try:
        done[one.id] = asked.but(at=jobs.switch(now, on=False))
    except LinkLost as problem:
        # Whether it is off is found out by the undo, from the time at which it was asked.
        _say(share, key, f"whether cron job {_name(one)} is off is not known: {problem}")
        return False
    except (CallRefused, LinkRefused) as problem:
        _note(share, key, Off(one.id, 0))
        _left_on(share, key, one, str(problem))
        return False
    return True


def _name(one: Attached | Effect) -> str:
    return plain(one.name or one.id)


def _note(share: Share, key: str, off: Off) -> None:
    """Write what is known of a job into the record; asked at 0: nothing was asked of it after all."""

    def noted(session: SessionRecord) -> SessionRecord:
        others = tuple(one for one in session.jobs if one.id != off.id)
        return session.but(jobs=(*others, off) if off.asked else others)

    _edit(share, key, noted)
    share.note(share.record)


def _edit(share: Share, key: str, change: Any) -> None:
    each = tuple(change(session) if session.key == key else session for session in share.record.sessions)
    share.record = share.record.but(sessions=each)


def _left_on(share: Share, key: str, one: Attached, why: str) -> None:
    """Say of a job that it stays on, why, and what it will do."""
    made = _changed(share, key, one, replace(one, off=False))
    note = next(effect.note for effect in made if (effect.kind, effect.id) == (one.kind, one.id))
    _say(share, key, f"cron job {_name(one)} stays on ({why}): {note}")


def _say(share: Share, key: str, what: str) -> None:
    share.results.told(key, what)


def _changed(share: Share, key: str, one: Attached, other: Attached | None) -> Sequence[Effect]:
    """Put another thing, or nothing, in the place of one that is attached; return what the close makes of all now."""

    made: Sequence[Effect] = ()
    for at, row in enumerate(share.rows):
        if row.key == key:
            attached = tuple(each if each is not one else other for each in row.attached)
            share.rows[at] = row.but(attached=tuple(each for each in attached if each is not None))
            made = share.rows[at].effects(share.store.traits)
    _edit(share, key, lambda session: session.but(effects=tuple(made)))
    return made


def give_back(here: Installation, share: Share) -> None:
    """Switch on again what was switched off for sessions that have not gone after all."""
    stay = [one for one in share.record.sessions if one.jobs and share.results.became(one.key) not in PUT_AWAY]
    share.warnings += _given_back(here, stay, here.gateway)
    for session in stay:
        _edit(share, session.key, lambda one: one.but(jobs=()))


def finish(here: Installation, store: StoreRecord) -> list[str]:
    """Switch on what an interrupted run has left off: an undo, or a close of what is there; return what stays off."""
    back = (lambda one: one.status == Status.RESTORED) if store.restores else (lambda one: one.status not in PUT_AWAY)
    return _given_back(here, [one for one in store.sessions if one.jobs and back(one)], None)


def _given_back(here: Installation, stay: Sequence[SessionRecord], gateway: Gateway | None) -> list[str]:
    """Switch on the jobs of sessions; return a line for each that stays off."""
    if not stay:
        return []
    with _again(here, gateway) as ask:
        found = [(session, ask(off, session.effects)) for session in stay for off in session.jobs]
    return [f"{plain(session.key)}: {left.why}" for session, (left, _) in found if left is not None]


def switch_on(here: Installation, returns: Returns) -> None:
    """Switch on what the close of sessions that are back had switched off; note what stays off."""
    owed = [item for item in returns.to_be_seen_to() if _owed(item)]
    if not owed:
        return
    with _again(here, None) as ask:
        for item in owed:
            found = [ask(off, item.effects) for off in item.jobs]
            to_do = [lost.why for lost, is_to_do in found if lost is not None and is_to_do]
            returns.amiss(item, [lost for lost, _ in found if lost is not None], "; ".join(to_do) or None)


def _owed(item: Item) -> bool:
    # A restore that was interrupted, or was no admin, may be tried again.
    return bool(item.jobs) and item.status in (Status.RESTORED, Status.ALREADY_RESTORED)


@contextlib.contextmanager
def _again(here: Installation, gateway: Gateway | None) -> Iterator[Ask]:
    """Give what switches a job on that nobody has touched since; it returns what stays off, and if it is to be done."""
    own: Gateway | None = None
    jobs: _Jobs | None = None
    lost: Exception | None = None
    try:
        # A restart, or a stop for an import, may have ended the connections of this run.
        own = gateway or connection.meet(here.home, looking_only=False)
        jobs = _begin(here, own, "the undo switches cron jobs on again")
    except (LinkRefused, LinkLost, CloserError) as problem:
        lost = problem

    def ask(off: Off, named: Sequence[Effect]) -> tuple[Lost | None, bool]:
        nonlocal lost
        name = next((_name(one) for one in named if (one.kind, one.id) == ("cron-job", off.id)), plain(off.id))
        why: Exception | None = lost
        if jobs is not None and lost is None:
            try:
                said = _switched_on(jobs, off)
            except CallRefused as problem:
                why = problem
            except (LinkRefused, LinkLost) as problem:
                why = lost = problem
            else:
                return (Lost("cron-job", 1, f"{name}: {said}") if said else None), False
        return Lost("cron-job", 1, f"{name} stays off ({why}); next: openclaw cron enable {plain(off.id)}"), True

    try:
        yield ask
    finally:
        if own is not None and own is not gateway:
            own.close()


def _switched_on(jobs: _Jobs, off: Off) -> str:
    """Switch a job on if it is as we have left it; return why not, "" where it is on."""
    now = jobs.get(off.id)
    if now is None:
        return "it has been deleted since the close"
    if now.get("enabled") is True:
        return ""
    if not off.is_ours(now.get("updatedAtMs")):
        return f"somebody has changed it since the close, so it stays off; else: openclaw cron enable {off.id}"
    jobs.switch(now, on=True)
    return ""


def settled(store: StoreRecord) -> StoreRecord:
    """Return the record of an interrupted run with the jobs that it had not come to named as what they are: on."""
    return store.but(sessions=tuple(map(_told, store.sessions)))


def _told(session: SessionRecord) -> SessionRecord:
    asked = {off.id for off in session.jobs}
    left_on = [one for one in session.effects if one.action == DISABLED and one.id not in asked]
    note = "it stays on: the run was interrupted before it came to it"
    kept = {one.id: replace(one, action=KEPT, undo=EXACT, note=note) for one in left_on}
    if not kept:
        return session
    return session.but(
        effects=tuple(kept[one.id] if one.kind == "cron-job" and one.id in kept else one for one in session.effects)
    )
