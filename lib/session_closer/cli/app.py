"""The edge: grammar of the arguments, one way out, and the only place that prints."""

from __future__ import annotations

import gc
import io
import os
import re
import shutil
import signal
import stat
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, ClassVar, NoReturn

from plumbum import cli
from plumbum.cli import application

from .. import __version__
from ..core import escape, keys
from ..core.errors import CloserError, ExitCode, Interrupted, StorageFailed, UsageProblem
from ..core.escape import quoted
from ..core.report import Report
from ..core.wish import Options, Wish
from ..openclaw import home
from ..render import report


def _in_our_words(str1: str) -> str:
    return str1.replace("Unknown switch", "unknown option").replace("Switch {0}", "option {0}")


# In one language whatever the locale, and before any name of the user's is put in.
application.T_ = _in_our_words

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


def text(spelled: str, about: str, *, many: bool = False) -> Any:
    """Return an option that takes any word but another option; `spelled` as in its help, `many`: given repeatedly."""
    name, _, argument = spelled.partition(" ")
    return cli.SwitchAttr(name, _word(spelled), list=many, argname=argument, help=about)


def _word(spelled: str) -> Any:
    name, _, argument = spelled.partition(" ")

    def check(value: str) -> str:
        if not value:
            raise UsageProblem(f"the {argument.strip('[]')} of {name} is empty", spelled)
        if value.startswith("-"):
            raise UsageProblem(f"{quoted(value)} begins with -, so it is no {argument} for {name}", spelled)
        return value

    return check


def _address(value: str) -> str:
    """Take a WebSocket address: plain `ws` to this machine only, since a token goes along; nothing secret in it."""
    import ipaddress
    from urllib.parse import urlsplit

    problem = "" if value.isascii() and value.isprintable() else "is no address of a gateway"
    try:
        found = urlsplit(value)
        host, secret = found.hostname or "", found.username or found.password or found.query or found.fragment
        if problem:
            pass
        elif found.scheme not in ("ws", "wss") or not host or found.port == 0:
            problem = "is no address of a gateway"
        elif secret:
            problem = "holds more than an address"
        elif found.scheme == "ws" and host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            problem = "would send the token in clear text"
    except ValueError:
        # Also a name where only a number can be told to be this machine.
        problem = "is no address of a gateway on this machine, nor one that is encrypted"
    if problem:
        # The value may hold a secret, so it is not repeated.
        raise UsageProblem(f"the value of --url {problem}", "--url ws://127.0.0.1:18789, or wss:// for another machine")
    return value


def _path(value: str) -> str:
    found = _word("--token-file FILE")(value)
    if not os.path.isfile(found):
        raise UsageProblem(f"{quoted(found)} is no file", "--token-file FILE, with nothing but the token in it")
    return str(found)


# Where a remedy names a command, and not where a word of the user's, which may be the same, is repeated.
_OURS = re.compile(
    r"(?:^|(?<=: )|(?<=one of ))(?:close-project(?:-batch)?|(?:keep-only|list|cleanup|restore)-sessions)(?= )"
)


# The options that name a place; each has a value.
PLACE = ("--state-dir", "--profile", "--url", "--token-file", "--gateway-state-dir")


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


