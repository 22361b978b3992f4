"""What live tests do beside a command: it is done while that runs, and its failures are failures of the test."""

from __future__ import annotations

import threading

import pytest
from live.meanwhile import meanwhile
from support.patience import it_ends


def test_what_is_done_meanwhile_is_begun_ahead_of_it_and_goes_on_until_its_end() -> None:
    done = threading.Semaphore(0)
    with it_ends(), meanwhile(done.release, 0.001, least=3):
        assert done.acquire(blocking=False)
        # A busy machine may have had more of it done ahead of the block.
        while done.acquire(blocking=False):
            pass
        for _ in range(5):
            done.acquire()


def test_too_little_that_was_done_meanwhile_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="too little was tested"), meanwhile(lambda: None, 60, least=3):
        pass


def test_a_failure_of_what_is_done_meanwhile_is_one_of_the_test() -> None:
    def fail() -> None:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"), meanwhile(fail, 0.001):
        pass


def test_a_failure_of_the_test_itself_is_told_and_nothing_goes_on() -> None:
    done: list[int] = []
    with pytest.raises(ValueError, match="red"), meanwhile(lambda: done.append(0), 0.001):
        raise ValueError("red")
    assert done
