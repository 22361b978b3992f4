"""list-sessions: show what is there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from plumbum import cli

from ...core import durations, keys
from ...core.errors import CloserError, UsageProblem
from ...core.escape import plain
from ...core.words import LIMIT, Kind, Sort
from .. import arguments, streams
from ..app import Reader
from ..arguments import count, one_word, word
from ..paged import Paged
from ..program import start

if TYPE_CHECKING:
    from ...core.listed import Inventory
    from ...core.selection import Listing
    from ...ports.artifacts import Place as Homes
    from ...render.page import Page

# What means something for a runtime that keeps files.
HOMES_OPTIONS = frozenset({"--older-than", "--limit", "--usage", "--report", "--pager"})


class ListSessions(Paged, Reader):
    """List sessions, newest first: age, kind, status, size of the transcript, and why no policy may remove it.

    WORD finds by key, beginning of the session id, label, name, title and channel, ignoring case; all words hold.
    All agents are listed, those on disk and those of the configuration. Nothing is written.
    """

    OPERATION = "list-sessions"
    POSITIONALS = "[WORD...]"

    agent = word("--agent AGENT", "the sessions of one agent (all agents)")
    all_agents = cli.Flag("--all-agents", help="the sessions of all agents: so it is without --agent, too")
    store = word("--store PATH", "only the store at this path")
    kinds = cli.SwitchAttr(
        "--kind", arguments.kinds, list=True, argname="KIND[,KIND...]", help=f"only these: {', '.join(map(str, Kind))}"
    )
    active = cli.SwitchAttr(
        "--active", count("--active MINUTES", 120), argname="MINUTES", help="updated within so many minutes"
    )
    older_than = cli.SwitchAttr("--older-than", arguments.age, argname="AGE", help="not updated for so long: 24h, 7d")
    globs = word("--match GLOB", "only keys like this, in quotes: '*:cron:*:run:*'", many=True)
    label = word("--label LABEL", "only those with this label")
    sort = cli.SwitchAttr(
        "--sort", one_word("--sort", *Sort), default=Sort.AGE, argname="|".join(Sort),
        help="newest, largest, most tokens first; keys from a on (age)",
    )  # fmt: skip
    reverse = cli.Flag("--reverse", help="the other way round")
    limit = cli.SwitchAttr(
        "--limit", arguments.most, default=LIMIT, argname="N|all", help=f"most sessions shown ({LIMIT})"
    )
    pager = cli.Flag("--pager", help="on a terminal: read it in $PAGER, or less")
    usage = cli.Flag("--usage", help="what takes the disk, by agent or profile, and by kind")

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        arguments.check_pager(pager=self.pager, as_json=self.as_json)
        if "" in words:
            raise UsageProblem("a word to look for is empty", "leave it out")
        self.check_page()
        if (homes := self.homes()) is not None:
            return self._of_homes(homes, words)
        if self.usage:
            return self._usage(words)
        if self.agent is not None:
            keys.check_agent(self.agent)
        if sum((self.agent is not None, self.all_agents, self.store is not None)) > 1:
            raise UsageProblem("--agent, --all-agents and --store contradict each other", "give one of them")
        from ...core.wanted import Wanted  # what touches a store is not loaded for --help
        from ...operations.list import look

        wanted = Wanted(
            self.agent,
            self.store,
            frozenset(itertools.chain.from_iterable(self.kinds)),
            None if self.active is None else self.active * durations.SECONDS["m"],
            self.older_than,
            self._most(),
            words,
            tuple(self.globs),
            self.label,
            Sort(self.sort),
            self.reverse,
        )
        return self._show(look(self.place_of(self.store), wanted, self.clock, undo=self.here("restore-sessions")))

    def _most(self) -> int | None:
        """Return how many are shown at most: of a page all, where nobody says otherwise."""
        named = any(word.partition("=")[0] == "--limit" for word in self.switches(self.given))
        return None if self.limit == arguments.ALL or (self.page is not None and not named) else self.limit

    def _of_homes(self, where: Homes, words: tuple[str, ...]) -> int:
        """List what is in homes of files."""
        self.check_options(where, HOMES_OPTIONS)
        self._check_usage(words)
        from ...core.listed import Sought  # what touches a home is not loaded for --help
        from ...operations import inventory

        sought = Sought(words, self.older_than, self._most(), self.usage)
        return self._show_inventory(inventory.look(where, sought, self.clock))

    def _usage(self, words: tuple[str, ...]) -> int:
        """Say what takes the disk."""
        self._check_usage(words)
        from ...operations import usage  # what touches a store is not loaded for --help

        return self._show_inventory(usage.look(self.place(), self.agent, self.clock))

    def _check_usage(self, words: tuple[str, ...]) -> None:
        chosen = (words, self.kinds, self.active, self.globs, self.label, self.store, self.reverse)
        ordered = self.older_than is not None or self.sort != Sort.AGE or self.limit != LIMIT
        if self.usage and (ordered or any(chosen)):
            raise UsageProblem("--usage counts everything", "leave out the words, and all that chooses or orders")

    def _show_inventory(self, found: Inventory) -> int:
        from ...render import homes, pages, text

        path = self._written(lambda: pages.of_inventory(found, self.made()), found.error)
        self.put(
            lambda: homes.as_json(found, self.called, path),
            lambda: homes.listed(found) if path is None else [*homes.listed(found)[:1], *_told(path)],
            text.complaints(found.warnings, found.error, self.called),
        )
        return int(found.exit_code)

    def fail(self, problem: CloserError, _: Sequence[str]) -> None:
        """Print why a run ended early."""
        from ...core.selection import Listing

        self._show(Listing(error=problem))

    def _show(self, found: Listing) -> int:
        from ...render import json, pages, table, text

        path = self._written(lambda: pages.of_list(found, self.made()), found.error)
        self.put(
            lambda: json.list_as_json(found, self.called, path),
            lambda: (
                table.listed(found, verbose=self.verbose, width=streams.width())
                if path is None
                else [*table.listed(found)[:1], *_told(path)]
            ),
            text.complaints(found.warnings, found.error, self.called),
        )
        return int(found.exit_code)

    def _written(self, page: Callable[[], Page], error: CloserError | None) -> str | None:
        """Write a page where one is wanted, and there is something to show; return its path."""
        return None if self.page is None or error is not None else self.write(page())


def _told(path: str) -> list[str]:
    return [f"report   {plain(path)}"]


def main() -> int:
    """Run the command."""
    return start(ListSessions)
