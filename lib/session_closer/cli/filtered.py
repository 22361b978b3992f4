"""The options of commands that close by what sessions are, besides or instead of by name."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from plumbum import cli

from ..core import keys
from ..core.words import Kind
from . import arguments
from .arguments import word

if TYPE_CHECKING:
    from ..core.wanted import Wanted
    from ..core.wish import Wish


class Filtered(cli.Application):
    """What the commands share that take filters beside names: all that are given must hold."""

    OPERATION: ClassVar[str]
    agent: Any

    globs = word("--match GLOB", "only keys like this, in quotes: '*:cron:*:run:*'", many=True)
    kinds = cli.SwitchAttr(
        "--kind", arguments.kinds, list=True, argname="KIND[,KIND...]", help=f"only these: {', '.join(map(str, Kind))}"
    )
    older_than = cli.SwitchAttr("--older-than", arguments.age, argname="AGE", help="not updated for so long: 24h, 7d")
    label = word("--label LABEL", "only those with this label")

    def matching(self) -> Wanted | None:
        """Return the filters, None where there are none."""
        if not self.globs and not self.kinds and self.older_than is None and self.label is None:
            return None
        from ..core.wanted import Wanted  # what touches a store is not loaded for --help

        return Wanted(
            kinds=frozenset(itertools.chain.from_iterable(self.kinds)),
            older_than=self.older_than,
            globs=tuple(self.globs),
            label=self.label,
        )

    def filtered(self, names: list[str]) -> Wish:
        """Return the wish for these names, or for what the filters alone match; UsageProblem: there are neither."""
        from ..core.wish import Wish

        matching = self.matching()
        if matching is None:
            arguments.no_words(names, "session")
        targets = arguments.targets(names, self.agent)
        agent = (self.agent or keys.DEFAULT_AGENT) if matching is not None and not names else None
        return Wish(self.OPERATION, targets, agent=agent, matching=matching)
