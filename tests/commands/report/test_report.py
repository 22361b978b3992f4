"""--report FILE.html: one page, private, over nothing, with nothing from elsewhere, whatever sessions are called."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.system import trust
from session_closer.system.disk import Disk
from support.commands import run, run_json
from support.keys import LEAD
from support.leavings import Leavings
from support.stores import Store, picture
from support.terminal import on_terminal

HOSTILE = '</td><script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[2J&amp;'


class Seen(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, its rows, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._body = self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._body = self._body or tag == "tbody"
        if self._body and tag == "tr":
            self.rows.append([])
        if self._body and tag == "td":
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._body = self._body and tag != "tbody"
        self._cell = self._cell and tag != "td"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def elements(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Where a page is to be."""
    return tmp_path / "page.html"


def seen(path: Path) -> Seen:
    return Seen(path.read_text("utf-8"))


def test_a_list_is_a_page_of_all_sessions(store: Store, page: Path) -> None:
    said = run(ListSessions, "--report", str(page), state=store.state)
    assert said.code == 0
    listed = run_json(ListSessions, "--limit", "all", state=store.state).data
    assert said.stdout == f"{listed['totalCount']} sessions\nreport   {page}\n"
    found = seen(page)
    assert [row[-1] for row in found.rows] == [row["key"] for row in listed["sessions"]]
    assert all(heading in found.text for heading in ("By agent", "By kind", "By age", "project-lead"))
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_number_that_no_float_holds_is_on_a_page(store: Store, page: Path) -> None:
    entries = store.entries()
    entries[next(iter(entries))]["totalTokens"] = 10**400
    store.write(entries)
    assert run_json(ListSessions, "--report", str(page), state=store.state).code == 0
    assert f'data-v="{10**400}"' in page.read_text()


def test_a_page_has_as_many_as_are_asked_for(store: Store, page: Path) -> None:
    run(ListSessions, "--limit", "3", "--report", str(page), state=store.state)
    assert len(seen(page).rows) == 3
    assert "3 of them shown" in seen(page).text


def test_a_page_loads_nothing_and_its_policy_forbids_all_else(store: Store, page: Path) -> None:
    run(ListSessions, "--report", str(page), state=store.state)
    text, found = page.read_text("utf-8"), seen(page)
    (policy,) = [tag["content"] for tag in found.elements("meta") if "content-security" in str(tag).lower()]
    assert policy is not None
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert parts[f"{tag}-src"] == f"'sha256-{digest}'"
    names = {name for _, attributes in found.tags for name in attributes}
    assert names.isdisjoint({"src", "href", "style", "action", "srcset"})
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"(https?:)?//|@import|url\(", text)


def test_whatever_a_session_is_called_is_text(store: Store, page: Path) -> None:
    key = LEAD + HOSTILE
    store.add((key, {**store.session("hostile"), "label": HOSTILE, "model": HOSTILE}))
    plain_page = page.with_name("plain.html")
    run(ListSessions, "topics", "--report", str(plain_page), state=store.state)
    run(ListSessions, "--report", str(page), state=store.state)
    found = seen(page)
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in seen(plain_page).tags}
    assert len(found.elements("script")) == 1
    (row,) = [row for row in found.rows if "alert(1)" in row[-1]]
    assert row[-1].startswith(LEAD + "</td><script>alert(1)</script>")
    assert "\u202e" not in page.read_text("utf-8")
    assert "\x1b" not in page.read_text("utf-8")


def test_a_dry_run_shows_what_would_go_and_why_the_rest_stays(store: Store, page: Path) -> None:
    before = picture(store)
    answer = run_json(CloseProjectBatch, "--dry-run", "topics", LEAD + "main", "--report", str(page), state=store.state)
    assert (answer.data["report"], picture(store)) == (str(page), before)
    rows = {row[-1]: row for row in seen(page).rows}
    assert set(rows) == {*store.entries()}
    assert rows[LEAD + "topics"][0] == "would close"
    assert (rows[LEAD + "main"][0], rows[LEAD + "main"][5].split(",")[0]) == ("refused", "main")
    assert (rows[LEAD + "never-spoken"][0], rows[LEAD + "never-spoken"][5]) == ("stays", "not meant")
    assert "1 would go" in seen(page).text


def test_a_cleanup_and_keep_only_have_pages_too(store: Store, page: Path) -> None:
    said = run(CleanupSessions, "--dry-run", "--report", str(page), state=store.state)
    assert said.stdout.splitlines()[-1] == f"report   {page}"
    assert "rules: " in seen(page).text
    other = page.with_name("other.html")
    run_json(KeepOnlySessions, "--rehearse", "topics", "--report", str(other), state=store.state)
    assert "restored exactly; your store was not touched" in seen(other).text


def test_a_home_of_hermes_has_pages_too(tmp_path: Path, page: Path) -> None:
    home = Leavings(tmp_path / "home")
    try:
        paths = home.lay_all()
        plain = home.run(CleanupSessions, "--dry-run")
        answer = home.run(CleanupSessions, "--dry-run", "--report", str(page))
        assert answer.data["results"] == plain.data["results"]
        going = {row[-1] for row in seen(page).rows if row[0] == "would archive"}
        assert going == {str(home.path / one) for one in paths}
        for number, word in enumerate(((), ("--usage",))):
            made = page.with_name(f"{number}.html")
            home.run(ListSessions, *word, "--report", str(made))
            assert seen(made).rows
    finally:
        home.close()


