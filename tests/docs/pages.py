"""The pages as text: their sections, tables, code and links."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from entry.checkout import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
    if path.is_file()
)
COMMANDS = tuple(sorted(path.name for path in (ROOT / "bin").iterdir()))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_FENCE = re.compile(r"^( *)```\w*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^- (`[^`]+`(?:,\s+`[^`]+`)*): (.*(?:\n  .*)*)", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_APART = re.compile(r"\|\||&&|[;|&\n]|\$\(|\)")


class Section(NamedTuple):
    """A heading and what stands below it, up to the next one."""

    heading: str
    text: str


class Named(NamedTuple):
    """An option, and the commands one of which must have it: those that it is named with, none where no page says."""

    option: str
    commands: frozenset[str]
    where: str


def text(page: str) -> str:
    """Return the text of a page of this repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def sections(page: str) -> list[Section]:
    """Return the sections of a page's text."""
    # Blanked and not taken out, so that places stay: a comment of a shell is no heading.
    plain = _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), page)
    heads = list(_HEADING.finditer(plain))
    ends = [*(head.start() for head in heads[1:]), len(page)]
    return [Section(head[2], page[head.end() : end]) for head, end in zip(heads, ends, strict=True)]


def section(page: str, heading: str) -> str:
    """Return the text below a heading."""
    (found,) = [each.text for each in sections(page) if each.heading == heading]
    return found


def rows(section_text: str) -> list[list[str]]:
    """Return the rows of all tables, without heads, each as its cells."""
    found = []
    lines = section_text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("|-") and not below.startswith("|-"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def items(section_text: str) -> list[list[str]]:
    """Return the items of lists that begin with code, each as that and what is said of it."""
    found = _ITEM.findall(section_text)
    return [[head, " ".join(said.split())] for head, said in found]


def note(page: str, name: str) -> str:
    """Return the items of a page's lists that begin with a name in bold: what its row in a table leaves out."""
    return "\n".join(re.findall(rf"^- \*\*{re.escape(name)}\*\*.*(?:\n  .*)*", page, re.MULTILINE))


def spans(markdown: str) -> list[str]:
    """Return the code in a text's lines."""
    return [span.replace("\\|", "|") for span in _SPAN.findall(markdown)]


def words(markdown: str) -> set[str]:
    """Return the spans of code that are one word."""
    return {span for span in spans(markdown) if " " not in span}


def links(page: str) -> list[str]:
    """Return where a page's text links to."""
    return [link for link in _LINK.findall(_SPAN.sub("", _FENCE.sub("", page))) if "://" not in link]


def anchors(page: str) -> set[str]:
    """Return the anchors that a page's headings have."""
    return {re.sub(r"[^\w\- ]", "", each.heading.lower()).replace(" ", "-") for each in sections(page)}


def resolved(page: str, link: str) -> tuple[str, str]:
    """Return the file that a link of a page means, and the anchor in it."""
    target, _, anchor = link.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page, anchor


def named_options(page: str) -> list[Named]:
    """Return the options that a page's text names, each with the commands that it is named with."""
    found = []
    for heading, below in sections(page):
        for fence in _FENCE.finditer(below):
            for line in fence[2].replace("\\\n", " ").splitlines():
                found += _in_shell(line, frozenset())
        for block in _blocks(_FENCE.sub("", below)):
            about = frozenset(_commands_in(block) or _commands_in(heading))
            found += [Named(option, about, block) for option in OPTION.findall(_SPAN.sub("", block))]
            for span in spans(block):
                found += _in_shell(span, about)
    return found


def _blocks(markdown: str) -> list[str]:
    """Return the paragraphs, list items and table rows of a text."""
    return [block for block in re.split(r"\n(?=\s*\n|\||\s*- |\s*\d+\. )", markdown) if block.strip()]


def _commands_in(markdown: str) -> set[str]:
    return {name for name in COMMANDS if re.search(rf"(?<![\w-]){name}(?![\w-])", markdown)}


def _in_shell(line: str, about: frozenset[str]) -> list[Named]:
    """Return the options in a piece of shell: those behind a command of ours, and those that stand alone.

    What follows another program is that program's: `openclaw sessions cleanup --dry-run`.
    """
    found = []
    for simple in _APART.split(line):
        owner = about if OPTION.match(simple.strip()) else None
        for word in simple.split():
            name = word.strip("\"'").rsplit("/", 1)[-1]
            owner = frozenset({name}) if name in COMMANDS else owner
            if owner is not None and (option := OPTION.match(word)):
                found.append(Named(option[0], owner, line))
    return found
