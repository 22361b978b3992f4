"""`make prove`: run the parts, print a line for each, end with 1 at a violation and with 2 where nothing was tried."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time

from . import (
    artifacts,
    claims,
    cuts,
    databases,
    exports,
    hermes,
    homes,
    hostile,
    mutants,
    nanoclaw,
    races,
    sweeps,
    traced,
    wrong_clocks,
)
from .parts import Given, Part, Skipped, Tally, say

PARTS = [
    Part("kills", sweeps.kills),
    Part("pairs", sweeps.pairs),
    Part("errors", sweeps.errors),
    Part("recovery-errors", sweeps.errors_of_recovery),
    Part("looks", sweeps.looks),
    Part("recovery-looks", sweeps.looks_of_recovery),
    Part("torn", sweeps.torn),
    Part("rows-kills", databases.kills),
    Part("rows-pairs", databases.pairs),
    Part("rows-errors", databases.errors),
    Part("rows-recovery", databases.errors_of_recovery),
    Part("artifacts", artifacts.artifacts),
    Part("claims", claims.claims),
    Part("exports", exports.exports),
    Part("exports-homes", exports.of_homes),
    Part("exports-told", hostile.exports),
    Part("exports-homes-told", hostile.exports_of_homes),
    Part("tests", hostile.tests),
    Part("power", cuts.cuts),
    Part("recovery-power", cuts.cuts_of_recovery),
    Part("hostile", hostile.hostile),
    Part("effects", hostile.effects),
    Part("clocks", wrong_clocks.wrong_clocks),
    Part("closers", races.closers),
    Part("writers", races.writers),
    Part("strace", traced.traced),
    Part("hermes-homes", homes.hermes),
    Part("hermes-in-use", hermes.in_use),
    Part("hermes-checkpoints", hermes.checkpoints),
    Part("hermes-races", hostile.checkpoints),
    Part("hermes-rows", hostile.rows),
    Part("nanoclaw-homes", homes.nanoclaw),
    Part("homes-power", homes.cuts),
    Part("nanoclaw-in-use", nanoclaw.in_use),
    Part("mutants", mutants.mutants),
]
_SHOWN = 20


def main() -> int:
    """Run what was asked for; return the exit code."""
    options = _options()
    root = sweeps.folder_for_the_sweeps()
    given = Given(root, options.jobs, options.all, options.first, options.only)
    total, wrong, empty = Tally(), False, []
    begun = time.monotonic()
    try:
        for part in PARTS if not options.parts else [p for p in PARTS if p.name in options.parts]:
            started = time.monotonic()
            try:
                tally = part.run(given)
            except Skipped as reason:
                say(f"{part.name:<18} skip: {reason}")
                continue
            total.add(tally)
            wrong = wrong or bool(tally.broken)
            if not tally.broken:
                given.clean.add(part.name)
            _line(part.name, tally, time.monotonic() - started)
            for line in tally.broken[:_SHOWN]:
                say(f"    {line}")
            if not tally.points:
                empty.append(part.name)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    _line("total", total, time.monotonic() - begun)
    if wrong:
        return 1
    if empty:
        say(f"tried nothing: {', '.join(empty)}")
    return 2 if empty or not total.points else 0


def _line(name: str, tally: Tally, seconds: float) -> None:
    say(f"{name:<18} {tally.points:>7,} points {len(tally.broken):>5} violations {seconds:>7.1f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prove", description=__doc__)
    parser.add_argument("parts", nargs="*", help="the parts to run, default: all")
    parser.add_argument("--all", action="store_true", help="everything, not the share that CI runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--first", action="store_true", help="stop a part at its first violation")
    parser.add_argument(
        "--only",
        default="",
        help="a single scenario of the sweeps, some injections of strace, some tests, some mutants",
    )
    found = parser.parse_args()
    unknown = set(found.parts) - {part.name for part in PARTS}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(p.name for p in PARTS)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
