"""What a copy of file stores is made of in which a plan is carried out and taken back, with nothing else near it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence

from ..core import names
from ..core.durable import Move
from ..core.errors import UsageProblem
from ..core.findings import Chores
from ..core.model import Plan, PlannedRow
from ..core.status import GOING, Route, Status
from ..ports.runtime import Double
from .files.store import FileStore, read_index
from .home import Home
from .installation import Installation

_WHY = "only their gateway changes a database, and no copy has one"
_NEXT = "--dry-run; what is archived there comes back at once: restore-sessions last"


def of(here: Installation, plan: Plan, root: str) -> Double:
    """Return what a copy below a folder is made of, and the plan of it; UsageProblem for sessions in databases.

    What has a session's transcript by its whole path has the copy's there.
    """
    going = [row for row in plan.rows if row.status in GOING]
    stores = [_store(here, agent) for agent in sorted({row.agent for row in going} | {*plan.tidying})]
    state = os.path.join(root, "state")
    files: dict[str, str] = {}
    texts: dict[str, tuple[bytes, str]] = {}
    moved = [_Moved(here.home, store, root, state) for store in stores]
    for one in moved:
        sources = [move.source for row in going if row.agent == one.agent for move in row.moves]
        chores = plan.tidying.get(one.agent, Chores())
        for path in one.paths([*sources, *chores.orphans], chores.expired):
            files[one.place_of(path)] = path
        texts[one.place_of(one.index)] = one.text(), one.index
    if template := next((one.template for one in moved if one.template), ""):
        index = stores[0].index
        texts[os.path.join(state, "openclaw.json")] = json.dumps({"session": {"store": template}}).encode(), index
    by_agent = {one.agent: one for one in moved}
    rows = tuple(_row(row, by_agent[row.agent].name_of) for row in going)
    chores_of = {agent: _chores(chores, by_agent[agent].name_of) for agent, chores in plan.tidying.items()}
    place = Home(state, "demo", {}, isolated=True)
    sessions = len(rows)
    return Double(files, texts, place, Plan(rows, kept=plan.kept, findings=plan.findings, chores=chores_of), sessions)


def _store(here: Installation, agent: str) -> FileStore:
    store = here.stores[agent]
    if not isinstance(store, FileStore):
        raise UsageProblem(f"sessions of agent {agent} are in SQLite, and cannot be rehearsed: {_WHY}", _NEXT)
    return store


class _Moved:
    """Where the parts of one agent's store are in a copy."""

    def __init__(self, home: Home, store: FileStore, root: str, state: str) -> None:
        self.agent, self.index = store.agent, store.index
        self.template = ""
        folder = os.path.join(state, "agents", store.agent, "sessions")
        # The longest one first: one may be in the other.
        self._places = {store.folder: folder, os.path.realpath(store.folder): folder}
        if store.beside:
            parts = [root, "elsewhere", *(["{agentId}"] if home.has_own_indexes() else [])]
            self.template = os.path.join(*parts, os.path.basename(store.index))
            beside = os.path.dirname(self.template).replace("{agentId}", store.agent)
            self._places |= {store.beside: beside, os.path.realpath(store.beside): beside}
        self._folder = store.folder
        self._place = store.place

    def place_of(self, path: str) -> str:
        """Return where the copy of a file is."""
        folder, _, name = path.rpartition("/")
        return f"{self._places[folder]}/{name}"

    def name_of(self, name: str) -> str:
        """Return a name of a plan as that of the copy: what lies beside an index elsewhere has its whole path."""
        return self.place_of(name) if name.startswith("/") else name

    def paths(self, sources: Sequence[str], expired: Sequence[str]) -> Iterator[str]:
        """Give the whole paths of files by their names."""
        for name in sources:
            yield os.path.join(self._folder, name)
        for name in expired:
            yield os.path.join(self._folder if names.is_archive(name) else self._place, name)

    def text(self) -> bytes:
        """Return the index, but that paths lead into the copy."""
        raw = read_index(self.index)[0]
        for folder, copy in sorted(self._places.items(), key=lambda item: -len(item[0])):
            for old in {json.dumps(folder), json.dumps(folder, ensure_ascii=False)}:
                plain = old[1:-1]
                for spelled in (plain, plain.replace("/", "\\/")):
                    slash = "\\/" if "\\/" in spelled else "/"
                    new = json.dumps(copy)[1:-1].replace("/", slash)
                    raw = raw.replace(f'"{spelled}{slash}'.encode(), f'"{new}{slash}'.encode())
        return raw


def _row(row: PlannedRow, name_of: Callable[[str], str]) -> PlannedRow:
    moves = tuple(_move(move, name_of) for move in row.moves)
    return row.but(status=Status.WOULD_CLOSE, route=Route.FILES, moves=moves, attached=(), left=())


def _move(move: Move, name_of: Callable[[str], str]) -> Move:
    return move.but(source=name_of(move.source), target=name_of(move.target))


def _chores(chores: Chores, name_of: Callable[[str], str]) -> Chores:
    return chores._replace(orphans=tuple(map(name_of, chores.orphans)), doubted=(), doubt=None)
