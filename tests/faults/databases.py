"""Databases that a stub gateway serves: scenes to kill, cut off or interrupt a batch in, and what must hold then."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faults.injection import Counting, in_child
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options, Wish
from session_closer.journal.written import read_record
from session_closer.openclaw.gateway.link import SocketLink
from session_closer.openclaw.home import Home
from session_closer.operations import restore as restoring
from session_closer.operations.close import execute
from session_closer.system.disk import Disk
from support.clock import current
from support.commands import run_json
from support.gateway import StubGateway
from support.keys import LEAD, RESEARCHER
from support.sqlite import CRON_RUN, Bases, build_sqlite, unpacked
from support.stores import TOKEN, Store

ALPHA, BETA, GAMMA, PUT_AWAY = LEAD + "alpha", LEAD + "beta", RESEARCHER + "gamma", LEAD + "put-away"
TARGETS = (ALPHA, BETA, CRON_RUN, LEAD + "never-spoken", PUT_AWAY, GAMMA, RESEARCHER + "kelly-dashboard")
OTHER = LEAD + "pinned"
AGENTS = ("project-lead", "researcher")
FINE = {Status.CLOSED, Status.ALREADY_CLOSED}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)


class Lab:
    """Makes one fresh state directory after another, each served by the stub."""

    def __init__(self, folder: Path, stub: StubGateway) -> None:
        self.folder, self.stub, self.count = folder, stub, 0
        self.template = build_sqlite(Store(folder / "template", stub.port)).store.state

    def fresh(self, **order: Any) -> Scene:
        self.count += 1
        state = self.folder / f"state-{self.count}"
        shutil.copytree(self.template, state)
        store = Store.__new__(Store)
        store.state, store.port = state, self.stub.port
        bases = Bases(store)
        scene = Scene(bases, str(state), {agent: (bases.rows(agent), bases.events(agent)) for agent in AGENTS}, self)
        self.stub.serve(state, TOKEN, **order)
        return scene


class Scene(NamedTuple):
    """One state directory and what was in it."""

    bases: Bases
    state: str
    before: dict[str, tuple[dict[str, dict[str, Any]], dict[tuple[str, int], str]]]
    lab: Lab

    def batch(self, disk: Disk | None = None, targets: tuple[str, ...] = TARGETS, **options: Any) -> Report:
        url = f"ws://127.0.0.1:{self.lab.stub.port}"
        wish = Wish("close-project-batch", tuple(keys.target(word, None) for word in targets))
        home = Home(self.state, "--state-dir", os.environ, url=url)
        # To the end, which is where most can go wrong.
        deletes = not options.get("archive", False)
        return execute(home, wish, Options(delete=deletes, **options), disk=disk or Disk(), clock=current())

    def command(self, *words: str) -> Any:
        url = f"ws://127.0.0.1:{self.lab.stub.port}"
        path = self.lab.folder / "token"
        path.write_text(TOKEN)
        targets = words or TARGETS
        where = ("--url", url, "--token-file", str(path))
        return run_json(CloseProjectBatch, "--delete", *targets, *where, state=Path(self.state))

    def killed_at(self, point: int, targets: tuple[str, ...] = TARGETS, **options: Any) -> bool:
        """Run the batch and kill it with SIGKILL before its step number `point`; tell whether it got there."""

        def at(number: int, _name: str, when: str) -> None:
            if (number, when) == (point, "before"):
                os.kill(os.getpid(), signal.SIGKILL)

        status = in_child(lambda: self.counted(at, targets, **options))
        if os.WIFSIGNALED(status):
            return True
        assert os.WEXITSTATUS(status) == 0
        return False

    def counted(
        self, at: Callable[[int, str, str], None], targets: tuple[str, ...] = TARGETS, **options: Any
    ) -> Report:
        """Run the batch with every step on disk and every call counted."""
        return self.watched(lambda disk: self.batch(disk, targets, **options), at)

    def watched(self, work: Callable[[Disk], Report], at: Callable[[int, str, str], None]) -> Report:
        """Do something with every step on disk and every call counted."""
        disk, real = Counting(at), SocketLink._ask

        def ask(link: SocketLink, method: str, *arguments: Any) -> Any:
            number, disk.calls = disk.calls, disk.calls + 1
            at(number, method, "before")
            found = real(link, method, *arguments)
            at(number, method, "after")
            return found

        with replaced(SocketLink, "_ask", ask):
            return work(disk)

    def restore(self, disk: Disk | None = None) -> Report:
        """Bring back what the first run of ours has put away."""
        receipt = min(os.listdir(Path(self.state, "session-closer", "receipts")))
        home = Home(self.state, "--state-dir", os.environ, url=f"ws://127.0.0.1:{self.lab.stub.port}")
        return restoring.execute(
            home, restoring.Ask(receipt.removesuffix(".json")), Options(), disk=disk or Disk(), clock=current()
        )

    def steps(self, targets: tuple[str, ...] = TARGETS, **options: Any) -> list[str]:
        """Return the steps of an undisturbed batch; nothing comes after the last."""
        names: list[str] = []
        report = self.counted(
            lambda _, name, when: names.append(name) if when == "before" else None, targets, **options
        )
        assert exit_code(report) == 0
        return names

    def records(self) -> list[dict[str, Any]]:
        """Return receipts and the records of open runs."""
        root = Path(self.state, "session-closer")
        paths = [*root.glob("receipts/*.json"), *root.glob("open/*/record.json")]
        return [json.loads(read_record(str(path)).raw) for path in paths]


@contextlib.contextmanager
def replaced(place: Any, name: str, new: Any) -> Iterator[None]:
    real = getattr(place, name)
    setattr(place, name, new)
    try:
        yield
    finally:
        setattr(place, name, real)


# The oracle: rows and files, not the program's words


def violations(scene: Scene, *, targets: tuple[str, ...] = TARGETS, ended: bool, archive: bool = False) -> list[str]:
    """Return what is broken; `ended` adds what must hold after a run that was not disturbed."""
    found: list[str] = []
    saved = {
        (store["agent"], session["key"], session["sessionId"], session["entry"])
        for record in scene.records()
        for store in record["stores"]
        for session in store["sessions"]
    }
    for agent, (was, events) in scene.before.items():
        now, spoken = scene.bases.rows(agent), scene.bases.events(agent)
        found += [f"{key} appeared" for key in now if key not in was]
        for key, row in was.items():
            session = row["current_session_id"]
            mine = {at: text for at, text in events.items() if at[0] == session}
            left = {at: text for at, text in spoken.items() if at[0] == session}
            archives = [
                path for path in scene.bases.archives(agent) if path.name.startswith(f"{session}.jsonl.deleted.")
            ]
            touched = now.get(key) != row
            if key in targets and touched and (agent, key, session, row["entry_json"]) not in saved:
                found.append(f"{key} was changed, and its row is on no record")
            if key not in targets:
                if touched or left != mine or archives:
                    found.append(f"{key} was not asked for and is not as it was")
            elif key in now:
                found += _of_a_row_that_is_there(key, row, now[key], same=left == mine, archived=bool(archives))
                if ended and not archive:
                    found.append(f"end: {key} is still there, archived: {now[key]['archived_at']}")
            else:
                lines = [unpacked(path.read_bytes()).decode().splitlines()[1:] for path in archives]
                if lines != [list(mine.values())]:
                    found.append(f"{key} is gone, and its transcript is in {archives}")
                if left:
                    found.append(f"events of {key} are left")
            if ended and archive and key in targets and (key not in now or now[key]["archived_at"] is None):
                found.append(f"end: {key} is not archived")
        found += [f"{path.name} was put there" for path in scene.bases.store.folder(agent).iterdir()
                  if ".jsonl.deleted." not in path.name]  # fmt: skip
    own = Path(scene.state, "session-closer").rglob("*")
    found += [f"others may read {path.name}" for path in own if path.lstat().st_mode & 0o077]
    if ended:
        found += [f"end: open run {path.name}" for path in Path(scene.state, "session-closer", "open").glob("*")]
    return found


def _of_a_row_that_is_there(
    key: str, was: dict[str, Any], now: dict[str, Any], *, same: bool, archived: bool
) -> list[str]:
    found = []
    if now["current_session_id"] != was["current_session_id"] or not same:
        found.append(f"{key} is not the session that it was")
    if archived:
        found.append(f"{key} is there and its transcript is in an archive, too")
    ours = {"archivedAt", "archiveReason", "updatedAt"}
    entries = [{name: value for name, value in json.loads(row["entry_json"]).items() if name not in ours}
               for row in (was, now)]  # fmt: skip
    if entries[0] != entries[1]:
        found.append(f"the entry of {key} changed")
    if was["archived_at"] is not None and now["archived_at"] != was["archived_at"]:
        found.append(f"{key} was archived by somebody else, and is not as it was")
    return found


def left_hidden(scene: Scene) -> list[str]:
    """Return the rows that are archived now and were not."""
    return [
        key
        for agent, (was, _) in scene.before.items()
        for key, row in scene.bases.rows(agent).items()
        if row["archived_at"] is not None and was[key]["archived_at"] is None
    ]


def finishes(scene: Scene, *, targets: tuple[str, ...] = TARGETS, **options: Any) -> list[str]:
    """Run the same command again, undisturbed; return what is broken then."""
    scene.lab.stub.tell(faults=[])
    report = scene.batch(targets=targets, **options)
    found = violations(scene, targets=targets, ended=True, archive=bool(options.get("archive")))
    if exit_code(report) != 0:
        found.append(f"exit code {exit_code(report)}: {report.error}")
    fine = FINE | ({Status.ARCHIVED} if options.get("archive") else set())
    return found + [f"{row.key} is {row.status}" for row in report.results if row.status not in fine]


def truthful(scene: Scene, report: Report) -> list[str]:
    """Return the rows that a report calls closed and that are there, and those that are gone and that it does not."""
    found = []
    for row in report.results:
        there = row.key in scene.bases.rows(row.agent)
        if (row.status is Status.CLOSED) is there:
            found.append(f"{row.key} is called {row.status}, and is {'there' if there else 'gone'}")
    return found


class Interrupting:
    """Raises KeyboardInterrupt just before or just after one call."""

    def __init__(self, point: int, when: str) -> None:
        self.point, self.when, self.count, self.real = point, when, 0, SocketLink._ask

    def __call__(self, link: SocketLink, method: str, *arguments: Any) -> Any:
        self.count += 1
        mine = self.count == self.point
        if mine and self.when == "before":
            raise KeyboardInterrupt
        found = self.real(link, method, *arguments)
        if mine:
            raise KeyboardInterrupt
        return found


def killed_in_a_call(scene: Scene, method: str, targets: tuple[str, ...] = TARGETS) -> None:
    """Kill the batch with SIGKILL just after it has sent its first call of a method; the gateway goes on with it."""
    from websockets.sync.connection import Connection

    real = Connection.send

    def send(self: Connection, message: Any, *arguments: Any, **more: Any) -> None:
        real(self, message, *arguments, **more)
        if json.loads(message).get("method") == method:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with replaced(Connection, "send", send):
            scene.batch(targets=targets)

    assert os.WIFSIGNALED(in_child(work))
