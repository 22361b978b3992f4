"""Write the skill into dist/, or into the folder that is named; say how large it is."""

from __future__ import annotations

import sys
from pathlib import Path

from . import folder


def main(words: list[str]) -> int:
    """Build it; 1 if it is larger than it may be."""
    output = Path(words[0]) if words else folder.ROOT / "dist"
    when = folder.moment()
    found = folder.files(when)
    if problem := folder.too_much(found):
        sys.stderr.write(f"the skill has {problem}\n")
        return 1
    folder.write_folder(found, output / folder.NAME)
    packed = output / f"{folder.NAME}-{folder.version()}.zip"
    packed.write_bytes(folder.archive(found, when))
    size = sum(len(file.content) for file in found.values())
    sys.stdout.write(f"{output / folder.NAME}: {len(found)} files, {size:,} bytes\n{packed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
