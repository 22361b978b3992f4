"""Chat bindings that OpenClaw keeps in a file: put back once the sessions they lead to are back.

A gateway reads that file once, and writes all of its own list at each change. So a record is written while there is no
gateway, or right before the restart that a restore owes anyway, and looked for afterwards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core import names
from ...core.actions import REMOVED
from ...core.errors import Refused
from ...core.status import Life, Status
from ...system import files
from ...system.clock import REAL, Clock
from ..gateway.find import find
from . import kept, mentions

if TYPE_CHECKING:
    from ...core.report import RestartResult
    from ...journal.record import Kept
    from ...journal.source import Chosen
    from ...ports.undo import Item, Returns
    from ...system.disk import Disk
    from ..home import Home
    from ..installation import Installation

KIND = "binding"
_ATTEMPTS = 20
_BYTES = 16 << 20
# What makes a chat the same one, as OpenClaw has it.
_CHAT = ("channel", "accountId", "parentConversationId", "conversationId")
_BY_HAND = "bind the chat anew"
_ITS_OWN = "the gateway keeps a list of its own until its process ends"

Records = Mapping[tuple[str, str], Sequence[dict[str, Any]]]


def put_back(here: Installation, chosen: Sequence[Chosen], returns: Returns) -> Records:
    """Write the bindings of sessions that are back into their file; return those that are in it now, by session."""
    wanted = _wanted(here.home, chosen, returns)
    if not wanted:
        return {}
    if here.gateway.found.life is not Life.DOWN and here.options.restart == "never":
        why = f"{_ITS_OWN}, and was not restarted (--restart never): {_BY_HAND}"
        return _none(returns, wanted, why)
    try:
        refused = write(
            here.disk, here.home, [record for records in wanted.values() for record in records], here.context.clock
        )
    except (OSError, ValueError) as problem:
        return _none(returns, wanted, f"{mentions.BINDINGS} was not written: {problem}")
    for item, records in _items(returns, wanted):
        returns.without(item, {_id(record): refused[_id(record)] for record in records if _id(record) in refused})
    return {place: [record for record in records if _id(record) not in refused] for place, records in wanted.items()}


def _wanted(home: Home, chosen: Sequence[Chosen], returns: Returns) -> Records:
    """Return the bindings that sessions which are back had, as they were kept; note of which that cannot be read."""
    wanted: dict[tuple[str, str], Sequence[dict[str, Any]]] = {}
    for one in chosen:
        item = returns.get(one.store.agent, one.name)
        if item is not None and item.status is Status.RESTORED and _had(item):
            try:
                wanted[item.agent, item.key] = kept.bindings(home, one.store.kept, {item.key})
            except (OSError, ValueError, KeyError, TypeError) as problem:
                _lost(returns, item, f"what was kept of it cannot be read: {problem}")
    return wanted


def _none(returns: Returns, wanted: Records, why: str) -> Records:
    """Note why no binding is back."""
    for item, _ in _items(returns, wanted):
        _lost(returns, item, why)
    return {}


def _items(returns: Returns, records: Records) -> Iterator[tuple[Item, Sequence[dict[str, Any]]]]:
    for (agent, key), of_it in records.items():
        item = returns.get(agent, key)
        assert item is not None
        yield item, of_it


def look_again(here: Installation, written: Records, returns: Returns, restart: RestartResult) -> None:
    """Look whether a gateway that was restarted has taken what was written, and note where it has not."""
    if here.gateway.found.life is Life.DOWN or not any(written.values()):
        return
    if restart.result == "handed-off":
        here.warn(f"{mentions.BINDINGS} is written; the gateway reads it when it is restarted, after this command")
        return
    try:
        there = {_id(record): record for record in mentions.bindings(here.home)}
    except Refused as problem:
        for item, records in _items(returns, written):
            for record in records:
                _lost(returns, item, f"whether it is back cannot be told: {problem.message}", _id(record))
        return
    # One that restarts within its process has read the file before, and reads it no more.
    has_read = restart.ok and find(here.home).pid != here.gateway.found.pid
    for item, records in _items(returns, written):
        for record in records:
            if _target(there.get(_id(record))) != item.key:
                _lost(returns, item, f"the gateway has written its own list meanwhile: {_BY_HAND}", _id(record))
            elif not has_read:
                why = f"it is in {mentions.BINDINGS}, but {_ITS_OWN}: stop and start the gateway, or {_BY_HAND}"
                _lost(returns, item, why, _id(record))


def finish(here: Installation, keepers: Iterable[Kept], keys: Iterable[str]) -> None:
    """Put the bindings of sessions back that an interrupted restore has brought back; a warning where that fails."""
    try:
        records = kept.bindings(here.home, keepers, frozenset(keys))
        write(here.disk, here.home, records, here.context.clock)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        here.warn(f"chat bindings were not put back: {problem}; {_BY_HAND}")


def write(disk: Disk, home: Home, records: Sequence[dict[str, Any]], clock: Clock = REAL) -> dict[str, str]:
    """Add bindings to their file; return by id why one was left out on purpose. OSError, ValueError: none was added.

    By exchange, so that what a gateway writes in this moment is not lost; a chat that has a binding by now keeps it.
    """
    path = os.path.join(home.state, mentions.BINDINGS)
    fresh = path + names.FRESH
    live, _ = files.read(path, _BYTES)
    # Killed after an exchange, a run has left there what somebody else wrote in that moment.
    wanted = [*records, *_left_over(fresh)]
    files.remove(disk, [fresh])
    refused, text = _with_records(live, wanted, clock.seconds())
    for _ in range(_ATTEMPTS):
        if text == live:
            return refused
        files.put(disk, fresh, text, like=path)
        displaced = _installed(disk, path, fresh)
        disk.sync_folder(os.path.dirname(path))
        files.remove(disk, [fresh])
        if displaced == live:
            return refused
        # Written in this moment: what that says counts, and gets the records, too.
        live = text
        refused, text = _with_records(displaced, wanted, clock.seconds())
    raise OSError(None, "it is written again and again", path)


def _left_over(path: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(files.read(path, _BYTES)[0])["bindings"]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _installed(disk: Disk, path: str, fresh: str) -> bytes:
    """Put a new file in place; return what was there at that instant, as far as the file system can tell."""
    if disk.exchange(fresh, path):
        return files.read(fresh, _BYTES)[0]
    before, _ = files.read(path, _BYTES)
    disk.rename(fresh, path)
    return before


def _with_records(raw: bytes, records: Sequence[dict[str, Any]], now: float) -> tuple[dict[str, str], bytes]:
    """Return the text of the file with the records that it may get, and by id why it does not get one."""
    found = json.loads(raw)
    if not (isinstance(found, dict) and found.get("version") == 1 and isinstance(found.get("bindings"), list)):
        raise ValueError("it is not what OpenClaw 2026.5 writes")
    there: list[Any] = found["bindings"]
    bound = {_chat(record): _target(record) for record in there}
    refused, new = {}, list(there)
    for record in records:
        if _expired(record, now):
            refused[_id(record)] = "it has expired"
        elif _chat(record) in bound:
            if bound[_chat(record)] != _target(record):
                refused[_id(record)] = "the chat is bound to another session by now"
        else:
            new.append(record)
            bound[_chat(record)] = _target(record)
    if len(new) == len(there):
        return refused, raw
    new.sort(key=_id)
    text = json.dumps({**found, "bindings": new}, indent=2, ensure_ascii=False, allow_nan=False)
    return refused, text.encode("utf-8", "surrogatepass") + (b"\n" if raw.endswith(b"\n") else b"")


def _chat(record: Any) -> tuple[str, ...]:
    chat = record.get("conversation") if isinstance(record, dict) else None
    chat = chat if isinstance(chat, dict) else {}
    return tuple(str(chat.get(name) or "") for name in _CHAT)


def _id(record: Any) -> str:
    return str(record.get("bindingId") or "") if isinstance(record, dict) else ""


def _target(record: Any) -> str:
    return str(record.get("targetSessionKey") or "") if isinstance(record, dict) else ""


def _expired(record: Mapping[str, Any], now: float) -> bool:
    at = record.get("expiresAt")
    return isinstance(at, int | float) and at <= now * 1000


def _had(item: Item) -> bool:
    return any(one.kind == KIND and one.action == REMOVED and one.undo == "exact" for one in item.effects)


def _lost(returns: Returns, item: Item, why: str, name: str = KIND) -> None:
    """Note of a session that is back that a binding is not, with what a person can do about that."""
    returns.without(item, {name: why}, f"a chat binding is not back: {why}")
