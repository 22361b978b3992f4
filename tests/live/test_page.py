"""A page in a real Chromium: no error, no request, sorted and searched, and nothing that a label says is run."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run
from support.keys import LEAD
from support.stores import Store, build
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.live

HOSTILE = "</td><script>window.hit=1</script><img src=http://127.0.0.1:9/x onerror=window.hit=2>"
_SECONDS = 60.0
_PNG = b"\x89PNG\r\n"


class Browser:
    """A tab of a browser, driven over its own protocol; `events` is all that it has told."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method; return its result."""
        self._number += 1
        self._link.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._link.recv(timeout=_SECONDS))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return dict(told["result"])
            self.events.append(told)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + _SECONDS
        while self.value("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def value(self, script: str) -> Any:
        """Return what a script comes to."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Return what went to the console, exceptions included."""
        named = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event for event in self.events if event["method"] in named]

    def requests(self) -> list[str]:
        """Return what was asked for."""
        asked = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in asked]

    def refused(self) -> list[str]:
        """Return why what was asked for was not."""
        failed = [event for event in self.events if event["method"] == "Network.loadingFailed"]
        return [event["params"].get("blockedReason", "") for event in failed]

    def picture(self, scheme: str) -> bytes:
        """Return what it looks like, light or dark, as a PNG."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A Chromium of this test's own, of Debian's package; where there is none the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on PATH: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        words += ["--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={place}", "--window-size=1280,1000"]
        environ = {**os.environ, "HOME": place}
        process = subprocess.Popen(
            [program, *words, "about:blank"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with connect(_tab(Path(place), process), max_size=None) as link:
                yield Browser(link)
        finally:
            process.kill()
            process.wait()


def _tab(place: Path, process: subprocess.Popen[bytes]) -> str:
    """Return the address of the one tab, once the browser has opened its port."""
    import urllib.request

    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "chromium has ended"
        told = place / "DevToolsActivePort"
        lines = told.read_text().split() if told.exists() else []
        if len(lines) == 2:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError("chromium opens no port")


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    """The sample store, with a session that is called what a page must not obey."""
    made = build(tmp_path / "state", closed_port)
    made.add((LEAD + HOSTILE, {**made.session("hostile"), "label": HOSTILE, "model": HOSTILE}))
    return made


KEYS = "[...document.querySelectorAll('#t tbody tr')].filter(row => !row.hidden).map(row => row.lastChild.textContent)"


def test_a_list_is_sorted_and_searched_and_no_label_is_run(browser: Browser, store: Store, tmp_path: Path) -> None:
    page = tmp_path / "list.html"
    assert run(ListSessions, "--report", str(page), state=store.state).code == 0
    browser.open(page)
    keys = browser.value(KEYS)
    assert len(keys) > 5
    last = "[...document.querySelectorAll('#t th button')].at(-1).click()"
    browser.value(last)
    up = browser.value(KEYS)
    assert up == browser.value(f"{KEYS}.sort((a, b) => a.localeCompare(b, 'en'))")
    browser.value(last)
    assert browser.value(KEYS) == up[::-1]
    sizes = "[...document.querySelectorAll('#t tbody tr')].map(row => Number(row.cells[3].dataset.v ?? -1))"
    browser.value("document.querySelectorAll('#t th button')[3].click()")
    found = browser.value(sizes)
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]
    browser.value("q.value = 'KELLY dash'; q.dispatchEvent(new Event('input'))")
    assert {key for key in keys if "kelly" in key and "dash" in key} == set(browser.value(KEYS))
    assert browser.value("n.textContent") == f"{len(browser.value(KEYS))} of {len(keys)}"
    assert browser.value("window.hit === undefined && document.images.length === 0")
    assert browser.value("document.scripts.length") == 1
    assert (browser.complaints(), browser.requests()) == ([], [page.as_uri()])


def test_what_a_script_of_a_label_could_do_is_forbidden_all_the_same(
    browser: Browser, store: Store, tmp_path: Path
) -> None:
    page = tmp_path / "list.html"
    run(ListSessions, "--report", str(page), state=store.state)
    browser.open(page)
    browser.value(
        "const one = document.createElement('script'); one.textContent = 'window.hit = 3'; document.body.append(one);"
        "const two = new Image(); two.src = 'http://127.0.0.1:9/x'; document.body.append(two)"
    )
    deadline = time.monotonic() + _SECONDS
    while not browser.refused() and time.monotonic() < deadline:
        browser.value("document.body.offsetHeight")
    assert browser.refused() == ["csp"]
    assert browser.value("window.hit === undefined")


def test_a_plan_is_seen_in_light_and_dark_and_on_paper(browser: Browser, store: Store, tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    assert run(CloseProjectBatch, "--dry-run", "kelly-dashboard", "--report", str(page), state=store.state).code == 0
    browser.open(page)
    light, dark = browser.picture("light"), browser.picture("dark")
    assert light.startswith(_PNG)
    assert dark.startswith(_PNG)
    assert light != dark
    assert browser.value("document.querySelectorAll('#t tr.goes').length") > 0
    widths = "[...document.querySelectorAll('rect.goes')].map(one => one.getBoundingClientRect().width)"
    assert max(browser.value(widths)) > 10
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    paper = base64.b64decode(browser.call("Page.printToPDF")["data"])
    assert paper.startswith(b"%PDF-")
    assert (browser.complaints(), browser.requests()) == ([], [page.as_uri()])
