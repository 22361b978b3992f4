"""Which place a command line means: a state directory of OpenClaw's, or the homes of another runtime."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from plumbum import cli

from ..core import escape
from ..core.errors import CloserError, Ours, UsageProblem
from . import calls
from .arguments import address, file_of_token, word
from .grammar import Grammar

if TYPE_CHECKING:
    from ..ports.artifacts import Place as Homes
    from ..ports.runtime import Place

_PLACE = ("--runtime", "--home", "--state-dir", "--profile")
_ANY = ("--json", "--verbose", "--version", "-h", "--help")
# What only some of the runtimes that keep files know.
_OF_SOME = frozenset({"--profile", "--rows"})


class Placed(Grammar):
    """What the options say of a place, and what they mean together with the environment."""

    runtime = word(
        "--runtime NAME", "openclaw, hermes or nanoclaw: whose sessions (told by what the named folder holds)"
    )
    state_dir = word("--state-dir DIR", "OpenClaw's state directory, or another runtime's home", also="--home")
    profile = word("--profile NAME", "stands for ~/.openclaw-NAME; of Hermes one profile (all)")
    url = cli.SwitchAttr("--url", address, argname="URL", help="the gateway, where it is not found by itself")
    token_file = cli.SwitchAttr("--token-file", file_of_token, argname="FILE", help="the gateway's token, in a file")
    gateway_state = word("--gateway-state-dir DIR", "what the gateway itself calls the state directory")

    def homes(self) -> Homes | None:
        """Return the place of a runtime that keeps files, None where OpenClaw's state directory is meant."""
        if self.runtime is None and self.state_dir is None:
            return None
        from ..operations import runtimes  # what touches a store is not loaded for --help

        return runtimes.homes(os.environ, runtime=self.runtime, named=self.state_dir, profile=self.profile)

    def check_options(self, where: Homes, known: Collection[str]) -> None:
        """Refuse options that mean nothing for a runtime that keeps files; `known`: those that do."""
        given = [word.partition("=")[0] for word in self.switches(self.given) if word.startswith("-")]
        strange = _OF_SOME.difference(where.options)
        place, own = ([name for name in some if name not in strange] for some in (_PLACE, sorted(known)))
        unknown = [name for name in given if name not in (*place, *own, *_ANY)]
        if unknown:
            what = f"{unknown[0]} means nothing for {where.runtime}"
            raise UsageProblem(what, f"leave it out; besides {', '.join(place)} there are {', '.join(own)}")

    def place(self) -> Place:
        """Return the state directory that is meant; UsageProblem where it is another runtime's."""
        if (other := self.homes()) is not None:
            what = f"{self.OPERATION} is not for sessions of {other.runtime}"
            raise UsageProblem(what, ("what they left is put away with:", Ours("cleanup-sessions", there=True)))
        if self.url is None and (self.token_file is not None or self.gateway_state is not None):
            raise UsageProblem("--token-file and --gateway-state-dir belong to --url", "--url URL")
        from ..operations import runtimes  # what touches a store is not loaded for --help

        named = {"url": self.url, "token_file": self.token_file, "gateway_state": self.gateway_state}
        return runtimes.entrance().find(os.environ, state_dir=self.state_dir, profile=self.profile, **named)

    def place_of(self, store: str | None) -> Place:
        """Return the state directory that has a store: the one that is meant, or else the one around the store."""
        from ..operations import runtimes

        where = self.place()
        is_free = self.state_dir is None
        around = runtimes.entrance().state_dir_around(store) if store is not None and is_free else None
        if around is None or around == os.path.realpath(where.state) or self.profile is not None:
            return where
        if store is not None and where.has_store(store):
            return where
        # So that the printed commands name it, too.
        self.state_dir = around
        return self.place()

    def meant(self) -> tuple[list[str], list[str]]:
        """Return the words of a command line that mean this place: those ahead of the command, and options."""
        return (self.homes() or self.place()).meant_by(self.profile)

    def here(self, name: str) -> str:
        """Return another of our commands for the same state directory, whatever shell it is typed into."""
        ahead, place = self.meant()
        return calls.for_shell([*ahead, calls.beside(self.executable, name), *place])

    def called(self, ours: Ours) -> str:
        """Return how another of our commands is called, for a shell."""
        if ours.there:
            # The place itself may be what is wrong.
            with suppress(CloserError):
                return self.here(ours.command)
        return escape.shell_word(calls.beside(self.executable, ours.command))
