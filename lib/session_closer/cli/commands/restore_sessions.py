"""restore-sessions: bring back what a run has closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from plumbum import cli

from ...core import escape
from ...core.errors import Ours, UsageProblem
from .. import arguments
from ..app import MOST_TOLD, Base
from ..arguments import word
from ..program import start

if TYPE_CHECKING:
    from ...core.report import Report
    from ...core.wish import Options
    from ...ports.artifacts import Place as Homes

# So many of what was found are in a document; --verbose has all.
MOST_FOUND = 1000
_US = Ours("restore-sessions", there=True)
# What means something for a runtime that keeps files.
HOMES_OPTIONS = frozenset({"--dry-run", "--reason", "--list", "--limit", "--show", "--pager", "--since", "--check"})
# So many runs are in a list.
MOST_RUNS = 20


class RestoreSessions(Base):
    """Bring closed sessions back: entry, transcript and the files beside it, verified against the receipt.

    Nothing that exists now is overwritten: a key in use again is a conflict, the others come back. `last` is the latest
    run that closed something; a sessions.json.bak-* stands for what was closed without a receipt, a folder that
    export-sessions has made for the session in it, found:ID for what anybody has deleted or reset: --found lists that.
    Several runs are undone from the newest to the oldest.
    """

    OPERATION = "restore-sessions"
    POSITIONALS = "<receipt id... | last | backup file | bundle | found:ID> [session key...]"

    list = cli.Flag("--list", help="show the receipts, newest first")
    limit = cli.SwitchAttr(
        "--limit", arguments.most, argname="N|all", help=f"with --list: most runs shown ({MOST_RUNS})"
    )
    one = word("--show RECEIPT", "show one run in full: what it did, and what can be brought back now")
    pager = cli.Flag("--pager", help="with --list, --show, on a terminal: read it in $PAGER, or less")
    since = cli.SwitchAttr(
        "--since",
        arguments.since,
        argname="AGE",
        help="undo what runs of that time have closed: 2h, 1d",
    )
    found = cli.Flag("--found", help="show what anybody has deleted or reset: what holds one of the words, or all")
    under = word("--as KEY", "the key that found:ID is to get")
    check = cli.Flag("--check", help="say what can be brought back and until when, change nothing")
    stop_gateway = cli.Flag(
        "--stop-gateway", help="deleted sessions in SQLite: stop the gateway's service meanwhile, start it again"
    )

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        arguments.check_pager(pager=self.pager, as_json=self.as_json)
        if self.pager and not (self.list or self.one is not None):
            raise UsageProblem("--pager belongs to --list and --show", "leave it out")
        looks = [name for name, given in self._looks() if given]
        if len(looks) > 1:
            raise UsageProblem(f"{looks[0]} does not go with {' and '.join(looks[1:])}", "give one of them")
        if self.limit is not None and not self.list:
            raise UsageProblem("--limit belongs to --list", (_US, "--list --limit N"))
        if (homes := self.homes()) is not None:
            return self.show(self._of_homes(homes, words))
        if self.found:
            return self.show(self._found(words))
        self._check_words(words)
        if self.list or self.one is not None:
            return self.show(self._listed())
        return self.show(self._restored(words))

    def _looks(self) -> Iterator[tuple[str, bool]]:
        """Give the options of which one only makes sense at once: those that look, and what goes with none of them."""
        looks = {"--found": self.found, "--list": self.list, "--show": self.one is not None}
        yield from looks.items()
        if any(looks.values()):
            yield "--check", self.check
            yield "--since", self.since is not None

    def _of_homes(self, where: Homes, words: tuple[str, ...]) -> Report:
        self.check_options(where, HOMES_OPTIONS)
        self._check_words(words)
        from ...core.report import Report  # what touches a home is not loaded for --help
        from ...operations import bring_back, several

        told = Report(self.OPERATION, dry_run=self.dry_run)
        if self.list:
            return bring_back.receipts(where, told, self._most(), self.clock)
        if self.one is not None:
            return bring_back.shown(where, self.one, told, self.clock)
        options, console = self.options(), self.console()
        if self.since is not None or several.is_meant(where.state, words):
            way = bring_back.way(where, options, console=console, clock=self.clock)
            return several.perform(way, words, self.since, options, self.clock)
        which, *only = words
        return bring_back.perform(where, which, only, options, console=console, clock=self.clock)

    def _most(self) -> int | None:
        if self.limit is None:
            return None if self.verbose else MOST_RUNS
        return None if self.limit == arguments.ALL else int(self.limit)

    def _check_words(self, words: tuple[str, ...]) -> None:
        for name, given in (("--list", self.list), ("--show RECEIPT", self.one is not None)):
            if given and words:
                raise UsageProblem(f"{name} takes no names", (_US, name))
        if not words and not self.list and self.one is None and self.since is None:
            ways = ("undo the last:", _US, "last; see all:", _US, "--list")
            raise UsageProblem("no receipt was given", ways)
        if words and words[0].startswith("agent:") and self.since is None:
            sessions = " ".join(map(escape.shell_word, words))
            raise UsageProblem("no receipt was given ahead of a session", (_US, f"--since 30d {sessions}"))

    def _found(self, words: tuple[str, ...]) -> Report:
        if self.under is not None:
            raise UsageProblem("--as belongs to found:ID", (_US, "found:ID --as KEY"))
        from ...core.report import Report  # what touches a store is not loaded for --help
        from ...operations import undoable

        told = Report(self.OPERATION, dry_run=self.dry_run, back=self.here("restore-sessions"))
        return undoable.deleted(self.place(), told, words, None if self.verbose else MOST_FOUND)

    def _listed(self) -> Report:
        from ...core.report import Report  # what reads receipts is not loaded for --help
        from ...operations import restore, undoable

        told = Report(self.OPERATION, dry_run=self.dry_run)
        if self.one is not None:
            return restore.shown(self.place(), self.one, told, self.clock)
        return undoable.receipts(self.place(), told, self._most(), self.clock)

    def _restored(self, words: tuple[str, ...]) -> Report:
        is_found = bool(words) and words[0].startswith("found:")
        if is_found and words[1:]:
            raise UsageProblem(f"{escape.quoted(words[1])} is one word too many", (_US, "found:ID [--as KEY]"))
        if self.under is not None and not is_found:
            raise UsageProblem("--as belongs to found:ID", (_US, "found:ID --as KEY"))
        from ...operations import restore, several

        where, options, console = self.place(), self.options(), self.console()
        ask = restore.Ask(words[0] if words else "", words[1:], self.stop_gateway, self.check, self.under)
        if self.since is not None or several.is_meant(where.state, words):
            way = restore.way(where, ask, options, console=console, clock=self.clock)
            return several.perform(way, words, self.since, options, self.clock)
        return restore.execute(where, ask, options, console=console, clock=self.clock)

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return self.list or self.found or self.check or self.one is not None or super().only_shows()

    def options(self) -> Options:
        """Return the switches as data."""
        found = super().options()
        told = None if self.verbose else MOST_TOLD
        # Nobody stops a gateway for a look, and who stops it by hand does not have it stopped.
        again = self.again(without=("--dry-run", "--stop-gateway"))
        return found._replace(dry_run=found.dry_run or self.check, limit=10**9, most_told=told, again=again)


def main() -> int:
    """Run the command."""
    return start(RestoreSessions)
