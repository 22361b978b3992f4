"""`openclaw.json` as OpenClaw reads it: JSON5, `$include`, `${VARIABLES}`, references to secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..core import late
from ..core.errors import Refused
from ..core.escape import quoted
from ..system import files

# OpenClaw's own limits (its docs, "Config includes").
_DEPTH = 10
_CONFIG_BYTES = 64 << 20
_INCLUDED_BYTES = 2 << 20
_SECRET_BYTES = 1 << 20
_VARIABLE = late.pattern(r"(\$?)\$\{([A-Z_][A-Z0-9_]*)\}")


def load(path: str, environ: Mapping[str, str], home: str = "") -> dict[str, Any]:
    """Return the configuration with its includes, empty where there is no file; Refused where it cannot be read.

    `home` stands for a leading ~ in the words of the environment.
    """
    try:
        found = _read(path, _CONFIG_BYTES)
    except FileNotFoundError:
        return {}
    roots = [os.path.realpath(os.path.dirname(path))]
    more = environ.get("OPENCLAW_INCLUDE_ROOTS", "")
    roots += [os.path.realpath(root) for root in _whole(more.split(os.pathsep), home) if os.path.isabs(root)]
    try:
        whole = _included(found, path, roots, (os.path.realpath(path),))
    except RecursionError:
        raise Refused(f"{path} is nested too deep", "openclaw doctor", name="config") from None
    return whole if isinstance(whole, dict) else {}


def _whole(paths: Iterable[str], home: str) -> list[str]:
    bare = map(str.strip, paths)
    return [home + path[1:] if home and (path == "~" or path.startswith("~/")) else path for path in bare]


def _read(path: str, limit: int) -> Any:
    try:
        text = files.read(os.path.realpath(path), limit)[0].decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as problem:
        raise Refused(f"{path} cannot be read: {problem}", "check the file", name="config") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        import json5  # only configurations with comments or bare words need it

        try:
            return json5.loads(text)
        except (ValueError, RecursionError) as problem:
            reason = quoted((str(problem).splitlines() or [""])[0])
            raise Refused(f"{path} is not JSON5: {reason}", "openclaw doctor", name="config") from None


def _included(part: Any, path: str, roots: list[str], seen: tuple[str, ...]) -> Any:
    """Return a part of a file with what it includes: a file, or several merged in order, below its own members."""
    if isinstance(part, list):
        return [_included(item, path, roots, seen) for item in part]
    if not isinstance(part, dict):
        return part
    own = {name: _included(value, path, roots, seen) for name, value in part.items() if name != "$include"}
    if "$include" not in part:
        return own
    named = part["$include"]
    whole: Any = {}
    for name in [named] if isinstance(named, str) else named if isinstance(named, list) else [None]:
        whole = _merged(whole, _include(name, path, roots, seen))
    return _merged(whole, own) if own else whole


def _include(name: object, path: str, roots: list[str], seen: tuple[str, ...]) -> Any:
    if not isinstance(name, str) or not name or not files.is_path(name):
        raise Refused(f"{path} has an $include that names no file", "openclaw doctor", name="config")
    target = os.path.realpath(os.path.join(os.path.dirname(path), name))
    if not any(os.path.commonpath([root, target]) == root for root in roots):
        raise Refused(f"{path} includes {quoted(name)}, outside its own folder", "openclaw doctor", name="config")
    if target in seen or len(seen) > _DEPTH:
        raise Refused(f"{path} includes {quoted(name)} in a circle or too deep", "openclaw doctor", name="config")
    try:
        found = _read(target, _INCLUDED_BYTES)
    except FileNotFoundError:
        raise Refused(f"{path} includes {quoted(name)}, which is not there", "openclaw doctor", name="config") from None
    return _included(found, target, roots, (*seen, target))


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{name: _merged(below[name], new) if name in below else new for name, new in above.items()}}


def missing(text: str, environ: Mapping[str, str]) -> str | None:
    """Return the first of a text's ${VARIABLES} that is not set."""
    return next((name for dollar, name in _VARIABLE.findall(text) if not dollar and name not in environ), None)


def expanded(text: str, environ: Mapping[str, str]) -> str | None:
    """Return a text with its ${VARIABLES}, None where one is not set; `$${NAME}` stands for itself."""
    if missing(text, environ) is not None:
        return None
    return _VARIABLE.sub(lambda found: found[0][1:] if found[1] else environ[found[2]], text)


def secret(whole: Mapping[str, Any], reference: Mapping[str, Any], environ: Mapping[str, str], home: str) -> str | None:
    """Return what a reference to a secret stands for; None where only OpenClaw itself can resolve it."""
    name = reference.get("id")
    if not isinstance(name, str):
        return None
    provider = _provider(whole, reference)
    if reference.get("source") == "env":
        allowed = provider.get("allowlist")
        return None if isinstance(allowed, list) and name not in allowed else environ.get(name) or None
    path = provider.get("path")
    if reference.get("source") != "file" or not isinstance(path, str):
        return None
    path = expanded(path, environ) or ""
    return _from_file(home + path[1:] if path.startswith("~/") else path, provider.get("mode", "json"), name)


def _provider(whole: Mapping[str, Any], reference: Mapping[str, Any]) -> Mapping[str, Any]:
    secrets = whole.get("secrets")
    secrets = secrets if isinstance(secrets, dict) else {}
    defaults, providers = secrets.get("defaults"), secrets.get("providers")
    alias = reference.get("provider")
    if alias is None and isinstance(defaults, dict):
        alias = defaults.get(str(reference.get("source")))
    found = providers.get(str(alias)) if isinstance(providers, dict) else None
    return found if isinstance(found, dict) and found.get("source") == reference.get("source") else {}


def _from_file(path: str, mode: object, pointer: str) -> str | None:
    text = secret_file(path)
    if text is None or mode == "singleValue":
        return text if pointer == "value" else None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for segment in pointer.split("/")[1:]:
        plain = segment.replace("~1", "/").replace("~0", "~")
        found = found.get(plain) if isinstance(found, dict) else None
    return found if pointer.startswith("/") and isinstance(found, str) and found else None


def secret_file(path: str) -> str | None:
    """Return the text of a file with a secret, None where it is no plain file or has none in it."""
    try:
        return files.read(os.path.realpath(path), _SECRET_BYTES)[0].decode("utf-8").strip() or None
    except (OSError, ValueError):
        return None
