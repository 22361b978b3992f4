"""A receipt of many agents is read store by store: what its undo says and does is what it is where it is read whole."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from session_closer.cli.commands import restore_sessions
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.journal import runs, stores
from session_closer.journal.source import ChosenSession
from session_closer.openclaw.files import returnable
from session_closer.openclaw.files.port import Files
from session_closer.operations import apply
from session_closer.ports.undo import Item, Returns
from session_closer.render import excerpt, text
from session_closer.system.pieces import Pieces
from support.commands import Result, restore, run, run_json
from support.restore import close, edit_receipt
from support.stores import Store
from support.trees import tree

AGENTS, SESSIONS = 7, 5
# What there is room for, and the least that has to be known for that.
SHOWN, TOLD, MOST_BYTES = 5, 8, 5_000
NAMES = [f"agent-{number}" for number in range(AGENTS)]
RUN, STAMP = r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}", r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(\.\d{3})?Z"


def key(agent: str, number: int) -> str:
    return f"agent:{agent}:subagent:old-{number}"


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    """Seven agents whose five sessions were closed, one with a transcript more that belonged to none."""
    found = Store(tmp_path / "state", closed_port)
    for agent in NAMES:
        keys = [key(agent, number) for number in range(SESSIONS)]
        found.write({one: found.session(one, agent=agent) for one in keys}, agent)
    assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=found.state).code == 0
    return found


@pytest.fixture
def by_stores(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """What lets receipts of this size be read store by store, or whole, and each session be kept, too."""
    rest = Returns.rest

    def let(is_large: bool) -> None:
        monkeypatch.setattr(Returns, "rest", rest if is_large else lambda *_: None)
        monkeypatch.setattr(stores, "LARGE", 1 if is_large else 1 << 40)
        monkeypatch.setattr(restore_sessions, "MOST_TOLD", TOLD if is_large else 1 << 20)
        monkeypatch.setattr(excerpt, "MOST_BYTES", MOST_BYTES)
        monkeypatch.setattr(text, "SHOWN_ROWS", SHOWN)

    return let


def archives(store: Store, agent: str) -> list[Path]:
    return sorted(store.folder(agent).glob("*.deleted.*"))


def conflicts(store: Store) -> None:
    """Let some come back no more: an archive is gone, another was written to, a name is taken, a row is there again."""
    archives(store, NAMES[0])[1].unlink()
    with archives(store, NAMES[2])[0].open("a") as file:
        file.write("more\n")
    taken = archives(store, NAMES[3])[2]
    taken.with_name(taken.name.partition(".deleted.")[0]).write_text("another\n")
    run(RestoreSessions, "last", key(NAMES[4], 3), state=store.state)
    shutil.rmtree(store.folder(NAMES[6]))


def by_hand(store: Store) -> None:
    """Let somebody have put back the files of some agents, of one all of them."""
    for name, many in ((NAMES[1], SESSIONS), (NAMES[5], 1)):
        for archive in archives(store, name)[:many]:
            archive.rename(archive.with_name(archive.name.partition(".deleted.")[0]))


def nothing(_store: Store) -> None:
    """Leave all as the close has left it."""


def normal(said: str) -> str:
    said = re.sub(r'"(uptime|pid|ageSeconds)": ?[\d.]+', "", re.sub(STAMP, "STAMP", re.sub(RUN, "RUN", said)))
    return re.sub(r"\b\d+s\b", "AGE", said)


def outcome(store: Store, *words: tuple[str, ...]) -> tuple[list[Result], list[str], Any]:
    """Return what commands say, the receipts, and what is in the folders of the agents."""
    said = [run(RestoreSessions, *each, state=store.state) for each in words]
    told = [Result(one.code, normal(one.stdout), normal(one.stderr)) for one in said]
    receipts = sorted((store.state / "session-closer" / "receipts").iterdir())
    there = {normal(name): value for name, value in tree(store.state / "agents").items()}
    return told, [normal(path.read_text()) for path in receipts], sorted(there)


@pytest.mark.parametrize("change", [nothing, conflicts, by_hand])
@pytest.mark.parametrize(
    "words",
    [
        [("last", "--json")],
        [("last",)],
        [("last", "--json", "--verbose")],
        [("last", "--verbose")],
        [("last", "--json", "--dry-run"), ("last", "--dry-run", "--verbose")],
        [("last", "--check", "--json"), ("--show", "last", "--json"), ("--list", "--json")],
        [("last", key(NAMES[1], 2), key(NAMES[5], 0), "--json")],
        [("last", "--json"), ("last", "--json"), ("--list",), ("--show", "last")],
        [("last",), ("--since", "1h", "--json"), ("--list", "--json")],
        [("--since", "1h", "--json")],
        [("--since", "1h")],
    ],
    ids=lambda words: "+".join("_".join(each).replace("--", "") for each in words)[:60],
)
def test_an_undo_says_and_does_the_same(
    store: Store,
    by_stores: Callable[[bool], None],
    tmp_path: Path,
    words: list[tuple[str, ...]],
    change: Callable[[Store], None],
) -> None:
    by_stores(False)
    change(store)
    shutil.copytree(store.state, tmp_path / "kept", symlinks=True)
    whole = outcome(store, *words)
    shutil.rmtree(store.state)
    shutil.copytree(tmp_path / "kept", store.state, symlinks=True)
    by_stores(True)
    assert outcome(store, *words) == whole


def test_all_are_counted_and_the_first_of_them_told(store: Store, by_stores: Callable[[bool], None]) -> None:
    by_stores(True)
    answer = restore(store, "last")
    total = AGENTS * SESSIONS
    assert (answer.code, answer.data["counts"]) == (0, {"restored": total})
    assert answer.data["resultsOmitted"] == total - len(answer.rows)
    assert 0 < len(answer.rows) <= TOLD
    every = [(key(name, number), "restored") for name in NAMES for number in range(SESSIONS)]
    assert answer.rows == every[: len(answer.rows)]
    assert answer.data["broughtBack"]["count"] == total
    [_, receipt] = store.receipts()
    told = [[(one["key"], one["status"]) for one in each["sessions"]] for each in receipt["stores"]]
    assert told == [[(key(agent, number), "restored") for number in range(SESSIONS)] for agent in NAMES]
    assert receipt["results"] == []


@pytest.mark.parametrize("is_large", [False, True])
def test_a_plan_for_several_runs_knows_all_that_the_newer_ones_bring_back(
    store: Store, by_stores: Callable[[bool], None], tmp_path: Path, is_large: bool
) -> None:
    assert restore(store, "last").code == 0
    shutil.copytree(store.state / "agents", tmp_path / "agents")
    for _ in range(2):
        # Somebody has brought it back by hand in between.
        shutil.copytree(tmp_path / "agents", store.state / "agents", dirs_exist_ok=True)
        assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state).code == 0
    by_stores(is_large)
    answer = restore(store, "--since", "1h", "--dry-run")
    total = AGENTS * SESSIONS
    assert answer.data["counts"] == {"would_restore": total, "already_restored": total}


@pytest.mark.parametrize("is_large", [False, True])
def test_a_transcript_that_another_run_has_put_away_since_comes_back_too(
    tmp_path: Path, closed_port: int, by_stores: Callable[[bool], None], is_large: bool
) -> None:
    store = Store(tmp_path / "state", closed_port)
    [first, second] = [key(NAMES[0], number) for number in range(2)]
    rows = {one: store.session(one, agent=NAMES[0], like=first) for one in (first, second)}
    store.write(rows, NAMES[0])
    run_id = Path(close(store, first)["receipt"]).stem
    close(store, second)
    by_stores(is_large)
    assert not Path(rows[first]["sessionFile"]).exists()
    assert restore(store, run_id).rows == [(first, "restored")]
    assert Path(rows[first]["sessionFile"]).exists()


def test_no_more_is_in_memory_than_of_one_agent(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_stores(True)
    found: list[int] = []
    bring_back = Files.bring_back

    def count() -> int:
        gc.collect()
        return sum(isinstance(one, Item) for one in gc.get_objects())

    def counted(self: Files, *arguments: Any) -> None:
        found.append(count())
        bring_back(self, *arguments)

    def restarted(*run: Any) -> Any:
        found.append(count())
        return restart(*run)

    restart = apply.restart_once
    monkeypatch.setattr(Files, "bring_back", counted)
    monkeypatch.setattr(apply, "restart_once", restarted)
    assert restore(store, "last").code == 0
    # One stands for all of an agent, in what is to be done and in what has become of it.
    assert len(found) == AGENTS + 1
    assert max(found) <= 2 * AGENTS


def test_a_receipt_that_is_removed_meanwhile_is_the_one_that_was_read(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_stores(True)
    bring_back = Files.bring_back
    [receipt] = (store.state / "session-closer" / "receipts").iterdir()

    def removed(self: Files, *arguments: Any) -> None:
        receipt.unlink(missing_ok=True)
        bring_back(self, *arguments)

    monkeypatch.setattr(Files, "bring_back", removed)
    answer = restore(store, "last")
    assert (answer.code, answer.data["counts"]) == (0, {"restored": AGENTS * SESSIONS})


@pytest.mark.parametrize("reached", [1, 4, AGENTS])
@pytest.mark.parametrize("error", [errno.EIO, None], ids=["an error", "other bytes"])
def test_what_is_back_is_told_where_the_receipt_cannot_be_read_any_more(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, reached: int, error: int | None
) -> None:
    by_stores(True)
    done: list[str] = []
    bring_back, of = Files.bring_back, Pieces.of

    def failing(self: Pieces, path: str, *place: int) -> bytes:
        if len(done) >= reached and "/receipts/" in path:
            if error is not None:
                raise OSError(error, os.strerror(error), path)
            return of(self, path, *place)[1:]
        return of(self, path, *place)

    def counted(self: Files, *arguments: Any) -> None:
        bring_back(self, *arguments)
        done.append(self.agent)

    with monkeypatch.context() as disk:
        disk.setattr(Files, "bring_back", counted)
        disk.setattr(Pieces, "of", failing)
        answer = restore(store, "last")
    back, left = reached * SESSIONS, (AGENTS - reached) * SESSIONS
    assert answer.data["counts"] == {"restored": back, **({"failed": left} if left else {})}
    assert answer.data["broughtBack"]["count"] == back
    became = {name: "restored" if at < reached else "failed" for at, name in enumerate(NAMES)}
    assert answer.rows
    assert all(status == became[one.split(":")[1]] for one, status in answer.rows)
    # Where all of it is back nothing else is needed.
    assert (answer.code, answer.error) == ((1, "storage") if left else (0, None))
    again = restore(store, "last")
    assert again.data["counts"] == {"already_restored": back, **({"restored": left} if left else {})}


@pytest.mark.parametrize("words", [("--since", "1h"), ("--since", "1h", "--dry-run"), ("--list",)])
def test_no_receipt_stays_open_once_it_has_been_read(
    store: Store, by_stores: Callable[[bool], None], words: tuple[str, ...]
) -> None:
    kept = [key(NAMES[0], 100 + at) for at in range(3)]
    store.write({one: store.session(one, agent=NAMES[0]) for one in kept}, NAMES[0])
    for one in kept:
        close(store, one)
    by_stores(True)
    answer = run_json(RestoreSessions, *words, state=store.state)
    assert answer.code == 0
    assert len(answer.data["receipts" if words == ("--list",) else "runs"]) == 4
    # A command may undo more runs than a process may have files open.
    opened = [each.path for each in psutil.Process().open_files()]
    assert [path for path in opened if path.startswith(str(store.state))] == []


def test_a_receipt_is_read_store_by_store_wherever_its_pieces_end(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_stores(True)
    [path] = (store.state / "session-closer" / "receipts").iterdir()
    [receipt] = store.receipts()
    for size in range(len(stores._BEGINS), 64):
        monkeypatch.setattr(stores, "_PIECE", size)
        found = stores.opened(str(path))
        assert found is not None, size
        assert [one.agent for one in found.stores] == [one["agent"] for one in receipt["stores"]]
        assert [one.agent for one in found.stores[2:4]] == [one["agent"] for one in receipt["stores"][2:4]]
    [listed] = runs.records(str(store.state))
    assert listed.record is not None
    assert not any(one.sessions for one in listed.record.stores)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_receipt_of_somebody_else_is_none_of_ours(store: Store, by_stores: Callable[[bool], None]) -> None:
    [path] = (store.state / "session-closer" / "receipts").iterdir()
    os.chown(path, 12345, -1)
    by_stores(False)
    whole = run(RestoreSessions, "last", state=store.state), run(RestoreSessions, "--list", state=store.state)
    by_stores(True)
    again = run(RestoreSessions, "last", state=store.state), run(RestoreSessions, "--list", state=store.state)
    assert (again, {one.code for one in whole}) == (whole, {3})
    assert "belongs to uid 12345" in whole[0].stderr


def test_a_receipt_of_which_a_part_restores_is_told_as_where_it_is_read_whole(
    store: Store, by_stores: Callable[[bool], None]
) -> None:
    path = edit_receipt(store, lambda found: found["stores"][3].update(restores=True))
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")
    told = []
    for is_large in (False, True):
        by_stores(is_large)
        found = [run(RestoreSessions, *words, state=store.state) for words in (("--list", "--json"), ("last",))]
        told.append([normal(one.stdout + one.stderr) for one in found])
    assert told[0] == told[1]


def structure(text: str) -> list[int]:
    """Return where a receipt has what is no store's: around each of them, and at its end."""
    begins = [found.start() for found in re.finditer(re.escape('{"agent":"'), text)]
    return [
        *range(begins[0] - len('"stores":['), begins[0]),
        *(at - 1 for at in begins[1:]),
        len(text) - 3,
        len(text) - 2,
    ]


