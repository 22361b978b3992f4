"""A home in which everything that can be said of a session has happened long ago, and what of it must stay.

What stays and what may go is said here by hand, session by session; nothing is taken from the program that is tried.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .age import DAY, age
from .lab import Lab, Step

DAYS = 40
HELLO = ["hello"]
WITH_DUMP = ["hello", "refuse"]
HOUR = 3600
YOUNG = "20201010_101010_0000ff"
# Sessions that are over and that nothing protects: what they have left may go.
OVER, DUMPED, ONESHOT = "20200101_101010_000001", "20200101_101010_000002", "20200101_101010_000003"
CRON = "cron_5f2b9c_20200101_101010"
ODD, ODD_TOO, SHORT = "client@example.com:42", "_lead.ing_", "foo"
HANDED, UNLOCKED = "20200101_101010_000004", "20200101_101010_000005"
GONE = "20200101_101010_000006"
# Those that something protects.
OPEN, RESUMED, LONG, ODD_OPEN = "20200101_101010_0000a1", "20200101_101010_0000a2", "foo_bar", "client@example.com:43"
LONG_AGO = "20200101_101010_0000a3"
PENDING, LOCKED, ARCHIVED = "20200101_101010_0000a4", "20200101_101010_0000a5", "20200101_101010_0000a6"
ACTIVE, BOSS, LEFT_BOSS = "20200101_101010_0000a7", "20200101_101010_0000a8", "20200101_101010_0000a9"
# An open session that somebody still talks to.
WORKS = "20200101_101010_0000ac"
LONGER = "20200101_101010_0000aa"
WORKER, HANDING, WAITING = "20200101_101010_0000ab", "20200101_101010_0000ad", "20200101_101010_0000ae"
CHAT = "chat"
IS_YOUNG, HAS_MORE = "young", "its file has more than the database"


@dataclass
class Told:
    """A lab with such a home; sessions by what must become of what they have left."""

    lab: Lab
    # Session id -> why nothing of it may go.
    kept: dict[str, str] = field(default_factory=dict)
    # Session ids whose files may go by age.
    free: set[str] = field(default_factory=set)
    # Names given to sessions whose ids Hermes has chosen.
    ids: dict[str, str] = field(default_factory=dict)
    # Paths below the home -> why they stay; these are no session's.
    kept_paths: dict[str, str] = field(default_factory=dict)
    free_paths: dict[str, str] = field(default_factory=dict)
    # All that must stay, and why; all that goes by age, and its kind: by path below the home.
    stays: dict[str, str] = field(default_factory=dict)
    goes: dict[str, str] = field(default_factory=dict)

    def anew(self) -> None:
        """Put the home back as it was told."""
        for name in ("hermes", "projects"):
            shutil.rmtree(self.lab.root / name, ignore_errors=True)
            shutil.copytree(self.lab.root / f"told-{name}", self.lab.root / name, symlinks=True)
        self._let_live()

    def store(self) -> None:
        """Remember the home as it is, and what of it must stay."""
        for path, session in self.files().items():
            if session in self.kept:
                self.stays[path] = self.kept[session]
            elif session in self.free and path not in self.kept_paths:
                self.goes[path] = _kind(path)
        self.stays |= self.kept_paths
        self.goes |= self.free_paths
        for name in ("hermes", "projects"):
            shutil.copytree(self.lab.root / name, self.lab.root / f"told-{name}", symlinks=True)

    def files(self) -> dict[str, str]:
        """Return the snapshots, dumps and transcripts of all sessions: path below the home -> session id."""
        found = {}
        for path in self.lab.sessions.iterdir():
            if path.suffix == ".json" and path.name != "sessions.json" and path.is_file():
                found[f"sessions/{path.name}"] = str(json.loads(path.read_bytes())["session_id"])
            elif path.suffix == ".jsonl":
                found[f"sessions/{path.name}"] = path.stem
        return found

    def _let_live(self) -> None:
        """Let this very process hold what only a living one can hold."""
        if not self.lab.hermes.is_new:
            return
        me = psutil.Process()
        start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        runs = "state = 'running', owner_pid = ?, owner_started_at = ?, delivery_state = 'delivered'"
        changed = f"update async_delegations set {runs} where parent_session_id = ?"
        self.lab.write((changed, (me.pid, start, BOSS)))
        entry = {"lease_id": "1", "session_id": ACTIVE, "surface": "cli", "pid": me.pid,
                 "process_start_time": me.create_time(), "started_at": 1, "updated_at": 1}  # fmt: skip
        dead = entry | {"lease_id": "2", "session_id": OVER, "process_start_time": 1.0}
        runtime = self.lab.home / "runtime"
        runtime.mkdir(exist_ok=True)
        (runtime / "active_sessions.json").write_text(json.dumps({"entries": [entry, dead]}))


def _kind(path: str) -> str:
    name = path.rpartition("/")[2]
    if name.endswith(".jsonl"):
        return "transcript_jsonl"
    return "session_json" if name.startswith("session_") else "request_dump"


def _call(call: str, *arguments: Any) -> Step:
    return "store", {"call": call, "with_": list(arguments)}


def _over(session: str, said: list[str], reason: str = "agent_close", source: str = "cli") -> list[Step]:
    return [("turn", {"session": session, "said": said, "source": source}), _call("end_session", session, reason)]


def tell(lab: Lab) -> Told:
    """Let all of it happen in a lab, and make it old."""
    told = Told(lab)
    steps = [*_sessions(lab, told), *_projects(lab, told)]
    given = lab.play(*steps)
    told.ids |= {name[1:]: given[at] for name, at in _places(steps).items()}
    told.kept |= {told.ids["chat"]: "its chat goes on with it", told.ids["next"]: "open",
                  LONG_AGO: "what goes on from it is open"}  # fmt: skip
    _drop(lab, told)
    _plant(lab, told)
    age(lab.home, DAYS, young=(YOUNG, WORKS, "young", "deleg_00000001"))
    if lab.hermes.is_new:
        lab.write(
            ("update compression_locks set expires_at = ? where session_id = ?", (1e12, LOCKED)),
            # Of today, though all else of it is old.
            ("update async_delegations set completed_at = ? where parent_session_id = ?", (time.time(), WAITING)),
        )
    _link(lab, told)
    told.store()
    return told


def _places(steps: list[Step]) -> dict[str, int]:
    """Return where in the steps a session got an id that Hermes chose."""
    chosen = {"route": lambda named: f"@{named['chat']}", "compress": lambda named: "@next"}
    return {chosen[word](named): at for at, (word, named) in enumerate(steps) if word in chosen}


def _sessions(lab: Lab, told: Told) -> list[Step]:
    new = lab.hermes.is_new
    told.free |= {OVER, DUMPED, ONESHOT, CRON, ODD, ODD_TOO, SHORT, HANDED, GONE}
    told.kept |= {OPEN: "open", RESUMED: "open again", LONG: "open", ODD_OPEN: "open", PENDING: "a hand-over waits",
                  HANDING: "a hand-over runs",                  YOUNG: IS_YOUNG}  # fmt: skip
    steps: list[Step] = [
        *_over(OVER, HELLO), *_over(DUMPED, WITH_DUMP), *_over(ONESHOT, HELLO), *_over(CRON, HELLO, source="cron"),
        *_over(ODD, WITH_DUMP), *_over(ODD_TOO, HELLO), *_over(SHORT, WITH_DUMP), *_over(YOUNG, WITH_DUMP),
        *_over(HANDED, HELLO), *_over(GONE, HELLO), *_over(RESUMED, HELLO),
        ("turn", {"session": RESUMED, "said": HELLO}), _call("reopen_session", RESUMED),
        *(("turn", {"session": session, "said": WITH_DUMP}) for session in (OPEN, LONG, ODD_OPEN)),
        _call("request_handoff", HANDED, "telegram"), _call("claim_handoff", HANDED), _call("complete_handoff", HANDED),
        *_over(PENDING, HELLO), _call("request_handoff", PENDING, "telegram"),
        *_over(HANDING, HELLO), _call("request_handoff", HANDING, "telegram"), _call("claim_handoff", HANDING),
        ("turn", {"session": LONG_AGO, "said": HELLO * 8}), ("compress", {"session": LONG_AGO}),
    ]  # fmt: skip
    steps.append(("turn", {"session": f"@{len(steps) - 1}", "said": HELLO}))
    steps.append(("route", {"chat": CHAT}))
    routed = f"@{len(steps) - 1}"
    steps += [*_over(routed, HELLO, "session_reset", "telegram")]
    if new:
        told.free |= {UNLOCKED, LEFT_BOSS}
        told.kept |= {LOCKED: "it is being compressed", ARCHIVED: "archived", ACTIVE: "a process has it open",
                      BOSS: "its subagent runs", WAITING: "a result waits for it",
                       WORKER: "the gateway would open it again"}  # fmt: skip
        steps += [
            *_over(UNLOCKED, HELLO), _call("try_acquire_compression_lock", UNLOCKED, "nobody", 0.001),
            *_over(LOCKED, HELLO), _call("try_acquire_compression_lock", LOCKED, "somebody", 36_000),
            *_over(ARCHIVED, WITH_DUMP), _call("set_session_archived", ARCHIVED, True), *_over(ACTIVE, HELLO),
            ("delegate", {"session": BOSS, "goal": "hello"}), _call("end_session", BOSS, "agent_close"),
            ("delegate", {"session": LEFT_BOSS, "goal": "hello"}), _call("end_session", LEFT_BOSS, "agent_close"),
            ("delegate", {"session": WAITING, "goal": "hello"}), _call("end_session", WAITING, "agent_close"),
            *_over(WORKER, HELLO, "agent_close", "telegram"),
            ("store", {"call": "record_gateway_session_peer", "session_id": WORKER, "source": "telegram",
                       "session_key": "agent:main:telegram:dm:gone", "chat_id": "gone"}),
        ]  # fmt: skip
    else:
        told.free.add(LONGER)
        told.kept_paths[f"sessions/{LONGER}.jsonl"] = HAS_MORE
        line = {"role": "user", "content": "hello"}
        steps += [
            ("transcript", {"session": OVER, "messages": [line, line], "skip_db": True}),
            *_over(LONGER, HELLO),
            ("transcript", {"session": LONGER, "messages": [line] * 3, "skip_db": True}),
        ]
    return steps


def _projects(lab: Lab, told: Told) -> list[Step]:
    """Have checkpoints taken in three projects."""
    steps: list[Step] = []
    told.kept[WORKS] = "open"
    for name, session in (("old", OVER), ("young", OVER), ("held", WORKS)):
        path = lab.project(name) / "made.txt"
        call = f"call write_file {json.dumps({'path': str(path), 'content': name})}"
        steps.append(("turn", {"session": session, "said": [call], "cwd": str(path.parent), "checkpoints": True}))
    steps.append(_call("end_session", OVER, "agent_close"))
    if lab.hermes.is_new:
        steps.append(_call("update_session_cwd", WORKS, str(lab.project("held"))))
    return steps


def _drop(lab: Lab, told: Told) -> None:
    """Let a row go as Hermes' own delete does, which leaves its snapshot behind."""
    lab.write(("delete from messages where session_id = ?", (GONE,)), ("delete from sessions where id = ?", (GONE,)))


