"""A stub gateway and a stub `openclaw` command, as a test sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.programs import command_line
from support.stub import UNTIL


class StubGateway:
    """The process, seen from a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock: Path | None = None
        self.order: dict[str, Any] = {}
        self._write({})
        # Of its own, so that no command but a test's takes it for its gateway.
        own = {"HOME": str(folder), "TMPDIR": str(folder), "OPENCLAW_STATE_DIR": str(folder / "state"), UNTIL: "yes"}
        self.process = subprocess.Popen(
            command_line("stub", str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**{name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}, **own},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def serve(self, state: Path, token: str, **more: Any) -> None:
        """Serve a state directory from now on, as a lock file in $TMPDIR says.

        `refuse`: "connect", "delete", "admin" or "cron"; `hello`: the state directory it claims; `lie`: says ok and
        deletes nothing, though it `names` archives; `renames`: the stamp of the archives that it names instead of its
        own; `active`: keys with a run in flight; `old`: rows without hasActiveRun;
        `scopes`: those that its hello names.

        Over databases, `faults` is a list of what goes wrong: {method ("*": any), call (its numbers from 1 on; none:
        each), do, ...}. `do` is "drop-before" or "drop-after" (the connection ends before or after the call has taken
        effect), "retryable", "error" (`error`: what it answers), "lie" (ok and nothing done), "write-before" or
        "write-after" (`agent`, `sql`: what somebody else writes) or "wait" (`seconds`, or `until` a file is
        there, before it takes effect).
        `ghosts`: rows that `sessions.list` adds; `stale`: keys whose `status: running` is left over.
        """
        (self.folder / "calls").unlink(missing_ok=True)
        self.order = {"state": str(state), "token": token, "serial": str(uuid.uuid4()), **more}
        self._write(self.order)
        folder = Path(os.environ["TMPDIR"], f"openclaw-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        self.lock = folder / "gateway.1a2b3c4d.lock"
        self.write_lock("first start")

    def write_lock(self, created: str) -> None:
        """Write the lock file."""
        assert self.lock is not None
        config = str(Path(self.order["state"], "openclaw.json"))
        self.lock.write_text(json.dumps({**self._identity(), "createdAt": created, "configPath": config}))

    def _identity(self) -> dict[str, Any]:
        from session_closer.system import processes

        pid = self.process.pid
        return {"pid": pid, "startTime": processes.start_ticks(pid), "port": self.port}

    def tell(self, **more: Any) -> None:
        """Change how it behaves."""
        self.order.update(more)
        self._write(self.order)

    def calls(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of all calls of a method."""
        return [row["params"] for row in self._log() if row["method"] == method]

    def methods(self) -> list[str]:
        """Return the methods of all calls, in order."""
        return [row["method"] for row in self._log()]

    def _log(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _write(self, order: dict[str, Any]) -> None:
        path = self.folder / "order"
        path.with_suffix(".new").write_text(json.dumps(order))
        path.with_suffix(".new").replace(path)


@contextlib.contextmanager
def stub_gateway(folder: Path) -> Iterator[StubGateway]:
    """Give a stub gateway that serves nobody yet."""
    gateway = StubGateway(folder)
    try:
        yield gateway
    finally:
        gateway.stop()


class StubOpenClaw:
    """An `openclaw` command that knows `gateway status`, `gateway restart` and refuses `gateway call`."""

    def __init__(self, folder: Path, gateway: StubGateway | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        self.path = folder / "openclaw"
        self.answers("status", {"service": {"loaded": False}, "port": {"listeners": []}})
        self.answers("restart", {"ok": True, "result": "restarted"})
        self.answers("call", {}, code=1, complaint="missing scope: operator.admin")
        restart = ""
        if gateway is not None and gateway.lock is not None:
            after = folder / "lock"
            first = json.loads(gateway.lock.read_text())
            after.write_text(json.dumps({**first, "createdAt": "second start"}))
            restart = f"[ -e {folder}/no-effect ] || cp {after} {gateway.lock}"
            self.answers("status", {"service": {"loaded": False}, "port": {"listeners": [{"pid": first["pid"]}]}})
        self.path.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {folder}/calls\n'
            f'[ "$2" = restart ] && {{ {restart or ":"}; }}\n'
            f'cat "{folder}/$2.err" >&2; cat "{folder}/$2.out"; exit "$(cat "{folder}/$2.code")"\n'
        )
        self.path.chmod(0o700)

    def answers(self, word: str, answer: dict[str, Any], *, code: int = 0, complaint: str = "") -> None:
        """Set the answer to `openclaw gateway WORD`."""
        for suffix, text in (("out", json.dumps(answer) if answer else ""), ("err", complaint), ("code", str(code))):
            (self.folder / f"{word}.{suffix}").write_text(text)

    def has_no_effect(self) -> None:
        """Let a restart say that all went well while nothing happens."""
        (self.folder / "no-effect").touch()

    def calls(self, word: str) -> list[str]:
        """Return the command lines of `openclaw gateway WORD` so far."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[1] == word]
