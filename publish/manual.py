"""The manual pages of the commands, and how shells complete them: both made of what --help is made of."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# The values of these are folders, and files.
FOLDERS = ("DIR",)
FILES = ("FILE", "FILE.html")


class Option(NamedTuple):
    """An option: its names, what stands for its value ("" where it has none), what it is for."""

    names: tuple[str, ...]
    value: str
    about: str

    @property
    def words(self) -> list[str]:
        """What the value can be, nothing where that is not a list of words."""
        return self.value.split("|") if "|" in self.value and self.value == self.value.lower() else []


class Page(NamedTuple):
    """What is known of a command."""

    name: str
    purpose: str
    positionals: str
    options: tuple[Option, ...]
    codes: tuple[str, ...]
    version: str


def pages() -> list[Page]:
    """Return what is known of each command, by name."""
    sys.path.insert(0, str(ROOT / "lib"))
    try:
        return [_page(path.name) for path in sorted((ROOT / "bin").iterdir())]
    finally:
        sys.path.remove(str(ROOT / "lib"))


def _page(name: str) -> Page:
    module = import_module(f"session_closer.cli.commands.{name.replace('-', '_')}")
    app = import_module("session_closer.cli.app")
    (command,) = {one for one in vars(module).values() if isinstance(one, type) and vars(one).get("OPERATION") == name}
    made: Any = command
    options = [_option(*row) for row in made(name).options_with_help()]
    return Page(name, made.__doc__, made.POSITIONALS, tuple(options), app.EXIT_CODES, app.__version__)


def _option(spelled: str, about: str) -> Option:
    found = [one.partition(" ") for one in re.split(r", (?=-)", spelled)]
    return Option(tuple(name for name, *_ in found), found[0][2], about)


def files() -> dict[str, str]:
    """Return all files by their path below share/."""
    found = {}
    known = pages()
    for page in known:
        found[f"man/man1/{page.name}.1"] = manual(page, [other.name for other in known if other is not page])
        found[f"bash-completion/completions/{page.name}"] = bash(page)
        found[f"fish/vendor_completions.d/{page.name}.fish"] = fish(page)
        found[f"zsh/site-functions/_{page.name}"] = zsh(page)
    return found


# A manual page


def manual(page: Page, others: list[str]) -> str:
    """Return a command's page for man."""
    first, _, rest = inspect.cleandoc(page.purpose).partition("\n")
    lines = [f'.TH {page.name.upper()} 1 "" "session-closer {page.version}"', ".SH NAME"]
    lines += [f"{_roff(page.name)} \\- {_roff(first.rstrip('.'))}", ".SH SYNOPSIS"]
    lines += [f".B {_roff(page.name)}", _roff(f"[options] {page.positionals}".strip()), ".SH DESCRIPTION", _roff(first)]
    for paragraph in filter(None, rest.split("\n\n")):
        lines += [".PP", _roff(" ".join(paragraph.split()))]
    lines.append(".SH OPTIONS")
    for option in page.options:
        value = f" \\fI{_roff(option.value)}\\fR" if option.value else ""
        lines += [".TP", ", ".join(f"\\fB{_roff(name)}\\fR{value}" for name in option.names), _roff(option.about)]
    lines.append(".SH EXIT STATUS")
    for code in page.codes:
        number, _, meaning = code.partition(" ")
        lines += [".TP", f"\\fB{number}\\fR", _roff(meaning)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_roff(name)}\\fR(1)" for name in others)]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Return a text that roff takes as it is: a dash is a dash, and no line is a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


# Completion


def bash(page: Page) -> str:
    """Return the completion of a command for bash, of any age that machines have."""
    function = f"_{page.name.replace('-', '_')}"
    cases = "".join(f"        {'|'.join(option.names)}) {_bash_value(option)} ;;\n" for option in _valued(page))
    every = " ".join(name for option in page.options for name in option.names)
    return (
        f"# {page.name} in bash\n{function}() {{\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n    COMPREPLY=()\n"
        f"    case $before in\n{cases}    esac\n"
        f"    case $word in\n        -*) COMPREPLY=($(compgen -W '{every}' -- \"$word\")) ;;\n    esac\n"
        f"}}\ncomplete -o filenames -F {function} {page.name}\n"
    )


def _valued(page: Page) -> list[Option]:
    """Return the options that take the next word, whatever it is."""
    return [option for option in page.options if option.value and not option.value.startswith("[")]


def _bash_value(option: Option) -> str:
    if option.words:
        return f"COMPREPLY=($(compgen -W '{' '.join(option.words)}' -- \"$word\")); return"
    if option.value in (*FOLDERS, *FILES):
        what = "-d" if option.value in FOLDERS else "-f"
        return f"local IFS=$'\\n'; COMPREPLY=($(compgen {what} -- \"$word\")); return"
    return "return"


def fish(page: Page) -> str:
    """Return the completion of a command for fish."""
    lines = [f"# {page.name} in fish", f"complete -c {page.name} -f"]
    for option in page.options:
        names = " ".join(f"-s {name[1:]}" if name[1] != "-" else f"-l {name[2:]}" for name in option.names)
        value = ""
        if option.words:
            value = f" -x -a '{' '.join(option.words)}'"
        elif option.value:
            value = " -r -F" if option.value in (*FOLDERS, *FILES) else " -x"
        lines.append(f"complete -c {page.name} {names}{value} -d {_quoted(option.about)}")
    return "\n".join(lines) + "\n"


def zsh(page: Page) -> str:
    """Return the completion of a command for zsh."""
    lines = [f"#compdef {page.name}", "_arguments -s \\"]
    for option in page.options:
        about = re.sub(r"([\[\]:\\])", r"\\\1", option.about)
        lines += [f"  {_quoted(f'*{name}[{about}]{_zsh_value(option)}')} \\" for name in option.names]
    return "\n".join([*lines, "  '*:name:'"]) + "\n"


def _zsh_value(option: Option) -> str:
    if not option.value:
        return ""
    what = re.sub(r"([\[\]:\\|])", r"\\\1", option.value)
    if option.words:
        return f":{what}:({' '.join(option.words)})"
    action = "_files -/" if option.value in FOLDERS else "_files" if option.value in FILES else " "
    return f":{what}:{action}"


def _quoted(text: str) -> str:
    """Return a text in single quotes, for zsh and fish alike."""
    return "'" + text.replace("'", "\u2019") + "'"


def write(folder: Path) -> dict[Path, str]:
    """Write all files below a folder; return their paths, each with where it belongs below share/."""
    found = {}
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        found[path] = name
    return found


if __name__ == "__main__":
    write(ROOT / "dist" / "share")
