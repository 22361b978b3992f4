"""What no list of a large store can leave out: all of it read and checked, each row's time, and the newest in order.

Told in one go, with nothing around it: no places, no gateway, no folder of transcripts, no options.
"""

import gc
import json
import sys
from operator import attrgetter

# Where the packages of this tool are.
sys.path.append(sys.argv[2])
import msgspec

gc.disable()
PAGE = 100
NEVER = -1


class Key(str):
    """A key of the text: no two are equal, so that one which stands there twice is found twice."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


Time = msgspec.defstruct("Time", [("updatedAt", int | None, None)], gc=False)
Shown = msgspec.defstruct("Shown", [(name, str | None, None) for name in ("sessionId", "status", "model", "label")])

with open(sys.argv[1], "rb", buffering=0) as file:
    raw = file.read()
if not raw.isascii():
    str(raw, "utf-8")
found = msgspec.json.Decoder(dict[Key, msgspec.Raw], dec_hook=str.__new__).decode(raw)
keys = list(map(str, found))
if len(set(keys)) < len(keys):
    sys.exit("a key stands there twice")
entries = list(found.values())
column = map(attrgetter("updatedAt"), map(msgspec.json.Decoder(Time).decode, entries))
times = [NEVER if at is None else at for at in column]
last = sorted(times)[-PAGE:][0]
newest = [(-at, keys[row], row) for row, at in enumerate(times) if at >= last]
page = sorted(newest)[:PAGE]
shown = msgspec.json.Decoder(Shown)
rows = [{"key": key, "updatedAt": -at, **msgspec.structs.asdict(shown.decode(entries[row]))} for at, key, row in page]
sys.stdout.write(json.dumps({"totalCount": len(keys), "sessions": rows}) + "\n")
