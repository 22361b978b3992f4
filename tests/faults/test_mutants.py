"""Each mutant of the proof changes the program as it is today: else it would prove nothing."""

from __future__ import annotations

import pytest
from prove.mutant import Mutant
from prove.mutants import LIB, MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_takes_out_is_in_the_program_once(mutant: Mutant) -> None:
    for file, old, new in mutant.edits:
        assert (LIB / "session_closer" / file).read_text().count(old) == 1, old
        assert old != new