def test_no_byte_between_the_stores_of_a_receipt_is_passed_over(
    store: Store, by_stores: Callable[[bool], None]
) -> None:
    path = edit_receipt(store, nothing_else)
    as_written = json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n"
    for at in structure(as_written):
        path.write_text(f"{as_written[:at]};{as_written[at + 1 :]}")
        by_stores(False)
        whole = run(RestoreSessions, "last", "--dry-run", state=store.state)
        by_stores(True)
        assert (run(RestoreSessions, "last", "--dry-run", state=store.state), whole.code) == (whole, 3), at


def nothing_else(_found: dict[str, Any]) -> None:
    """Leave what the receipt says."""


def damaged(found: dict[str, Any]) -> None:
    found["stores"][4]["sessions"][1]["moves"][0]["target"] = "../../else"


def elsewhere(found: dict[str, Any]) -> None:
    found["stores"][5]["roots"]["sessions"] = "/tmp"


def open_still(found: dict[str, Any]) -> None:
    found["state"] = "neither"


def unknown(found: dict[str, Any]) -> None:
    found["stores"][2]["more"] = 1


@pytest.mark.parametrize("change", [damaged, elsewhere, open_still, unknown])
def test_what_is_wrong_with_a_receipt_is_said_as_ever(
    store: Store, by_stores: Callable[[bool], None], change: Callable[[dict[str, Any]], None]
) -> None:
    path = edit_receipt(store, change)
    # As we write it.
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")
    by_stores(False)
    whole = run(RestoreSessions, "last", state=store.state), run(RestoreSessions, path.stem, state=store.state)
    by_stores(True)
    again = run(RestoreSessions, "last", state=store.state), run(RestoreSessions, path.stem, state=store.state)
    assert (again, {one.code for one in whole}) == (whole, {3})


