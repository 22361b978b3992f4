"""What a copy with its hash takes that also takes each line apart once, and writes its text for people to read."""

import hashlib
import os
import sys

# Where the packages of this tool are.
sys.path.append(sys.argv[3])
import msgspec

digest, shown = hashlib.sha256(), hashlib.sha256()
with (
    open(sys.argv[1], "rb", buffering=1 << 20) as source,
    open(sys.argv[2], "wb", buffering=1 << 20) as target,
    open(f"{sys.argv[2]}.md", "wb", buffering=1 << 20) as page,
):
    for line in source:
        digest.update(line)
        target.write(line)
        message = msgspec.json.decode(line).get("message", {})
        for block in message.get("content", ()):
            text = f"## {message['role']}\n\n> {block.get('text') or block.get('arguments')}\n\n".encode()
            shown.update(text)
            page.write(text)
    for file in (target, page):
        file.flush()
        os.fsync(file.fileno())
sys.stdout.write(f"{digest.hexdigest()} {shown.hexdigest()}\n")