def _plant(lab: Lab, told: Told) -> None:
    """Add what Hermes makes elsewhere, what older versions have left, and what is nobody's."""
    home, sessions = lab.home, lab.sessions
    shutil.copy(next(sessions.glob(f"session_{OPEN}.json")), sessions / "session_my-copy.json")
    (sessions / "saved").mkdir()
    for name in (f"saved/session_{OVER}.json", f"session_{OVER}.json.bak", f"Session_{OVER}.json", "session_.json.txt"):
        (sessions / name).write_text(json.dumps({"session_id": OVER}))
        told.kept_paths[f"sessions/{name}"] = "not one of Hermes' names"
    (sessions / "session_folder.json").mkdir()
    told.kept_paths["sessions/session_folder.json"] = "a folder"
    checkpoints = home / "checkpoints"
    for name, project in (("0123456789abcdef", "older"), ("00112233445566aa", "held")):
        (checkpoints / name).mkdir()
        (checkpoints / name / "HEAD").write_text("ref: refs/heads/main\n")
        (checkpoints / name / "HERMES_WORKDIR").write_text(f"{lab.project(project)}\n")
    (checkpoints / "legacy-20200101-101010").mkdir()
    (checkpoints / "legacy-20200101-101010" / "HEAD").write_text("ref: refs/heads/main\n")
    (checkpoints / "fedcba9876543210").mkdir()
    (checkpoints / "fedcba9876543210" / "HEAD").write_text("no work dir beside it\n")
    told.kept_paths["checkpoints/fedcba9876543210"] = "no repository of Hermes"
    told.free_paths |= {"checkpoints/0123456789abcdef": "checkpoint_v1",
                        "checkpoints/legacy-20200101-101010": "checkpoint_legacy"}  # fmt: skip
    live = home / "cache" / "delegation" / "live"
    for name in ("deleg_00000001", "deleg_00000002"):
        (live / name).mkdir(parents=True)
        (live / name / "task-0.log").write_text("long ago\n")
    told.free_paths["cache/delegation/live/deleg_00000002"] = "delegation_log"
    told.kept_paths["cache/delegation/live/deleg_00000001"] = "young"
    if lab.hermes.is_new:
        _plant_delegations(lab, told)
    for name in (f"spawn-trees/{OVER}/tree.json", f"moa-traces/{OVER}.jsonl", f"hook_outputs/{OVER}/out.txt"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text("{}\n")
        told.kept_paths[name] = "only when asked for"
    # Before 0.16 no session says where it works.
    held = [("held", "an open session works there")] if lab.hermes.is_new else []
    if held:
        told.kept_paths["checkpoints/00112233445566aa"] = held[0][1]
    else:
        told.free_paths["checkpoints/00112233445566aa"] = "checkpoint_v1"
    for project, why in [("young", "young"), *held]:
        told.kept_paths[f"checkpoints/store/projects/{_hash(lab, project)}.json"] = why
    for project in ["old"] if held else ["old", "held"]:
        told.free_paths[f"checkpoints/store/projects/{_hash(lab, project)}.json"] = "checkpoint_v2"


def _plant_delegations(lab: Lab, told: Told) -> None:
    for found, parent in lab.rows("select delegation_id, parent_session_id from async_delegations"):
        path = f"cache/delegation/live/{found}"
        if parent == LEFT_BOSS:
            told.free_paths[path] = "delegation_log"
        else:
            told.kept_paths[path] = told.kept[parent]
    workers = lab.rows("select id from sessions where parent_session_id in (?, ?, ?)", BOSS, LEFT_BOSS, WAITING)
    told.free |= {session for (session,) in workers}


def _hash(lab: Lab, project: str) -> str:
    """Return the name of a project in the store, read from the store."""
    kept = list((lab.home / "checkpoints" / "store" / "projects").glob("*.json"))
    for path in kept:
        if json.loads(path.read_bytes())["workdir"] == str(lab.project(project)):
            return path.stem
    raise AssertionError(f"no checkpoint of {project}: {[path.read_text() for path in kept]}")


def _link(lab: Lab, told: Told) -> None:
    """Add links with the names of sessions, old ones, that lead out of the home."""
    outside = lab.root / "projects" / "outside"
    outside.mkdir()
    (outside / "precious.json").write_text(json.dumps({"session_id": OVER}))
    link = lab.sessions / "session_link.json"
    link.symlink_to(outside / "precious.json")
    past = link.lstat().st_mtime - DAYS * DAY
    os.utime(link, (past, past), follow_symlinks=False)
    told.kept_paths["sessions/session_link.json"] = "a link"
