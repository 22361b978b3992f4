"""What the options and positionals of the commands may be, and what is said of a word that they may not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from plumbum import cli

from ..core import durations, keys
from ..core.errors import UsageProblem
from ..core.escape import quoted
from ..core.words import Kind


def one_word(name: str, *words: str) -> Any:
    """Return a type of argument: one of these words; `name` is the option's."""

    def check(value: str) -> str:
        if value not in words:
            raise UsageProblem(f"{quoted(value)} is no value of {name}", f"{name} {'|'.join(words)}")
        return value

    return check


def count(spelled: str, such: int) -> Any:
    """Return a type of argument: a number from 1 on; `spelled` is the option with its argument, `such` one of them."""
    name = spelled.partition(" ")[0]

    def check(value: str) -> int:
        if not value.isdecimal() or len(value) > 9 or not int(value):
            raise UsageProblem(f"{quoted(value)} is no number from 1 to 999999999", f"{spelled}, as in {name} {such}")
        return int(value)

    return check


# No limit; plumbum takes None for an option that was not given.
ALL = 0


def most(value: str) -> int:
    """Take the number of --limit: so many, or all."""
    return ALL if value == "all" else int(count("--limit all|N", 50)(value))


def word(spelled: str, about: str, *, many: bool = False, also: str = "") -> Any:
    """Return an option that takes any word but another option; `spelled` as in its help, `many`: given repeatedly.

    `also` is another name for it.
    """
    name, _, argument = spelled.partition(" ")
    names = [name, *filter(None, [also])]
    return cli.SwitchAttr(names, _word(spelled), list=many, argname=argument, help=about)


def _word(spelled: str) -> Any:
    name, _, argument = spelled.partition(" ")

    def check(value: str) -> str:
        if not value:
            raise UsageProblem(f"the {argument.strip('[]')} of {name} is empty", spelled)
        if value.startswith("-"):
            raise UsageProblem(f"{quoted(value)} begins with -, so it is no {argument} for {name}", spelled)
        return value

    return check


def address(value: str) -> str:
    """Take a WebSocket address: plain `ws` to this machine only, since a token goes along; nothing secret in it."""
    try:
        problem = _wrong_address(value)
    except ValueError:
        # Also a name where only a number can be told to be this machine.
        problem = "is no address of a gateway on this machine, nor one that is encrypted"
    if problem:
        # The value may hold a secret, so it is not repeated.
        raise UsageProblem(f"the value of --url {problem}", "--url ws://127.0.0.1:18789, or wss:// for another machine")
    return value


def _wrong_address(value: str) -> str:
    """Return what is wrong with an address, "" where nothing is; ValueError where it cannot be read."""
    import ipaddress
    from urllib.parse import urlsplit

    found = urlsplit(value)
    host, secret = found.hostname or "", found.username or found.password or found.query or found.fragment
    if not (value.isascii() and value.isprintable()):
        return "is no address of a gateway"
    if found.scheme not in ("ws", "wss") or not host or found.port == 0:
        return "is no address of a gateway"
    if secret:
        return "holds more than an address"
    if found.scheme == "ws" and host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        return "would send the token in clear text"
    return ""


def file_of_token(value: str) -> str:
    """Take the path of a file that is there."""
    found = str(_word("--token-file FILE")(value))
    if not os.path.isfile(found):
        raise UsageProblem(f"{quoted(found)} is no file", "--token-file FILE, with nothing but the token in it")
    return found


def age(value: str) -> float:
    """Take the age of --older-than."""
    return durations.age(value, "--older-than")


def since(value: str) -> float:
    """Take the age of --since."""
    return durations.age(value, "--since")


def kinds(value: str) -> Any:
    """Take kinds of session, with commas between them."""
    found = []
    for name in value.split(","):
        try:
            found.append(Kind(name.strip().lower()))
        except ValueError:
            known = ", ".join(map(str, Kind))
            raise UsageProblem(f"{quoted(name)} is no kind of session", f"--kind with one of {known}") from None
    return found


def check_pager(*, pager: bool, as_json: bool) -> None:
    """Refuse a pager for what is no text."""
    if pager and as_json:
        raise UsageProblem("--pager is for people, --json for programs", "give one of them")


def no_words(words: Sequence[str], what: str) -> None:
    """Raise UsageProblem where no positional was given."""
    if not words:
        raise UsageProblem(f"no {what} was given", "name a project id or a session key")


def targets(words: Sequence[str], agent: str | None) -> tuple[keys.Target, ...]:
    """Return what the positionals stand for; `agent` is --agent as given."""
    if agent is not None:
        keys.check_agent(agent)
    return tuple(keys.target(word, agent) for word in words)
