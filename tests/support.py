"""What tests share: a sample store, a picture of a tree, and ways to run our commands."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from session_closer.cli.app import Command
from session_closer.core import keys
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.openclaw import home
from session_closer.operations.close import execute
from session_closer.system import processes
from session_closer.system.files import Disk
from support_moments import BORN, PUT_AWAY

# Where the first process of a test run says whose home it was started in, before it takes one of its own.
CALLER = "TESTS_CALLERS_HOME"
CALLERS_HOME = os.environ.get(CALLER) or os.environ.get("HOME") or os.path.sep
# Of whoever runs the tests: $HOME and the account's own home may differ.
REAL_HOMES = {Path(CALLERS_HOME), Path(pwd.getpwuid(os.getuid()).pw_dir)}
# What has not ended after so many seconds hangs: a busy machine takes its time.
PATIENCE_SECONDS = 300
LIB = Path(__file__).resolve().parents[1] / "lib"
TOKEN = "token-of-the-tests"
LEAD = "agent:project-lead:"
MODULES = {
    "close-project": "close_project",
    "close-project-batch": "close_project_batch",
    "keep-only-sessions": "keep_only_sessions",
}


def session_id(name: str) -> str:
    """Return the id of the session with this name: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


class CallersEnviron(dict[str, str]):
    """The environment of whoever runs the tests, for what only fetches packages: an index has settings in a home."""

    def __init__(self, **more: str) -> None:
        super().__init__({**os.environ, **more, "HOME": CALLERS_HOME})


class Store:
    """One state directory in the layout of OpenClaw up to 2026.7."""

    def __init__(self, state: Path, port: int) -> None:
        self.state = Path(os.path.realpath(state))
        self.port = port
        self.state.mkdir(mode=0o700, parents=True)
        self.configure()

    def configure(self, *, token: str | None = TOKEN, **more: Any) -> None:
        """Write the configuration."""
        gateway: dict[str, Any] = {"mode": "local", "port": self.port, "bind": "loopback"}
        if token is not None:
            gateway["auth"] = {"mode": "token", "token": token}
        agents = {"list": [{"id": "main", "default": True}, {"id": "project-lead"}, {"id": "researcher"}]}
        write(self.state / "openclaw.json", json.dumps({"gateway": gateway, "agents": agents, **more}))

    def folder(self, agent: str = "project-lead") -> Path:
        """Return an agent's sessions folder."""
        return self.state / "agents" / agent / "sessions"

    def index(self, agent: str = "project-lead") -> Path:
        """Return an agent's sessions.json."""
        return self.folder(agent) / "sessions.json"

    def entries(self, agent: str = "project-lead") -> dict[str, Any]:
        """Return an agent's entries."""
        return dict(json.loads(self.index(agent).read_bytes()))

    def listed(self, agent: str = "project-lead") -> list[str]:
        """Return an agent's session keys."""
        return list(self.entries(agent))

    def write(self, entries: Mapping[str, Any], agent: str = "project-lead") -> None:
        """Write an agent's sessions.json the way OpenClaw does."""
        self.folder(agent).mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(entries, indent=2, ensure_ascii=False)
        write(self.index(agent), text.encode("utf-8", "surrogatepass"))

    def add(self, *rows: tuple[str, Mapping[str, Any]], agent: str = "project-lead") -> None:
        """Add entries."""
        known = self.entries(agent) if self.index(agent).exists() else {}
        self.write({**known, **dict(rows)}, agent)

    def session(
        self, key: str, *, agent: str = "project-lead", like: str | None = None, spoken: bool = True, **more: Any
    ) -> dict[str, Any]:
        """Return an entry, its transcript written; `like` names the session whose transcript it shares."""
        name = session_id(f"{agent} {like or key}")
        entry: dict[str, Any] = {"sessionId": name, "updatedAt": BORN, **more}
        if spoken:
            entry["sessionFile"] = str(self.transcript(f"{name}.jsonl", agent))
        return entry

    def transcript(self, name: str, agent: str = "project-lead") -> Path:
        """Write a file into the sessions folder; return its path."""
        path = self.folder(agent) / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, json.dumps({"type": "session", "version": 3, "id": name}) + "\n")
        return path

    def names(self, agent: str = "project-lead") -> set[str]:
        """Return the names in an agent's sessions folder."""
        return set(os.listdir(self.folder(agent)))

    def backups(self, agent: str = "project-lead") -> list[Path]:
        """Return an agent's backups."""
        return sorted(self.folder(agent).glob("sessions.json.bak-*"))

    def receipts(self) -> list[dict[str, Any]]:
        """Return all receipts, oldest first."""
        return [json.loads(path.read_bytes()) for path in sorted(self.state.glob("session-closer/receipts/*.json"))]

    def open_runs(self) -> list[str]:
        """Return the runs that have not ended."""
        return sorted(path.name for path in self.state.glob("session-closer/open/*"))

    def lock_transcript(self, key: str, agent: str = "project-lead") -> Path:
        """Put a live process's lock beside a session's transcript: a run in flight."""
        path = Path(self.entries(agent)[key]["sessionFile"] + ".lock")
        pid = os.getpid()
        write(path, json.dumps({"pid": pid, "createdAt": "now", "starttime": processes.start_ticks(pid)}))
        return path


