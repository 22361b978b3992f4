"""How many sessions a gateway is asked to archive in one call: it serves nobody else meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

from session_closer.core.status import Life
from session_closer.openclaw.gateway.client import archive, rounds
from session_closer.openclaw.gateway.connection import Gateway
from session_closer.openclaw.gateway.find import Found
from session_closer.openclaw.gateway.link import SocketLink
from session_closer.openclaw.gateway.pace import PATCH_MANY, Pace

# Each call by a command takes seconds, however few sessions it names.
COMMAND = object()


def asked(link: Any) -> Gateway:
    home: Any = None
    return Gateway(home, Found(Life.UP), [link], [])


def split(targets: list[tuple[str, str]], link: object = COMMAND) -> list[list[tuple[str, str]]]:
    """Return the rounds; each must be one that `sessions.patchMany` takes, in the order given, and nothing is lost."""
    # A round that takes nothing would be followed by another without end.
    made = list(itertools.islice(rounds(asked(link), targets), len(targets) + 1))
    place = {target: at for at, target in enumerate(targets)}
    for some in made:
        ids = [session_id for _, session_id in some if session_id]
        assert len(ids) == len(set(ids))
        assert 0 < len(some) <= PATCH_MANY
        assert [place[target] for target in some] == sorted(place[target] for target in some)
    assert sorted(target for some in made for target in some) == sorted(targets)
    return made


def test_nothing_is_asked_where_there_is_nothing() -> None:
    assert split([]) == []


def test_two_keys_of_one_session_id_are_not_asked_in_one_call() -> None:
    job, latest, other = ("cron:a", "one"), ("cron:a:run:b", "one"), ("c", "two")
    assert split([job, latest, other]) == [[job, other], [latest]]


def test_sessions_without_an_id_are_not_taken_for_the_same() -> None:
    targets = [(f"key-{number}", "") for number in range(PATCH_MANY)]
    assert split(targets) == [targets]


def test_no_call_has_more_sessions_than_it_may() -> None:
    targets = [(f"key-{number}", f"id-{number}") for number in range(2 * PATCH_MANY + 1)]
    assert split(targets) == [targets[:PATCH_MANY], targets[PATCH_MANY:-1], targets[-1:]]


def test_many_that_share_their_ids_are_all_asked() -> None:
    targets = [(f"key-{number}", f"id-{number % 3}" if number % 4 else "") for number in range(3 * PATCH_MANY)]
    split(targets)


def test_nobody_waits_long_for_a_call_whatever_a_session_takes() -> None:
    for each in (0.0001, 0.001, 0.009, 0.05, 1.0):
        pace, took = Pace(), 0.0
        for _ in range(10):
            took = pace.sessions * each
            pace.took(pace.sessions, took)
        assert 1 <= pace.sessions <= PATCH_MANY
        # Where a few take longer already, a call is not to be for each alone.
        assert pace.sessions * each <= 0.15 or pace.sessions == 5


def test_the_first_call_is_small_and_none_is_much_larger_than_the_last() -> None:
    gateway = asked(object.__new__(SocketLink))
    targets = [(f"key-{number}", f"id-{number}") for number in range(500)]
    sizes = []
    for some in rounds(gateway, targets):
        sizes.append(len(some))
        gateway.pace.took(len(some), len(some) * 0.0001)
    assert sizes == [10, 20, 40, 80, PATCH_MANY, PATCH_MANY, PATCH_MANY, 50]


class Slow(SocketLink):
    """A gateway that takes 8 ms for each session that it archives, by a clock of its own."""

    def __init__(self) -> None:
        self.now, self.sizes = 0.0, list[int]()

    def monotonic(self) -> float:
        """Return its time."""
        return self.now

    def call(self, method: str, params: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Archive, and take as long as that takes."""
        assert method == "sessions.patchMany"
        self.sizes.append(len(params["targets"]))
        self.now += self.sizes[-1] / 128
        return {"outcomes": [{"key": one["key"], "ok": True} for one in params["targets"]]}


def test_what_a_gateway_took_for_the_last_call_is_what_the_next_one_goes_by() -> None:
    link = Slow()
    gateway = asked(link)
    clock: Any = link
    gateway.clock = clock
    for some in rounds(gateway, [(f"key-{number}", f"id-{number}") for number in range(100)]):
        assert archive(gateway, some) == {}
    assert link.sizes == [10, 19, 19, 19, 19, 14]


def test_a_gateway_that_becomes_slow_is_asked_for_less() -> None:
    pace = Pace()
    pace.took(10, 0.01)
    assert pace.sessions == 20
    pace.took(20, 0.4)
    assert pace.sessions == 7
    pace.took(7, 4.0)
    assert pace.sessions == 5


def test_a_call_for_few_says_what_each_of_them_takes() -> None:
    pace = Pace()
    pace.took(10, 0.01)
    # Of two the next call would have been for 20.
    pace.took(2, 0.04)
    assert pace.sessions == 7


def test_an_answer_that_took_no_time_is_no_error() -> None:
    pace = Pace()
    pace.took(10, 0.0)
    assert pace.sessions == 20


def test_a_large_run_takes_no_square_of_steps() -> None:
    class Counted(str):
        """A session id that counts how often it is looked at."""

        looks = 0

        def __hash__(self) -> int:
            Counted.looks += 1
            return super().__hash__()

    targets = [(f"key-{number}", Counted(f"id-{number}")) for number in range(1000)]
    assert len(list(rounds(asked(object.__new__(SocketLink)), targets))) == 100
    assert Counted.looks <= 4 * len(targets)