def test_what_stands_behind_the_end_of_a_receipt_is_not_passed_over(
    store: Store, by_stores: Callable[[bool], None]
) -> None:
    path = edit_receipt(store, nothing_else)
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "x")
    by_stores(False)
    whole = run(RestoreSessions, "last", state=store.state)
    by_stores(True)
    assert (run(RestoreSessions, "last", state=store.state), whole.code) == (whole, 3)


def test_no_more_rows_are_made_than_may_be_told(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_stores(True)
    made = []
    outcomes = Returns.outcomes

    def counted(self: Returns, most: int | None = None) -> Any:
        found = outcomes(self, most)
        made.append(len(found[0]))
        return found

    monkeypatch.setattr(Returns, "outcomes", counted)
    assert restore(store, "last").data["counts"] == {"restored": AGENTS * SESSIONS}
    assert made
    assert max(made) == TOLD


def test_a_receipt_that_somebody_has_written_anew_is_read_whole(
    store: Store, by_stores: Callable[[bool], None]
) -> None:
    path = edit_receipt(store, nothing_else)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    by_stores(True)
    assert stores.opened(str(path)) is None
    answer = restore(store, "last")
    assert (answer.code, answer.data["counts"]) == (0, {"restored": AGENTS * SESSIONS})


def test_a_receipt_that_is_larger_than_any_of_ours_is_not_read(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edit_receipt(store, nothing_else)
    os.truncate(path, 1 << 40)
    by_stores(True)
    with monkeypatch.context() as patched:
        patched.setattr(Pieces, "of", lambda *_: pytest.fail("it has a terabyte"))
        assert stores.opened(str(path)) is None
    # It may be the one that is meant, and it may name what an expiry would delete.
    expiry = run_json(CleanupSessions, "--expire-archives", "1h", state=store.state)
    for answer in (restore(store, "last"), restore(store, "--list"), expiry):
        assert (answer.code, answer.data["error"]["name"]) == (3, "unreadable")
        assert answer.data["error"]["message"] == f"{path} cannot be read: is too large"


@pytest.mark.parametrize("change", [nothing, conflicts])
def test_what_nothing_stands_in_the_way_of_is_told_in_short_as_at_length(
    store: Store, by_stores: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, change: Callable[[Store], None]
) -> None:
    by_stores(False)
    change(store)
    words = ("last", "--dry-run", "--json", "--verbose")
    in_short = run(RestoreSessions, *words, state=store.state)
    told = []
    usual = returnable._usual

    def at_length(seen: returnable.Look, one: ChosenSession) -> Item | None:
        told.append(usual(seen, one) is not None)
        return None

    monkeypatch.setattr(returnable, "_usual", at_length)
    assert normal(run(RestoreSessions, *words, state=store.state).stdout) == normal(in_short.stdout)
    assert any(told)
    assert all(told) is (change is nothing)
