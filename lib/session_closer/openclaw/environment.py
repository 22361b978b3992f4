"""What the variables of an environment, and the path of a store, say of a state directory and its port."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..core import keys

# Before it was renamed OpenClaw had the second one, and up to 2026.7 it reads it where the first is not there.
STATE_NAMES = (".openclaw", ".clawdbot")


def default_state(environ: Mapping[str, str]) -> str:
    """Return the state directory where none is named: the older name only where the newer one is not there."""
    found = [os.path.join(home_of(environ), name) for name in STATE_NAMES]
    return next(filter(os.path.exists, found), found[0])


def state_dir_around(path: str) -> str | None:
    """Return the state directory in which a store has its usual place, None where it has another one."""
    folder, name = os.path.split(os.path.realpath(path))
    above, kind = os.path.split(folder)
    agents, agent = os.path.split(above)
    if os.path.basename(agents) != "agents" or not keys.is_agent_id(agent):
        return None
    if (kind, name) not in (("sessions", "sessions.json"), ("agent", "openclaw-agent.sqlite")):
        return None
    return os.path.dirname(agents)


def home_of(environ: Mapping[str, str]) -> str:
    home = _word(environ, "HOME") or os.path.expanduser("~")
    return below(home, _word(environ, "OPENCLAW_HOME")) or home


def _word(environ: Mapping[str, str], name: str) -> str:
    """Return a variable as OpenClaw reads it, which takes what a script made of nothing for nothing."""
    value = environ.get(name, "").strip()
    return "" if value in ("undefined", "null") else value


def below(home: str, path: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~/") else path


def real(path: str, environ: Mapping[str, str]) -> str:
    return os.path.realpath(below(home_of(environ), path))


def state_dir_of(environ: Mapping[str, str]) -> str | None:
    """Return the state directory that a process with this environment serves, as it calls it, profiles left aside.

    None where that depends on its HOME, and it names none.
    """
    named = environ.get("OPENCLAW_STATE_DIR", "").strip()
    if os.path.isabs(named):
        return named
    if not os.path.isabs(_word(environ, "OPENCLAW_HOME")) and not _word(environ, "HOME"):
        return None
    found = below(home_of(environ), named) or default_state(environ)
    return found if os.path.isabs(found) else None


def port(value: object) -> int:
    """Return a port that is named as `18789` or `HOST:18789`; 0 where it is none."""
    number = str(value).strip().rpartition(":")[2] if type(value) in (int, str) else ""
    return int(number) if number.isdecimal() and len(number) < 10 and int(number) < 65536 else 0
