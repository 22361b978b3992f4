"""A session whose worktree holds files that only it has stays; what git keeps comes back as it was."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.openclaw.attached import modes, worktrees
from support.commands import Answer, close, undo
from support.gateway import StubGateway
from support.keys import LEAD
from support.shared import add_worktree, shared
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store
from support.trees import write

TREE = LEAD + "with-tree"
SUBAGENT = LEAD + "subagent:7f3a"


def git(folder: Path, *words: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, env=environ, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with a file that git knows, one that it would take, and rules for what it ignores."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.log\n.env\nbuilt/\n")
    (folder / "known.txt").write_text("known")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    (folder / "fresh.txt").write_text("fresh")
    return folder


@pytest.fixture
def bases(tmp_path: Path, tree: Path, stub: StubGateway) -> Bases:
    """Databases in which one session has a worktree."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    made.add(TREE, worktree={"id": "tree-1", "branch": "openclaw/one"})
    add_worktree(made.store.state, "tree-1", tree, ".env")
    stub.serve(made.store.state, TOKEN)
    return made


def the_row(answer: Answer, key: str = TREE) -> dict[str, Any]:
    (row,) = (row for row in answer.data["results"] if row["key"] == key)
    return dict(row)


def effect(row: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in row["effects"] if one["kind"] == "worktree")
    return dict(found)


def is_archived(bases: Bases) -> bool:
    return bases.rows()[TREE]["archived_at"] is not None


def test_what_git_has_or_takes_is_no_obstacle_and_the_worktree_is_named(bases: Bases, tree: Path) -> None:
    for words in (["--dry-run"], []):
        answer = close(bases, *words, "with-tree")
        assert answer.code == 0
        named = effect(the_row(answer))
        assert (named["id"], named["name"], named["action"], named["undo"]) == ("tree-1", str(tree), "removed", "again")
        assert "30 days" in named["note"]
    assert is_archived(bases)


@pytest.mark.parametrize("words", [[], ["--delete"], ["--force"], ["--dry-run"]], ids=" ".join)
def test_a_session_whose_worktree_holds_ignored_files_is_refused(bases: Bases, tree: Path, words: list[str]) -> None:
    (tree / "run.log").write_text("x" * 3000)
    (tree / "built").mkdir()
    (tree / "built" / "a.bin").write_text("b" * 96)
    answer = close(bases, *words, "with-tree", "alpha")
    row = the_row(answer)
    assert (answer.code, row["status"], row["reason"]) == (1, "refused", "worktree")
    for part in ("2 files", "3.0K", "run.log", "built/a.bin", str(tree), "--lose-ignored"):
        assert part in row["error"]
    assert not is_archived(bases)
    assert the_row(answer, LEAD + "alpha")["ok"]
    assert close(bases, "with-tree").code == 3


def test_what_openclaw_has_put_there_it_keeps_itself(bases: Bases, tree: Path) -> None:
    (tree / ".env").write_text("SECRET=1")
    assert close(bases, "with-tree").code == 0


def test_keep_only_leaves_it_and_closes_the_rest(bases: Bases, tree: Path) -> None:
    (tree / "run.log").write_text("x")
    answer = close(bases, "beta", command=KeepOnlySessions)
    assert (answer.code, the_row(answer)["reason"]) == (1, "worktree")
    assert the_row(answer, LEAD + "alpha")["ok"]
    assert not is_archived(bases)


def test_a_cleanup_keeps_it_counts_it_and_says_why(bases: Bases, tree: Path) -> None:
    bases.add(SUBAGENT, worktree={"id": "tree-1"})
    (tree / "run.log").write_text("x")
    words = ("--agent", "project-lead", "--stale", "subagent=1h")
    answer = close(bases, *words, command=CleanupSessions)
    assert answer.code == 0
    (store,) = answer.data["stores"]
    assert store["spared"]["worktree"] == 1
    assert SUBAGENT not in [row["key"] for row in answer.data["results"]]
    assert any("run.log" in warning for warning in answer.data["warnings"])
    (tree / "run.log").unlink()
    assert the_row(close(bases, *words, command=CleanupSessions), SUBAGENT)["ok"]


