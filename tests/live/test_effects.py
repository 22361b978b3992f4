"""Every difference that a close makes in the state directory is named, and every one that its undo leaves is said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .accounts import Session, kind_of, unnamed, unsaid
from .belongings import AGENT, furnished
from .difference import Difference, Picture, differences, picture
from .gateway import wait_until
from .install import Install
from .lab import Lab, Result, run

pytestmark = [pytest.mark.live, pytest.mark.depth("2026.5.7")]

KEY = f"agent:{AGENT}:project-"
# How sessions are closed in each era; the words of a close, and whether the gateway runs meanwhile.
ROUTES = {
    "files": {"gateway": ((), True), "files": (("--via", "files", "--no-restart"), True), "down": ((), False)},
    "sqlite": {
        "archive": (("--lose-ignored", "--with-jobs"), True),
        "delete": (("--lose-ignored", "--delete"), True),
    },
}
# A gateway goes on for a while after it has answered: it files what is archived in its memory index.
REST_SECONDS = 1.5
SETTLE_SECONDS = 60


@dataclass
class Seen:
    """One route: what each command answered, and what differed."""

    session: Session
    dry: dict[str, Any]
    closed: dict[str, Any]
    recorded: dict[str, Any]
    changed_dry: list[Difference]
    changed: list[Difference]
    undone: dict[str, Any]
    said: str
    left: list[Difference]


def at_rest(lab: Lab) -> Picture:
    """Return a picture of a state directory that nothing writes in."""
    found = [picture(lab.state)]

    def is_at_rest() -> bool:
        time.sleep(REST_SECONDS if lab.gateway else 0)
        found.append(picture(lab.state))
        return not differences(found[-2], found[-1])

    wait_until(is_at_rest, SETTLE_SECONDS, "a state directory at rest")
    return found[-1]


@dataclass
class Closed:
    """A route that was closed by, and not undone yet."""

    key: str
    before: Picture
    dry: Result
    changed_dry: list[Difference]
    result: Result
    changed: list[Difference]

    def session(self, lab: Lab) -> Session:
        row = self.result.rows[self.key]
        archives = frozenset(str(Path(path).relative_to(lab.state)) for path in row["archives"])
        return Session(self.key, str(row["sessionId"]), archives)


def close(lab: Lab, key: str, *words: str) -> Closed:
    """Close a session by one route, looking before and after."""
    before = at_rest(lab)
    dry = run(lab, "close-project", "--dry-run", "--session-key", key, *words)
    assert dry.code == 0, dry
    meanwhile = at_rest(lab)
    result = run(lab, "close-project", "--session-key", key, *words)
    assert result.code == 0, result
    return Closed(key, before, dry, differences(before, meanwhile), result, differences(meanwhile, at_rest(lab)))


def undo(lab: Lab, closed: Closed) -> Seen:
    """Take a close back, and look what is not as it was before it."""
    receipt = Path(str(closed.result.json["receipt"]))
    undone = run(lab, "restore-sessions", receipt.stem)
    assert undone.statuses() == {closed.key: "restored"}, undone
    (recorded,) = [
        session
        for store in json.loads(receipt.read_bytes())["stores"]
        for session in store["sessions"]
        if session["key"] == closed.key
    ]
    return Seen(
        closed.session(lab),
        closed.dry.rows[closed.key],
        closed.result.rows[closed.key],
        recorded,
        closed.changed_dry,
        closed.changed,
        undone.rows[closed.key],
        undone.stdout,
        differences(closed.before, at_rest(lab)),
    )


@pytest.fixture(scope="module")
def seen(install: Install) -> Iterator[dict[str, Seen]]:
    """What was seen on each route of a version, one session each, in one laboratory."""
    routes = ROUTES[install.era]
    keys = {route: KEY + route for route in routes}
    found: dict[str, Seen] = {}
    with furnished(install, list(keys.values())) as lab:
        closed: dict[str, Closed] = {}
        for route, (words, is_running) in routes.items():
            if not is_running:
                lab.stop()
            closed[route] = close(lab, keys[route], *words)
            if route == "archive":
                found[route] = undo(lab, closed.pop(route))
        lab.stop()
        # The last one first: each undo must leave what it was before its own close.
        for route, one in reversed(closed.items()):
            found[route] = undo(lab, one)
        yield found


def effects(seen: Seen) -> tuple[list[Mapping[str, Any]], ...]:
    """Return what dry run, result and receipt name."""
    return seen.dry["effects"], seen.closed["effects"], seen.recorded["effects"]


def holds(problems: Mapping[str, Iterable[object]]) -> None:
    """Fail with a line for each thing that is wrong on each route."""
    if lines := [f"{route}: {problem}" for route, of_it in problems.items() for problem in of_it]:
        pytest.fail("\n".join(lines), pytrace=False)


def test_a_dry_run_changes_nothing(seen: dict[str, Seen]) -> None:
    holds({route: of_it.changed_dry for route, of_it in seen.items()})


def test_each_difference_of_a_close_is_named_by_dry_run_result_and_receipt(seen: dict[str, Seen]) -> None:
    problems = {route: unnamed(of_it.changed, of_it.session, *effects(of_it)) for route, of_it in seen.items()}
    holds(problems)


def test_each_difference_that_an_undo_leaves_is_said(seen: dict[str, Seen]) -> None:
    problems = {
        route: unsaid(
            of_it.left, of_it.session, of_it.closed["effects"], of_it.undone.get("notRestored", []), of_it.said
        )
        for route, of_it in seen.items()
    }
    holds(problems)


def test_an_effect_that_is_hidden_is_missed(seen: dict[str, Seen]) -> None:
    for route, of_it in seen.items():
        kinds = {effect["kind"] for effect in of_it.closed["effects"] if effect["action"] != "kept"}
        for kind in kinds & {kind_of(one) for one in of_it.changed}:
            hidden = [effect for effect in of_it.closed["effects"] if effect["kind"] != kind]
            assert unnamed(of_it.changed, of_it.session, hidden), (route, kind)
        if route in ("gateway", "delete"):
            assert "binding" in kinds


def test_a_job_that_speaks_to_the_session_is_named_wherever_the_close_leaves_it(seen: dict[str, Seen]) -> None:
    for route, of_it in seen.items():
        for listed in effects(of_it):
            jobs = {effect["name"]: effect["action"] for effect in listed if effect["kind"] == "cron-job"}
            assert jobs == {f"on-{route}": "disabled" if route == "archive" else "kept"}, route
