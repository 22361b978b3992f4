"""What a session's managed worktree holds that OpenClaw's snapshot of it does not. Read through git, nothing writes."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from ...core import durations
from ...core.effects import Attached
from ...core.escape import plain, quoted
from ...core.tuples import NamedTuple
from ...journal.record import Mode
from ...system import files, programs, trust
from ..home import Home
from ..sqlite.database import reading

_GIT_SECONDS = 60.0
_GIT_BYTES = 64 << 20
_STATUS_BYTES = 1 << 20
_SHOWN = 3
# So that a receipt can be read again; a whole checkout has other modes only where another umask has made it.
_MOST_MODES = 10_000
# A worktree's own configuration may name programs: none of them is run, and nothing is fetched.
_HARMLESS = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false",
    "-c", "protocol.allow=never", "--no-pager", "--literal-pathspecs",
)  # fmt: skip
_SETTINGS = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
# Of the environment git gets no more: a GIT_DIR there would be another repository.
_PASSED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR")
_FILES = ("ls-files", "-z", "--others", "--exclude-standard")


class Tree(NamedTuple):
    """A managed worktree: `ignored` are files of it that no snapshot keeps, `size` their bytes.

    `modes` are those of files and folders that a snapshot does not keep. `problem` says why nothing of that is known.
    """

    id: str
    path: str
    ignored: tuple[str, ...] = ()
    size: int = 0
    modes: tuple[Mode, ...] = ()
    problem: str = ""

    @property
    def said(self) -> str:
        """What would be lost, in words, "" where nothing would."""
        if self.problem:
            return f"what git ignores in its worktree {quoted(self.path)} cannot be told: {self.problem}"
        if not self.ignored:
            return ""
        number = len(self.ignored)
        count = "1 file" if number == 1 else f"{number} files"
        shown = ", ".join(map(plain, self.ignored[:_SHOWN])) + (", …" if number > _SHOWN else "")
        size = durations.shown_size(self.size)
        return f"{count} that git ignores, {size}, in its worktree {quoted(self.path)}: {shown}"

    def attached(self) -> tuple[Attached, ...]:
        """Return it, and what of it no snapshot keeps, as what belongs to a session."""
        if not self.ignored:
            return (Attached("worktree", self.id, self.path, 1, self.said),)
        gone = Attached("ignored-file", self.id, self.path, len(self.ignored), f"gone for good: {self.said}")
        return Attached("worktree", self.id, self.path), gone


def look(home: Home, ids: Iterable[str], umask: int) -> dict[str, Tree]:
    """Return the worktrees of these ids that OpenClaw has and would take away; Refused where its list cannot be read.

    `umask`: that of the gateway, which makes the files anew.
    """
    found: dict[str, Tree] = {}
    for name, path, provisioned in _registered(home, set(ids)):
        if files.exists(path):
            found[name] = _look(name, path, provisioned, umask)
        elif home.url is not None:
            # Of a gateway that was named, which may be in a container or on another machine.
            found[name] = Tree(name, path, problem="it is not there, seen from here")
    return found


def path_of(home: Home, name: str) -> str | None:
    """Return where a worktree is now, None where there is none; Refused where OpenClaw's list cannot be read."""
    return next((path for _, path, _ in _registered(home, {name}) if files.exists(path)), None)


