"""The schemas of what commands print with --json (docs/schema), and the check that a document keeps to its own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FOLDER = Path(__file__).resolve().parents[2] / "docs/schema"
_CLOSING = ("close-project", "close-project-batch", "keep-only-sessions")


def check(text: str) -> None:
    """Fail unless a document of a command is as its schema says; name what is wrong, where, and the command."""
    # No half of a surrogate pair can be encoded, and none matters here.
    document = json.loads(text.replace("\\ud", "\\u0"))
    problems = problems_of(document)
    assert not problems, f"{document['operation']} --json is not as docs/schema says:\n" + "\n".join(problems)


def problems_of(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document, a line each: where, and what."""
    operation = document["operation"]
    found = validator("close" if operation in _CLOSING else operation).iter_errors(document)
    return [f"{'/'.join(map(str, each.instance_path)) or 'the document'}: {each.message}" for each in found]


@cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return a schema by the name of its file, compiled."""
    return jsonschema_rs.Draft202012Validator(schema(name), retriever=_beside)


def schema(name: str) -> dict[str, Any]:
    """Return a schema by the name of its file."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def _beside(address: str) -> dict[str, Any]:
    return schema(address.rpartition("/")[2].removesuffix(".json"))
