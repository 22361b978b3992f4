"""A gateway that writes all the time while a hundred sessions are closed: nothing that it acknowledged is lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from .gateway import Rpc
from .lab import Lab, create, run
from .meanwhile import meanwhile

pytestmark = pytest.mark.live

AGENT = "project-lead"
KEPT = tuple(f"agent:{AGENT}:kept-{number}" for number in range(5))
CLOSED = 100
TRIES = 5


@dataclass
class Writer:
    """Patches labels and injects messages; remembers what the gateway has acknowledged."""

    rpc: Rpc
    labels: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Name the next of the sessions that are kept anew, and say something in it."""
        number = len(self.messages)
        key = KEPT[number % len(KEPT)]
        label, message = f"label-{time.monotonic_ns()}", f"message-{time.monotonic_ns()}"
        self.rpc("sessions.patch", key=key, label=label)
        self.labels[key] = label
        self.rpc("chat.inject", sessionKey=key, message=message)
        self.messages.append(message)


@pytest.mark.openclaw("2026.5.7")
@pytest.mark.parametrize(
    ("via", "pause", "least"), [("gateway", 0.0, 50), pytest.param("files", 0.3, 3, marks=pytest.mark.depth)]
)
def test_nothing_that_a_gateway_acknowledges_while_it_writes_is_lost(
    shared: Lab, via: str, pause: float, least: int
) -> None:
    doomed = [f"agent:{AGENT}:{via}-{number}" for number in range(CLOSED)]
    with shared.rpc() as rpc:
        create(rpc, *KEPT, *doomed)
    how = ("--via", via, "--no-restart")
    with shared.rpc() as rpc:
        writer = Writer(rpc)
        with meanwhile(writer.write, pause, least=least):
            for _ in range(TRIES):
                result = run(shared, "close-project-batch", "--verbose", "--delete", *how, *doomed)
                if result.code != 5:
                    break

    assert result.code == 0, result
    assert set(result.statuses()) == set(doomed)
    assert set(result.statuses().values()) <= {"closed", "already_closed"}
    entries = shared.entries(AGENT)
    assert {key: entries[key]["label"] for key in writer.labels} == writer.labels
    assert not set(doomed) & set(entries)
    said = "".join(shared.transcript(AGENT, key).read_text() for key in KEPT)
    assert [message for message in writer.messages if message not in said] == []