def _registered(home: Home, ids: set[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Give id, path and the files that OpenClaw keeps itself, of each worktree that has not been removed."""
    shared = home.state_database
    if not ids or not files.exists(shared, follow=True):
        return
    with reading(shared) as connection:
        columns = {str(name) for (name,) in connection.execute("select name from pragma_table_info('worktrees')")}
        if not {"id", "path", "removed_at"} <= columns:
            return
        kept = "provisioned_paths_json" if "provisioned_paths_json" in columns else "null"
        query = f"select id, path, {kept} from worktrees where removed_at is null"  # noqa: S608
        rows = [row for row in connection.execute(query) if row[0] in ids]
    for name, path, provisioned in rows:
        if isinstance(path, str) and os.path.isabs(path) and files.is_path(path):
            yield name, _seen_from_here(home, path), _provisioned(provisioned)


def _seen_from_here(home: Home, path: str) -> str:
    """Return a path that the gateway has written as it is here, where the gateway calls the state directory else."""
    theirs = os.path.join(home.gateway_state or home.state, "")
    return os.path.join(home.state, path.removeprefix(theirs)) if path.startswith(theirs) else path


def _provisioned(text: object) -> frozenset[str]:
    """Return the files that OpenClaw has put there, and keeps in its database with a snapshot."""
    try:
        listed = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return frozenset()
    named = [one.get("path") if isinstance(one, dict) else one for one in listed] if isinstance(listed, list) else []
    return frozenset(name for name in named if isinstance(name, str))


def _look(name: str, path: str, provisioned: frozenset[str], umask: int) -> Tree:
    try:
        root = os.lstat(path)
    except OSError as problem:
        return Tree(name, path, problem=problem.strerror or str(problem))
    why = "" if stat.S_ISDIR(root.st_mode) else "it is no folder"
    if not trust.is_trusted(root.st_uid):
        why = f"it belongs to uid {root.st_uid}"
    if why:
        return Tree(name, path, problem=why)
    try:
        ignored = [one for one in _listed(path, *_FILES, "--ignored") if one not in provisioned]
        kept = _listed(path, *_FILES, "--cached")
    except programs.Untold as problem:
        return Tree(name, path, problem=str(problem))
    size = sum(_size(os.path.join(path, one)) for one in ignored)
    # It is worse that everybody may read a private file than that the group may not write one.
    found = sorted(_modes(path, kept, umask), key=lambda mode: bool(mode.mode & ~(0o777 & ~umask)))
    return Tree(name, path, tuple(ignored), size, tuple(found[:_MOST_MODES]))


def _listed(path: str, *words: str) -> list[str]:
    """Return the names that git lists in a worktree, in its own order; Untold."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
    # Without a repository of its own it is not asked of one that it lies in.
    environ["GIT_CEILING_DIRECTORIES"] = os.path.dirname(os.path.realpath(path))
    asked = ("-C", path, *_HARMLESS, *words)
    ended = programs.run(programs.find("git"), asked, environ, seconds=_GIT_SECONDS, most=_GIT_BYTES)
    if ended.code != 0:
        raise programs.Untold(ended.complaint("git"))
    return [os.fsdecode(one) for one in ended.out.split(b"\0") if one]


def _size(path: str) -> int:
    """Return the bytes of a file, or of all files in a folder: git does not look into one with a repository in it."""
    if not files.is_folder(path):
        with contextlib.suppress(OSError):
            return os.lstat(path).st_size
        return 0
    return sum(_size(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _modes(path: str, names: Sequence[str], umask: int) -> Iterator[Mode]:
    """Give the files and folders whose modes are not those that git makes."""
    folders = sorted({folder for name in names for folder in _above(name)})
    for name in (*dict.fromkeys(names), *folders):
        try:
            found = os.lstat(os.path.join(path, name))
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISDIR(found.st_mode) and name in folders:
            made = 0o777 & ~umask
        elif stat.S_ISREG(found.st_mode):
            made = (0o777 if mode & stat.S_IXUSR else 0o666) & ~umask
        else:
            continue
        # The bits that lend a user's or a group's rights are left to whoever wants them.
        if mode & 0o777 != made:
            yield Mode(name, mode & 0o777)


def _above(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def refusal(tree: Tree) -> str:
    """Return why a session with this worktree may not go, "" where it may."""
    if not tree.said:
        return ""
    return f"{tree.said}; archiving takes them away for good: save them, or --lose-ignored"


def umask_of(pid: int | None) -> int:
    """Return the umask of a process, or else our own; that of most users where neither can be told."""
    for who in (str(pid), "self"):
        with contextlib.suppress(OSError, ValueError):
            for line in files.read(f"/proc/{who}/status", _STATUS_BYTES)[0].decode("ascii", "replace").splitlines():
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    return 0o022