class Reader(cli.Application):
    """What all commands share: how they read their words, what they print, how they end."""

    VERSION = __version__
    OPERATION: ClassVar[str] = ""
    POSITIONALS: ClassVar[str] = ""

    as_json = cli.Flag("--json", help="one JSON document on stdout, errors included")
    verbose = cli.Flag("--verbose", help="all rows and the evidence")
    state_dir = text("--state-dir DIR", "OpenClaw's state directory")
    profile = text("--profile NAME", "stands for ~/.openclaw-NAME")
    url = cli.SwitchAttr("--url", _address, argname="URL", help="the gateway, where it is not found by itself")
    token_file = cli.SwitchAttr("--token-file", _path, argname="FILE", help="the gateway's token, in a file")
    gateway_state = text("--gateway-state-dir DIR", "what the gateway itself calls the state directory")

    @abstractmethod
    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""

    def place(self) -> home.Home:
        """Return the state directory that is meant."""
        where = home.find(os.environ, state_dir=self.state_dir, profile=self.profile)
        if self.url is None and (self.token_file is not None or self.gateway_state is not None):
            raise UsageProblem("--token-file and --gateway-state-dir belong to --url", "--url URL")
        return replace(where, url=self.url, token_file=self.token_file, gateway_state=self.gateway_state)

    def place_of(self, store: str | None) -> home.Home:
        """Return the state directory that has a store: the one that is meant, or else the one around the store."""
        where = self.place()
        around = home.state_dir_around(store) if store is not None and self.state_dir is None else None
        if around is None or around == os.path.realpath(where.state) or self.profile is not None:
            return where
        if store is not None and where.has_store(store):
            return where
        # So that the printed commands name it, too.
        self.state_dir = around
        return self.place()

    @abstractmethod
    def fail(self, problem: CloserError, switches: Sequence[str]) -> None:
        """Print why a run ended early; `switches` are its words as far as they can be switches."""

    given: tuple[str, ...] = ()

    @cli.switch(["-h", "--help"], overridable=True, help="show this help")
    def help(self) -> None:
        """Print the help: purpose, usage, options, exit codes."""
        switches = {id(info): info for info in self._switches_by_name.values()}
        rows = [(_spelled(info), (info.help or "").partition("; the default")[0]) for info in switches.values()]
        width = max(len(spelled) for spelled, _ in rows)
        self.say(
            *(line.strip() for line in (self.__doc__ or "").splitlines()),
            f"usage: {self.OPERATION} [options] {self.POSITIONALS}",
            "",
            *(f"  {spelled:<{width}}  {text}" for spelled, text in sorted(rows)),
            "",
            "exit codes:",
            *(f"  {line}" for line in EXIT_CODES),
        )

    @cli.switch(["--version"], overridable=True, help="show the version")
    def version(self) -> None:
        """Print the version."""
        self.say(f"{self.OPERATION} {__version__}")

    def say(self, *lines: str) -> None:
        """Print lines for people, as far as they are read."""
        for line in lines:
            self._tell(sys.stdout, line, enough=True)

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return True

    def _tell(self, stream: Any, line: str, *, enough: bool) -> None:
        """Print a line; where whoever reads has gone away, `enough` says that this is as good as read."""
        try:
            _say(stream, line)
        except BrokenPipeError:
            if not enough:
                raise
            _silence(stream)

    def put(self, document: Callable[[], str], lines: Callable[[], Iterable[str]], complaints: Iterable[str]) -> None:
        """Print a result as one JSON document or as lines on stdout, and its complaints on stderr."""
        enough = self.only_shows()
        for line in [document().rstrip("\n")] if self.as_json else lines():
            self._tell(sys.stdout, line, enough=enough)
        try:
            for line in complaints:
                self._tell(sys.stderr, line, enough=enough)
        except (BrokenPipeError, _Unwritten):
            # The document holds them all, and says how this ends.
            if not self.as_json:
                raise
            _silence(sys.stderr)

    def width(self) -> int | None:
        """Return the columns of the terminal that stdout is, None where it is none."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def _parse_and_dispatch(self, argv: list[str]) -> tuple[cli.Application, int]:
        """Parse and run, with our own ending for bad words: plumbum prints them, and the whole help, to stdout."""
        self.given = tuple(argv)
        # Known before parsing, so that an error in the words themselves comes as JSON too.
        switches = self.switches(argv)
        asked_json = "--json" in switches
        try:
            if "-h" in switches or "--help" in switches:
                self.help()
                return self, ExitCode.OK
            return self, self._obey(argv)
        except CloserError as error:
            problem = error
        except (KeyboardInterrupt, RuntimeError) as error:
            # Python 3.11 wraps what comes while it makes a class, at an import.
            if isinstance(error, RuntimeError) and not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            problem = Interrupted("interrupted", "run the same command again")
        except cli.SwitchError as error:
            problem = UsageProblem(_plain_words(str(error)), f"{escape.shell_word(self.executable)} --help")
        self.as_json = asked_json
        self.fail(self.found_beside(problem), switches)
        return self, int(problem.code)

    def switches(self, argv: Sequence[str]) -> list[str]:
        """Return the words that can be switches: not the value of an option, nor behind a `--`."""
        ahead = argv[: argv.index("--")] if "--" in argv else argv
        # An option whose value may be left out, [AGE], takes no word that begins with a dash.
        valued = [name for name, info in self._switches_by_name.items() if info.argtype and info.argname[0] != "["]
        waiting = {"=", *(f"--{name}{equals}" for name in valued for equals in ("", "="))}
        return [word for word, before in zip(ahead, ("", *ahead), strict=False) if before not in waiting]

    def found_beside(self, problem: CloserError) -> CloserError:
        """Return an error whose remedy names our commands where they are: beside this one."""
        called = escape.shell_word(self.executable) + " "
        if not problem.remedy.startswith((called, f"if all of them are meant: {called}")):
            problem.remedy = _OURS.sub(lambda found: escape.shell_word(self.beside(found.group())), problem.remedy)
        return problem

    def beside(self, name: str) -> str:
        """Return where another of our commands is: beside this one as it was called, or as it really is, or on PATH."""
        for called in (self.executable, os.path.realpath(self.executable)):
            path = os.path.join(os.path.dirname(called), name)
            if os.path.dirname(called) and os.path.isfile(path):
                return path
        return name

    def _obey(self, argv: list[str]) -> int:
        functions, words = self._parse_args(list(argv))
        if self.help.__func__ in functions:  # type: ignore[attr-defined]
            self.help()
            return ExitCode.OK
        if self.version.__func__ in functions:  # type: ignore[attr-defined]
            self.version()
            return ExitCode.OK
        ordered, words = self._validate_args(functions, words)
        for function, arguments in ordered:
            function(self, *arguments)
        return self.main(*words)


# Abbreviations that plumbum would take for something else, and switches that make no sense here.
Reader.unbind_switches("-v", "--help-all", "--completions")


class Base(Reader):
    """What the commands share that change something."""

    dry_run = cli.Flag("--dry-run", help="show what would happen, change nothing")
    restart = cli.SwitchAttr(
        "--restart", one_word("--restart", "auto", "always", "never"), default="auto", argname="auto|always|never",
        help="restart the gateway afterwards (auto: only after an edit below it)",
    )  # fmt: skip
    no_restart = cli.Flag("--no-restart", help="the same as --restart never")
    reason = text("--reason TEXT", "why; it is kept in the receipt")
    rules: str | None = None

    def only_shows(self) -> bool:
        """Tell whether what is printed is all that this does, and no account of what was done."""
        return bool(self.dry_run)

    def options(self) -> Options:
        """Return the switches as data."""
        if self.no_restart and self.restart == "always":
            raise UsageProblem("--no-restart and --restart always contradict each other", "give one of them")
        return Options(
            dry_run=self.dry_run,
            restart="never" if self.no_restart else self.restart,
            reason=self.reason,
            again=self._again(),
            undo=self._here("restore-sessions"),
            see=self._here("list-sessions"),
        )

    def _here(self, name: str) -> str:
        """Return another of our commands for the same state directory, whatever shell it is typed into."""
        ahead, place = self._where()
        return " ".join(escape.shell_word(word) for word in (*ahead, self.beside(name), *place))

    def _where(self) -> tuple[list[str], list[str]]:
        """Return what a command for the same state directory needs: ahead of it, and behind it."""
        where = self.place()
        ahead: list[str] = []
        words: list[str] = []
        if where.said == "--profile":
            words += ["--profile", self.profile]
        elif where.config_path != home.Home(where.state, "--state-dir", where.environ).config_path:
            # Only the environment can name a configuration that lies elsewhere.
            ahead = ["env", f"OPENCLAW_STATE_DIR={where.state}", f"OPENCLAW_CONFIG_PATH={where.config_path}"]
        elif where.said != "home" or os.environ.get("OPENCLAW_HOME"):
            words += ["--state-dir", where.state]
        if where.url is not None:
            words += ["--url", where.url]
        if where.token_file is not None:
            words += ["--token-file", os.path.abspath(where.token_file)]
        if where.gateway_state is not None:
            words += ["--gateway-state-dir", where.gateway_state]
        return ahead, words

    def _again(self, *added: str, without: Collection[str] = ()) -> str:
        """Return this command line, whatever shell it is typed into, with options added and left out."""
        kept, rest = list(self.given), []
        if "--" in kept:
            # What is added behind it would be a target.
            end = kept.index("--")
            kept, rest = kept[:end], kept[end:]
        demo = "--demo" in kept
        ahead, place = ([], []) if demo else self._where()
        if not demo:
            kept = _without_values(kept, PLACE)
        words = (*ahead, self.executable, *added, *place, *(word for word in kept if word not in without), *rest)
        return " ".join(escape.shell_word(word) for word in words)

    _started = time.monotonic()
    _shown = False

    def tell(self, line: str) -> None:
        """Say a line at once, before slow work begins."""
        # What cannot be said is no reason to stop in the middle of a run: its report comes at the end.
        try:
            _say(sys.stderr, line)
        except (BrokenPipeError, _Unwritten):
            _silence(sys.stderr)

    def progress(self, done: int, total: int) -> None:
        """Show how far work is: on a terminal if it has taken more than a second, else with --verbose every ten."""
        if not sys.stderr.isatty():
            if self.verbose and done and (done % 10 == 0 or done == total):
                self.tell(f"{done} of {total}")
            return
        if time.monotonic() - self._started < 1.0 and not self._shown:
            return
        self._shown = done < total
        try:
            sys.stderr.write(f"\r{done} of {total}" if self._shown else "\r\033[K")
            sys.stderr.flush()
        except OSError:
            _silence(sys.stderr)

    def show(self, found: Report) -> None:
        """Print a report: its result on stdout, its complaints on stderr."""
        if found.error is not None:
            self.found_beside(found.error)
        self.put(
            lambda: report.as_json(found),
            lambda: report.lines(found, verbose=self.verbose),
            report.complaints(found),
        )

    def fail(self, problem: CloserError, switches: Sequence[str]) -> None:
        """Print why a run ended early; `switches` are its words as far as they can be switches."""
        self.show(Report(self.OPERATION, dry_run="--dry-run" in switches, rules=self.rules, error=problem))


class Closing(Base):
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
        "--delete", help="sessions in SQLite: delete them once they are archived, so that their keys are free"
    )
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
        return (
            super()
            .options()
            ._replace(
                yes=self.yes,
                limit=self.limit,
                via=self.via,
                archive=self.archive,
                delete=self.delete,
                lose_ignored=self.lose_ignored,
                with_jobs=self.with_jobs,
                again=self._again("--yes"),
                # Neither a look nor what contradicts a deletion.
                free=self._again("--delete", without=("--dry-run", "--archive")),
            )
        )


class Command(Closing):
    """What the commands share that name sessions; a command adds its positionals and says what it wishes."""

    agent = text("--agent AGENT", "agent of the project ids (project-lead)")
    force = cli.Flag("--force", help="close sessions that are running, too")
    missing_ok = cli.Flag("--missing-ok", help="a target that is not found is no failure")
    own = text("--self KEY", "your own session: it is closed when your turn has ended", many=True)
    demo = cli.Flag("--demo", help="the same on a throw-away sample store")

    @abstractmethod
    def wish(self, words: Sequence[str]) -> Wish:
        """Return what these positionals ask for; UsageProblem where they make no sense."""

    def main(self, *words: str) -> int:
        """Do what was asked; plumbum calls this with the positionals."""
        return self.perform(self.wish(words))

    def perform(self, wish: Wish) -> int:
        """Run a wish, print its report, return its exit code."""
        if self.demo:
            elsewhere = (self.state_dir, self.profile, self.url, self.token_file, self.gateway_state)
            if any(given is not None for given in elsewhere):
                raise UsageProblem(
                    "--demo works on a sample store of its own",
                    "leave out --state-dir, --profile, --url, --token-file, --gateway-state-dir",
                )
            from . import demo

            return demo.perform(self, wish)
        from ..operations.close import execute  # what touches a store is not loaded for --help

        found = execute(self.place(), wish, self.options(), tell=self.tell, progress=self.progress)
        self.show(found)
        return int(report.exit_code(found))

    def options(self) -> Options:
        """Return the switches as data."""
        found = super().options()
        own = tuple(keys.named(given, self.agent) for given in self.own)
        return found._replace(
            force=self.force, missing_ok=self.missing_ok, own=own, undo="" if self.demo else found.undo
        )


def _spelled(info: Any) -> str:
    dashed = ", ".join(("-" if len(name) == 1 else "--") + name for name in info.names if name != "v")
    return f"{dashed} {info.argname}" if info.argtype else dashed


def _plain_words(text: str) -> str:
    return " ".join(text.split())


class _Unwritten(Exception):
    """What was to be said could not be written."""


def _say(stream: Any, line: str) -> None:
    try:
        stream.write(escape.shown(line) + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise _Unwritten(problem.strerror) from None


def _silence(stream: Any) -> None:
    """Let a stream that cannot be written to lead nowhere: what is left in its buffer would fail at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def no_words(words: Sequence[str], what: str) -> None:
    """Raise UsageProblem where no positional was given."""
    if not words:
        raise UsageProblem(f"no {what} was given", "name a project id or a session key")


