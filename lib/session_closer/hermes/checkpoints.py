"""Checkpoints of Hermes' version 2, project by project: put away as a bundle, brought back, or deleted.

The ref of a project is the one thing that counts: what is put away is durable before it goes, and what is brought back
is there before it comes. It goes and comes in one step of git, which looks whether it is what it was.
"""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from ..core import late
from ..core.errors import Refused, StorageFailed
from ..system import files
from ..system.disk import Disk
from . import bundles
from .projects import Project, said
from .saved import BUNDLE, INDEX, META, META_BYTES, Saved, archive, is_whole, size_of, text_of
from .shadow import REFS, Shadow, refusal

STORE = os.path.join("checkpoints", "store")
PROJECTS, INDEXES = "projects", "indexes"
AWAY: Literal["away"] = "away"
LIVE: Literal["live"] = "live"
TAKEN: Literal["taken"] = "taken"
GONE: Literal["gone"] = "gone"
_NAME = late.pattern(r"([0-9a-f]{16})\.json")
_PART = ".part"
_NAMES = (META, INDEX, BUNDLE, f"{META}{_PART}", f"{INDEX}{_PART}", f"{BUNDLE}.lock")
_INDEX_BYTES = 1 << 30


class Store:
    """The checkpoints of one home."""

    def __init__(self, home: str, disk: Disk) -> None:
        self._home = home
        self._disk = disk
        self._path = os.path.join(home, STORE)
        self._git = Shadow(self._path, disk)

    def objection(self) -> str:
        """Return why git cannot be asked of them, in words, "" where it can."""
        return self._git.objection() if self._git.is_there() else ""

    def projects(self) -> tuple[Project, ...]:
        """Return the projects that say themselves which they are; OSError.

        Where git cannot be asked none has a commit, and none can go.
        """
        if not self._git.is_there():
            return ()
        try:
            tips = self._git.tips()
        except Refused:
            tips = {}
        names = sorted(files.listed(os.path.join(self._path, PROJECTS)))
        found = (self._project(match[1], tips) for name in names if (match := _NAME.fullmatch(name)))
        return tuple(one for one in found if one is not None)

    def is_as(self, project: Project) -> bool:
        """Tell whether nothing was added to a project since it was looked at."""
        found = self._project(project.id, self._git.tips(_ref(project.id)))
        return found is not None and found[:3] == project[:3] and found.tip == project.tip

    def put_away(self, project: Project, folder: str) -> bool:
        """Put a project into an empty folder of ours; False, and nothing done, where it has changed.

        Refused, and nothing done, where git cannot; StorageFailed where it is to be settled.
        """
        self._git.mend()
        try:
            meta = self._saved(project, folder) if self.is_as(project) else None
        except Refused:
            self._empty(folder)
            raise
        if meta is None or not self._forgotten(project, meta):
            self._empty(folder)
            return False
        return True

    def delete(self, project: Project) -> bool:
        """Delete a project for good; False, and nothing done, where it has changed; Refused: no git."""
        self._git.mend()
        meta = self._meta(project.id)
        return meta is not None and self.is_as(project) and self._forgotten(project, meta)

    def settle(self, project_id: str, folder: str) -> Literal["away", "live", "gone"]:
        """Finish what a kill has cut short, of either way; asked again it changes nothing; Refused: no git."""
        saved = archive(project_id, folder)
        if not self._git.is_there():
            # Whoever has removed them all has not removed this one.
            return AWAY if saved is not None else GONE
        self._git.mend()
        tip = self._tip(project_id)
        if saved is None:
            if tip is None and self._meta(project_id) is None:
                return GONE
            # What is not whole may still be all that there is of a history.
            if self._holds(project_id, tip, os.path.join(folder, BUNDLE)):
                self._empty(folder)
            return LIVE
        if self._is_live(project_id, saved, tip):
            self._put_back(project_id, folder)
            return LIVE
        # Where a ref is there it is that of a project which has begun anew.
        if tip is None:
            self._remove(project_id, saved.meta)
        return AWAY

    def bring_back(self, project_id: str, folder: str) -> Literal["live", "taken", "gone"]:
        """Bring a project back; "taken": it is there again, and stays as it is; Refused: no git."""
        there = self.settle(project_id, folder)
        if there != AWAY:
            return there
        saved = archive(project_id, folder)
        assert saved is not None
        if not self._git.is_there():
            raise refusal(f"there is no {self._path} to bring them back into")
        if self._meta(project_id) is not None or self._tip(project_id) is not None:
            return TAKEN
        if not is_whole(saved, folder):
            return GONE
        if saved.tip is not None:
            self._git.unbundle(os.path.join(folder, BUNDLE))
            if not self._git.create(_ref(project_id), saved.tip):
                return TAKEN
            self._git.sync()
        self._put_back(project_id, folder)
        return LIVE

    def obstacle(self, project_id: str, folder: str) -> str:
        """Return why a project could not be brought back now, in words, "" where it could."""
        if not self._git.is_there():
            return f"there is no {self._path} to bring them back into"
        if why := self._git.objection():
            return why
        saved = archive(project_id, folder)
        if saved is None or not is_whole(saved, folder):
            return f"its archive is not whole: it stays in {folder}"
        return ""

    def collect_garbage(self) -> str:
        """Free what no project needs any more, once all are gone; return what went otherwise, in words."""
        if not self._git.is_there():
            return ""
        why = self._git.collect_garbage()
        return f"{self._path} takes as much room as before: {why}" if why else ""

    def _project(self, project_id: str, tips: dict[str, str]) -> Project | None:
        text = self._meta(project_id)
        told = said(project_id, text) if text is not None else None
        if told is None:
            return None
        size = sum(size_of(self._place(folder, project_id)) or 0 for folder in (PROJECTS, INDEXES))
        return Project(project_id, *told, size, tips.get(_ref(project_id)))

    def _place(self, folder: str, project_id: str) -> str:
        return os.path.join(self._path, folder, f"{project_id}.json" if folder == PROJECTS else project_id)

    def _meta(self, project_id: str) -> bytes | None:
        return text_of(self._place(PROJECTS, project_id), META_BYTES)

    def _tip(self, project_id: str) -> str | None:
        ref = _ref(project_id)
        return self._git.tips(ref).get(ref)

    def _saved(self, project: Project, folder: str) -> bytes | None:
        """Make an archive of a project that is durable; return its metadata, None where it has changed meanwhile."""
        meta_path, index_path = self._place(PROJECTS, project.id), self._place(INDEXES, project.id)
        bundle = os.path.join(folder, BUNDLE)
        if project.tip is None:
            files.put(self._disk, bundle, b"")
        else:
            self._git.bundle(_ref(project.id), bundle)
            files.own(self._disk, bundle)
            if not bundles.is_whole(bundle):
                raise StorageFailed(f"{bundle} has other bytes than git has written", "look at the disk")
        if (index := text_of(index_path, _INDEX_BYTES)) is not None:
            self._copy(index, index_path, os.path.join(folder, INDEX))
        meta = self._meta(project.id)
        told = said(project.id, meta) if meta is not None else None
        if meta is None or told is None or told[1] != project.last_touch:
            return None
        self._copy(meta, meta_path, os.path.join(folder, META))
        saved = archive(project.id, folder)
        if saved is None or saved.tip != project.tip:
            return None
        self._sync_above(folder)
        return meta

    def _forgotten(self, project: Project, meta: bytes) -> bool:
        """Take a project out whose archive, if it is to have one, is there; False where it has changed."""
        if project.tip is None:
            # Nothing but its metadata says that there is one.
            if not self.is_as(project):
                return False
        elif not self._git.delete(_ref(project.id), project.tip):
            return False
        self._git.sync()
        self._remove(project.id, meta)
        return True

    def _is_live(self, project_id: str, saved: Saved, tip: str | None) -> bool:
        """Tell whether all that an archive holds is in the store."""
        if saved.tip is None:
            return tip is not None or self._meta(project_id) is not None
        return self._follows(project_id, tip, saved.tip)

    def _holds(self, project_id: str, tip: str | None, bundle: str) -> bool:
        """Tell whether there is nothing in a bundle, whole or not, that is not in the store, too."""
        if not size_of(bundle):
            return True
        head = bundles.head(bundle)
        return head is not None and self._follows(project_id, tip, head.tip)

    def _follows(self, project_id: str, tip: str | None, before: str) -> bool:
        return tip is not None and (tip == before or self._git.holds(_ref(project_id), before))

    def _remove(self, project_id: str, meta: bytes) -> None:
        """Remove metadata and index of a project without a ref, unless Hermes has begun with it anew."""
        # As long as there are metadata, something says that there is an index.
        places = (self._place(INDEXES, project_id), self._place(PROJECTS, project_id))
        if self._meta(project_id) not in (None, meta):
            return
        files.remove(self._disk, [*(place + _PART for place in places), *places])
        files.sync_folders(self._disk, "", places)

    def _put_back(self, project_id: str, folder: str) -> None:
        """Give a project whose ref is there its index and metadata again, and empty the archive."""
        for folder_name, copy, most in ((INDEXES, INDEX, _INDEX_BYTES), (PROJECTS, META, META_BYTES)):
            source, place = os.path.join(folder, copy), self._place(folder_name, project_id)
            data = text_of(source, most)
            if data is not None and not files.exists(place):
                if not files.is_folder(os.path.dirname(place)):
                    self._disk.make_folder(os.path.dirname(place))
                self._copy(data, source, place)
            files.remove(self._disk, [place + _PART])
        files.sync_folders(self._disk, "", [self._place(INDEXES, project_id), self._place(PROJECTS, project_id)])
        self._empty(folder)

    def _copy(self, data: bytes, source: str, target: str) -> None:
        """Make a file that is like another, whole or not at all."""
        part = target + _PART
        files.remove(self._disk, [part])
        files.put(self._disk, part, data, like=source)
        found = os.lstat(source)
        self._disk.set_times(part, found.st_atime_ns, found.st_mtime_ns)
        with contextlib.suppress(FileExistsError):
            self._disk.rename_new(part, target)
        files.remove(self._disk, [part])

    def _empty(self, folder: str) -> None:
        """Empty an archive, beginning with what says that it is whole."""
        if files.listed(folder):
            files.remove(self._disk, (os.path.join(folder, name) for name in _NAMES))
            self._disk.sync_folder(folder)

    def _sync_above(self, folder: str) -> None:
        """Make all names on the way to an archive durable, too."""
        names = os.path.relpath(folder, self._home).split(os.sep)
        for depth in range(len(names), -1, -1):
            self._disk.sync_folder(os.path.join(self._home, *names[:depth]))


def _ref(project_id: str) -> str:
    return f"{REFS}/{project_id}"
