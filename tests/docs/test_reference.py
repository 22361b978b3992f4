"""The reference is complete and true: commands, options, exit codes, words, members, links."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from entry.checkout import ROOT
from session_closer.cli.app import Reader
from session_closer.core import errors, model
from session_closer.core.findings import Action
from session_closer.core.words import DURABLE, STALE_KINDS, Kind
from support.commands import run

from .pages import (
    COMMANDS,
    PAGES,
    anchors,
    items,
    links,
    named_options,
    note,
    resolved,
    rows,
    section,
    sections,
    spans,
    text,
    words,
)

REFERENCE = text("docs/commands.md")
JSON = text("docs/json.md")
README = text("README.md")
LIB = ROOT / "lib"
_HELP_ROW = re.compile(r"^  (-.*?)  +\S", re.MULTILINE)
_ONLY = re.compile(r"(`[\w-]+`(?:, `[\w-]+`)*) only: ")


def command(name: str) -> type[Reader]:
    """Return the class of a command."""
    module = importlib.import_module(f"session_closer.cli.commands.{name.replace('-', '_')}")
    (found,) = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Reader) and name == each.OPERATION
    ]
    return found


def helped(name: str) -> dict[str, str]:
    """Return the options in a command's --help, each with how it is spelled there."""
    spelled = [row for line in _HELP_ROW.findall(run(command(name), "--help").stdout) for row in line.split(", ")]
    return {row.split()[0]: row for row in spelled}


HELP = {name: helped(name) for name in COMMANDS}
EVERY_OPTION = {option for options in HELP.values() for option in options}


def own_section(name: str) -> str:
    """Return the section of docs/commands.md with the name in its heading."""
    (found,) = [each.text for each in sections(REFERENCE) if name in each.heading.split(", ")]
    return found


def documented(name: str) -> list[str]:
    """Return the options that a command's section has in its table, as they are spelled there."""
    found = []
    for first, meaning in (item for item in items(own_section(name)) if item[0].startswith("`-")):
        only = _ONLY.match(meaning)
        if only is None or name in spans(only[1]):
            found += spans(first)
    return found


# Commands and options


