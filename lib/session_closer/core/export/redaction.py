"""Secrets out of text: those that are told by their form, those that are named as such, and exact values (pure).

What stands around a secret stays, every character of it. Names, addresses and numbers of people are no secrets here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...core import late
from .events import event
from .settings import named

GONE = "[redacted]"
# A value that is shorter could be a word of any text.
_SHORTEST = 6
# The arguments of a call are JSON in the JSON of a message in that of its row.
_NESTED = 3
_BACKSLASHES = rf"\\{{1,{(1 << _NESTED) - 1}}}"
_SHORT = {'"': '"', "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_HTML = {"&": ["&amp;"], "<": ["&lt;"], ">": ["&gt;"], '"': ["&quot;"], "'": ["&apos;"]}
_BACKSLASH = "\\"
# Backslashes that stand together are counted together.
_RUNS = late.pattern(r"(?s)((\\)+|.)")
_VENDORS = (
    r"sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"xapp-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{30,}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"GOCSPX-[A-Za-z0-9_-]{20,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"whsec_[A-Za-z0-9]{16,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{30,}",
    r"hf_[A-Za-z0-9]{20,}",
    r"gsk_[A-Za-z0-9]{20,}",
    r"xai-[A-Za-z0-9]{20,}",
    r"dop_v1_[a-f0-9]{32,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"[0-9]{8,10}:[A-Za-z0-9_-]{35}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
)
_FORM = late.pattern(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_VENDORS)})")
_PEM = late.pattern(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)(?:(?!-----END).)*(-----END [A-Z0-9 ]{0,40}-----)?",
    re.DOTALL,
)
_URL = late.pattern(r"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,200}:)[^\s/@\"'<>]{1,500}(@)")
_BEARER = late.pattern(r"(?i)\b((?:bearer|basic)[ \t]+)[A-Za-z0-9._~+/-]{12,}=*")
# The end of a name that says its value is secret.
_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|"
    r"secret[_-]?key|signing[_-]?key|encryption[_-]?key|credentials?|auth[_-]?key|client[_-]?secret)"
)
_SECRET_NAME = late.pattern(rf"(?i).*{_NAME}|authorization|(?:set-)?cookie")
# Of several; so many tokens are none.
_SECRET_NAMES = late.pattern(r"(?i).*(?:api[_-]?keys|private[_-]?keys|secrets|passwords|(?:auth|access)[_-]?tokens)")
# In quotes, which may be escaped since they stand in quotes themselves, or up to what ends a word of a shell.
_ASSIGNED = late.pattern(
    rf"""(?i)(?<![A-Za-z0-9])((?:[A-Za-z0-9]+[_.-])*[A-Za-z0-9]*{_NAME}(?:\\*["'])?\s{{0,8}}(?:[=:]|:=|=>)\s{{0,8}})"""
    r"""(?:(\\*["'])((?:(?!\2)[^\r\n]){1,4096})(\2)|([^\s"'`;,&|<>(){}\[\]\\]{4,4096}))"""
)
# What stands where a value is named, and is none: a type, a reference to a variable.
_NO_VALUE = late.pattern(
    r"(?i)\$\{?[A-Za-z_].*|null|none|true|false|undefined|string|str|required|optional|\*+|<.*|\.{3}"
)


class Redactor:
    """Takes secrets out of text and of JSON; `values` are secrets that are known, in any of their spellings."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        # A secret that holds another one goes as a whole.
        words = sorted({value for value in values if len(value) >= _SHORTEST}, key=lambda value: (-len(value), value))
        self._known = re.compile("|".join(map(_spelled, words))) if words else None

    def text(self, text: str) -> str:
        """Return text without secrets."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        if "PRIVATE KEY" in text:
            text = _PEM.sub(lambda found: f"{found[1]}{GONE}{found[2] or ''}", text)
        if "://" in text:
            text = _URL.sub(rf"\1{GONE}\2", text)
        text = _FORM.sub(GONE, text)
        text = _BEARER.sub(rf"\1{GONE}", text)
        return _ASSIGNED.sub(_assigned, text)

    def value(self, value: Any) -> Any:
        """Return a value of JSON whose strings, names included, are without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, Mapping):
            return {self.text(name): self._member(name, own) for name, own in value.items()}
        return value

    def _member(self, name: str, value: Any) -> Any:
        is_secret = isinstance(value, str) and bool(value) and bool(_SECRET_NAME.fullmatch(name))
        return GONE if is_secret and not _NO_VALUE.fullmatch(value) else self.value(value)

    def line(self, line: bytes) -> bytes:
        """Return a line of a transcript without secrets; one that holds no event is taken for text."""
        found = event(line)
        if found is None:
            return self.text(line.decode("utf-8", "backslashreplace")).encode("utf-8", "backslashreplace")
        try:
            return json.dumps(self.value(found), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        except RecursionError:
            return b'{"type":"redacted","why":"nested too deeply"}\n'


def _assigned(found: re.Match[str]) -> str:
    value = found[3] if found[3] is not None else found[5]
    if _NO_VALUE.fullmatch(value):
        return found[0]
    return f"{found[1]}{found[2] or ''}{GONE}{found[4] or ''}"


def _spelled(value: str) -> str:
    """Return the pattern of a value as it stands in text: as it is, in a URL or a form, in HTML, and in JSON.

    Encoders differ in what they escape, and JSON may stand in JSON.
    """
    runs = _RUNS.findall(value)
    # The innermost JSON last: what it has of a backslash is the beginning of what the others have.
    depths = range(_NESTED, -1, -1) if "\\" in value else (0,)
    forms = (
        "".join(_run(len(run) << depth, len(run)) if end else _character(run) for run, end in runs) for depth in depths
    )
    return f"(?:{'|'.join(forms)})"


def _run(written: int, count: int) -> str:
    """Return the pattern of so many backslashes of a value, of which in JSON so many are written.

    Of exactly so many: else there would be too many ways to match many.
    """
    return rf"(?:(?:{'|'.join(_escaped(_BACKSLASH))}){{{count}}}|\\{{{written}}})"


def _character(one: str) -> str:
    if one.isascii() and one.isalnum():
        return one
    forms = _escaped(one)
    if one in _SHORT:
        forms.append(rf"{_BACKSLASHES}{_SHORT[one]}")
    if one == " ":
        forms.append(r"\+")
    # Some escapes begin with what they are of.
    return f"(?:{'|'.join(forms)}|{re.escape(one)})"


def _escaped(one: str) -> list[str]:
    """Return the patterns of a character that is escaped by its number, in whatever letters that is written."""
    units = one.encode("utf-16-be", "surrogatepass")
    in_json = "".join(rf"{_BACKSLASHES}u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    # A URL may stand in a URL.
    in_url = "".join(f"%(?:25){{0,{_NESTED}}}{byte:02x}" for byte in one.encode("utf-8", "replace"))
    number = ord(one)
    return [f"(?i:{form})" for form in (in_json, in_url, f"&#0*{number};", f"&#x0*{number:x};")] + _HTML.get(one, [])


def secrets_of(text: str) -> set[str]:
    """Return the values that a text of settings calls secret: JSON, or lines of YAML or of an environment."""
    try:
        return secrets_in(json.loads(text))
    except (ValueError, RecursionError):
        return set[str]().union(*(secrets_in({name: value}) for name, value in named(text)))


def _is_value(text: str) -> bool:
    return _NO_VALUE.fullmatch(text) is None


def secrets_in(settings: Any) -> set[str]:
    """Return the values of a configuration whose names say that they are secret."""
    found: set[str] = set()
    left = [settings]
    while left:
        here = left.pop()
        if isinstance(here, Mapping):
            for name, value in here.items():
                some = value if isinstance(value, list) else [value]
                is_secret = isinstance(name, str) and (_SECRET_NAME.fullmatch(name) or _SECRET_NAMES.fullmatch(name))
                found.update(each for each in some if is_secret and isinstance(each, str) and _is_value(each))
                left += [each for each in some if not isinstance(each, str)]
        elif isinstance(here, list):
            left += here
    return found