def test_what_takes_the_disk_is_a_page_too(store: Store, page: Path) -> None:
    answer = run_json(ListSessions, "--usage", "--report", str(page), state=store.state)
    assert [(row[1], row[2]) for row in seen(page).rows] == [
        (use["kind"], f"{use['count']:,}") for use in sorted(answer.data["usage"], key=lambda use: -use["bytes"])
    ]


@pytest.mark.parametrize("named", ["there.html", "page.txt", "nowhere/page.html"])
def test_a_page_is_written_over_nothing(store: Store, tmp_path: Path, named: str) -> None:
    (tmp_path / "there.html").write_text("mine")
    for command, words in ((ListSessions, ()), (CloseProject, ("--dry-run", "topics"))):
        answer = run_json(command, *words, "--report", str(tmp_path / named), state=store.state)
        assert (answer.code, answer.error) == (2, "usage")
    assert (tmp_path / "there.html").read_text() == "mine"


def test_a_page_is_written_where_nobody_else_reaches_for_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(page: Path) -> tuple[int, str | None, bool]:
        answer = run_json(ListSessions, "--report", str(page), state=store.state)
        return answer.code, answer.error, page.exists()

    shared = tmp_path / "shared"
    shared.mkdir()
    for mode, ended in ((0o777, (3, "output", False)), (0o1777, (0, None, True))):
        shared.chmod(mode)
        assert listed(shared / "page.html") == ended
    (tmp_path / "theirs").symlink_to(tmp_path)
    monkeypatch.setattr(trust, "foreign_link", lambda path: path)
    assert listed(tmp_path / "theirs" / "page.html") == (3, "output", False)


def test_what_appears_meanwhile_stays(store: Store, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Disk.rename_new

    def late(disk: Disk, source: str, target: str) -> None:
        page.write_text("mine")
        real(disk, source, target)

    monkeypatch.setattr(Disk, "rename_new", late)
    assert run(ListSessions, "--report", str(page), state=store.state).code == 2
    assert (page.read_text(), [path.name for path in page.parent.glob(".page*")]) == ("mine", [])


def test_a_disk_that_is_full_is_said_and_leaves_nothing(
    store: Store, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Disk, "write", full)
    answer = run_json(ListSessions, "--report", str(page), state=store.state)
    assert (answer.code, answer.error) == (1, "storage")
    assert [path for path in page.parent.iterdir() if "page" in path.name] == []


@pytest.mark.parametrize("words", [(), ("--demo", "--dry-run")])
def test_a_page_belongs_to_a_look(store: Store, page: Path, words: tuple[str, ...]) -> None:
    state = None if words else store.state
    answer = run_json(CloseProject, "kelly-dashboard", *words, "--report", str(page), state=state)
    assert (answer.code, answer.error, page.exists()) == (2, "usage", False)
    assert LEAD + "kelly-dashboard" in store.entries()


def test_an_error_writes_no_page(store: Store, page: Path) -> None:
    assert run(ListSessions, "--agent", "nobody", "--report", str(page), state=store.state).code == 1
    assert not page.exists()


@pytest.mark.long
def test_usage_has_bars_on_a_terminal_and_nowhere_else(store: Store) -> None:
    wide = on_terminal("list-sessions", "--usage", state=store.state, width=100).words.splitlines()
    plain = run(ListSessions, "--usage", state=store.state).stdout.splitlines()
    rows = [line for line in wide if "transcript" in line or "index" in line]
    assert rows
    assert all(line.rstrip().endswith(("#", "\u2588")) for line in rows)
    lengths = [line.count("\u2588") + line.count("#") for line in rows]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 20
    assert "\u2588" not in "".join(plain)
    narrow = on_terminal("list-sessions", "--usage", state=store.state, width=40).words
    assert "\u2588" not in narrow


def test_a_page_is_written_where_quiet_has_nothing_to_say(store: Store, page: Path) -> None:
    done = run(CleanupSessions, "--dry-run", "--quiet", "--stale", "hook=1d", "--report", str(page), state=store.state)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert Seen(page.read_text()).rows


def test_the_command_that_takes_more_than_the_limit_does_not_write_the_page_again(store: Store, page: Path) -> None:
    words = ("--max", "1", "--dry-run", "--report", str(page), "kelly-dashboard")
    answer = run_json(CloseProject, *words, state=store.state)
    assert (answer.code, answer.error) == (3, "too_many")
    assert page.exists()
    remedy = answer.data["error"]["remedy"]
    assert "--report" not in remedy
    assert all(word in remedy for word in ("--yes", "--max 1", "--dry-run", "kelly-dashboard"))


@pytest.mark.parametrize("name", ["page.htm", "page", "page.HTML"])
def test_a_page_has_the_ending_that_its_refusal_names(store: Store, tmp_path: Path, name: str) -> None:
    answer = run_json(ListSessions, "--report", str(tmp_path / name), state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    assert "does not end with .html" in answer.data["error"]["message"]