def targets(words: Sequence[str], agent: str | None) -> tuple[keys.Target, ...]:
    """Return what the positionals stand for; `agent` is --agent as given."""
    if agent is not None:
        keys.check_agent(agent)
    return tuple(keys.target(word, agent) for word in words)


def start(command: type[Reader]) -> int:
    """Run a command as a program: signals, broken pipes and bugs end in a documented exit code."""
    _open_streams()
    _heed_signals()
    # The entries of a large store are many and hold no cycles: looking for some costs a tenth of the run.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Completion words in the environment would make plumbum print and leave, whatever was asked.
    os.environ.pop("COMP_WORDS", None)
    try:
        code: int = command.run([_called(command.OPERATION), *sys.argv[1:]], exit=False)[1]
        # plumbum takes a closed pipe for an exit code; what is still to be written would fail at the very end.
        sys.stdout.flush()
        return code
    except (BrokenPipeError, _Unwritten) as problem:
        _silence(sys.stdout)
        if isinstance(problem, _Unwritten):
            what = CloserError(f"the result cannot be written: {problem}", "what was done is in the receipt")
            try:
                _say(sys.stderr, report.error_line(what))
            except (BrokenPipeError, _Unwritten):
                _silence(sys.stderr)
        return ExitCode.SOME_FAILED
    except KeyboardInterrupt:
        # Ahead of what the command itself tells, or behind it.
        return ExitCode.INTERRUPTED
    except Exception as problem:
        if os.environ.get("SESSION_CLOSER_TRACEBACK"):
            raise
        return _bug(command, problem)
    finally:
        # All is done and said, and the exit code is to say so.
        for number in _HEEDED:
            signal.signal(number, signal.SIG_IGN)


