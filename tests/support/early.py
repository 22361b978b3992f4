"""Imports at once what the commands import late: a forked process may be unable to, or would do so each time anew."""

from __future__ import annotations

import importlib
import pkgutil

import session_closer

_OF_OTHERS = (
    "_strptime",
    "ctypes",
    "encodings.ascii",
    "encodings.idna",
    "grp",
    "pwd",
    "ssl",
    "stringprep",
    "websockets.sync.client",
)


def import_all() -> None:
    """Import every module of the program, and what it may use of others."""
    for module in pkgutil.walk_packages(session_closer.__path__, "session_closer."):
        importlib.import_module(module.name)
    for name in _OF_OTHERS:
        importlib.import_module(name)