# Makes the sample store with its gateway in some state of life (tests/commands/conftest.py).
Stage = Callable[..., Store]


def build(state: Path, port: int) -> Store:
    """Return the sample store: three agents, every kind of key and every kind of file."""
    store = Store(state, port)
    _project_lead(store)
    for agent, tails in (("researcher", ("main", "kelly-dashboard")), ("main", ("main", "hydration-tracker"))):
        rows = [f"agent:{agent}:{tail}" for tail in tails]
        store.add(*((key, store.session(key, agent=agent)) for key in rows), agent=agent)
    return store


def _project_lead(store: Store) -> None:
    def row(tail: str, **more: Any) -> tuple[str, dict[str, Any]]:
        key = tail if tail.startswith("project-invoices") else LEAD + tail
        return key, store.session(key, **more)

    topics = session_id("topics")
    store.add(
        row("main"),
        row("kelly-dashboard", label="Kelly's “dashboard”"),
        row("project-kelly-dashboard"),
        row("project-hydration-tracker"),
        row("project-invoices"),
        row("alpha", chatType="direct"),
        row("alpha-review", like=LEAD + "alpha"),
        row("cron:nightly"),
        row("cron:nightly:run:7f3a", like=LEAD + "cron:nightly"),
        row("subagent:2b1c", spawnedBy=LEAD + "kelly-dashboard"),
        row("never-spoken", spoken=False),
        (LEAD + "after-reset", {**store.session("older"), "sessionId": session_id("newer"), "updatedAt": BORN}),
        (LEAD + "topics", {"sessionId": topics, "updatedAt": BORN}),
        row("telegram:group:-1001234", chatType="group"),
    )
    store.transcript(f"{session_id('newer')}.jsonl")
    store.transcript(f"{topics}-topic-42.jsonl")
    kelly = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    store.transcript(f"{kelly}.trajectory.jsonl")
    store.transcript(f"{kelly}.trajectory-path.json")
    store.transcript(f"{kelly}.checkpoint.{session_id('checkpoint')}.jsonl")
    store.transcript(f"orphan.jsonl.deleted.{PUT_AWAY}")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a private file in place."""
    raw = content.encode() if isinstance(content, str) else content
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(raw)
    os.chmod(path, mode)


def tree(path: Path) -> dict[str, tuple[Any, ...]]:
    """Return every name below a folder, itself included, with kind, mode, time and content."""
    found = {}
    for each in [path, *sorted(path.rglob("*"))]:
        status = each.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = (status.st_size, hashlib.sha256(each.read_bytes()).hexdigest() if status.st_size < 1 << 24 else 0)
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(each)
        found[str(each.relative_to(path))] = (status.st_mode, status.st_mtime_ns, content)
    return found


class Result(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class Answer(NamedTuple):
    """How a command ended with --json."""

    code: int
    data: dict[str, Any]
    stderr: str

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Key and status of each row, in the order given."""
        return [(row["key"], row["status"]) for row in self.data["results"]]

    @property
    def error(self) -> str | None:
        """The name of the error of the whole run."""
        found = self.data["error"]
        return None if found is None else str(found["name"])


