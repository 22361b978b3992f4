"""Each mutant of the proof changes the program as it is today: else it would prove nothing."""

from __future__ import annotations

from prove.mutants import LIB, MUTANTS


def test_what_a_mutant_takes_out_is_in_the_program_once() -> None:
    edits = [(mutant.name, *edit) for mutant in MUTANTS for edit in mutant.edits]
    counts = {(name, file, old): (LIB / "session_closer" / file).read_text().count(old) for name, file, old, _ in edits}
    assert {edit: count for edit, count in counts.items() if count != 1} == {}
    assert [name for name, _, old, new in edits if old == new] == []


def test_what_is_left_of_a_mutant_is_a_program() -> None:
    for mutant in MUTANTS:
        texts: dict[str, str] = {}
        for file, old, new in mutant.edits:
            path = LIB / "session_closer" / file
            texts[file] = texts.get(file, path.read_text()).replace(old, new)
        for file, text in texts.items():
            compile(text, f"{mutant.name}: {file}", "exec")
