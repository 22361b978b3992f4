"""The modules of this package lie one behind another, a file a package: the table at the end tells where.

Each is loaded on its own, when it is imported, and its byte code is kept as that of any other module.
"""

import __future__

import os
import sys
import zlib
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType

_HERE = os.path.dirname(os.path.abspath(__file__))
_FLAGS = __future__.annotations.compiler_flag


class _Loader(SourceFileLoader):
    """Loads one module out of the file that it is in."""

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Return what byte code is held against: not the time of a file that many share, but the text's checksum."""
        if path != self.path:
            return super().path_stats(path)
        _, _, length, checksum, _ = _PLACES[self.name]
        return {"mtime": checksum, "size": length}

    def get_data(self, path: str) -> bytes:
        """Return the text of the module, or the content of its file of byte code."""
        if path != self.path:
            return super().get_data(path)
        name, start, length, _, packed = _PLACES[self.name]
        with open(os.path.join(_HERE, name), "rb") as file:
            file.seek(start)
            text = file.read(packed or length)
        return zlib.decompress(text, -zlib.MAX_WBITS) if packed else text

    def source_to_code(  # type: ignore[override]
        self, data: bytes, path: str, _fullname: str | None = None, *, _optimize: int = -1
    ) -> CodeType:
        """Compile it as what stands behind `from __future__ import annotations`, which is for whole files only.

        From 3.15 on Python gives the module's name, too.
        """
        code: CodeType = compile(data, path, "exec", flags=_FLAGS, dont_inherit=True, optimize=_optimize)
        return code


class _Finder:
    """Finds the modules of the table, and no others."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return how a module is loaded."""
        if name not in _PLACES:
            return None
        folder = os.path.join(_HERE, *name.split(".")[1:])
        is_package = name in _PACKAGES
        source = os.path.join(folder, "__init__.py") if is_package else folder + ".py"
        found = ModuleSpec(name, _Loader(name, source), origin=source, is_package=is_package)
        found.has_location = True
        if is_package:
            found.submodule_search_locations = [folder]
        return found


sys.meta_path.insert(0, _Finder)
__version__ = ""
_PACKAGES: frozenset[str] = frozenset()
_PLACES: dict[str, tuple[str, int, int, int, int]] = {}
