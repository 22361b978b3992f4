"""What the commands share: their common options, what they show, how each of them ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from plumbum import cli

from .. import __version__
from ..core import escape, keys
from ..core.errors import CloserError, ExitCode, Interrupted, UsageProblem
from ..system.clock import REAL, Clock
from . import calls, streams
from .arguments import count, one_word, word
from .paged import PlanPaged
from .placed import Placed
from .rehearsal import Rehearsed

if TYPE_CHECKING:
    from ..core.report import Report
    from ..core.wish import Options, Wish
    from ..ports.context import Console
    from ..render.grid import Block

EXIT_CODES = (
    "0 done, or already so",
    "1 some target failed or was not found, or the result could not be written",
    "2 usage",
    "3 refused, nothing changed",
    "4 busy, retry later",
    "5 changed underneath, nothing lost",
    "6 the gateway is needed and does not answer",
    "69 missing dependency",
    "70 bug",
    "130 interrupted",
)

# Of one status more rows than any document that is not whole has room for.
MOST_TOLD = 256


class Reader(Placed):
    """What all commands share: how they read their words, what they print, how they end."""

    POSITIONALS: ClassVar[str] = ""
    # Where what was done can be seen, if the result cannot be written.
    ACCOUNT: ClassVar[str] = "if anything was changed, its receipt says what"
    # What time it is for a command.
    clock: ClassVar[Clock] = REAL
    # Whether what is shown is to be read in a pager.
    pager: Any = False

    as_json = cli.Flag("--json", help="one JSON document on stdout, errors included")
    verbose = cli.Flag("--verbose", help="all rows and the evidence")

    @abstractmethod
    def fail(self, problem: CloserError, switches: Sequence[str]) -> None:
        """Print why a run ended early; `switches` are its words as far as they can be switches."""

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return True

    @cli.switch(["-h", "--help"], overridable=True, help="show this help")
    def help(self) -> None:
        """Print the help: purpose, usage, options, exit codes."""
        from ..render.help import lines

        usage = f"usage: {self.OPERATION} [options] {self.POSITIONALS}"
        self.say(*lines(self.__doc__ or "", usage, self.options_with_help(), EXIT_CODES, streams.width()))

    @cli.switch(["--version"], overridable=True, help="show the version")
    def version(self) -> None:
        """Print the version."""
        self.say(f"{self.OPERATION} {__version__}")

    def say(self, *lines: str) -> None:
        """Print lines for people, as far as they are read."""
        streams.put(lines, enough=True)

    def put(
        self, document: Callable[[], str], blocks: Callable[[], Iterable[Block]], complaints: Iterable[str]
    ) -> None:
        """Print a result as one JSON document or for people on stdout, and its complaints on stderr."""
        found = [document()] if self.as_json else blocks()
        # The document holds its complaints, and says how this ends.
        if self.pager:
            with streams.paged():
                streams.put(found, enough=True)
            found = []
        streams.put(found, complaints, enough=self.only_shows(), whole=self.as_json)

    def answer(self, argv: Sequence[str]) -> int:
        """Do what the words of a command line ask for; return the exit code, whatever is wrong with them."""
        # Known before parsing, so that an error in the words themselves comes as JSON too.
        switches = self.switches(argv)
        asked_json = "--json" in switches
        try:
            if "-h" in switches or "--help" in switches:
                self.help()
                return ExitCode.OK
            return self.obey(argv)
        except CloserError as error:
            problem = error
        except (KeyboardInterrupt, RuntimeError) as error:
            # Python 3.11 wraps what comes while it makes a class, at an import.
            if isinstance(error, RuntimeError) and not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            problem = Interrupted("interrupted", "run the same command again")
        except cli.SwitchError as error:
            problem = UsageProblem(" ".join(str(error).split()), f"{escape.shell_word(self.executable)} --help")
        self.as_json, self.pager = asked_json, False
        self.fail(problem, switches)
        return int(problem.code)


class Base(Reader):
    """What the commands share that change something."""

    dry_run = cli.Flag("--dry-run", help="show what would happen, change nothing")
    restart = cli.SwitchAttr(
        "--restart", one_word("--restart", "auto", "always", "never"), default="auto", argname="auto|always|never",
        help="restart the gateway afterwards (auto: only after an edit below it)",
    )  # fmt: skip
    no_restart = cli.Flag("--no-restart", help="the same as --restart never")
    reason = word("--reason TEXT", "why; it is kept in the receipt")
    rules: str | None = None
    tell = staticmethod(streams.tell)
    _progress = streams.Progress()

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return bool(self.dry_run)

    def options(self) -> Options:
        """Return the switches as data."""
        from ..core.wish import Options

        if self.no_restart and self.restart == "always":
            raise UsageProblem("--no-restart and --restart always contradict each other", "give one of them")
        return Options(
            dry_run=self.dry_run,
            restart="never" if self.no_restart else self.restart,
            reason=self.reason,
            again=self.again(),
            undo=self.here("restore-sessions"),
            see=self.here("list-sessions"),
        )

    def again(self, *added: str, without: Collection[str] = ()) -> str:
        """Return this command line, whatever shell it is typed into, with options added and left out."""
        meant = None if calls.is_demo(self.given) else self.meant()
        return calls.again(self.executable, self.given, meant, added=added, without=without)

    def console(self) -> Console:
        """Return who hears of a run; what draws is loaded ahead of it, where that will be needed."""
        from ..ports.context import Console

        if self.as_json:
            return Console(self.tell, self.progress)
        streams.load_drawing()
        return Console(self.tell, self.progress, self._progress.watch, self._progress.agents)

    def progress(self, done: int, total: int) -> None:
        """Show how far work is: on a terminal if it has taken more than a second, else with --verbose every ten."""
        self._progress.show(done, total, every_ten=self.verbose, drawn=not self.as_json)

    def show(self, found: Report) -> int:
        """Print a report, its result on stdout, its complaints on stderr; return its exit code."""
        from ..core.ending import exit_code
        from ..render import json, text

        self._progress.clear()
        self.put(
            lambda: json.as_json(found, self.called, whole=self.verbose),
            lambda: text.blocks(found, verbose=self.verbose, called=self.called),
            [*text.complaints(found.warnings, found.error, self.called), *text.failures(found, self.called)],
        )
        return int(exit_code(found))

    def fail(self, problem: CloserError, switches: Sequence[str]) -> None:
        """Print why a run ended early; `switches` are its words as far as they can be switches."""
        from ..core.report import Report

        looking = bool({"--dry-run", "--rehearse"}.intersection(switches))
        self.show(Report(self.OPERATION, dry_run=looking, rules=self.rules, error=problem))


class Closing(Rehearsed, PlanPaged, Base):
    """What the commands share that close sessions, named or by a policy."""

    yes = cli.Flag("--yes", help="close more than --max at once")
    limit = cli.SwitchAttr(
        "--max", count("--max N", 200), default=100, argname="N", help="most closed without --yes (100)"
    )
    via = cli.SwitchAttr(
        "--via", one_word("--via", "auto", "gateway", "files"), default="auto", argname="auto|gateway|files",
        help="who takes the entries out (auto)",
    )  # fmt: skip
    archive = cli.Flag("--archive", help="sessions in SQLite: archive them, as is done without --delete")
    delete = cli.Flag(
        "--delete", help="sessions in SQLite: delete them once they are archived, so that their keys are free",
        overridable=True,
    )  # fmt: skip
    export = word("--export DIR", "first export what goes, into a folder; what cannot be exported stays")
    with_jobs = cli.Flag(
        "--with-jobs", help="switch off the cron jobs bound to what is closed, as an admin; the undo switches them on"
    )
    lose_ignored = cli.Flag(
        "--lose-ignored", help="close sessions whose worktree holds files that git ignores, which are gone then"
    )

    def options(self) -> Options:
        """Return the switches as data."""
        if self.archive and self.delete:
            raise UsageProblem("--archive and --delete contradict each other", "give one of them")
        self.check_plan_page()
        found = super().options()
        return self.rehearsed(
            found._replace(
                yes=self.yes,
                limit=self.limit,
                via=self.via,
                archive=self.archive,
                delete=self.delete,
                lose_ignored=self.lose_ignored,
                with_jobs=self.with_jobs,
                export=self.export,
                again=self.again("--yes"),
                # Neither a look nor what contradicts a deletion.
                free=self.again("--delete", without=("--dry-run", "--archive")),
            )
        )

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return bool(self.dry_run or self.rehearse)

    def show(self, found: Report) -> int:
        """Print a report, once its page is written; return its exit code."""
        return super().show(self.paged(found, self.place))


class Command(Closing):
    """What the commands share that name sessions; a command adds its positionals and says what it wishes."""

    agent = word("--agent AGENT", "agent of the project ids (project-lead)")
    force = cli.Flag("--force", help="close sessions that are running, too")
    missing_ok = cli.Flag("--missing-ok", help="a target that is not found is no failure")
    with_children = cli.Flag("--with-children", help="close what these have spawned, too, of all agents")
    own = word("--self KEY", "your own session: it is closed when your turn has ended", many=True)
    demo = cli.Flag("--demo", help="the same on a throw-away sample store")

    @abstractmethod
    def wish(self, words: Sequence[str]) -> Wish:
        """Return what these positionals ask for; UsageProblem where they make no sense."""

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        return self.perform(self.wish(words))

    def perform(self, wish: Wish) -> int:
        """Run a wish, print its report, return its exit code."""
        from ..operations.close import execute  # what touches a store is not loaded for --help

        close = partial(execute, rehearse=self.rehearsing() if self.rehearse else None)
        if self.demo:
            if self.page is not None:
                raise UsageProblem("--demo keeps nothing", "leave out --report")
            elsewhere = (self.runtime, self.state_dir, self.profile, self.url, self.token_file, self.gateway_state)
            if any(given is not None for given in elsewhere):
                what = "--demo works on a sample store of its own"
                raise UsageProblem(what, f"leave out {', '.join(calls.PLACE)}")
            from . import demo

            return demo.perform(wish, self.options()._replace(see=""), self, close)
        return self.show(close(self.place(), wish, self.options(), console=self.console(), clock=self.clock))

    def options(self) -> Options:
        """Return the switches as data."""
        found = super().options()
        own = tuple(keys.named(given, self.agent) for given in self.own)
        return found._replace(
            force=self.force,
            missing_ok=self.missing_ok,
            own=own,
            undo="" if self.demo else found.undo,
            with_children=self.with_children,
            most_told=None if self.verbose else MOST_TOLD,
        )