@pytest.mark.parametrize("how", ["another's", "a file", "no repository", "no git", "slow"])
def test_what_cannot_be_told_is_refused_too(
    bases: Bases, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "another's":
        monkeypatch.setattr(worktrees.trust, "is_trusted", lambda _: False)
    elif how == "a file":
        tree.rename(tmp_path / "away")
        tree.write_text("")
    elif how == "no repository":
        (tree / ".git").rename(tmp_path / "away")
    elif how == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        (tmp_path / "slow").mkdir()
        write(tmp_path / "slow" / "git", "#!/bin/sh\nexec sleep 60\n", mode=0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'slow'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(worktrees, "_GIT_SECONDS", 0.1)
    answer = close(bases, "with-tree")
    assert (answer.code, the_row(answer)["reason"]) == (3, "worktree")
    assert "cannot be told" in the_row(answer)["error"]
    assert not is_archived(bases)


def test_files_that_no_snapshot_keeps_are_named_and_the_undo_says_that_they_are_gone(bases: Bases, tree: Path) -> None:
    (tree / "one.log").write_text("x")
    (tree / "two.log").write_text("x")
    for words in (["--dry-run"], []):
        answer = close(bases, *words, "--lose-ignored", "with-tree")
        (lost,) = (one for one in the_row(answer)["effects"] if one["kind"] == "ignored-file")
        assert (lost["count"], lost["action"], lost["undo"]) == (2, "removed", "none")
        assert "one.log" in lost["note"]
        assert "gone for good" in lost["note"]
    assert is_archived(bases)
    back = the_row(undo(bases, answer))
    assert back["status"] == "restored"
    (left,) = back["notRestored"]
    assert (left["kind"], left["count"]) == ("ignored-file", 2)
    assert "git ignores" in left["why"]


def test_a_worktree_that_is_gone_or_unknown_holds_nothing(bases: Bases, tree: Path) -> None:
    (tree / "run.log").write_text("x")
    with shared(bases.store.state) as connection:
        connection.execute("update worktrees set removed_at = 1")
    answer = close(bases, "with-tree")
    assert answer.code == 0
    assert not [one for one in the_row(answer)["effects"] if one["kind"] == "worktree"]


def test_no_program_that_a_worktree_names_is_run(bases: Bases, tree: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {proof}\n")
    program.chmod(0o700)
    hooks = tree / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "fsmonitor-watchman"):
        (hooks / hook).write_text(program.read_text())
        (hooks / hook).chmod(0o700)
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.external", "core.pager"):
        git(tree, "config", name, str(program))
    (tree / ".gitattributes").write_text("* filter=evil\n")
    (tree / "known.txt").write_text("else")
    (tree / "run.log").write_text("x")
    assert the_row(close(bases, "with-tree"))["reason"] == "worktree"
    assert close(bases, "--lose-ignored", "with-tree").code == 0
    assert not proof.exists()


def test_an_environment_for_another_repository_is_not_passed_on(
    bases: Bases, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    (tree / "run.log").write_text("x")
    assert "run.log" in the_row(close(bases, "with-tree"))["error"]


def test_the_receipt_has_the_modes_that_git_does_not_keep(bases: Bases, tree: Path) -> None:
    (tree / "known.txt").chmod(0o600)
    (tree / "private").mkdir()
    (tree / "private").chmod(0o700)
    (tree / "private" / "key").write_text("key")
    (tree / "private" / "key").chmod(0o400)
    answer = close(bases, "with-tree")
    (store,) = json.loads(Path(str(answer.data["receipt"])).read_text())["stores"]
    (session,) = store["sessions"]
    assert {one["path"]: oct(one["mode"]) for one in session["modes"]} == {
        "known.txt": "0o600",
        "private": "0o700",
        "private/key": "0o400",
    }


@pytest.fixture
def private(tree: Path) -> dict[str, int]:
    """Files and folders in the worktree whose modes git does not keep."""
    (tree / "private").mkdir()
    (tree / "private" / "key").write_text("key")
    found = {"known.txt": 0o600, "private/key": 0o400, "private": 0o500}
    for name, mode in found.items():
        (tree / name).chmod(mode)
    return found


def made_anew(tree: Path, names: dict[str, int]) -> None:
    """Leave the modes that a checkout makes."""
    for name in reversed(names):
        (tree / name).chmod(0o755 if (tree / name).is_dir() else 0o644)


def modes_of(tree: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: stat.S_IMODE((tree / name).lstat().st_mode) for name in names}


def test_the_undo_puts_modes_right_that_a_checkout_has_made(bases: Bases, tree: Path, private: dict[str, int]) -> None:
    answer = close(bases, "with-tree")
    made_anew(tree, private)
    back = undo(bases, answer)
    assert (back.code, the_row(back)["status"]) == (0, "restored")
    assert modes_of(tree, private) == private
    assert "notRestored" not in the_row(back)


def test_a_link_or_a_second_name_in_the_place_of_a_file_is_not_followed(
    bases: Bases, tree: Path, private: dict[str, int], tmp_path: Path
) -> None:
    answer = close(bases, "with-tree")
    made_anew(tree, private)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("theirs")
    (outside / "known").write_text("theirs")
    before = modes_of(outside, ["key", "known"])
    (tree / "private").rename(tmp_path / "away")
    (tree / "private").symlink_to(outside)
    (tree / "known.txt").unlink()
    (tree / "known.txt").hardlink_to(outside / "known")
    back = undo(bases, answer)
    assert the_row(back)["status"] == "restored"
    assert modes_of(outside, ["key", "known"]) == before
    (left,) = the_row(back)["notRestored"]
    assert (left["kind"], left["count"]) == ("file-mode", 3)
    assert "known.txt" in left["why"]


def test_what_a_killed_undo_has_left_is_put_right_by_the_next_run(
    bases: Bases, tree: Path, private: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = close(bases, "with-tree")
    made_anew(tree, private)

    def killed(*_: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(modes, "put_right", killed)
        with pytest.raises(SystemExit):
            undo(bases, answer)
    close(bases, "nobody", "--missing-ok")
    assert modes_of(tree, private) == private


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_receipt_that_points_out_of_the_worktree_is_damaged(
    bases: Bases, tree: Path, private: dict[str, int], path: str
) -> None:
    answer = close(bases, "with-tree")
    receipt = Path(str(answer.data["receipt"]))
    found = json.loads(receipt.read_text())
    found["stores"][0]["sessions"][0]["modes"][0]["path"] = path
    write(receipt, json.dumps(found))
    assert undo(bases, answer).code == 3
    assert is_archived(bases)


@pytest.mark.parametrize("named", ["elsewhere", "in a container"])
def test_a_worktree_of_a_gateway_that_was_named_is_looked_for_where_it_is_here(
    bases: Bases, tree: Path, stub: StubGateway, tmp_path: Path, named: str
) -> None:
    """What cannot be seen from here may hold anything; what lies in the state directory is seen by its name here."""
    theirs = Path("/home/node/state")
    inside = bases.store.state / "worktrees"
    tree.rename(inside)
    with shared(bases.store.state) as connection:
        path = theirs / "worktrees" if named == "in a container" else Path("/home/node/worktrees")
        connection.execute("update worktrees set path = ?", (str(path),))
    (inside / "run.log").write_text("x")
    token = tmp_path / "token"
    write(token, TOKEN)
    stub.tell(hello=str(theirs))
    place = ("--url", f"ws://127.0.0.1:{stub.port}", "--token-file", str(token), "--gateway-state-dir", str(theirs))
    row = the_row(close(bases, *place, "with-tree"))
    assert row["reason"] == "worktree"
    assert ("run.log" if named == "in a container" else "cannot be told") in row["error"]


def test_of_too_many_modes_the_private_ones_are_kept(bases: Bases, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / ".gitignore").chmod(0o666)
    (tree / "known.txt").chmod(0o600)
    monkeypatch.setattr(worktrees, "_MOST_MODES", 1)
    answer = close(bases, "with-tree")
    (store,) = json.loads(Path(str(answer.data["receipt"])).read_text())["stores"]
    assert store["sessions"][0]["modes"] == [{"path": "known.txt", "mode": 0o600}]
