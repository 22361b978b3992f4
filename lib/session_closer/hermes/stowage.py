"""Checkpoints of version 2 as artifacts of a home: each project is one, by the path of its metadata."""

from __future__ import annotations

import re

from ..artifacts import scan
from ..core import late
from ..core.artifacts import Artifact
from ..core.listed import Use
from ..system.disk import Disk
from . import kinds
from .checkpoints import AWAY, PROJECTS, STORE, Store
from .projects import Project
from .protection import Protection

NO_GIT, IN_USE = "git", "workdir"
_PLACE = f"{STORE}/{PROJECTS}"
_PATH = late.pattern(rf"{re.escape(_PLACE)}/(?P<id>[0-9a-f]{{16}})\.json")


def is_project(path: str) -> bool:
    """Tell whether a path below a home could be a project's."""
    return _PATH.fullmatch(path) is not None


class Stowage:
    """The projects of one home, as they were when they were first looked at."""

    def __init__(self, root: str, disk: Disk) -> None:
        self._root = root
        self._store = Store(root, disk)
        self._seen: dict[str, Project] = {}
        self._is_owed = False
        self._doubt = ""

    def artifacts(self, known: Protection, age: float) -> list[Artifact]:
        """Return the projects, and what keeps them; `age`, in seconds, is that of sessions that hold a folder."""
        projects = self._store.projects()
        self._doubt = self._store.objection() if projects else ""
        found = []
        for project in projects:
            path = f"{_PLACE}/{project.id}.json"
            self._seen.setdefault(path, project)
            guard = NO_GIT if self._doubt else IN_USE if known.holds_folder(project.workdir, age) else ""
            found.append(Artifact(kinds.V2, path, None, project.last_touch, project.size, guard=guard))
        return found

    def stow(self, artifact: Artifact, folder: str) -> bool:
        """Put a project away; False, and nothing done, where it has changed; Refused: no git."""
        went = self._store.put_away(self._seen[artifact.path], folder)
        self._is_owed |= went
        return went

    def discard(self, artifact: Artifact) -> bool:
        """Delete a project for good; False, and nothing done, where it has changed; Refused: no git."""
        went = self._store.delete(self._seen[artifact.path])
        self._is_owed |= went
        return went

    def restow(self, path: str, folder: str) -> str:
        """Bring a project back: "live", "taken" or "gone"; Refused: no git."""
        return self._store.bring_back(_id(path), folder)

    def whereabouts(self, path: str, folder: str) -> str:
        """Finish what a kill has cut short: "away", "live" or "gone"; Refused: no git."""
        there = self._store.settle(_id(path), folder)
        self._is_owed |= there == AWAY
        return there

    def is_live(self, path: str) -> bool:
        """Tell whether there is a project now."""
        return any(project.id == _id(path) for project in self._store.projects())

    def obstacle(self, path: str, folder: str) -> str:
        """Return why a project could not be brought back now: no git, or an archive that is not whole."""
        return self._store.obstacle(_id(path), folder)

    def doubt(self) -> str:
        """Return why projects stay that git could not be asked of, "" where it could, or none is there."""
        return self._doubt

    def end(self) -> list[str]:
        """Free what no project needs any more, once; return what went otherwise."""
        if not self._is_owed:
            return []
        self._is_owed = False
        return [line for line in [self._store.collect_garbage()] if line]

    def use(self, agent: str) -> list[Use]:
        """Return how many projects there are, and what all that they share takes."""
        projects = self._store.projects()
        if not projects:
            return []
        above, _, name = STORE.rpartition("/")
        with scan.opened(self._root, above) as folder:
            return [] if folder is None else [Use(agent, kinds.V2, len(projects), scan.weighed(folder, name).size)]


def _id(path: str) -> str:
    match = _PATH.fullmatch(path)
    assert match is not None
    return match["id"]
