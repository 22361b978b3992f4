"""What a bundle says of itself: `manifest.json`, and the list of hashes that `sha256sum -c` takes (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"


class File(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One file of a bundle: its path there, size in bytes and hash.

    `source`: where it was read, "" where it was made for the bundle. `events`: lines, as the store counts them.
    """

    path: str
    bytes: int
    sha256: str
    source: str = ""
    events: int | None = None


class Missing(msgspec.Struct, frozen=True):
    """What is not in the bundle, and why."""

    what: str
    why: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One exported session; `importable`: restore-sessions takes it back. `exported_at` is ISO 8601, UTC.

    `events` to `last_id` are those of the transcript, all branches; `kinds` counts events by type.
    """

    format: int = FORMAT
    tool: str
    exported_at: str
    runtime: str
    version: str | None
    era: str
    agent: str
    key: str
    session_id: str | None
    label: str | None
    redacted: bool
    importable: bool
    events: int
    broken: int
    kinds: Mapping[str, int]
    other_branches: int
    last_id: str | None
    files: tuple[File, ...]
    left_out: tuple[Missing, ...]


def encoded(manifest: Manifest) -> bytes:
    """Return a manifest as text."""
    try:
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    except UnicodeEncodeError:
        # Half a surrogate pair, or a byte of a path that is no UTF-8, which JSON can only hold escaped.
        text = json.dumps(msgspec.to_builtins(manifest), indent=2).encode()
    return text + b"\n"


def decoded(raw: bytes) -> Manifest:
    """Return the manifest of a text; ValueError where it is none, or of a later format."""
    try:
        found = _decoded(raw)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"is no manifest: {problem}") from None
    if found.format != FORMAT:
        raise ValueError(f"has format {found.format}, and this version knows {FORMAT}")
    return found


def _decoded(raw: bytes) -> Manifest:
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.ValidationError:
        raise
    except ValueError:
        # With half a surrogate pair in it, or no JSON at all.
        return msgspec.convert(json.loads(raw), Manifest)


def sums(files: Iterable[File]) -> bytes:
    """Return the list of hashes of a bundle's files."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files).encode()


def summed(raw: bytes) -> dict[str, str]:
    """Return the hashes of a list of them by path; ValueError where it is none, or leads out of its folder."""
    found = {}
    for line in raw.decode("ascii", "strict").splitlines():
        digest, between, path = line[:64], line[64:66], line[66:]
        if between != "  " or not path or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError(f"{SUMS} has a line that is none of ours: {line[:100]!r}")
        found[path] = digest
    return found
