"""Each state in which a session or group of a NanoClaw can be, and what a cleanup makes of what it has left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from support.nanoclaw import (
    CLOSED,
    DAY,
    GROUP,
    LOST,
    OTHER,
    OVER,
    USED,
    NanoclawHome,
    V1Home,
    V2Home,
    of_claude,
)  # fmt: skip

GOES, YOUNG = "goes", "young"
HOUR = 3600.0
LIMITS = {
    1: {"transcript": 7, "tool_results": 7, "debug": 3, "todo": 3, "telemetry": 7, "group_log": 7},
    2: {
        "session_dir": 30, "transcript": 30, "tool_results": 30, "rotated": 14, "debug": 7, "todo": 7, "telemetry": 7,
        "group_dir": 30,
    },
}  # fmt: skip
CLAUDES = ("transcript", "tool_results", "debug", "todo", "telemetry")
_FOLDER = f"data/v2-sessions/{GROUP}/{CLOSED}"


def _nothing(home: NanoclawHome) -> None:
    """Leave it as it is."""


class Way(NamedTuple):
    """A state: of which version, what it is about, in words; `word` is said of the `kinds`, "": they go by their age.

    `fresh` is a path that is given an age of 20 minutes at the end.
    """

    version: int
    kinds: tuple[str, ...]
    state: str
    make: Callable[[NanoclawHome], None] = _nothing
    word: str = ""
    fresh: str = ""

    def verdict(self, *, is_old: bool) -> str:
        """Return what becomes of them an hour before they reach their age, or behind it."""
        return self.word or (GOES if is_old else YOUNG)


def _sql(text: str) -> Callable[[NanoclawHome], None]:
    return lambda home: home.central.executescript(text) and None


def _tell(name: str, table: str, folder: str = _FOLDER, **columns: str) -> Callable[[NanoclawHome], None]:
    def make(home: NanoclawHome) -> None:
        assert isinstance(home, V2Home)
        if not home.has(folder):
            group, session = folder.split("/")[2:]
            home.row(session, group=group, status="active")
            home.session(session, group=group)
        home.tell(folder, name, table, **columns)

    return make


def _message(status: str, folder: str = _FOLDER, **columns: str) -> Callable[[NanoclawHome], None]:
    return _tell("inbound", "messages_in", folder, id="m2", kind="task", status=status, content="?", **columns)


def _state(key: str, value: str, folder: str = _FOLDER) -> Callable[[NanoclawHome], None]:
    return _tell("outbound", "session_state", folder, key=key, value=value)


def _write(path: str, text: str = "no database") -> Callable[[NanoclawHome], None]:
    return lambda home: home.lay(path, text) and None


def _linked(home: NanoclawHome) -> None:
    (home.path / _FOLDER / "inbox" / "plan.md").symlink_to("/etc/hostname")


def _named(home: NanoclawHome) -> None:
    home.add("sessions", group_folder="other", session_id=OVER)


_ELSE = f"data/v2-sessions/{OTHER}/sess-3-else"
_NEXT = f"data/v2-sessions/{GROUP}/sess-3-else"
_SESSION = ("session_dir",)
_FILES = of_claude(V2Home.claude, V2Home.projects, OVER)
WAYS = (
    Way(1, CLAUDES, "no group has it"),
    Way(1, CLAUDES, "the current one of any group", _named, "current"),
    Way(1, CLAUDES, "its id is only a part of one in use", _sql(f"insert into sessions values ('o', '{OVER}0')")),
    Way(1, ("group_log",), "-"),
    Way(2, _SESSION, "it has no row", _sql("delete from sessions where status = 'closed'")),
    Way(2, _SESSION, "closed"),
    Way(2, _SESSION, "active", _sql("update sessions set status = 'active'"), "active"),
    Way(2, _SESSION, "of a status that we do not know", _sql("update sessions set status = 'new'"), "active"),
    Way(
        2,
        _SESSION,
        "closed, active a short while ago",
        _sql("update sessions set last_active = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day')"),
        YOUNG,
    ),
    Way(
        2, _SESSION, "closed, active at no time that can be read", _sql("update sessions set last_active = 'x'"), YOUNG
    ),
    Way(2, _SESSION, "its container runs", _sql("update sessions set container_status = 'running'"), "container"),
    Way(2, _SESSION, "its container is idle", _sql("update sessions set container_status = 'idle'"), "container"),
    Way(2, _SESSION, "a heartbeat of less than 30 min", _nothing, "heartbeat", f"{_FOLDER}/.heartbeat"),
    Way(2, _SESSION, "a question is open", _sql(f"insert into pending_questions values ('q', '{CLOSED}')"), "asked"),
    Way(
        2,
        _SESSION,
        "an approval is open",
        _sql(f"insert into pending_approvals values ('a', '{CLOSED}', 'pending')"),
        "asked",
    ),
    Way(
        2,
        _SESSION,
        "an approval was given",
        _sql(f"insert into pending_approvals values ('a', '{CLOSED}', 'approved')"),
    ),
    Way(2, _SESSION, "a message is pending", _message("pending"), "pending"),
    Way(2, _SESSION, "a message is processed", _message("processing"), "pending"),
    Way(2, _SESSION, "a task is paused", _message("paused"), "pending"),
    Way(2, _SESSION, "a message has failed", _message("failed")),
    Way(
        2,
        _SESSION,
        "an answer is not delivered",
        _tell("outbound", "messages_out", id="o2", kind="chat", content="!"),
        "undelivered",
    ),
    Way(
        2,
        _SESSION,
        "a container is at a message",
        _tell("outbound", "processing_ack", message_id="m1", status="processing"),
        "working",
    ),
    Way(
        2, _SESSION, "another session is to answer it", _message("pending", _ELSE, source_session_id=CLOSED), "awaited"
    ),
    Way(2, _SESSION, "another session has answered it", _message("completed", _ELSE, source_session_id=CLOSED)),
    Way(2, _SESSION, "a link lies in it", _linked, "link"),
    Way(2, _SESSION, "a database of it cannot be read", _write(f"{_FOLDER}/inbound.db"), "unreadable"),
    Way(2, _SESSION, "a database of it is empty", _write(f"{_FOLDER}/inbound.db", ""), "unreadable"),
    Way(2, _SESSION, "a writer is at a database of it", _write(f"{_FOLDER}/outbound.db-journal"), "unreadable"),
    Way(2, _SESSION, "the `inbound.db` of another cannot be read", _write(f"{_ELSE}/inbound.db"), "unreadable"),
    Way(2, _SESSION, "the `outbound.db` of another cannot be read", _write(f"{_ELSE}/outbound.db")),
    Way(2, CLAUDES, "no session of the group goes on with it"),
    Way(2, CLAUDES, "a session goes on with it (`continuation:`)", _state("continuation:claude", OVER), "continued"),
    Way(2, CLAUDES, "a session goes on with it (`sdk_session_id`)", _state("sdk_session_id", OVER), "continued"),
    Way(2, CLAUDES, "another session of the group does", _state("continuation:x", OVER, _NEXT), "continued"),
    Way(2, CLAUDES, "a session of another group does", _state("continuation:claude", OVER, _ELSE)),
    Way(2, CLAUDES, "its id is only a part of one in use", _state("continuation:claude", f"{OVER}0")),
    Way(2, CLAUDES, "a database of the group cannot be read", _write(f"{_NEXT}/outbound.db"), "unreadable"),
    Way(2, CLAUDES, "a database of another group cannot be read", _write(f"{_ELSE}/outbound.db")),
    Way(2, CLAUDES[:2], "the file is young", _nothing, YOUNG, _FILES["transcript"]),
    Way(2, CLAUDES[:2], "the folder is young", _nothing, YOUNG, f"{_FILES['tool_results']}/tool-results/one.txt"),
    Way(2, ("rotated",), "a session goes on with it", _state("continuation:claude", USED)),
    Way(2, ("group_dir",), "no group has it"),
    Way(
        2,
        ("group_dir",),
        "a row of an active session has it",
        _sql(f"insert into sessions values ('sess-0', '{LOST}', 'active', 'stopped', null, null)"),
        "active",
    ),
)


def made(way: Way, path: Path, *, is_old: bool) -> tuple[NanoclawHome, Mapping[str, str]]:
    """Return a home in such a state, all an hour before its age or behind it, and the path of each kind."""
    home: V1Home | V2Home = (V1Home if way.version == 1 else V2Home)(path)
    paths = home.lay_free()
    way.make(home)
    for kind, days in LIMITS[way.version].items():
        home.age(paths[kind], days * DAY + (HOUR if is_old else -HOUR))
    if way.fresh:
        home.age(way.fresh, 1200.0)
    return home, paths


def table() -> list[str]:
    """Return the lines of the table of docs/nanoclaw.md."""
    lines = ["| | kind | its session, or group | until its age | older |", "|---|---|---|---|---|"]
    for way in WAYS:
        kinds = "Claude Code's" if way.kinds == CLAUDES else ", ".join(f"`{kind}`" for kind in way.kinds)
        cells = (_shown(way.verdict(is_old=is_old)) for is_old in (False, True))
        lines.append(f"| {way.version} | {kinds} | {way.state} | {' | '.join(cells)} |")
    return lines


def _shown(verdict: str) -> str:
    return verdict if verdict == GOES else f"`{verdict}`"
