"""The fork sweeps: kills, kills of the recovery, errors, torn writes; a child process for each."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from functools import partial

from faults.image import Image
from faults.injection import ERRORS, NO_CHANGE, STEPS, At, Counting, Tearing, fail_at, fail_from, interrupt_at, kill
from faults.looks import ERRORS as LOOK_ERRORS
from faults.looks import OPENS, STATS, watched
from faults.oracle import Written
from faults.scenarios import SCENARIOS, Scenario
from faults.sweep import Bench, first_kills
from support.memory import folder_in_memory

from .parts import Given, Tally

# How many processes share the work of one scenario at most.
_SLICES = 4
_FULL = ("create", "write", "make_folder", "link")


def kills(given: Given) -> Tally:
    """Kill before and after steps: every third one of the batch, fewer of the others, unless everything is run."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        bench.reset()
        ended = bench.run()
        names = ended.steps
        bench.check_words("undisturbed", ended)
        bench.check("undisturbed", ended=True)
        share = given.each(3 if scenario.name == "batch" else 7)
        for point in range(part * share, len(names), share * _SLICES):
            for when in ("before", "after"):
                if not bench.kill(point, when):
                    bench.broken.append(f"{scenario.name}: step {point} was not reached")
                bench.finish(f"killed {when} step {point} ({names[point]})")
                if given.first and bench.broken:
                    return Tally(bench.tried, bench.broken)
        return Tally(bench.tried, bench.broken)

    return given.spread([(s, part) for s in SCENARIOS if given.takes(s) for part in range(_SLICES)], work)


def pairs(given: Given) -> Tally:
    """Kill at a step, then kill the run that recovers at each of its steps."""
    return _second(given, _kill_again)


def errors_of_recovery(given: Given) -> Tally:
    """Kill at a step, then let each step of the run that recovers fail."""
    return _second(given, _fail_again)


def _second(given: Given, again: Callable[..., None]) -> Tally:
    """Do something at each step of the recovery from each kill; a sample of the kills unless everything is run."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        firsts = list(first_kills(bench, every=given.everything))
        share = (
            given.each(29, alone=8) if (scenario.name, again) == ("batch", _kill_again) else given.each(97, alone=40)
        )
        for point, when in firsts[::share][part::_SLICES]:
            if not bench.kill(point, when):
                continue
            image, written = Image.of(bench.state), bench.written()
            thorough = given.everything or (scenario.name == "batch" and again is _kill_again)
            each = slice(None) if thorough else slice(point % 2, None, 2)
            again(bench, f"killed {when} step {point}", image, written, each, everything=given.everything)
            if given.first and bench.broken:
                break
        return Tally(bench.tried, bench.broken)

    chosen = [s for s in SCENARIOS if given.takes_all_of(s)]
    return given.spread([(s, part) for s in chosen for part in range(_SLICES)], work)


def _kill_again(bench: Bench, first: str, image: Image, written: Written, each: slice, *, everything: bool) -> None:
    names = bench.steps(image, written)
    bench.reset(image, written)
    names = bench.run().steps or names
    for point, name in list(enumerate(names))[each]:
        for when in ("before", "after"):
            if not everything and (when == "before" or name in NO_CHANGE):
                continue
            if bench.kill(point, when, image, written):
                bench.finish(f"{first}, then {when} step {point} ({name})")


def _fail_again(bench: Bench, first: str, image: Image, written: Written, each: slice, *, everything: bool) -> None:
    names = bench.steps(image, written)
    for point, name in list(enumerate(names))[each]:
        for number in ERRORS if everything else (ERRORS[point % len(ERRORS)],):
            what = f"{first}, then {errno.errorcode[number]} at step {point} ({name})"
            bench.error(what, fail_at(point, "before", number), image, written)


def _errors_at(point: int, names: list[str], given: Given) -> list[int]:
    """Return the errors for a step of the batch: all for the first of a kind, else three in turn."""
    if given.everything or given.only or names.index(names[point]) == point:
        return list(ERRORS)
    return [ERRORS[(3 * point + more) % len(ERRORS)] for more in range(3)]


def errors(given: Given) -> Tally:
    """Let every step fail with every error, before and after its effect, once and from then on; press control-C."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        bench.reset()
        names = bench.run().steps
        thorough = given.everything or scenario.name == "batch"
        share = given.each(4 if thorough else 23)
        for point in range(part * share, len(names), share * _SLICES):
            for number in _errors_at(point, names, given) if thorough else (ERRORS[point % len(ERRORS)],):
                code = errno.errorcode[number]
                at = f"{code} at step {point} ({names[point]})"
                bench.error(at, fail_at(point, "before", number))
                if thorough and number in (errno.EIO, errno.EINTR):
                    bench.error(f"{at}, after its effect", fail_at(point, "after", number))
            bench.error(f"full from step {point} on", fail_from(point, _FULL, errno.ENOSPC))
            bench.error(f"read-only from step {point} on", fail_from(point, STEPS, errno.EROFS), once=False)
            bench.error(f"control-C at step {point}", interrupt_at(point))
            if given.first and bench.broken:
                break
        return Tally(bench.tried, bench.broken)

    return given.spread([(s, part) for s in SCENARIOS if given.takes(s) for part in range(_SLICES)], work)


