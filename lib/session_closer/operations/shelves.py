"""What earlier runs have put away of homes, and how old it is; nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..artifacts import scan
from ..core.artifacts import IMMOVABLE, Weight, staying
from ..core.tuples import NamedTuple
from ..journal import clocks, history
from ..journal.codec import scan as read_record
from ..journal.record import HOME, Damaged
from . import home_folders


class Shelf(NamedTuple):
    """What one run has put away of one home: since how many seconds, how many files and folders, and their bytes.

    `why` it cannot be freed, "": it can.
    """

    root: str
    run: str
    age: float
    number: int
    size: int
    why: str = ""


def all_of(state: str, now: float) -> Iterator[Shelf]:
    """Give what is still there of what runs below a state directory have put away, `now` in seconds since 1970."""
    later = clocks.latest_before(history.beginnings(state), now)
    for run, _, raw in history.named_records(state):
        with contextlib.suppress(Damaged):
            head, stores = read_record(raw)
            ended = history.moment(head.finished_at)
            if head.state != "done" or ended is None:
                continue
            at = ended.timestamp() if run not in later else max(ended.timestamp(), later[run].timestamp())
            for store in stores:
                if HOME in store.roots and not store.restores and not store.archive and store.artifacts:
                    weight = _weight(store.path, run)
                    if weight is not None:
                        why = weight.why or (IMMOVABLE if weight.fixed else "")
                        yield Shelf(store.path, run, max(0.0, now - at), len(store.artifacts), weight.size, why)


def _weight(root: str, run: str) -> Weight | None:
    """Return what is in an archive, None where it is not there."""
    path = home_folders.archive_of(run)
    above, _, name = path.rpartition("/")
    with scan.opened(root, above) as folder:
        if folder is None or not scan.is_folder(folder, name):
            return None
        return scan.looked_into(root, path, folder)


def old(state: str, age: float, now: float) -> tuple[list[Shelf], str]:
    """Return what was put away longer ago than an age, and why some of it stays after all, "": nothing does."""
    found = [shelf for shelf in all_of(state, now) if shelf.age > age]
    doubt = clocks.doubt(now, history.beginnings(state))
    if doubt is None:
        return found, ""
    certain = [shelf for shelf in found if shelf.age - doubt.seconds > age]
    count = len(found) - len(certain)
    if not count:
        return found, ""
    return certain, staying("1 archive stays" if count == 1 else f"{count} archives stay", doubt)
