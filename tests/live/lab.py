"""A state directory of its own for a real OpenClaw: gateway, sessions, and our commands run beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import documents
from support.homes import CallersEnviron
from support.memory import folder_in_memory

from .gateway import Gateway, Rpc, free_port, wait_until
from .install import Install, Unavailable, cache_root
from .stores import Database, Files, Store

Provided = TypeVar("Provided")
REPOSITORY = Path(__file__).resolve().parents[2]
AGENTS = ("main", "project-lead")
TOKEN = {"mode": "token", "token": "live-suite-token"}
PASSWORD = {"mode": "password", "password": "live-suite-password"}
WRONG = "wrong-token-that-nobody-may-see"
COMMAND_SECONDS = 180
RUN_SECONDS = 60
MISSING_DEPENDENCY = 69
# A gateway of a test must not see the developer's own settings, keys or service manager.
INHERITED = ("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
QUIET = {
    "OPENCLAW_SKIP_CHANNELS": "1",
    "OPENCLAW_SKIP_CRON": "1",
    "OPENCLAW_SKIP_BROWSER_CONTROL_SERVER": "1",
    "OPENCLAW_SKIP_CANVAS_HOST": "1",
    "OPENCLAW_SKIP_GMAIL_WATCHER": "1",
    "OPENCLAW_DISABLE_BONJOUR": "1",
    "NO_COLOR": "1",
}


@dataclass(frozen=True)
class Result:
    """What one of our commands answered."""

    code: int
    json: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the answer by key."""
        return {str(row["key"]): row for row in self.json["results"]}

    def statuses(self) -> dict[str, str]:
        """Return the status of each key."""
        return {key: str(row["status"]) for key, row in self.rows.items()}

    def backup(self, agent: str) -> Path:
        """Return the path of the backup of an agent's store."""
        (found,) = [store["backup"] for store in self.json["stores"] if store["agent"] == agent]
        return Path(str(found))


