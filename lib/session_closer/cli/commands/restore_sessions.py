"""restore-sessions: bring back what a run has closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plumbum import cli

from ...core import escape
from ...core.errors import Ours, UsageProblem
from ..app import Base
from ..arguments import word
from ..program import start

if TYPE_CHECKING:
    from ...core.report import Report
    from ...core.wish import Options
    from ...ports.artifacts import Place as Homes

# So many of what was found are in a document; --verbose has all.
MOST_FOUND = 1000
_US = Ours("restore-sessions")
# What means something for a runtime that keeps files.
HOMES_OPTIONS = frozenset({"--dry-run", "--reason", "--list", "--check"})


class RestoreSessions(Base):
    """Bring closed sessions back: entry, transcript and the files beside it, verified against the receipt.

    Nothing that exists now is overwritten: a key in use again is a conflict, the others come back. `last` is the latest
    run that closed something; a sessions.json.bak-* stands for what was closed without a receipt, a folder that
    export-sessions has made for the session in it, found:ID for what anybody has deleted or reset: --found lists that.
    """

    OPERATION = "restore-sessions"
    POSITIONALS = "<receipt id | last | backup file | bundle | found:ID> [session key...]"

    list = cli.Flag("--list", help="show the receipts, newest first")
    found = cli.Flag("--found", help="show what anybody has deleted or reset: what holds one of the words, or all")
    under = word("--as KEY", "the key that found:ID is to get")
    check = cli.Flag("--check", help="say what can be brought back and until when, change nothing")
    stop_gateway = cli.Flag(
        "--stop-gateway", help="deleted sessions in SQLite: stop the gateway's service meanwhile, start it again"
    )

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        if (homes := self.homes()) is not None:
            return self.show(self._of_homes(homes, words))
        if self.found and (self.list or self.check):
            raise UsageProblem("--found goes with neither --list nor --check", "give one of them")
        answer = self._found(words) if self.found else self._listed(words) if self.list else self._restored(words)
        return self.show(answer)

    def _of_homes(self, where: Homes, words: tuple[str, ...]) -> Report:
        self.check_options(where, HOMES_OPTIONS)
        self._check_words(words)
        from ...core.report import Report  # what touches a home is not loaded for --help
        from ...operations import bring_back

        if self.list:
            return bring_back.receipts(where, Report(self.OPERATION, dry_run=self.dry_run))
        which, *only = words
        return bring_back.perform(where, which, only, self.options(), console=self.console(), clock=self.clock)

    def _check_words(self, words: tuple[str, ...]) -> None:
        if self.list and words:
            raise UsageProblem("--list takes no names", f"{escape.shell_word(self.executable)} --list")
        if not words and not self.list:
            raise UsageProblem("no receipt was given", (_US, "last, or one of", _US, "--list"))

    def _found(self, words: tuple[str, ...]) -> Report:
        if self.under is not None:
            raise UsageProblem("--as belongs to found:ID", (_US, "found:ID --as KEY"))
        from ...core.report import Report  # what touches a store is not loaded for --help
        from ...operations import undoable

        told = Report(self.OPERATION, dry_run=self.dry_run, back=self.here("restore-sessions"))
        return undoable.deleted(self.place(), told, words, None if self.verbose else MOST_FOUND)

    def _listed(self, words: tuple[str, ...]) -> Report:
        self._check_words(words)
        from ...core.report import Report  # what reads receipts is not loaded for --help
        from ...operations import undoable

        return undoable.receipts(self.place(), Report(self.OPERATION, dry_run=self.dry_run))

    def _restored(self, words: tuple[str, ...]) -> Report:
        self._check_words(words)
        is_found = words[0].startswith("found:")
        if is_found and words[1:]:
            raise UsageProblem(f"{escape.quoted(words[1])} is one word too many", (_US, "found:ID [--as KEY]"))
        if self.under is not None and not is_found:
            raise UsageProblem("--as belongs to found:ID", (_US, "found:ID --as KEY"))
        from ...operations import restore

        ask = restore.Ask(words[0], words[1:], self.stop_gateway, self.check, self.under)
        return restore.execute(self.place(), ask, self.options(), console=self.console(), clock=self.clock)

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return self.list or self.check or super().only_shows()

    def options(self) -> Options:
        """Return the switches as data."""
        found = super().options()
        return found._replace(dry_run=found.dry_run or self.check, limit=10**9)


def main() -> int:
    """Run the command."""
    return start(RestoreSessions)
