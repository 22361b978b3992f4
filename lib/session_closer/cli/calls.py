"""Command lines that a message prints, for whatever shell they are typed into: this one again, and others of ours."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from ..core.escape import shell_word

# The options that name a place; each has a value.
PLACE = ("--state-dir", "--home", "--runtime", "--profile", "--url", "--token-file", "--gateway-state-dir")
# What is written once: the file that such an option names is there by the next time.
_ONCE = ("--report",)


def called(path: str, operation: str) -> str:
    """Return how a command was called, for a shell: the next command that a message prints has to be found, too."""
    if os.path.basename(os.path.realpath(path)) != operation or not os.path.isfile(path):
        return operation
    # What is in no folder was given to python3, and no shell would look for it here.
    return path if os.path.dirname(path) else os.path.abspath(path)


def beside(executable: str, name: str) -> str:
    """Return where another of our commands is: beside one as it was called, or as it really is, or on PATH."""
    for folder in map(os.path.dirname, (executable, os.path.realpath(executable))):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path):
            return path
    return name


def for_shell(words: Sequence[str]) -> str:
    """Return words as one command line."""
    return " ".join(map(shell_word, words))


def again(
    executable: str,
    given: Sequence[str],
    meant: tuple[Sequence[str], Sequence[str]] | None,
    *,
    added: Sequence[str],
    without: Collection[str],
) -> str:
    """Return a command line with options added and left out.

    `meant` are the words that name the place, ahead of the command and behind it, in place of those given; None: no
    place is named.
    """
    kept, targets = _split(given)
    ahead, place = meant or ((), ())
    kept = _without_values(kept, [*_ONCE, *(PLACE if meant is not None else ())])
    kept = [word for word in kept if word not in without]
    return for_shell([*ahead, executable, *added, *place, *kept, *targets])


def is_demo(given: Sequence[str]) -> bool:
    """Tell whether the words of a command line ask for the sample store."""
    return "--demo" in _split(given)[0]


def _split(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line ahead of a `--`, and the others: what is added behind it would be a target."""
    end = list(given).index("--") if "--" in given else len(given)
    return list(given[:end]), list(given[end:])


def _without_values(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Return words of a command line without these options and their values."""
    found: list[str] = []
    left = iter(words)
    for word in left:
        if word in options:
            next(left, None)
        elif word.partition("=")[0] not in options:
            found.append(word)
    return found
