"""What a copy with its hash takes: nothing is checked, read again or made to be read by people."""

import hashlib
import os
import sys

digest = hashlib.sha256()
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    while piece := source.read(1 << 20):
        digest.update(piece)
        target.write(piece)
    target.flush()
    os.fsync(target.fileno())
sys.stdout.write(f"{digest.hexdigest()}\n")
