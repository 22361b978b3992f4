"""Run the parts of the benchmark, all or the one that is named; each writes its own table into docs/performance.md."""

from __future__ import annotations

import sys

from . import agents, cleanup, closing, exports, hermes, listing, sqlite, startup, undo

PARTS = {
    "startup": startup.main,
    "closing": closing.main,
    "undo": undo.main,
    "listing": listing.main,
    "cleanup": cleanup.main,
    "agents": agents.main,
    "sqlite": sqlite.main,
    "hermes": hermes.main,
    "exports": exports.main,
}


def main(names: list[str]) -> int:
    """Run these parts; 2 for one that does not exist."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no part {unknown[0]}; parts: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    return max(PARTS[name]() for name in names or PARTS)


sys.exit(main(sys.argv[1:]))
