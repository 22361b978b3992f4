"""The git repository in which Hermes keeps the checkpoints of all projects, each of them at a ref of its own."""

from __future__ import annotations

import os
import stat

from ..core.errors import Refused, StorageFailed
from ..system import programs, trust
from ..system.disk import Disk
from ..system.files import is_no_file

REFS = "refs/hermes"
# What git needs to take a folder for a repository; it drops those that are empty itself.
_FOLDERS = ("refs", "refs/heads", "branches")
_INNER = ("refs", REFS, "projects", "indexes")
_SECONDS, _LONG_SECONDS = 60.0, 1800.0
_MOST_BYTES = 64 << 20
_HARMLESS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never",
    "-c", "core.fsync=all", "--no-pager",
)  # fmt: skip
_SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
_AGAIN = "run the same command again"
_PASSED_ON = ("PATH", "HOME", "TMPDIR")
# Beside an agent that takes a checkpoint `now` cuts histories: its newest objects hang on no ref yet.
_COLLECT = ("gc", "--quiet", "--prune=1.hour.ago")
# It needs no room on a disk that is full.
_PRUNE = ("prune", "--expire=1.hour.ago")


class Shadow:
    """A repository by its folder; what changes it goes through the disk, a step each."""

    def __init__(self, path: str, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    def is_there(self) -> bool:
        """Tell whether there is one that is ours, with no link on the way to what is in it; OSError."""
        folders = (os.path.dirname(self.path), self.path, os.path.join(self.path, "objects"))
        inner = (os.path.join(self.path, name) for name in _INNER)
        return all(map(_is_own_folder, folders)) and all(
            _is_own_folder(path) for path in inner if os.path.lexists(path)
        )

    def objection(self) -> str:
        """Return why git cannot be asked here, in words, "" where it can."""
        try:
            self.tips()
        except Refused as problem:
            return problem.message
        return ""

    def tips(self, ref: str = REFS) -> dict[str, str]:
        """Return the commit at each ref, or at this one; Refused."""
        listed = self._answer("for-each-ref", "--format=%(refname) %(objectname)", ref)
        return dict(line.split(" ") for line in listed.decode().splitlines())

    def holds(self, ref: str, commit: str) -> bool:
        """Tell whether all that a commit has is in the history at a ref."""
        try:
            return self._asked("merge-base", "--is-ancestor", commit, ref).code == 0
        except programs.Untold as problem:
            raise refusal(problem) from None

    def bundle(self, ref: str, path: str) -> None:
        """Write all that is at a ref into one new file; Refused."""
        self._change("bundle", "create", "--quiet", path, ref)

    def unbundle(self, path: str) -> None:
        """Take the objects of a bundle in again; Refused."""
        self._change("bundle", "unbundle", path)

    def create(self, ref: str, commit: str) -> bool:
        """Make a ref; False, and nothing done, where it is there."""
        return self._moved(ref, "", "update-ref", ref, commit, "")

    def delete(self, ref: str, commit: str) -> bool:
        """Delete a ref; False, and nothing done, where it is not at this commit any more."""
        return self._moved(ref, commit, "update-ref", "-d", ref, commit)

    def collect_garbage(self) -> str:
        """Free what hangs on no ref since an hour; return what went wrong, "" where nothing did."""
        try:
            ended = self._let(*_COLLECT, seconds=_LONG_SECONDS)
            if ended.code:
                self._let(*_PRUNE, seconds=_LONG_SECONDS)
        except programs.Untold as problem:
            return str(problem)
        finally:
            self.mend()
        return ended.complaint("git gc") if ended.code else ""

    def mend(self) -> None:
        """Make the folders again that git cannot be without."""
        for path in (os.path.join(self.path, name) for name in _FOLDERS):
            if not os.path.lexists(path):
                self._disk.make_folder(path)

    def sync(self) -> None:
        """Make durable what was done to refs and packs."""
        for name in ("", "refs", REFS, "objects/pack"):
            path = os.path.join(self.path, name)
            if os.path.isdir(path):
                self._disk.sync_folder(path)

    def _moved(self, ref: str, before: str, *words: str) -> bool:
        """Change a ref; False where it is not at this commit any more; StorageFailed where it is, or nobody knows."""
        try:
            ended = self._let(*words)
        except programs.Untold as problem:
            raise StorageFailed(f"{self.path} may have changed: {problem}", _AGAIN) from None
        if ended.code and self.tips(ref).get(ref, "") == before:
            raise StorageFailed(f"{self.path} is as it was: {ended.complaint('git')}", _AGAIN)
        return not ended.code

    def _answer(self, *words: str) -> bytes:
        try:
            return _told(self._asked(*words))
        except programs.Untold as problem:
            raise refusal(problem) from None

    def _change(self, *words: str) -> None:
        try:
            _told(self._let(*words, seconds=_LONG_SECONDS))
        except programs.Untold as problem:
            raise refusal(problem) from None

    def _let(self, *words: str, seconds: float = _SECONDS) -> programs.Ended:
        return self._disk.let(lambda: self._asked(*words, seconds=seconds))

    def _asked(self, *words: str, seconds: float = _SECONDS) -> programs.Ended:
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
        environ["GIT_DIR"] = self.path
        return programs.run(programs.find("git"), (*_HARMLESS, *words), environ, seconds=seconds, most=_MOST_BYTES)


def refusal(why: object) -> Refused:
    """Return the error of what cannot be done without git, or with what it says."""
    return Refused(f"the checkpoints stay as they are: {why}", "install git, or ask it: git fsck", name="git")


def _told(ended: programs.Ended) -> bytes:
    if ended.code:
        raise programs.Untold(ended.complaint("git"))
    return ended.out


def _is_own_folder(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError as problem:
        if not is_no_file(problem):
            raise
        return False
    return stat.S_ISDIR(found.st_mode) and trust.is_trusted(found.st_uid)
