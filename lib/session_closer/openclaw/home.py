"""Where OpenClaw keeps things: state directory, configuration, stores, ports, token."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ..core import late
from ..core.errors import Refused, UsageProblem
from ..core.escape import quoted, shell_word
from ..system import files
from . import config, roster
from .environment import STATE_NAMES, below, default_state, home_of, port, real

if TYPE_CHECKING:
    from ..core.policy import Maintenance

DEFAULT_PORT = 18789
# What OpenClaw calls the agent of a configuration that names none.
_DEFAULT_AGENT = "main"
# Likewise, below each of the names of a state directory.
_CONFIG_NAMES = ("openclaw.json", "clawdbot.json")
_PROFILE = late.pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(eq=False, repr=False)
class Home:
    """One state directory, seen from one environment; `said` tells whose word it was.

    `url` names its gateway, `token_file` the file with its token, `gateway_state` what the gateway itself calls its
    state directory; None: found out.
    """

    runtime: ClassVar[str] = "openclaw"
    state: str
    said: str
    environ: Mapping[str, str]
    isolated: bool = False
    url: str | None = None
    token_file: str | None = None
    gateway_state: str | None = None
    named: roster.Named | None = None

    def maintenance(self) -> Maintenance:
        """Return what `session.maintenance` of the configuration sets for a cleanup; Refused where that is wrong."""
        from . import maintenance  # only a cleanup goes by it

        return maintenance.read(self.setting("session", "maintenance"))

    def dm_scope(self) -> str:
        """Return what `session.dmScope` says."""
        scope = self.setting("session", "dmScope")
        return scope if isinstance(scope, str) else "main"

    @cached_property
    def config_path(self) -> str:
        """The configuration file; the environment's own only goes with the environment's state directory."""
        named = self.environ.get("OPENCLAW_CONFIG_PATH", "").strip()
        if named and self.said not in ("--state-dir", "--profile", "demo"):
            return os.path.abspath(below(home_of(self.environ), named))
        places = [self.state]
        if self.state == os.path.realpath(default_state(self.environ)):
            places += [os.path.join(home_of(self.environ), name) for name in STATE_NAMES]
        named_there = [os.path.join(place, name) for place in places for name in _CONFIG_NAMES]
        return next(filter(os.path.exists, named_there), named_there[0])

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration, empty where there is none; Refused where it cannot be read."""
        return config.load(self.config_path, self.environ, home_of(self.environ))

    def setting(self, *path: str) -> Any:
        """Return one value of the configuration, None where it is not set."""
        value: Any = self.config
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @cached_property
    def _settings(self) -> list[str]:
        """What only the environment says of this place, as variables that another shell has to be given."""
        if self.said == "--profile":
            # A profile lies in what counts as the home directory.
            is_moved = bool(self.environ.get("OPENCLAW_HOME"))
            return [f"OPENCLAW_HOME={os.path.abspath(home_of(self.environ))}"] if is_moved else []
        if self.config_path == Home(self.state, "--state-dir", self.environ).config_path:
            return []
        # Nothing else can name a configuration that lies elsewhere.
        return [f"OPENCLAW_STATE_DIR={self.state}", f"OPENCLAW_CONFIG_PATH={self.config_path}"]

    @property
    def _is_usual(self) -> bool:
        """Whether this is the place that is meant where nothing is said."""
        return self.said == "home" and not self.environ.get("OPENCLAW_HOME")

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:
        """Return the words of a command line that mean this place: ahead of the command, and behind it."""
        ahead = ["env", *self._settings] if self._settings else []
        words: list[str] = []
        if self.said == "--profile" and profile is not None:
            words += ["--profile", profile]
        elif not ahead and not self._is_usual:
            words += ["--state-dir", self.state]
        if self.url is not None:
            words += ["--url", self.url]
        if self.token_file is not None:
            words += ["--token-file", os.path.abspath(self.token_file)]
        if self.gateway_state is not None:
            words += ["--gateway-state-dir", self.gateway_state]
        return ahead, words

    @cached_property
    def openclaw(self) -> str:
        """How the `openclaw` command is called for this place, whatever shell it is typed into."""
        settings, words = self._settings, ["openclaw"]
        if self.said == "--profile":
            # Its services have its name.
            words += ["--profile", os.path.basename(self.state).partition("-")[2] or "default"]
        elif not settings and not self._is_usual:
            settings = [f"OPENCLAW_STATE_DIR={self.state}"]
        return " ".join(map(shell_word, ["env", *settings, *words] if settings else words))

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """The ports at which this state directory's gateway may listen, most likely first."""
        configured = self.setting("gateway", "port")
        named = [self.environ.get("OPENCLAW_GATEWAY_PORT"), configured]
        if type(configured) is not int or not port(configured):
            # A configured port replaces the default: what listens at the default is somebody else's.
            named.append(DEFAULT_PORT)
        return tuple(dict.fromkeys(filter(None, map(port, named))))

    @property
    def token(self) -> str | None:
        """The gateway's token, None where only the `openclaw` command can find it."""
        if self.token_file is not None:
            return config.secret_file(self.token_file)
        value = self.setting("gateway", "auth", "token")
        if isinstance(value, dict):
            return config.secret(self.config, value, self.environ, home_of(self.environ))
        if isinstance(value, str) and value:
            return config.expanded(value, self.environ)
        return self.environ.get("OPENCLAW_GATEWAY_TOKEN") or None

    def index(self, agent: str) -> str:
        """Return the path of an agent's sessions.json."""
        template = self.setting("session", "store")
        if isinstance(template, str) and template.strip():
            path = self._expanded(template.strip()).replace("{agentId}", agent)
            if not files.is_path(path):
                what = f"{self.config_path} says session.store, but no file can have that path"
                raise Refused(what, "openclaw doctor", name="config")
            path = os.path.abspath(below(home_of(self.environ), path))
            return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return os.path.join(self.folder(agent), "sessions.json")

    def _expanded(self, text: str) -> str:
        """Return a setting with its ${VARIABLES}; Refused for one that is not set here."""
        found = config.expanded(text, self.environ)
        if found is None:
            name = config.missing(text, self.environ)
            raise Refused(f"{self.config_path} needs ${{{name}}}, which is not set", f"set {name}", name="config")
        return found

    def folder(self, agent: str) -> str:
        """Return the folder of an agent's transcripts, a custom store or not."""
        return os.path.join(self.state, "agents", agent, "sessions")

    def beside(self, agent: str) -> str:
        """Return the folder of an agent's index where `session.store` puts it elsewhere, else "".

        OpenClaw has transcripts there, too: those of `sessions.create` and `chat.inject`.
        """
        place, folder = os.path.dirname(self.index(agent)), self.folder(agent)
        return "" if place == folder or os.path.realpath(place) == os.path.realpath(folder) else place

    def database(self, agent: str) -> str:
        """Return the path of an agent's session database."""
        return os.path.join(self.state, "agents", agent, "agent", "openclaw-agent.sqlite")

    def has_own_indexes(self) -> bool:
        """Tell whether each agent has an index of its own: a template without {agentId} is one for all."""
        template = self.setting("session", "store")
        return not (isinstance(template, str) and template.strip() and "{agentId}" not in template)

    @property
    def default_agent(self) -> str:
        """The agent that what names none belongs to."""
        listed, entries = self.setting("agents", "list"), self.setting("agents", "entries")
        rows = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        named = [(each.get("id"), each) for each in rows]
        named += list(entries.items()) if isinstance(entries, dict) else []
        chosen = [name for name, each in named if isinstance(each, dict) and each.get("default") is True]
        first = next((name for name in (*chosen, *(name for name, _ in named)) if isinstance(name, str)), "")
        return first.strip().lower() or _DEFAULT_AGENT

    @property
    def state_database(self) -> str:
        """The database that all agents share, from 2026.7 on."""
        return os.path.join(self.state, "state", "openclaw.sqlite")

    @property
    def cron_jobs(self) -> str | None:
        """The file with cron jobs, up to the versions that keep them in a database.

        None where it is named relative to the folder of the gateway, whatever that is.
        """
        named = self.setting("cron", "store")
        if isinstance(named, str) and named.strip():
            path = below(home_of(self.environ), self._expanded(named.strip()))
            return os.path.normpath(path) if os.path.isabs(path) else None
        return os.path.join(self.state, "cron", "jobs.json")

    def agents(self) -> list[str]:
        """Return the agents that have a folder or a row here, or are below the root of `session.store`."""
        return sorted({*roster.on_disk(self), *roster.in_shared_index(self)})

    def has_store(self, path: str) -> bool:
        """Tell whether a path is the store of one of its agents."""
        return bool(self._agents_with(path))

    def _agents_with(self, path: str) -> list[str]:
        real = os.path.realpath(path)
        known = sorted({*self.agents(), *self.known_agents()[0]})
        places = {agent: map(os.path.realpath, (self.index(agent), self.database(agent))) for agent in known}
        return [agent for agent in known if real in places[agent]]

    def agents_with(self, path: str) -> list[str]:
        """Return the agents whose store is at a path; Refused where there is none."""
        if found := self._agents_with(path):
            return found
        remedy = "DIR/agents/AGENT/sessions/sessions.json of any state directory, with its transcripts beside it"
        raise Refused(f"{quoted(path)} is no store of {self.state}", remedy, name="no_store")

    def known_agents(self) -> tuple[list[str], list[str]]:
        """Return the agents on disk, in the configuration and in one file for all; a note on each that is left out."""
        found, notes = roster.known(self)
        agents = {*found, *roster.in_shared_index(self)}
        if not agents and not self.has_own_indexes() and files.exists(self.index(_DEFAULT_AGENT)):
            # One file for all is a store also where it names no agent, or cannot be read.
            agents = {self.default_agent}
        return sorted(agents), notes


