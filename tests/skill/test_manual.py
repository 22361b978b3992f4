"""Manual pages and completions are made of what --help is made of, and real programs take them."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docs.test_reference import HELP

manual = importlib.import_module("publish.manual")

FILES = manual.files()
SHELLS = {"zsh": "zsh/site-functions/_{}", "fish": "fish/vendor_completions.d/{}.fish"}
COMMANDS = sorted(HELP)


def tool(name: str) -> str:
    """Return the path of a program; without it the test is skipped, and says so."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def completed(tmp_path: Path, name: str, *words: str) -> list[str]:
    """Return what a real bash offers for the last word of a command line."""
    tool("bash")
    script = tmp_path / "completion"
    script.write_text(FILES[f"bash-completion/completions/{name}"])
    program = (
        'set -eu; source "$0"; spec=$(complete -p "$1"); function=${spec#*-F }; function=${function% *}; '
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $function; printf "%s\\n" "${COMPREPLY[@]-}"'
    )
    words = ["bash", "--norc", "-c", program, str(script), name, *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_all_that_the_help_has_and_no_more(name: str) -> None:
    page = FILES[f"man/man1/{name}.1"].replace("\\-", "-")
    for option, spelled in HELP[name].items():
        value = spelled.partition(" ")[2]
        wanted = f"\\fB{option}\\fR" + (f" \\fI{value}\\fR" if value else "")
        assert wanted in page, option
    (options,) = [part for part in page.split(".SH ") if part.startswith("OPTIONS")]
    assert options.count(".TP") == len(manual.pages()[COMMANDS.index(name)].options)
    assert ".SH EXIT STATUS" in page
    assert "\\fB69\\fR\nmissing dependency" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_groff_has_nothing_to_say_against_a_page(tmp_path: Path, name: str) -> None:
    (tmp_path / "page").write_text(FILES[f"man/man1/{name}.1"])
    words = [tool("groff"), "-man", "-ww", "-Tascii", str(tmp_path / "page")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--state-dir" in re.sub(r".\x08", "", done.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_bash_offers_each_option_and_no_other(tmp_path: Path, name: str) -> None:
    assert sorted(completed(tmp_path, name, "--")) == sorted(one for one in HELP[name] if one.startswith("--"))
    assert completed(tmp_path, name, "--vers") == ["--version"]
    assert completed(tmp_path, name, "kelly") == [""]


def test_bash_offers_the_words_of_a_value_and_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").touch()
    assert completed(tmp_path, "close-project", "--restart", "") == ["auto", "always", "never"]
    assert completed(tmp_path, "close-project", "--restart", "al") == ["always"]
    assert completed(tmp_path, "list-sessions", "--state-dir", "a") == ["a folder"]
    assert sorted(completed(tmp_path, "list-sessions", "--token-file", "a")) == ["a file", "a folder"]
    assert completed(tmp_path, "list-sessions", "--agent", "--") == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_completions(tmp_path: Path, shell: str) -> None:
    for name in COMMANDS:
        (tmp_path / name).write_text(FILES[SHELLS[shell].format(name)])
        done = subprocess.run([tool(shell), "-n", str(tmp_path / name)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_each_option(shell: str) -> None:
    for name in COMMANDS:
        text = FILES[SHELLS[shell].format(name)]
        for option in HELP[name]:
            told = f"-l {option[2:]} " if option.startswith("--") else f"-s {option[1:]} "
            assert (f"'*{option}[" if shell == "zsh" else told) in text, option