@dataclass
class Lab:
    """One temporary state directory, its environment and at most one gateway."""

    install: Install
    root: Path
    port: int = field(default_factory=free_port)
    auth: dict[str, str] = field(default_factory=lambda: dict(TOKEN))
    agents: tuple[str, ...] = AGENTS
    gateway: Gateway | None = None
    silent: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        for path in (self.state, self.home, self.root / "tmp", self.root / "workspaces"):
            path.mkdir(mode=0o700)
        self.configure()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.root / "state"

    @property
    def era(self) -> str:
        """How sessions are kept here: `files` or `sqlite`."""
        return self.install.era

    @property
    def home(self) -> Path:
        """An empty home."""
        return self.root / "home"

    def configure(
        self, name: str = "openclaw.json", *, port: int | None = None, auth: dict[str, str] | None = None
    ) -> Path:
        """Write a configuration, for this lab's own port and secret unless told otherwise; its path."""
        agents = {agent: {"workspace": str(self.workspace(agent))} for agent in self.agents}
        # The backlog takes connections that nobody answers: a run with this model never ends.
        address = f"http://127.0.0.1:{self.silent.getsockname()[1]}/v1"
        model = {
            "id": "silent",
            "name": "silent",
            "input": ["text"],
            "contextWindow": 32_000,
            "maxTokens": 1000,
        }
        provider = {"baseUrl": address, "apiKey": "none", "api": "openai-completions", "models": [model]}
        gateway: dict[str, Any] = {"mode": "local", "port": port or self.port, "bind": "loopback"}
        models: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if self.era == "sqlite":
            # It would copy its files into the state directory.
            gateway["controlUi"] = {"enabled": False}
            # A process of its own would go through what was said, at moments that nobody chooses.
            more["memory"] = {"search": {"enabled": False}}
            # It would be asked for over the net at each start.
            models["catalogRefresh"] = {"enabled": False}
        config = {
            "gateway": {**gateway, "auth": auth or self.auth},
            # A heartbeat begins a session of its own at a moment that nobody chooses.
            "agents": {
                "defaults": {"model": {"primary": "silent/silent"}, "heartbeat": {"every": "0m"}},
                **self._listed(agents),
            },
            "models": {"providers": {"silent": provider}, **models},
            "session": {"maintenance": {"mode": "warn"}},
            "logging": {"file": str(self.root / "openclaw.log")},
            "update": {"checkOnStart": False},
            **more,
        }
        path = self.state / name
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return path

    def _listed(self, agents: dict[str, dict[str, str]]) -> dict[str, Any]:
        if self.era == "sqlite":
            return {"ownership": "explicit", "entries": agents}
        return {"list": [{"id": agent, "default": agent == AGENTS[0], **more} for agent, more in agents.items()]}

    def workspace(self, agent: str) -> Path:
        """Return an agent's workspace."""
        return self.root / "workspaces" / agent

    def environ(self) -> dict[str, str]:
        """Return the environment of the gateway, of the `openclaw` command and of our commands."""
        path = [str(self.install.shims), str(self.install.node_bin), str(Path(sys.executable).parent)]
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **QUIET,
            "PATH": os.pathsep.join([*path, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.home),
            "TMPDIR": str(self.root / "tmp"),
            # Of each lab's own it would be empty, and OpenClaw is compiled anew at each start.
            "NODE_COMPILE_CACHE": str(cache_root() / "compiled"),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_CONFIG_PATH": str(self.state / "openclaw.json"),
        }

    def start(self, mode: str = "service") -> Gateway:
        """Start the gateway as its service unit does, or as a person does with `openclaw gateway run`."""
        assert self.gateway is None, "this lab has a gateway already"
        if mode == "service":
            command = [str(self.install.node), str(self.install.entry), "gateway", "--port", str(self.port)]
        else:
            command = [str(self.install.shims / "openclaw"), "gateway", "run", "--port", str(self.port)]
        log = self.root / f"gateway-{len(list(self.root.glob('gateway-*.log'))) + 1}.log"
        self.gateway = Gateway(command, self.environ(), log, self.port, self.auth)
        try:
            self.gateway.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.gateway

    def stop(self) -> None:
        """End the gateway if there is one."""
        if self.gateway is not None:
            self.gateway.stop()
            self.gateway = None

    def restarting(self, times: int) -> contextlib.AbstractContextManager[None]:
        """Assert that the running gateway restarts so often meanwhile."""
        assert self.gateway is not None, "no gateway runs"
        return self.gateway.restarting(times)

    def rpc(self) -> contextlib.AbstractContextManager[Rpc]:
        """Return a new connection to the running gateway."""
        assert self.gateway is not None, "no gateway runs"
        return self.gateway.rpc()

    def sessions(self, agent: str) -> Path:
        """Return an agent's sessions directory."""
        return self.state / "agents" / agent / "sessions"

    def index(self, agent: str) -> Path:
        """Return an agent's sessions.json."""
        return self.sessions(agent) / "sessions.json"

    @property
    def store(self) -> Store:
        """What lies on the disk, as this version keeps it."""
        return Database(self.state, self.install.node) if self.era == "sqlite" else Files(self.state)

    def entries(self, agent: str) -> dict[str, dict[str, Any]]:
        """Return the entries of an agent's sessions."""
        return self.store.entries(agent)

    def write_entries(self, agent: str, entries: dict[str, dict[str, Any]]) -> None:
        """Replace an agent's sessions.json, written as OpenClaw writes it."""
        path = self.index(agent)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name("by-hand")
        fresh.write_text(json.dumps(entries, indent=2, ensure_ascii=False))
        fresh.chmod(0o600)
        fresh.replace(path)

    def transcript(self, agent: str, key: str) -> Path:
        """Return the transcript of a session that has spoken."""
        return Path(str(self.entries(agent)[key]["sessionFile"]))

    def lock(self, agent: str, key: str) -> Path:
        """Return the lock file of a session's transcript, which is there while the session runs."""
        return self.transcript(agent, key).with_suffix(".jsonl.lock")

    def add_companions(self, agent: str, key: str) -> dict[str, bytes]:
        """Put the three kinds of companions beside a session's transcript; their names and bytes."""
        name = str(self.entries(agent)[key]["sessionId"])
        made = {
            f"{name}.trajectory.jsonl": b'{"type":"session.started"}\n',
            f"{name}.trajectory-path.json": b'{"traceSchema":"openclaw-trajectory-pointer"}\n',
            f"{name}.checkpoint.{uuid.uuid4()}.jsonl": b'{"type":"session","version":3}\n',
        }
        for file, content in made.items():
            (self.sessions(agent) / file).write_bytes(content + name.encode())
        return {file: content + name.encode() for file, content in made.items()}

    def openclaw(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the real `openclaw` command to its end."""
        return subprocess.run(
            [str(self.install.shims / "openclaw"), *arguments],
            env=self.environ(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@contextlib.contextmanager
def laboratory(install: Install, auth: dict[str, str] | None = None) -> Iterator[Lab]:
    """Give a lab that leaves neither process nor file behind."""
    root = Path(tempfile.mkdtemp(prefix="session-closer-lab-", dir=folder_in_memory())).resolve()
    lab = Lab(install, root, auth=dict(auth or TOKEN))
    try:
        yield lab
    finally:
        lab.stop()
        lab.silent.close()
        shutil.rmtree(root, ignore_errors=True)


def create(rpc: Rpc, *keys: str, messages: int = 1) -> dict[str, str]:
    """Create sessions with a real transcript each; key -> session id."""
    made = {}
    for key in keys:
        made[key] = str(rpc("sessions.create", key=key)["sessionId"])
        for number in range(messages):
            rpc("chat.inject", sessionKey=key, message=f"message {number} of {key}")
    return made


def start_run(rpc: Rpc, lab: Lab, agent: str, key: str) -> None:
    """Let an agent begin to answer a message, which it never finishes."""
    rpc("chat.send", sessionKey=key, message="hello", idempotencyKey=str(uuid.uuid4()))

    def is_running() -> bool:
        if lab.era == "files":
            return lab.lock(agent, key).exists() and lab.entries(agent)[key].get("status") == "running"
        return has_run(rpc, key)

    wait_until(is_running, RUN_SECONDS, f"a run of {key}")


def end_run(rpc: Rpc, lab: Lab, agent: str, key: str) -> None:
    """Cut a run off, and wait until nothing of it is written any more."""
    rpc("sessions.abort", key=key)

    def is_over() -> bool:
        if lab.era == "files":
            return not lab.lock(agent, key).exists()
        return not has_run(rpc, key) and lab.entries(agent)[key].get("status") == "killed"

    wait_until(is_over, RUN_SECONDS, f"the end of the run of {key}")


def has_run(rpc: Rpc, key: str) -> bool:
    """Tell whether the gateway says that a session runs."""
    answer = rpc("sessions.list", limit=100_000)
    return any(row.get("hasActiveRun") is True for row in answer["sessions"] if row["key"] == key)


def run(
    lab: Lab,
    name: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    repository: Path = REPOSITORY,
) -> Result:
    """Run one of our commands in the lab's environment, with stdin closed."""
    return finish(begin(lab, name, *arguments, environ=environ, repository=repository))


def begin(
    lab: Lab,
    name: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    repository: Path = REPOSITORY,
) -> subprocess.Popen[str]:
    """Start one of our commands; `finish` waits for it."""
    # A shell lets what it runs in the background ignore this signal, and so would our command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [str(repository / "bin" / name), "--json", *arguments],
            env={**lab.environ(), **closer_environ(), **(environ or {})},
            cwd=lab.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def finish(process: subprocess.Popen[str]) -> Result:
    """Return what a command answers in the end."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
        except BaseException:
            process.kill()
            raise
    try:
        document = json.loads(stdout)
    except ValueError:
        message = f"{process.args!r} -> {process.returncode}, no JSON:\n{stdout}\n{stderr}"
        raise AssertionError(message) from None
    assert isinstance(document, dict), f"{process.args!r} printed no object: {stdout}"
    documents.check(stdout)
    return Result(process.returncode, document, stdout, stderr)


def with_wrong_token(lab: Lab) -> dict[str, str]:
    """Return an environment with a wrong token; the gateway follows changes of its own configuration only."""
    return {"OPENCLAW_CONFIG_PATH": str(lab.configure("wrong.json", auth={"mode": "token", "token": WRONG}))}


def closer_environ() -> dict[str, str]:
    """Return where our commands keep their dependencies while the home is an empty one."""
    return {"SESSION_CLOSER_CACHE": str(cache_root() / "closer")}


def prepare_commands() -> None:
    """Let our commands fetch their dependencies once; Unavailable where they cannot."""
    done = subprocess.run(
        [str(REPOSITORY / "bin" / "close-project-batch"), "--help"],
        env=CallersEnviron(**closer_environ()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode == MISSING_DEPENDENCY:
        raise Unavailable(f"our dependencies cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, f"--help ends with {done.returncode}: {done.stderr}"


def provided(product: str, version: str, provide: Callable[[str], Provided]) -> Provided:
    """Return what is installed of a version; without it, and without our own dependencies, the tests are skipped."""
    try:
        prepare_commands()
        return provide(version)
    except Unavailable as reason:
        pytest.skip(f"no {product} {version} to test with: {reason}")
