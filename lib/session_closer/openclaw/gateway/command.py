"""The `openclaw` command: where it is, running it, and asking the gateway through it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Any

from ...system import peers, processes, trust
from ..home import Home
from .link import CallRefused, LinkLost, LinkRefused

if TYPE_CHECKING:
    from plumbum.commands.base import BaseCommand

OVERRIDE = "SESSION_CLOSER_OPENCLAW"
VERSION = ("--version",)
_CALL_SLACK = 30.0


class OpenClaw:
    """The `openclaw` command that belongs to one state directory and, if there is one, its gateway process."""

    def __init__(self, home: Home, pid: int | None, port: int | None) -> None:
        self.words, self.left_out = command_words(home, pid)
        self._ports = home.ports if port is None else (port,)
        self._settings = {
            "OPENCLAW_STATE_DIR": home.state,
            "OPENCLAW_CONFIG_PATH": home.config_path,
            "NO_COLOR": "1",
        }
        if port is not None:
            self._settings["OPENCLAW_GATEWAY_PORT"] = str(port)

    def run(self, *arguments: str, seconds: float, into: IO[bytes] | None = None) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr; LinkRefused where it cannot be started, LinkLost after `seconds`.

        `into`: a file for its stdout, which is not returned. Then all that it has started itself ends with it, where it
        has to be ended.
        """
        from plumbum import CommandNotFound, local

        if not self.words:
            raise LinkRefused("there is no openclaw command on PATH")
        if arguments != VERSION:
            self._refuse_strangers()
        # Files, not pipes: a process that it leaves behind would keep a pipe open, and us waiting, for ever.
        with contextlib.ExitStack() as stack:
            out = into if into is not None else stack.enter_context(tempfile.TemporaryFile())
            err = stack.enter_context(tempfile.TemporaryFile())
            try:
                command: BaseCommand = local[self.words[0]][(*self.words[1:], *arguments)]
                own = command.with_env(**self._settings)
                process: Any = own.popen(stdin=subprocess.DEVNULL, stdout=out, stderr=err, new_session=into is not None)
            except (CommandNotFound, OSError) as problem:
                raise LinkRefused(f"{self.words[0]} cannot be started: {problem}") from None
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                said = f"openclaw {' '.join(arguments[:3])} gave no answer within {seconds:.0f} s"
                raise LinkLost(said) from None
            finally:
                # Also where a signal ends the wait: nothing of ours is left behind.
                if process.returncode is None:
                    _end(process, whole=into is not None)
            return code, "" if into is not None else _text(out), _text(err)

    def _refuse_strangers(self) -> None:
        """Raise LinkRefused where another user listens where this command would look for a gateway, token in hand."""
        for port in self._ports:
            if why := peers.stranger_at_home(port):
                raise LinkRefused(f"openclaw is not started, as it would tell the token to port {port}: {why}")

    def answer(self, *arguments: str, seconds: float) -> dict[str, Any]:
        """Return the JSON object that a command prints, empty where it prints none."""
        _, out, _ = self.run(*arguments, seconds=seconds)
        return first_object(out)


def _end(process: Any, *, whole: bool) -> None:
    """End a process; `whole`: with all that it has started, as openclaw starts itself once more."""
    if whole:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def first_object(text: str) -> dict[str, Any]:
    """Return the JSON object in what a command printed, empty where there is none."""
    start = text.find("{")
    if start < 0:
        return {}
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def command_words(home: Home, pid: int | None) -> tuple[list[str], str]:
    """Return how to call openclaw: as told, as the gateway itself runs, or from PATH; and why not as it runs."""
    told = home.environ.get(OVERRIDE, "").strip()
    if told:
        # What no shell has read, as in a unit of systemd, has its tilde still.
        return [os.path.expanduser(told)], ""
    words, why = _words_of(pid) if pid is not None else ([], "")
    if words and not why:
        return words, ""
    found = shutil.which("openclaw", path=_folders(home.environ.get("PATH", os.defpath)))
    return [found] if found else [], why


def missing(home: Home) -> str:
    """Return why there is no openclaw to be called, "" where there is one."""
    from plumbum import CommandNotFound, local

    words, _ = command_words(home, None)
    if not words:
        return f"there is no openclaw command on PATH; {OVERRIDE} names one elsewhere"
    try:
        # As it is looked for where it is run.
        found = local.path(words[0]) if "/" in words[0] else local.which(words[0])
    except CommandNotFound:
        found = None
    is_program = found is not None and os.path.isfile(found) and os.access(found, os.X_OK)
    return "" if is_program else f"{OVERRIDE} is {words[0]}, which is no program"


def _folders(path: str) -> str:
    """Return a PATH without what depends on the folder where we were called, which may be anybody's."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if os.path.isabs(folder))


def _words_of(pid: int) -> tuple[list[str], str]:
    """Return program and script of a gateway's process, and why they may not be run."""
    words = processes.command_line(pid)
    if len(words) < 2 or not words[1].endswith((".js", ".mjs")) or not os.path.isfile(words[1]):
        return [], ""
    program = words[0] if os.path.isabs(words[0]) else processes.program(pid) or words[0]
    # After its words were read: the number may be another's by now.
    if why := processes.stranger(pid):
        return [], f"what process {pid} runs is not run: {why}"
    for path in (program, words[1]):
        if why := trust.program_objection(path):
            return [], f"what process {pid} runs is not run: {why}"
    return [program, words[1]], ""


class CommandLink:
    """A Link that starts `openclaw gateway call` for every method: about a second each."""

    version: str | None = None
    state_dir: str | None = None

    def __init__(self, command: OpenClaw) -> None:
        self._command = command

    def call(self, method: str, params: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Return the payload, or raise LinkRefused, LinkLost or CallRefused."""
        code, out, err = self._command.run(
            "gateway", "call", method, "--params", json.dumps(params), "--json",
            "--timeout", str(round(seconds * 1000)), seconds=seconds + _CALL_SLACK,
        )  # fmt: skip
        if code == 0:
            return first_object(out)
        said = " ".join((err or out).split())
        # Older versions print the message alone; what is said of the session is no word about the link.
        if any(word in said for word in ("INVALID_REQUEST", "Cannot delete", "changed before", "is still active")):
            raise CallRefused(said[:300], changed="changed before" in said)
        if "timeout" in said.lower():
            raise LinkLost(said[:300])
        raise LinkRefused(said[:300] or f"openclaw gateway call ended with {code}")

    def has(self, method: str) -> bool:
        """Tell whether the gateway offers a method: a command line does not say, so assume it does."""
        return bool(method)

    def close(self) -> None:
        """Nothing stays open between calls."""
