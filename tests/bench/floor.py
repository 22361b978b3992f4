"""What any safe way has to do: it parses nothing, checks nothing and leaves nothing to undo but the backup."""

import os
import sys

index, left, names, stamp = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
with open(index, "rb") as file:
    raw = file.read()
for path, data in ((f"{index}.bak-{stamp}", raw), (index + ".tmp", memoryview(raw)[:left])):
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
os.rename(index + ".tmp", index)
os.chdir(os.path.dirname(index))
with open(names) as file:
    for name in file.read().split():
        os.rename(name, f"{name}.deleted.{stamp}")
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