def looks(given: Given) -> Tally:
    """Let every open, listing and read below the state directory fail once; with everything: every stat, too."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        share = given.each(3 if scenario.name == "batch" else 7)
        _fail_looks(bench, part, given, share=share)
        return Tally(bench.tried, bench.broken)

    return given.spread([(s, part) for s in SCENARIOS if given.takes(s) for part in range(_SLICES)], work)


def looks_of_recovery(given: Given) -> Tally:
    """Kill at a step, then let each of those of the run that recovers fail."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        firsts = list(first_kills(bench, every=given.everything))
        for point, when in firsts[:: given.each(97, alone=24)][part::_SLICES]:
            if bench.kill(point, when):
                image, written = Image.of(bench.state), bench.written()
                share, what = given.each(7, alone=5), f"killed {when} step {point}, then "
                _fail_looks(bench, 0, given, what, image, written, share=share, slices=1)
            if given.first and bench.broken:
                break
        return Tally(bench.tried, bench.broken)

    return given.spread([(s, part) for s in SCENARIOS if given.takes(s) for part in range(_SLICES)], work)


def _fail_looks(
    bench: Bench,
    part: int,
    given: Given,
    first: str = "",
    image: Image | None = None,
    written: Written = (),
    *,
    share: int,
    slices: int = _SLICES,
) -> None:
    """Let every `share`th look from a state fail, those of one of the slices."""
    for names in (OPENS, STATS) if given.everything else (OPENS,):
        bench.reset(image, written)
        seen = bench.run(look=watched, looks=names).looks
        for point in range(part, len(seen), share * slices):
            # Of what is open already a process has enough.
            errors = [errno.EIO] if "read" in seen[point] else list(LOOK_ERRORS)
            for number in errors if given.everything else [errors[point % len(errors)]]:
                what = f"{first}{errno.errorcode[number]} at look {point} ({seen[point]})"
                bench.fail_look(point, number, what, image, written, names)
            if given.first and bench.broken:
                return


def torn(given: Given) -> Tally:
    """Let every write put down nothing, a byte, a half or nearly all; then go on, be killed, or fail.

    Unless everything is run, half of that for each write of the batch, an eighth for those of the others, in turn.
    """

    def fail(number: int) -> None:
        raise OSError(number, os.strerror(number), "injected")

    ways = {
        "short": lambda: None,
        "killed": kill,
        "ENOSPC": partial(fail, errno.ENOSPC),
        "EIO": partial(fail, errno.EIO),
    }

    def work(scenario: Scenario, place: str) -> Tally:
        bench = Bench(scenario, os.path.join(place, "bench"))
        names = bench.run().steps
        writes = [point for point, name in enumerate(names) if name == "write"]
        skip = given.each(2 if scenario.name == "batch" else 8)
        for number, point in enumerate(writes):
            for at, share in enumerate((0.0, 0.01, 0.5, 0.99)):
                for turn, (way, then) in enumerate(ways.items()):
                    if (at + turn + number) % skip:
                        continue
                    bench.reset()
                    what = f"{share:.0%} of the write at step {point}, {way}"
                    ended = bench.run(disk=partial(_tearing, point=point, share=share, then=then))
                    if (ended.code is None) is not (way == "killed"):
                        bench.broken.append(f"{scenario.name}: {what}: ended with {ended.code}")
                    if way in ("ENOSPC", "EIO") and ended.code == 0:
                        bench.broken.append(f"{scenario.name}: {what}: was not told")
                    bench.check_words(what, ended)
                    bench.finish(what)
        return Tally(bench.tried, bench.broken)

    return given.spread([s for s in SCENARIOS if given.takes(s) and s.disk is Counting], work)


def _tearing(at: At, *, point: int, share: float, then: Callable[[], None]) -> Tearing:
    return Tearing(at, point, share, then)


def folder_for_the_sweeps() -> str:
    """Return a folder in memory where there is one, else in the temporary directory."""
    path = tempfile.mkdtemp(prefix="session-closer-prove-", dir=folder_in_memory())
    os.chmod(path, 0o711)
    return path
