"""What we take for so about Hermes is so in the real one: its columns, its names, what it goes on with, checkpoints."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
from session_closer.hermes import indexes, kinds, names, protection
from session_closer.system.clock import REAL

from . import upstream
from .install import NEW, OLD, Hermes, provide
from .lab import Lab
from .picture import histories
from .story import BOSS, CHAT, IS_YOUNG, ONESHOT, OPEN, OVER, Told

pytestmark = pytest.mark.live

SCHEMAS = {OLD: 11, NEW: 22}
# What tells which sessions are in use; of all versions, and of newer ones.
NEEDED = {
    "sessions": {"id", "source", "title", "started_at", "ended_at", "end_reason", "parent_session_id", "handoff_state"},
    "messages": {"session_id", "timestamp"},
}
NEWER = {
    "sessions": {"archived", "cwd", "git_repo_root", "session_key", "chat_id"},
    "gateway_routing": {"entry_json"},
    "compression_locks": {"session_id", "expires_at"},
    "async_delegations": {
        "delegation_id", "parent_session_id", "origin_session", "origin_ui_session_id", "state", "delivery_state",
        "owner_pid", "owner_started_at", "dispatched_at", "updated_at", "completed_at",
    },
}  # fmt: skip
ODD_IDS = ["client@example.com:42", "_lead.ing_", "../../etc/x", "...", "ä ö", " spaced ", "x" * 200, "a.b", "_", "-a-",
           "20200101_101010_abcdef", "cron_5f2b9c_20200101_101010", "7f9c24e8-3b12-4fef-91ea-5a1f4a2c3d4e"]  # fmt: skip


def look(lab: Lab) -> protection.Protection:
    return protection.look(str(lab.home), REAL)


def columns(lab: Lab, table: str) -> set[str]:
    return {name for (name,) in lab.rows("select name from pragma_table_info(?)", table)}


def test_a_database_has_what_tells_which_sessions_are_in_use(told: Told) -> None:
    lab = told.lab
    assert lab.rows("select version from schema_version") == [(SCHEMAS[lab.hermes.version],)]
    assert lab.rows("pragma journal_mode") == [("wal",)]
    for table, needed in NEEDED.items():
        assert needed <= columns(lab, table), table
    for table, newer in NEWER.items():
        assert newer <= columns(lab, table) if lab.hermes.is_new else not newer & columns(lab, table), table


def test_each_session_that_something_holds_is_found_to_be_in_use_and_no_other(told: Told) -> None:
    look_now = look(told.lab)
    try:
        found = {session: look_now.why(session) for session in (*told.kept, *told.free)}
    finally:
        look_now.close()
    # Age is no matter of a database.
    young = {session for session, why in told.kept.items() if why == IS_YOUNG}
    assert {session for session, why in found.items() if why} == {*told.kept} - young


def test_a_file_is_named_after_its_session_which_stands_in_its_head_too(told: Told) -> None:
    for path, session in told.files().items():
        if path in told.kept_paths:
            continue
        named = names.parse(Path(path).name)
        assert named is not None, path
        if "my-copy" not in path:
            # Before 0.18 a name is the id as it is.
            assert named.name == (names.safe(session) if told.lab.hermes.is_new else session)
        if named.kind != kinds.TRANSCRIPT:
            assert names.inside(str(told.lab.home / path)) == {session}
            assert session.encode() in (told.lab.home / path).read_bytes()[:4096]


@pytest.mark.hermes(NEW)
def test_names_are_made_safe_as_hermes_does_it(lab: Lab) -> None:
    (given,) = lab.play(("safe_names", {"ids": ODD_IDS}))
    assert given == [names.safe(session) for session in ODD_IDS]


@pytest.mark.depth(OLD)
def test_a_chat_from_the_command_line_stays_open_for_ever_and_so_does_what_is_resumed(lab: Lab) -> None:
    session = lab.chat("hello")
    assert lab.rows("select ended_at from sessions where id = ?", session) == [(None,)]
    lab.play(("store", {"call": "end_session", "with_": [session, "cli_close"]}))
    assert lab.rows("select end_reason from sessions where id = ?", session) == [("cli_close",)]
    assert lab.chat("hello again", "--resume", session) == session
    assert lab.rows("select ended_at, end_reason from sessions where id = ?", session) == [(None, None)]


@pytest.mark.depth(OLD)
def test_the_gateway_remembers_which_session_a_chat_goes_on_with(told: Told) -> None:
    session = told.ids["chat"]
    index = told.lab.sessions / "sessions.json"
    if told.lab.hermes.is_new:
        entries = [json.loads(entry) for (entry,) in told.lab.rows("select entry_json from gateway_routing")]
        assert session in {entry["session_id"] for entry in entries}
    kept = json.loads(index.read_bytes()).values()
    assert session in {entry["session_id"] for entry in kept if isinstance(entry, dict)}


@pytest.mark.depth(OLD)
def test_the_index_of_the_gateway_may_lie_elsewhere_where_a_file_of_its_own_says_so(lab: Lab) -> None:
    lab.configure(sessions_dir=str(lab.root / "not-there"))
    assert lab.play(("index_folder", {})) == [indexes.sessions_dir(str(lab.home))] == [str(lab.sessions)]
    (lab.home / "gateway.json").write_text(json.dumps({"sessions_dir": str(lab.root / "elsewhere")}))
    assert lab.play(("index_folder", {})) == [indexes.sessions_dir(str(lab.home))] == [str(lab.root / "elsewhere")]


@pytest.mark.hermes(NEW)
@pytest.mark.parametrize(
    ("reason", "again"), [("agent_close", True), ("ws_orphan_reap", True), ("session_reset", False)]
)
def test_the_gateway_opens_a_session_of_a_chat_again_unless_its_end_was_meant(
    lab: Lab, reason: str, again: bool
) -> None:
    (session,) = lab.play(("route", {"chat": CHAT}))
    turn = ("turn", {"session": session, "said": ["hello"], "source": "telegram"})
    lab.play(turn, ("store", {"call": "end_session", "with_": [session, reason]}))
    # Even where no index leads there any more.
    lab.write(("delete from gateway_routing", ()))
    (lab.sessions / "sessions.json").unlink(missing_ok=True)
    (now,) = lab.play(("route", {"chat": CHAT}))
    assert (now == session) is again
    assert lab.rows("select ended_at is null from sessions where id = ?", session) == [(again,)]


@pytest.mark.hermes(NEW)
def test_an_open_session_is_listed_with_a_process_whose_start_we_know_by_the_same_clock(lab: Lab) -> None:
    (held,) = lab.play(("lease", {"session": OPEN}))
    (entry,) = held["listed"]["entries"]
    assert (entry["session_id"], entry["pid"]) == (OPEN, held["pid"])
    # Seconds since 1970, as psutil has them.
    assert abs(entry["process_start_time"] - time.time()) < 600


@pytest.mark.hermes(NEW)
def test_what_is_delegated_says_who_waits_and_which_process_works_by_its_start(lab: Lab) -> None:
    (worked,) = lab.play(("delegate", {"session": BOSS, "goal": "hello"}))
    ((name, *said),) = lab.rows(
        "select delegation_id, parent_session_id, owner_pid, owner_started_at, state from async_delegations"
    )
    assert said == [BOSS, worked["pid"], worked["started"], "completed"]
    assert (lab.home / "cache" / "delegation" / "live" / name).is_dir()


def test_the_checkpoints_of_all_projects_are_in_one_store_by_the_hash_of_their_folder(told: Told) -> None:
    store = told.lab.home / "checkpoints" / "store"
    for name in ("old", "young", "held"):
        folder = told.lab.project(name)
        project = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        facts = json.loads((store / "projects" / f"{project}.json").read_bytes())
        assert facts["workdir"] == str(folder)
        assert isinstance(facts["last_touch"], float)
        assert (store / "indexes" / project).is_file()
        assert told.lab.git("rev-list", "--count", f"refs/hermes/{project}").strip() >= "1"


@pytest.mark.hermes(NEW)
def test_a_newer_hermes_changes_an_older_home_by_looking_at_it(hermes: Hermes, lab: Lab) -> None:
    older = Lab(provide(OLD), lab.root, lab.model)
    older.play(("turn", {"session": OVER, "said": ["hello"]}))
    assert lab.rows("select version from schema_version") == [(SCHEMAS[OLD],)]
    assert lab.command("sessions", "list").returncode == 0
    assert lab.rows("select version from schema_version") == [(SCHEMAS[NEW],)]


@pytest.mark.depth(OLD)
def test_what_a_look_leaves_is_what_sqlite_has_beside_a_database(told: Told) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in told.lab.home.iterdir()}
    look(told.lab).close()
    new = {path.name: path.stat().st_size for path in told.lab.home.iterdir() if path.name not in before}
    assert new in ({}, {"state.db-wal": 0, "state.db-shm": 32_768})
    assert (told.lab.home / "state.db").stat().st_mtime_ns == before["state.db"]


@pytest.mark.hermes(NEW)
def test_the_page_says_what_the_commands_of_hermes_do_on_the_same_home(told: Told) -> None:
    table = upstream.measured(told)
    assert "\n".join(table) in upstream.PAGE.read_text(), "\n".join(table)
    told.anew()
    counted = f"{len(upstream.sessions(told))} sessions, {len(told.stays)} files and folders that something needs"
    assert counted in " ".join(upstream.PAGE.read_text().split())
    assert f" {len(told.goes)} old ones that nobody needs" in upstream.PAGE.read_text()


@pytest.mark.hermes(NEW)
@pytest.mark.parametrize("words", ["sessions delete nosuch --yes", "sessions prune --older-than bogus --yes"])
def test_a_command_of_hermes_that_has_failed_ends_as_if_it_had_not(told: Told, words: str) -> None:
    before = upstream.sessions(told)
    assert told.lab.command(*words.split()).returncode == 0
    assert upstream.sessions(told) == before


@pytest.mark.depth(OLD)
def test_the_history_of_a_project_is_thrown_away_only_by_what_asks_for_it(told: Told) -> None:
    lab = told.lab
    before = histories(lab)
    assert len(before) == 3
    # Git drops folders that are empty, without which it takes the store for no repository.
    lab.git("gc", "--quiet", "--prune=1.hour.ago")
    for name in ("refs/heads", "branches"):
        (lab.home / "checkpoints" / "store" / name).mkdir(parents=True, exist_ok=True)
    assert histories(lab) == before
    path = lab.project("held") / "again.txt"
    call = f"call write_file {json.dumps({'path': str(path), 'content': 'again'})}"
    lab.play(("turn", {"session": ONESHOT, "said": [call], "cwd": str(path.parent), "checkpoints": True}))
    assert sum(map(len, histories(lab).values())) == sum(map(len, before.values())) + 1