def run(command: type[Command], *words: str, state: Path | None = None) -> Result:
    """Run a command in this process; an exception that it lets out is the test's."""
    out, err = io.StringIO(), io.StringIO()
    place = [] if state is None else ["--state-dir", str(state)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        _, code = command.run([command.OPERATION, *place, *words], exit=False)
    return Result(int(code), out.getvalue(), err.getvalue())


def run_json(command: type[Command], *words: str, state: Path | None = None) -> Answer:
    """Run a command in this process with --json; its stdout must be one document, one line."""
    result = run(command, "--json", *words, state=state)
    return Answer(result.code, one_document(result.stdout), result.stderr)


def one_document(text: str) -> dict[str, Any]:
    """Return the only JSON document of a text."""
    assert text.endswith("}\n"), text
    assert text.count("\n") == 1, text
    assert not {"NaN", "Infinity"}.intersection(text.split())
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def run_process(
    name: str,
    *words: str,
    state: Path | None = None,
    env: Mapping[str, str] | None = None,
    before: str = "",
    closed: str = "<&-",
    seconds: float = PATIENCE_SECONDS,
) -> Result:
    """Run a command in a process of its own with stdin closed; `before` is Python to be run ahead of it."""
    place = [] if state is None else ["--state-dir", str(state)]
    module = name.replace("-", "_")
    program = f"import sys; from session_closer.cli.commands.{module} import main\n{before}\nsys.exit(main())"
    # What is left in a buffer fails at the very end.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    done = subprocess.run(
        [*shell, sys.executable, "-B", "-c", program, *place, *words],
        env={**environ, "PYTHONPATH": os.pathsep.join([str(LIB), *filter(None, sys.path)]), **(env or {})},
        capture_output=True,
        timeout=seconds,
        start_new_session=True,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def perform(store: Store, *words: str, disk: Disk | None = None, **options: Any) -> Report:
    """Close sessions below the command line, on a disk of the test's choice."""
    wish = Wish("close-project-batch", tuple(keys.target(word, None) for word in words))
    return execute(home.find(os.environ, state_dir=str(store.state)), wish, Options(**options), disk=disk)


@contextlib.contextmanager
def it_ends() -> Iterator[None]:
    """Fail where the block does not end, also where it waits for something that never comes."""

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"has not ended within {PATIENCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Killed(BaseException):
    """Stands for SIGKILL."""


class KilledDisk(Disk):
    """A disk that is cut off before or after the first call of one step: nothing takes effect from then on."""

    def __init__(self, step: str, *, after: bool = False) -> None:
        self.step = step
        self.after = after
        self.dead = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in vars(Disk) or name.startswith("_"):
            return found

        def step(*arguments: Any) -> Any:
            if self.dead:
                raise Killed
            if name != self.step:
                return found(*arguments)
            if self.after:
                found(*arguments)
            self.dead = True
            raise Killed

        return step


def interrupt(store: Store, *words: str, committed: bool) -> None:
    """Leave an interrupted run behind, killed just before or just after the new store is in place."""
    # Before: the journal is written, the new store is not in place. After: it is, but no transcript is moved.
    try:
        perform(store, *words, disk=KilledDisk("exchange", after=committed))
    except Killed:
        assert store.open_runs()
    else:
        raise AssertionError("the run was not killed")