def find(environ: Mapping[str, str], *, state_dir: str | None = None, profile: str | None = None) -> Home:
    """Return the state directory that the options and the environment name; UsageProblem where they disagree."""
    named = environ.get("OPENCLAW_STATE_DIR", "").strip()
    if state_dir is not None and profile is not None:
        raise UsageProblem("--state-dir and --profile name two state directories", "give one of them")
    if state_dir is not None:
        if not state_dir.strip():
            raise UsageProblem("--state-dir is empty", "--state-dir DIR")
        return Home(real(state_dir, environ), "--state-dir", environ)
    if profile is not None:
        if not _PROFILE.fullmatch(profile):
            raise UsageProblem(f"{quoted(profile)} is not a profile", "--profile NAME stands for ~/.openclaw-NAME")
        path = os.path.join(home_of(environ), ".openclaw" if profile == "default" else f".openclaw-{profile}")
        if named and real(named, environ) != real(path, environ):
            raise UsageProblem(
                f"--profile {profile} is {path}, OPENCLAW_STATE_DIR says {named}",
                "unset one of them, or use --state-dir",
            )
        return Home(real(path, environ), "--profile", environ)
    if named:
        return Home(real(named, environ), "OPENCLAW_STATE_DIR", environ)
    return Home(real(default_state(environ), environ), "home", environ)
