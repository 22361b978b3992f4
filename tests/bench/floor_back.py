"""What any undo has to do: it parses nothing, checks nothing, and leaves nothing that the next run could finish."""

import os
import sys

index, names, stamp = sys.argv[1:]
with open(f"{index}.bak-{stamp}", "rb") as file:
    raw = file.read()
os.chdir(os.path.dirname(index))
with open(names) as file:
    for name in file.read().split():
        os.rename(f"{name}.deleted.{stamp}", name)
with open(index + ".tmp", "xb") as file:
    file.write(raw)
    file.flush()
    os.fsync(file.fileno())
os.rename(index + ".tmp", index)
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
