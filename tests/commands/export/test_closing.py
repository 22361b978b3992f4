"""--export of what closes: a copy first, compared, and what there is no copy of stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.artifacts import streams
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.operations import bundles, by_store
from support.commands import Answer, run, run_json, undo
from support.gateway import StubGateway
from support.keys import LEAD
from support.said import ERAS, KEY, InFiles, Said, files_of
from support.sqlite import Bases
from support.stores import TOKEN, Store, picture
from support.trees import tree
from support.worker import ME, BeforeComparing, Between, Left, batch, receipts, row

OTHER = LEAD + "other-one"


@pytest.fixture(params=ERAS)
def said(request: pytest.FixtureRequest, tmp_path: Path, stub: StubGateway) -> Said:
    """A session with all that a transcript can hold, and another one; the stub serves them."""
    made = ERAS[request.param](Store(tmp_path / "state", stub.port))
    if hasattr(made, "bases"):
        made.bases.add(OTHER)
    else:
        made.store.add((OTHER, made.store.session("other-one")))
    stub.serve(made.store.state, TOKEN)
    return made


def close(said: Said, out: Path, *words: str, command: type[Any] = CloseProjectBatch) -> Answer:
    """Close both sessions, exported first."""
    given = words or (KEY, OTHER)
    return run_json(command, *given, "--export", str(out), state=said.store.state)


def live(said: Said) -> set[str]:
    """Return the keys of the sessions that are not put away."""
    if hasattr(said, "bases"):
        return {key for key, found in Bases(said.store).rows().items() if found["archived_at"] is None}
    return set(said.store.listed())


def statuses(answer: Answer) -> dict[str, tuple[str, str | None]]:
    """Return what became of each session, and why it was refused."""
    return {found["key"]: (found["status"], found["reason"]) for found in answer.data["results"]}


def test_what_is_closed_was_exported_whole(said: Said, out: Path) -> None:
    answer = close(said, out)
    assert answer.code == 0, answer
    assert {KEY, OTHER} & live(said) == set()
    found = {copy["key"]: Path(copy["path"]) for copy in answer.data["exported"]}
    assert set(found) == {KEY, OTHER}
    assert files_of(found[KEY])["transcript.jsonl"] == said.transcript
    assert files_of(found[KEY])["entry.json"] == said.entry
    for folder in found.values():
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_of_several_agents_each_row_is_in_its_copy(store: Store, out: Path, before_comparing: BeforeComparing) -> None:
    compared: list[str] = []
    before_comparing(compared.append)
    keys = {agent: f"agent:{agent}:one" for agent in ("project-lead", "researcher")}
    for agent, key in keys.items():
        store.add((key, store.session(key, agent=agent)), agent=agent)
    rows = {key: store.entries(agent)[key] for agent, key in keys.items()}
    answer = run_json(CloseProjectBatch, *keys.values(), "--export", str(out), state=store.state)
    assert answer.code == 0, answer
    found = {copy["key"]: Path(copy["path"]) for copy in answer.data["exported"]}
    assert {key: json.loads((path / "entry.json").read_bytes()) for key, path in found.items()} == rows
    # What is wrong at first is made good by the next try.
    assert compared == sorted(keys.values())


def test_an_undo_brings_it_back_as_ever(said: Said, out: Path) -> None:
    before = picture(said.store) if not hasattr(said, "bases") else said.bases.events()
    answer = close(said, out)
    back = undo(said.store, answer, "--no-restart")
    assert back.code == 0, back
    assert {KEY, OTHER} <= live(said)
    assert before == (picture(said.store) if not hasattr(said, "bases") else said.bases.events())


def test_people_are_told_where_the_copies_are(said: Said, out: Path) -> None:
    result = run(CloseProjectBatch, KEY, "--export", str(out), state=said.store.state)
    assert f"exported {out}/project-lead/export-me-{said.own[:8]}" in result.stdout.splitlines()
    assert "warning: secrets that were said are in what is exported\n" in result.stderr


def warned(answer: Answer) -> bool:
    """Tell whether anybody was told of secrets in what is exported."""
    return any(text.startswith("secrets that were said") for text in answer.data["warnings"])


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_of_secrets_is_told_where_there_is_a_copy_that_they_are_in(
    said: Said, out: Path, mode: tuple[str, ...]
) -> None:
    assert warned(close(said, out, KEY, *mode))
    out = out.with_name("other")
    (out / "project-lead" / f"export-me-{said.own[:8]}").mkdir(parents=True, mode=0o700)
    for words in ((KEY,), ("nobody",), ("nobody", "--missing-ok")):
        assert not warned(close(said, out, *words, *mode)), words


def test_where_nothing_goes_a_quiet_cleanup_says_nothing(said: Said, out: Path) -> None:
    words = ("--quiet", "--export", str(out), "--older-than", "36500d")
    assert (result := run(CleanupSessions, *words, state=said.store.state)).code == 0, result
    assert result.stdout + result.stderr == ""


def test_what_cannot_be_exported_stays_and_the_others_go(said: Said, out: Path) -> None:
    taken = out / "project-lead" / f"export-me-{said.own[:8]}"
    taken.mkdir(parents=True, mode=0o700)
    before = live(said)
    answer = close(said, out)
    assert answer.code == 1
    assert statuses(answer)[KEY] == ("refused", "export")
    assert statuses(answer)[OTHER][0] in ("closed", "archived")
    assert before - live(said) == {OTHER}
    [refused] = [found for found in answer.data["results"] if found["key"] == KEY]
    assert refused["error"] == f"{taken} is there already: move it away, or name another folder"
    assert list(taken.iterdir()) == []
    assert answer.data["kept"] == len(live(said))


def test_where_nothing_can_be_exported_nothing_is_changed(said: Said, out: Path) -> None:
    (out / "project-lead" / f"export-me-{said.own[:8]}").mkdir(parents=True, mode=0o700)
    before = tree(said.store.state / "agents")
    answer = close(said, out, KEY)
    assert (answer.code, statuses(answer), answer.data["exported"]) == (3, {KEY: ("refused", "export")}, [])
    assert answer.data["receipt"] is None
    if not hasattr(said, "bases"):
        assert tree(said.store.state / "agents") == before
    assert {KEY, OTHER} <= live(said)


def test_a_folder_that_is_none_for_it_closes_nothing(said: Said) -> None:
    answer = close(said, said.store.folder() / "out")
    assert (answer.code, answer.error) == (3, "output")
    assert {KEY, OTHER} <= live(said)


def test_a_dry_run_exports_nothing_and_says_what_would_stay(said: Said, out: Path) -> None:
    taken = out / "project-lead" / f"export-me-{said.own[:8]}"
    taken.mkdir(parents=True, mode=0o700)
    before = tree(out)
    answer = close(said, out, KEY, OTHER, "--dry-run")
    assert statuses(answer)[KEY] == ("refused", "export")
    assert statuses(answer)[OTHER][0] in ("would_close", "would_archive")
    assert (answer.code, answer.data["exported"], tree(out)) == (1, [], before)


def test_a_session_that_grows_each_time_stays(said: Said, out: Path, before_comparing: BeforeComparing) -> None:
    before_comparing(lambda key: said.grow() if key == KEY else None)
    answer = close(said, out)
    assert (answer.code, statuses(answer)[KEY]) == (1, ("came_back", None))
    assert KEY in live(said)
    assert OTHER not in live(said)
    assert [copy["key"] for copy in answer.data["exported"]] == [OTHER]


def test_a_session_that_was_used_after_it_was_exported_stays(said: Said, out: Path, between: Between) -> None:
    between(said.grow)
    answer = close(said, out)
    assert (answer.code, statuses(answer)[KEY]) == (1, ("came_back", None))
    assert KEY in live(said)
    assert OTHER not in live(said)


def test_a_session_that_cannot_be_looked_at_once_more_stays(
    tmp_path: Path, closed_port: int, out: Path, between: Between
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    checkpoint = next(said.store.folder().glob("*.checkpoint.*"))

    def damage() -> None:
        checkpoint.rename(tmp_path / "elsewhere")
        checkpoint.symlink_to(tmp_path / "elsewhere")

    between(damage)
    answer = close(said, out, KEY)
    assert statuses(answer)[KEY][0] != "closed", answer
    assert KEY in live(said)


def test_a_session_that_was_in_use_and_so_not_exported_stays(
    tmp_path: Path, closed_port: int, out: Path, between: Between
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    said.store.add((OTHER, said.store.session("other-one")))
    between(said.store.lock_transcript(KEY).unlink)
    answer = close(said, out)
    assert [copy["key"] for copy in answer.data["exported"]] == [OTHER]
    assert KEY in live(said)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (CloseProject, ("export-me",)),
        (KeepOnlySessions, ("other-one", "--agent", "project-lead")),
        (CleanupSessions, ("--stale", "project=1h", "--active-key", OTHER)),
    ],
)
def test_every_command_that_closes_exports_first(
    said: Said, out: Path, command: type[Any], words: tuple[str, ...]
) -> None:
    answer = close(said, out, *words, command=command)
    assert answer.code == 0, answer
    copies = {copy["key"]: Path(copy["path"]) for copy in answer.data["exported"]}
    assert set(copies) == {found["key"] for found in answer.data["results"]}
    assert files_of(copies[KEY])["transcript.jsonl"] == said.transcript
    assert KEY not in live(said)


def test_a_cleanup_of_very_many_sessions_exports_first_too(
    tmp_path: Path, closed_port: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_store, "MOST", 0)
    said = InFiles(Store(tmp_path / "state", closed_port))
    reader = "agent:researcher:old"
    said.store.add((reader, said.store.session(reader, agent="researcher")), agent="researcher")
    answer = close(said, out, "--stale", "project=1h,other=1h", "--yes", command=CleanupSessions)
    assert {copy["key"] for copy in answer.data["exported"]} == {KEY, reader}
    assert (said.store.listed("researcher"), KEY in live(said)) == ([], False)


def test_a_cleanup_leaves_what_it_cannot_export(said: Said, out: Path) -> None:
    (out / "project-lead" / f"export-me-{said.own[:8]}").mkdir(parents=True, mode=0o700)
    answer = close(said, out, "--stale", "project=1h", command=CleanupSessions)
    assert (answer.code, statuses(answer)[KEY]) == (1, ("refused", "export"))
    assert KEY in live(said)
    assert OTHER not in live(said)
    [store] = [found for found in answer.data["stores"] if found["agent"] == "project-lead"]
    assert store["afterCount"] == len(live(said))


def test_a_cleanup_and_its_dry_run_tell_of_what_is_refused_first(store: Store, out: Path) -> None:
    store.add((KEY, store.session("export-me")), (OTHER, store.session("other-one")))
    path = Path(store.entries()[OTHER]["sessionFile"])
    path.unlink()
    os.mkfifo(path)
    words = ("--stale", "project=1h", "--export", str(out))
    ahead, done = (run_json(CleanupSessions, *words, *mode, state=store.state) for mode in (["--dry-run"], []))
    assert ahead.rows[0] == done.rows[0] == (OTHER, "refused")
    assert [key for key, _ in ahead.rows] == [key for key, _ in done.rows]


def test_without_the_word_there_is_no_such_member(said: Said) -> None:
    assert "exported" not in run_json(CloseProject, KEY, state=said.store.state).data


@pytest.mark.parametrize("command", [CloseProject, CloseProjectBatch, KeepOnlySessions])
def test_a_demonstration_keeps_nothing(command: type[Command], out: Path) -> None:
    result = run(command, "--demo", "kelly-dashboard", "--export", str(out))
    assert (result.code, result.stderr) == (2, "error: --demo keeps nothing; next: leave out --export\n")
    assert not out.exists()


def test_what_has_no_secrets_is_no_copy_to_close_by(said: Said, out: Path) -> None:
    result = run(CloseProject, KEY, "--export", str(out), "--redact", state=said.store.state)
    assert (result.code, result.stderr) == (2, "error: unknown option --redact; next: close-project --help\n")


def test_the_own_session_is_exported_when_its_turn_has_ended(store: Store, left: Left, out: Path) -> None:
    lock = store.lock_transcript(ME)
    path = Path(store.entries()[ME]["sessionFile"])
    answer = batch(store, "alpha", "--export", str(out))
    assert (answer.code, answer.rows, answer.data["exported"]) == (0, [(ME, "deferred")], [])
    assert not out.exists()

    def turn(_: int) -> None:
        with path.open("ab") as file:
            file.write(b'{"type":"custom"}\n')
        lock.unlink()

    left.meanwhile = turn
    text: list[bytes] = []
    real: Callable[..., Any] = bundles.export

    def export(*words: Any) -> Any:
        text.append(path.read_bytes())
        return real(*words)

    bundles.export, back = export, real
    try:
        assert left.finish() == 0
    finally:
        bundles.export = back
    ended = row(receipts(store)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["error"]) == ("closed", None)
    [copy] = out.rglob("transcript.jsonl")
    assert copy.read_bytes() == text[0]
    assert text[0].endswith(b'{"type":"custom"}\n')


@pytest.mark.parametrize("how", ["link", "pipe"])
def test_a_dry_run_sees_a_file_that_cannot_be_exported(store: Store, out: Path, how: str) -> None:
    store.add((KEY, store.session("export-me")), (OTHER, store.session("other-one")))
    path = Path(store.entries()[KEY]["sessionFile"])
    path.unlink()
    if how == "link":
        path.symlink_to(store.state / "openclaw.json")
    else:
        os.mkfifo(path)
    words = (KEY, OTHER, "--export", str(out))
    ahead, done = (run_json(CloseProjectBatch, *words, *mode, state=store.state) for mode in (["--dry-run"], []))
    assert (ahead.code, ahead.data["exported"]) == (done.code, [])
    assert statuses(ahead)[KEY] == statuses(done)[KEY] == ("refused", "export")
    assert [row["error"] for row in ahead.data["results"]] == [row["error"] for row in done.data["results"]]


def test_a_dry_run_sees_a_file_that_nobody_may_read(store: Store, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> Iterator[bytes]:
        raise PermissionError(errno.EACCES, "Permission denied", "transcript")
        yield b""

    store.add((KEY, store.session("export-me")))
    monkeypatch.setattr(streams, "chunks", denied)
    answers = [
        run_json(CloseProjectBatch, KEY, "--export", str(out), *mode, state=store.state) for mode in (["--dry-run"], [])
    ]
    assert [(answer.code, statuses(answer)) for answer in answers] == [(3, {KEY: ("refused", "export")})] * 2


def test_a_transcript_elsewhere_is_copied_whatever_the_id_is(store: Store, tmp_path: Path) -> None:
    key, named = LEAD + "odd", tmp_path / "elsewhere.jsonl"
    named.write_text('{"type":"session"}\n')
    store.folder().joinpath(named.name).write_text("of somebody else\n")
    store.add((key, {"sessionId": "not usable", "updatedAt": 1, "sessionFile": str(named)}))
    answer = run_json(CloseProject, key, "--export", str(tmp_path / "out"), state=store.state)
    [row], [copy] = answer.data["results"], answer.data["exported"]
    assert (answer.code, row["status"]) == (0, "closed"), answer
    assert Path(copy["path"], "transcript.jsonl").read_bytes() == named.read_bytes()


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_not_known_to_be_its_transcript_is_no_copy_of_a_session(
    store: Store, tmp_path: Path, is_there: bool
) -> None:
    key, named = LEAD + "odd", store.folder() / "odd.jsonl"
    store.add((key, {"sessionId": "not usable", "updatedAt": 1, "sessionFile": str(named)}))
    if is_there:
        named.write_text('{"type":"session"}\n')
    answer = run_json(CloseProject, key, "--export", str(tmp_path / "out"), state=store.state)
    [row] = answer.data["results"]
    if is_there:
        assert (answer.code, row["status"], key in store.listed()) == (3, "refused", True), answer
        assert '"odd.jsonl" is not known to be its own' in json.dumps(row, ensure_ascii=False).replace('\\"', '"')
    else:
        assert (answer.code, row["status"], key in store.listed()) == (0, "closed", False), answer
