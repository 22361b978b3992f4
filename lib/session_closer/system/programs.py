"""Run another program, found on PATH, for a bounded time, with an environment of its own and files for what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.tuples import NamedTuple
from . import trust

if TYPE_CHECKING:
    from plumbum.commands.base import BaseCommand

_GRACE_SECONDS = 5.0


class Untold(Exception):
    """A program that could not be asked, or that gave no answer: why, in words."""


class Ended(NamedTuple):
    """What a program has said and with which code it has ended."""

    code: int
    out: bytes
    err: bytes

    def complaint(self, name: str) -> str:
        """Return why a program says that it has failed, by its first line."""
        said = self.err.decode("utf-8", "replace").strip().splitlines()
        return f"{name} says {said[0]}" if said else f"{name} ended with {self.code}"


def find(name: str) -> str:
    """Return the whole path of a program; Untold where there is none that we may run."""
    # What is found by a relative folder of PATH may be anybody's.
    folders = filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep))
    program = shutil.which(name, path=os.pathsep.join(folders))
    if program is None:
        raise Untold(f"there is no {name} on PATH")
    if why := trust.program_objection(program):
        raise Untold(why)
    return program


def run(program: str, words: Sequence[str], environ: Mapping[str, str], *, seconds: float, most: int) -> Ended:
    """Return what a program says; Untold: it cannot be started, says more than `most` bytes, or takes longer."""
    from plumbum import local  # only what a run asks for runs another program

    name = os.path.basename(program)
    command: BaseCommand = local[program]
    # Files, not pipes: a process that it leaves behind would keep a pipe open, and us waiting, for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process: Any = command[tuple(words)].popen(
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environ), cwd="/"
            )
        except OSError as problem:
            raise Untold(f"{name} cannot be started: {problem.strerror}") from None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Untold(f"{name} gave no answer within {seconds:.0f} s") from None
        finally:
            if process.returncode is None:
                _end(process)
        if out.seek(0, os.SEEK_END) > most:
            raise Untold(f"{name} says too much")
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read(most))


def _end(process: Any) -> None:
    """End a program that takes too long; it may take its own lock files away first."""
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
