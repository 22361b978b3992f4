"""Played by the Python that runs Hermes, with Hermes' own modules: turns of agents and calls of its session store.

Reads steps as JSON from stdin, each `[word, {arguments}]`, and answers what each has given, as JSON, to the file named.
A value `@3` is what the step at 3 has given.
One process makes dozens of sessions in the time in which the command line makes one.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any


def _agent(db: Any, session: str, **named: Any) -> Any:
    from run_agent import AIAgent

    return AIAgent(
        **json.loads(os.environ["PLAYED_MODEL"]), session_id=session, session_db=db, quiet_mode=True, skip_memory=True,
        skip_context_files=True, enabled_toolsets=["file", "delegation"], **named,
    )  # fmt: skip


def turn(
    db: Any,
    *,
    session: str,
    said: list[str],
    source: str = "cli",
    cwd: str | None = None,
    parent: str | None = None,
    checkpoints: bool = False,
) -> list[str]:
    """Say something to the agent of a session, which begins with that if it is not there; its answers."""
    if cwd:
        os.chdir(cwd)
        os.environ["TERMINAL_CWD"] = cwd
    agent = _agent(db, session, platform=source, parent_session_id=parent, checkpoints_enabled=checkpoints)
    answers = []
    for message in said:
        history = db.get_messages_as_conversation(session)
        answers.append(str(agent.run_conversation(message, conversation_history=history).get("final_response")))
    return answers


def store(db: Any, *, call: str, with_: list[Any] | None = None, **named: Any) -> Any:
    """Call the session store."""
    return getattr(db, call)(*(with_ or ()), **named)


def transcript(db: Any, *, session: str, messages: list[dict[str, Any]], skip_db: bool = False) -> None:
    """Write messages as a gateway does, which in older versions has a file of its own for them."""
    from gateway.config import GatewayConfig
    from gateway.session import SessionStore
    from hermes_constants import get_hermes_home

    kept = SessionStore(Path(get_hermes_home(), "sessions"), GatewayConfig())
    for message in messages:
        kept.append_to_transcript(session, message, skip_db=skip_db)


def route(db: Any, *, chat: str, platform: str = "telegram") -> str:
    """Begin the session of a chat as a gateway does, and return its id."""
    from gateway.config import GatewayConfig, Platform
    from gateway.session import SessionSource, SessionStore
    from hermes_constants import get_hermes_home

    kept = SessionStore(Path(get_hermes_home(), "sessions"), GatewayConfig())
    source = SessionSource(platform=Platform(platform), chat_id=chat, chat_type="dm", user_id="kelly")
    return str(kept.get_or_create_session(source).session_id)


def compress(db: Any, *, session: str) -> str:
    """Compress what was said in a session, as Hermes does when it grows too long; the id of what continues it."""
    agent = _agent(db, session, platform="cli")
    said = db.get_messages_as_conversation(session)
    agent._compress_context(said, "", approx_tokens=150_000)
    return str(agent.session_id)


def delegate(db: Any, *, session: str, goal: str) -> Any:
    """Have a subagent do something in the background, as a person's agent does, until it is done; who has done it."""
    from tools import async_delegation

    turn(db, session=session, said=[f"call delegate_task {json.dumps({'goal': goal})}"])
    until = time.monotonic() + 60
    while async_delegation.active_count() and time.monotonic() < until:
        time.sleep(0.05)
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return {"pid": os.getpid(), "started": started}


def lease(db: Any, *, session: str) -> Any:
    """Have a session open as the command line has, where the number of those is limited; the list of them."""
    from hermes_cli.active_sessions import try_acquire_active_session
    from hermes_constants import get_hermes_home

    held, _ = try_acquire_active_session(session_id=session, surface="cli", config={"max_concurrent_sessions": 3})
    listed = json.loads(Path(get_hermes_home(), "runtime", "active_sessions.json").read_bytes())
    held.release()
    return {"listed": listed, "pid": os.getpid()}


def safe_names(db: Any, *, ids: list[str]) -> list[str]:
    """Return the names that Hermes gives the files of sessions."""
    import run_agent

    return [run_agent._safe_session_filename_component(each) for each in ids]


def index_folder(db: Any) -> str:
    """Return where the gateway would keep its index of sessions."""
    from gateway.config import load_gateway_config

    return str(load_gateway_config().sessions_dir)


def checkpoints(db: Any, *, folder: str, count: int = 1, name: str = "n") -> int:
    """Have checkpoints taken of a folder that changes between them; how many were."""
    from tools.checkpoint_manager import CheckpointManager

    manager = CheckpointManager(enabled=True, max_snapshots=1000)
    taken = 0
    for number in range(count):
        Path(folder, "notes.txt").write_text(f"{name} {number}\n")
        manager.new_turn()
        taken += manager.ensure_checkpoint(folder, f"{name} {number}")
    return taken


def rollback(db: Any, *, folder: str, steps: int) -> Any:
    """Put a folder back to the checkpoint so many steps ago; what there was to choose from, newest first."""
    from tools.checkpoint_manager import CheckpointManager

    manager = CheckpointManager(enabled=True)
    found = manager.list_checkpoints(folder)
    assert not found or manager.restore(folder, found[steps]["hash"])["success"]
    return [one["reason"] for one in found]


WORDS = {
    word.__name__: word
    for word in (turn, store, transcript, route, compress, delegate, lease, safe_names, index_folder, checkpoints,
                 rollback)
}  # fmt: skip


def _filled(value: Any, given: list[Any]) -> Any:
    if isinstance(value, list):
        return [_filled(one, given) for one in value]
    return given[int(value[1:])] if isinstance(value, str) and re.fullmatch(r"@\d+", value) else value


def main() -> None:
    """Play the steps, one after the other."""
    from hermes_state import SessionDB

    db = SessionDB()
    given = []
    for word, arguments in json.load(sys.stdin):
        named = {name: _filled(value, given) for name, value in arguments.items()}
        given.append(WORDS[word](db, **named))
    db.close()
    Path(sys.argv[1]).write_text(json.dumps(given, default=str))


if __name__ == "__main__":
    main()
