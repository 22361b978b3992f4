"""The mutants of homes of files: each step that keeps what is there, or what is in use, taken out of the program."""

from __future__ import annotations

from .mutant import Mutant, one

_ASIDE, _PRUNE, _HOMES = "artifacts/aside.py", "operations/put_away.py", "operations/recover_homes.py"
_AWAY, _DELETE, _BACK = (f"hermes-homes:{job}" for job in ("put-away", "delete", "bring-back"))


def _careless(name: str, file: str, old: str, new: str, *seen_by: str) -> Mutant:
    return one(f"homes: {name}", file, old, new, *seen_by)


MUTANTS = (
    _careless(
        "nothing is on record ahead of a change",
        _PRUNE,
        "    run.transaction.note_first(part.record)\n",
        "    run.transaction.begin()\n",
        _AWAY,
    ),
    _careless("who uses it is not asked again", _PRUNE, "why = home.objection(artifact) or (", 'why = "" or (', _AWAY),
    _careless(
        "whether it is the same is not asked again",
        _PRUNE,
        "if scan.stamp_of(status) != artifact.stamp:",
        "if not artifact.stamp:",
        _AWAY,
    ),
    _careless(
        "what is in a folder is not looked at again",
        _PRUNE,
        "if artifact.folder and aside.weighed(artifact.path) != artifact.weight:",
        "if artifact.folder and aside.weighed(artifact.path) is None:",
        _AWAY,
    ),
    _careless(
        "a folder is deleted where it is",
        _PRUNE,
        "(aside.discard if artifact.folder else aside.remove)(artifact.path)",
        "aside.remove(artifact.path)",
        _DELETE,
    ),
    _careless(
        "what a deletion has left aside stays",
        _HOMES,
        "                    aside.condemn(one.path)\n",
        "                    pass\n",
        _DELETE,
    ),
    _careless(
        "something is moved into a folder that a power cut takes",
        _ASIDE,
        "        self._disk.sync(parent)\n",
        "",
        "homes-power:put-away",
    ),
    _careless(
        "folders are removed before what was in them is safe",
        _ASIDE,
        "        self.secure()\n        for path",
        "        for path",
        "homes-power:delete",
    ),
    _careless(
        "a file that has two names keeps them",
        _ASIDE,
        "            self._removed(archived)\n",
        "            pass\n",
        "homes-power:put-away",
    ),
    _careless(
        "what a run has moved that was killed is not made durable",
        _ASIDE,
        '        self._lost.add(path.rpartition("/")[0])\n        double',
        "        double",
        "homes-power:put-away",
    ),
    _careless(
        "what is away is called dropped",
        _HOMES,
        'return "archived" if became in (Became.AWAY, Became.TAKEN) else "dropped"',
        'return "dropped"',
        _AWAY,
    ),
    _careless(
        "an interrupted run is not finished",
        _HOMES,
        "            if journal.take():\n",
        "            if False:\n",
        _AWAY,
    ),
    _careless(
        "a name is taken that somebody has",
        "system/disk.py",
        "        if self.move_exclusive(folder, source, target, name):\n            return\n",
        "        self.move(folder, source, target, name)\n        return\n",
        _BACK,
    ),
    _careless(
        "empty folders of an archive stay",
        "operations/bring_back.py",
        "        aside.tidy()\n",
        "        pass\n",
        _BACK,
    ),
    _careless("what is young goes", "core/artifacts.py", "now - each.at <= limits.ages[each.kind]", "now < 0", _AWAY),
)