def test_every_command_is_in_the_tables_of_commands() -> None:
    for table in (section(README, "Commands"), section(REFERENCE, "Commands")):
        found = [spans(row[0])[0].removeprefix("bin/").split()[0] for row in rows(table)]
        assert sorted(found) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_help_is_in_the_table_of_its_command(name: str) -> None:
    assert len(HELP[name]) > 10
    found = [spelled.split()[0] for spelled in documented(name)]
    assert sorted(found) == sorted(HELP[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_value_is_called_the_same_in_the_table_and_in_the_help(name: str) -> None:
    for spelled in documented(name):
        assert " " not in spelled or spelled == HELP[name][spelled.split()[0]]


def test_each_value_is_called_something_in_some_table() -> None:
    shown = {spelled for name in COMMANDS for spelled in documented(name)}
    assert {spelled for options in HELP.values() for spelled in options.values()} <= shown


@pytest.mark.parametrize("page", PAGES)
def test_an_option_that_a_page_names_is_one_of_its_command(page: str) -> None:
    for option, commands, where in named_options(text(page)):
        known = {each for name in commands for each in HELP[name]} if commands else EVERY_OPTION
        assert option in known, f"{page}: {option} is no option of {', '.join(sorted(commands)) or 'any'}: {where}"


def test_the_reading_of_options_is_not_blind() -> None:
    """What each rule is to find, on a page of its own."""
    page = "# x\n\n`a/bin/list-sessions --one | jq --raw`, `openclaw x --foreign`, `--two N` and --three.\n"
    fence = '```sh\nkey=1; keep-only-sessions \\\n  --four "$(restore-sessions --five)"\nfind . --six\n```\n'
    item = "- none here\n- `cleanup-sessions` without `--seven`\n"
    found = {(option, tuple(sorted(commands))) for option, commands, _ in named_options(f"{page}\n{fence}\n{item}")}
    assert found == {
        ("--one", ("list-sessions",)),
        ("--two", ("list-sessions",)),
        ("--three", ("list-sessions",)),
        ("--four", ("keep-only-sessions",)),
        ("--five", ("restore-sessions",)),
        ("--seven", ("cleanup-sessions",)),
    }


def test_every_variable_of_the_environment_is_documented() -> None:
    variable = re.compile(r"(?:OPENCLAW|SESSION_CLOSER)_[A-Z_]+")
    read = {found for found in strings(LIB) if variable.fullmatch(found)}
    assert len(read) > 5
    # The sign of a Python that has started another one, in between.
    assert read - {"SESSION_CLOSER_RESTARTED"} == set(variable.findall(section(REFERENCE, "Where they look")))
    for page in PAGES:
        ours = set(re.findall(r"SESSION_CLOSER_[A-Z_]+", text(page)))
        assert ours <= read | {"SESSION_CLOSER_LIVE_CACHE"}


def test_every_target_of_make_is_one() -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    for page in PAGES:
        named = {span.split()[1] for span in spans(text(page)) if re.fullmatch(r"make [a-z]+( .*)?", span)}
        assert named <= targets, page


# Exit codes and other words


def test_no_line_is_longer_than_those_of_the_sources() -> None:
    """Tables, links, code and what a terminal shows among them; all pages at once, so that none is left out."""
    lines = [(page, line) for page in PAGES for line in text(page).splitlines()]
    assert {page for page, _ in lines} == set(PAGES)
    assert [(page, line) for page, line in lines if len(line) > 120] == []


def test_every_exit_code_is_documented() -> None:
    codes = {str(int(code)) for code in errors.ExitCode}
    assert {row[0] for row in rows(section(REFERENCE, "Exit codes"))} == codes
    assert set(re.findall(r"(?:^|· |\s)(\d+) [a-z]", section(text("SKILL.md"), "Exit codes"))) == codes


def value(enum: type[Enum]) -> set[str]:
    """Return the words of an enumeration."""
    return {str(each.value) for each in enum}


def table_with(page: str, head: str) -> list[list[str]]:
    """Return the rows of all tables of a page whose first column has this head."""
    found = []
    for part in re.split(r"\n\s*\n", page):
        if part.lstrip().startswith(f"| {head} |"):
            found += rows(part)
    return found


def listed_after(page: str, words_before: str) -> set[str]:
    """Return the code of a list that ends with a full stop, or the text of the cell."""
    _, found, after = page.partition(words_before)
    assert found, f"{words_before!r} is no longer there"
    return words(re.split(r"\.\s|\|\n|\.$|;", after, maxsplit=1)[0])


def test_every_status_is_documented() -> None:
    found = {span for row in table_with(JSON, "`status`") for span in spans(row[0])}
    # Of files only, in the section on cleanups.
    found |= words(JSON.partition("Its `status` is ")[2].partition(". A store")[0]) & value(model.Status)
    assert found == value(model.Status)


def test_every_status_of_an_undo_is_one() -> None:
    found = {span for row in table_with(text("docs/undo.md"), "status") for span in spans(row[0])}
    assert len(found) > 3
    assert found <= value(model.Status)


def member(name: str) -> str:
    """Return what docs/json.md says of a member: in its table, and in the list below."""
    (found,) = [row[-1] for row in table_with(JSON, "member") if name in spans(row[0])]
    return f"{found}\n{note(JSON, name)}"


def test_every_reason_route_action_and_era_is_documented() -> None:
    assert words(member("reason")) - {"refused"} == value(model.Reason)
    assert words(member("route")) == value(model.Route)
    assert words(member("action")) == value(Action)
    assert words(member("gateway")) - {"pid"} >= value(model.Life)
    assert words(member("operation")) == set(COMMANDS)


def test_every_kind_is_documented() -> None:
    assert words(REFERENCE.partition("\nKinds: ")[2].partition(", by the key")[0]) == value(Kind)
    assert listed_after(own_section("cleanup-sessions"), "Kinds:") == set(map(str, STALE_KINDS))
    always = REFERENCE.partition("those that always stay (")[2].partition(")")[0]
    assert words(always) == set(map(str, DURABLE))


def test_every_name_of_an_error_is_documented() -> None:
    listed = words(JSON.partition("`error.name`: ")[2].partition("\n\n")[0])
    assert {name for name in listed if "--" not in name} == set(error_names())


def error_names() -> Iterator[str]:
    """Yield the names that errors have: of their classes, and where one is raised with its own."""
    classes = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    for name in classes:
        if issubclass(vars(errors)[name], errors.CloserError):
            yield vars(errors)[name].name
    for node in nodes(LIB):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
            yield from (str(ast.literal_eval(each.value)) for each in node.keywords if constant(each, "name"))
        # lib/bootstrap.py raises nothing of these: it runs before they can be imported.
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            plain = {key.value: each for key, each in pairs if isinstance(key, ast.Constant)}
            if set(plain) >= {"code", "name"} and isinstance(plain["name"], ast.Constant):
                yield str(plain["name"].value)


def constant(keyword: ast.keyword, name: str) -> bool:
    """Tell whether this is an argument of that name, written down as it is."""
    return keyword.arg == name and isinstance(keyword.value, ast.Constant)


@pytest.mark.long
def test_every_result_of_a_restart_is_documented() -> None:
    listed = words(JSON.partition("`restart.result`: ")[2].partition("`restart.ok` is true")[0])
    listed = {word for word in listed if "--" not in word}
    said = set()
    for node in nodes(LIB):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = {"RestartResult": 2, "RestartRecord": 2}.get(node.func.id)
            if place is not None:
                arguments = node.args[place : place + 1]
                arguments += [each.value for each in node.keywords if each.arg == "result"]
                said |= {str(each.value) for each in arguments if isinstance(each, ast.Constant)}
    assert len(said) > 5
    assert said <= listed
    # OpenClaw's own word is handed through.
    assert listed - {"not-loaded"} <= set(strings(LIB))


def nodes(folder: Path) -> Iterator[ast.AST]:
    """Yield all nodes of the sources in a folder."""
    for path in folder.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def strings(folder: Path) -> Iterator[str]:
    """Yield the texts that are written down in the sources in a folder."""
    for node in nodes(folder):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# Links


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in links(text(page)):
        target, anchor = resolved(page, link)
        assert (ROOT / target).exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(text(target)), f"{page}: {link}"


def test_every_page_can_be_reached_from_the_first() -> None:
    seen, left = set[str](), ["README.md"]
    while left:
        page = left.pop()
        if page in PAGES and page not in seen:
            seen.add(page)
            left += [resolved(page, link)[0] for link in links(text(page))]
    assert set(PAGES) - seen <= {"CHANGELOG.md"}


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.14", "installs {} small packages"), ("3.13", "({} for Python 3.13"), ("3.12", ", {} before)")],
)
def test_readme_says_how_many_packages_the_first_run_installs(version: str, said: str) -> None:
    """The lines of requirements.in, less those of other versions."""
    wanted = [line.partition(" ; ")[2] for line in text("lib/requirements.in").splitlines() if not line.startswith("#")]
    newest = [int(found.group(1)) for marker in wanted if (found := re.search(r'< "3\.(\d+)"', marker))]
    number = len(wanted) - sum(int(version.removeprefix("3.")) >= above for above in newest)
    words = {5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
    assert said.format(words[number]) in " ".join(README.split())


def test_readme_has_its_parts_in_this_order() -> None:
    assert [each.heading for each in sections(README)] == [
        "session-closer", "Commands", "Set-up", "What it changes, and what it never does", "Undo",
        "Keep what was said", "As a skill",
        "Versions proven", "Development",
    ]  # fmt: skip
    first = sections(README)[0].text.strip().splitlines()
    assert first[0].startswith("Close OpenClaw sessions safely")
    assert first[1:3] == ["", "```console"]


def test_nothing_of_the_machine_is_in_a_page() -> None:
    for page in PAGES:
        found: Any = re.search(r"/(?:root|tmp/(?!openclaw-|session-closer-)|work)\b/?", text(page))
        assert found is None, f"{page}: {found[0]}"