def _called(operation: str) -> str:
    """Return how this command was called, for a shell: the next command that a message prints has to be found, too."""
    path = sys.argv[0]
    if os.path.basename(os.path.realpath(path)) != operation or not os.path.isfile(path):
        return operation
    # What is in no folder was given to python3, and no shell would look for it here.
    return path if os.path.dirname(path) else os.path.abspath(path)


def _open_streams() -> None:
    """Open the standard streams that the caller has closed: what a child says must not go into a file of ours."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one, and a child is to have it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


# Who has installed packages for us tells what is damaged of them, and what to do.
damaged_packages: Callable[[Exception], tuple[str, ...]] | None = None


class _Incomplete(CloserError):
    """A package that this needs is not whole."""

    code = ExitCode.MISSING_DEPENDENCY
    name = "missing_dependency"


def _of_the_machine(problem: Exception) -> CloserError | None:
    """Return the error of a machine that lacks what every program needs, None where it is none of that."""
    if isinstance(problem, MemoryError):
        return StorageFailed("there is not enough memory", "free some, then run the same command again", name="memory")
    try:
        os.getcwd()
    except OSError:
        if isinstance(problem, FileNotFoundError):
            return UsageProblem("the folder where this was called is gone, and a path begins there", "cd elsewhere")
    return None


def _bug(command: type[Reader], problem: Exception) -> int:
    """Tell what nobody has foreseen, and what a package did that is not whole; return the exit code."""
    if known := _of_the_machine(problem):
        return _end(command, known)
    damage = damaged_packages(problem) if damaged_packages is not None else ()
    if damage:
        return _end(command, _Incomplete(*damage))
    import traceback

    place = traceback.extract_tb(problem.__traceback__)[-1]
    error = CloserError(
        f"{type(problem).__name__} at {os.path.basename(place.filename)}:{place.lineno}: {quoted(str(problem))}",
        "this is a bug: report it, with SESSION_CLOSER_TRACEBACK=1; the next run finishes what was begun",
    )
    return _end(command, error)


def _end(command: type[Reader], error: CloserError) -> int:
    shown = command(command.OPERATION)
    shown.as_json = "--json" in shown.switches(sys.argv[1:])
    shown.fail(error, ())
    return int(error.code)


_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _heed_signals() -> None:
    """Let what would end the process interrupt the run; what nohup or a shell's & has let it ignore, it ignores."""
    for number in _HEEDED:
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        # The kernel and the shell both send it when a terminal goes, and what was one can say nothing more.
        signal.signal(number, signal.SIG_IGN)
        for stream in (sys.stdout, sys.stderr):
            if not stream.isatty() and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                _silence(stream)
    raise KeyboardInterrupt
