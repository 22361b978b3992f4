"""How plumbum reads a command line: the one module that holds private names of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from plumbum import cli
from plumbum.cli import application

from .. import __version__


def _in_our_words(str1: str) -> str:
    return str1.replace("Unknown switch", "unknown option").replace("Switch {0}", "option {0}")


# In one language whatever the locale, and before any name of the user's is put in.
application.T_ = _in_our_words


class Grammar(cli.Application):
    """A command line that plumbum reads and that ends in our way; what is wrong with its words is a SwitchError."""

    VERSION = __version__
    OPERATION: ClassVar[str] = ""

    given: tuple[str, ...] = ()

    @abstractmethod
    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""

    @abstractmethod
    def answer(self, argv: Sequence[str]) -> int:
        """Do what the words of a command line ask for; return the exit code, whatever is wrong with them."""

    @abstractmethod
    def help(self) -> None:
        """Print the help."""

    @abstractmethod
    def version(self) -> None:
        """Print the version."""

    def in_full(self, argv: Sequence[str]) -> Sequence[str]:
        """Return words of a command line with a value where an option has left it out."""
        return argv

    def obey(self, argv: Sequence[str]) -> int:
        """Read words and do what they ask for; return the exit code."""
        functions, words = self._parse_args(list(argv))
        for ahead in (self.help, self.version):
            if ahead.__func__ in functions:  # type: ignore[attr-defined]
                ahead()
                return 0
        ordered, words = self._validate_args(functions, words)
        for function, arguments in ordered:
            function(self, *arguments)
        return self.main(*words)

    def switches(self, argv: Sequence[str]) -> list[str]:
        """Return the words that can be switches: not the value of an option, nor behind a `--`."""
        ahead = argv[: argv.index("--")] if "--" in argv else argv
        # An option whose value may be left out, [AGE], takes no word that begins with a dash.
        valued = [name for name, info in self._switches_by_name.items() if info.argtype and info.argname[0] != "["]
        waiting = {"=", *(f"--{name}{equals}" for name in valued for equals in ("", "="))}
        return [word for word, before in zip(ahead, ("", *ahead), strict=False) if before not in waiting]

    def options_with_help(self) -> list[tuple[str, str]]:
        """Return each option as it is spelled, and what it is for."""
        switches = {id(info): info for info in self._switches_by_name.values()}
        return sorted((_spelled(info), (info.help or "").partition("; the default")[0]) for info in switches.values())

    def _parse_and_dispatch(self, argv: list[str]) -> tuple[cli.Application, int]:
        """Parse and run, with our own ending for bad words: plumbum prints them, and the whole help, to stdout."""
        self.given = tuple(self.in_full(argv))
        return self, self.answer(self.given)


# Abbreviations that plumbum would take for something else, and switches that make no sense here.
Grammar.unbind_switches("-v", "--help-all", "--completions")


def _spelled(info: Any) -> str:
    value = f" {info.argname}" if info.argtype else ""
    return ", ".join(("-" if len(name) == 1 else "--") + name + value for name in info.names if name != "v")
