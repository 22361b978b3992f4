"""restore-sessions: bring back what a run has closed."""

from __future__ import annotations

from plumbum import cli

from .. import keys, report
from ..cli import Base, start
from ..errors import UsageProblem
from ..model import Options, Report


class RestoreSessions(Base):
    """Bring closed sessions back: entry, transcript and the files beside it, verified against the receipt.

    Nothing that exists now is overwritten: a key in use again is a conflict, the others come back. `last` is the latest
    run that closed something; a sessions.json.bak-* stands for what was closed without a receipt.
    """

    OPERATION = "restore-sessions"
    POSITIONALS = "<receipt id | last | backup file> [session key...]"

    list = cli.Flag("--list", help="show the receipts, newest first")
    check = cli.Flag("--check", help="say what can be brought back and until when, change nothing")
    stop_gateway = cli.Flag(
        "--stop-gateway", help="deleted sessions in SQLite: stop the gateway's service meanwhile, start it again"
    )

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        found = self._listed(words) if self.list else self._restored(words)
        self.show(found)
        return int(report.exit_code(found))

    def _listed(self, words: tuple[str, ...]) -> Report:
        if words:
            raise UsageProblem("--list takes no names", f"{keys.shell_word(self.executable)} --list")
        from .. import executor, restorable  # what reads receipts is not loaded for --help

        where = self.place()
        executor.check_place(where, [])
        return Report(self.OPERATION, dry_run=self.dry_run, receipts=tuple(restorable.receipts(where)))

    def _restored(self, words: tuple[str, ...]) -> Report:
        if not words:
            raise UsageProblem("no receipt was given", "restore-sessions last, or one of restore-sessions --list")
        from .. import restoring

        ask = restoring.Ask(words[0], words[1:], self.stop_gateway, self.check)
        return restoring.execute(self.place(), ask, self.options(), tell=self.tell, progress=self.progress)

    def options(self) -> Options:
        """Return the switches as data."""
        found = super().options()
        return found._replace(dry_run=found.dry_run or self.check, limit=10**9)


def main() -> int:
    """Run the command."""
    return start(RestoreSessions)
