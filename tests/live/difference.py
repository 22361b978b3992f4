"""What differs in a whole state directory between two moments: every file, every row of every database.

A picture is taken read-only. What differs by itself while nobody closes anything is in NOISE, each with its reason, and
nothing else is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX, BINDINGS = "sessions.json", "current-conversations.json"
# Databases that are locks: whoever holds one lets nobody read it.
LOCKS = re.compile(r"(^|/)tmp/openclaw-\d+/|-lock\.sqlite$")
# place -> item -> column -> value; a place is a file's path, or a database's path, `#` and a table.
Picture = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Noise:
    """What is left out: items by a pattern of `PLACE ITEM`; only some of their columns, if there is a second one."""

    item: str
    why: str
    column: str = ""


NOISE = (
    Noise(r"\.sqlite(-wal|-shm|-journal)? $", "the bytes of a database: what is in it is compared row by row"),
    Noise(r"^tmp(/| )", "locks of the gateway that runs, gone when it stops"),
    Noise(r"^(media|logs)(/| )", "folders that a gateway makes a while after its start, and its logs"),
    Noise(r"#sqlite_(sequence|stat\d) ", "counters of SQLite's own"),
    Noise(
        r"#\w+_fts_(data|idx|content|docsize|config) ",
        "the inside of a full-text index, made from rows that are compared",
    ),
    Noise(r"#memory_index_|^memory/[^ ]+#", "the memory index follows the transcripts at its own pace"),
    Noise(r"#(agent_database_leases|state_leases|gateway_boot_lifecycle) ", "who has a database open, when it started"),
    Noise(r"#plugin_state_entries \S+ \S+-locks ", "locks of a plugin that works beside"),
    Noise(r"#(diagnostic_events|config_health_entries|schema_meta) ", "the gateway's log of its own health and starts"),
    Noise(r"#agent_integrity_verifications ", "when a start last verified a database"),
    Noise(r"#session_key_contract ", "which file a start has verified the keys of", r"^(canonical_ready|updated_at)$"),
    Noise(r"#agent_databases ", "when a database was last seen", r"^(last_seen_at|updated_at|size_bytes)$"),
    Noise(r"#session_nodes ", "a row that was touched and put right", r"^(updated_at|entry_json\.updatedAt)$"),
    Noise(r"#session_windows ", "a row that was touched and put right", r"^updated_at$"),
    Noise(r"#current_conversation_bindings ", "a gateway writes all bindings when one of them goes", r"^updated_at$"),
    Noise(
        r"#session_watch_cursors ", "a watcher is told of what is new at its own pace", r"^(\w+_sequence|updated_at)$"
    ),
)


@dataclass(frozen=True)
class Difference:
    """One item of one place that is new, gone or changed; the columns that changed."""

    place: str
    item: str
    change: str
    columns: tuple[str, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def table(self) -> str:
        """The table's name, of a file nothing."""
        return self.place.partition("#")[2]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}: {_short(self.before, name)} -> {_short(self.after, name)}" for name in self.columns)
        return f"{self.change} {self.place} {self.item} {shown if self.change == 'changed' else ''}".rstrip()


def _short(row: Mapping[str, Any], name: str) -> str:
    return str(row[name])[:60] if name in row else "-"


def picture(state: Path) -> Picture:
    """Return all that is in a state directory."""
    found: Picture = {}
    for path in sorted(state.rglob("*")):
        name = str(path.relative_to(state))
        # What a gateway writes and removes beside us may be gone between two looks.
        with contextlib.suppress(FileNotFoundError):
            if path.suffix == ".sqlite" and not LOCKS.search(name):
                found |= tables(path, name)
            found[name] = _entries(path) if path.name in (INDEX, BINDINGS) else {"": file_facts(path)}
    return found


def differences(before: Picture, after: Picture) -> list[Difference]:
    """Return what differs between two pictures, without the noise."""
    return list(_differences(before, after))


def _differences(before: Picture, after: Picture) -> Iterator[Difference]:
    for place in sorted({*before, *after}):
        old, new = before.get(place, {}), after.get(place, {})
        for item in sorted({*old, *new}):
            if old.get(item) != new.get(item) and (one := _difference(place, item, old.get(item), new.get(item))):
                yield one


def _difference(place: str, item: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Difference | None:
    before, after = old or {}, new or {}
    noise = [one for one in NOISE if re.search(one.item, f"{place} {item}")]
    if any(not one.column for one in noise):
        return None
    touched = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    columns = tuple(name for name in touched if not any(re.search(one.column, name) for one in noise))
    if old is None or new is None:
        return Difference(place, item, "new" if old is None else "gone", columns, before, after)
    return Difference(place, item, "changed", columns, before, after) if columns else None


def file_facts(path: Path) -> dict[str, Any]:
    """Return what a file is: its mode, and its content or where it leads."""
    status = path.lstat()
    found: dict[str, Any] = {"mode": oct(status.st_mode)}
    if stat.S_ISREG(status.st_mode):
        found["content"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(status.st_mode):
        found["target"] = str(path.readlink())
    return found


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the sessions of a file store, or the bindings of chats, each an item of its own."""
    found = json.loads(path.read_bytes())
    if path.name == BINDINGS:
        found = {record["bindingId"]: record for record in found["bindings"]}
    return {"": {"mode": oct(path.lstat().st_mode)}, **found}


def tables(path: Path, name: str) -> Picture:
    """Return every row of every table of a database, by the name that it is to have."""
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"file:{path}?{mode}", uri=True, timeout=10)) as connection:
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        connection.execute("begin")
        query = "select name from sqlite_master where type = 'table' and sql not like 'create virtual %'"
        tables = [table for (table,) in connection.execute(query).fetchall()]
        return {f"{name}#{table}": dict(_rows(connection, table)) for table in tables}


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = connection.execute(f'pragma table_info("{table}")').fetchall()
    names = [column[1] for column in columns]
    keys = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
    for number, values in enumerate(connection.execute(f'select * from "{table}"')):
        row = dict(zip(names, values, strict=True))
        item = " ".join(str(row[name]) for name in keys) if keys else str(number)
        yield item, dict(_spread(row))


def _spread(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the members of an object in a column each by itself, and of a long value its hash."""
    for name, value in row.items():
        parsed = None
        if name.endswith("_json") and isinstance(value, str):
            with contextlib.suppress(ValueError):
                parsed = json.loads(value)
        if isinstance(parsed, dict):
            yield from ((f"{name}.{member}", content) for member, content in parsed.items())
        elif isinstance(value, bytes):
            yield name, hashlib.sha256(value).hexdigest()
        else:
            yield name, value
