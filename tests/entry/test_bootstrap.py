"""The scripts of a checkout run anywhere: any Python, home, PATH; first run or not; and leave the tree alone."""

import ast
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from entry.checkout import FIRST_RUN, NEWER, PACKAGES, ROOT, Checkout, no_pip, package_directories, quick_uv
from session_closer.core.report import Report
from session_closer.render.json import envelope
from support.patience import PATIENCE_SECONDS
from support.shares import Share

OLD_PYTHONS = ("python3.10", "python3.9", "python3.8", "python3.7", "python3.6")
# Runs a script in this Python as one that says it is 3.9.
PRETEND_OLD = (
    "import runpy, sys; sys.version_info = (3, 9, 1, 'final', 0); del sys.argv[0]; "
    "sys.path[0] = ''; runpy.run_path(sys.argv[0], run_name='__main__')"
)
# Whoever runs the tests in the background has SIGINT ignored, or SIGHUP, and a child inherits that.
HEED_INTERRUPTS = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@functools.cache
def real_old_pythons() -> tuple[str, ...]:
    """Return the interpreters that are too old and do run, from PATH and from pyenv."""
    candidates = [shutil.which(name) for name in OLD_PYTHONS]
    if shutil.which("pyenv"):
        versions = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        candidates += [str(path) for path in sorted(Path(versions, "versions").glob("3.*/bin/python"))]
    check = ["-c", "import sys; sys.exit(not (3, 6) <= sys.version_info < (3, 11))"]
    return tuple(
        python
        for python in filter(None, candidates)
        if subprocess.run([python, *check], capture_output=True, check=False).returncode == 0
    )


def ends_like_missing_dependency(done: subprocess.CompletedProcess[str], reason: str) -> None:
    *_, last = done.stderr.splitlines()
    document = json.loads(done.stdout)
    assert document == {
        **envelope(Report("close-project"), str, ()), "ok": False, "exitCode": 69, "error": document["error"]
    }  # fmt: skip
    error = document["error"]
    assert (done.returncode, error["code"], error["name"]) == (69, 69, "missing_dependency")
    assert set(error) == {"code", "name", "message", "remedy"}
    assert document["ok"] is False
    assert reason in last
    assert error["message"] in last
    assert error["remedy"] in last
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_first_run_through_links(checkout: Checkout) -> None:
    checkout.keep_its_own_byte_code()
    links = checkout.scratch / "links"
    links.mkdir()
    (links / "tree").symlink_to(checkout.root)
    (links / "relative").symlink_to("tree/bin/close-project")
    link = checkout.path / "close-project"
    link.symlink_to(links / "relative")

    first = checkout.run("sh", "-c", "exec close-project --help <&-")
    assert first.returncode == 0, first.stderr
    assert first.stderr.startswith(FIRST_RUN)
    assert first.stderr.count("\n") == 1
    said = set(first.stderr.replace(",", "").split())
    assert said >= PACKAGES
    # What a newer Python has itself is named only where it is installed.
    for name, limit in NEWER.items():
        assert (name in said or name.replace(".", "-").replace("_", "-") in said) is (sys.version_info < limit)
    [filled] = package_directories(checkout.cache)
    assert str(filled) in first.stderr
    assert {path.name for path in filled.iterdir()} >= PACKAGES
    assert filled.stat().st_mode & 0o077 == 0

    second = checkout.run("close-project", "--help")
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, "")
    assert package_directories(checkout.cache) == [filled]
    assert list(checkout.temp.iterdir()) == []


@pytest.mark.long
def test_first_runs_at_once(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    command = (no_pip(checkout), checkout.root / "bin/close-project", "--help")
    runs = [
        subprocess.Popen(
            command,
            env=checkout.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    outputs = [run.communicate(timeout=PATIENCE_SECONDS) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, outputs
    assert {stdout for stdout, _ in outputs} == {checkout.run(*command).stdout}
    assert all(stderr == "" or stderr.startswith(FIRST_RUN) for _, stderr in outputs)
    assert len(package_directories(checkout.cache)) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "unreachable",
    [
        {"PIP_FIND_LINKS": ""},
        {"PIP_FIND_LINKS": "", "PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"},
    ],
    ids=["no index", "refused"],
)
def test_offline(checkout: Checkout, unreachable: dict[str, str]) -> None:
    done = checkout.run(checkout.root / "bin/close-project", "x", "--json", **unreachable)
    ends_like_missing_dependency(done, "offline?")
    for way_out in ("pip install plumbum ", "uv", "python3-pip", "pip install ."):
        assert way_out in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert package_directories(checkout.cache) == []
    assert list(checkout.temp.iterdir()) == []


@pytest.mark.long
def test_what_could_not_be_installed_is_by_the_next_run(checkout: Checkout) -> None:
    plain = checkout.run(PIP_FIND_LINKS="")
    assert (plain.returncode, plain.stdout) == (69, "")
    assert checkout.run().returncode == 0


def test_a_package_that_is_not_the_one_that_was_locked(checkout: Checkout) -> None:
    forged = checkout.scratch / "forged"
    shutil.copytree(checkout.wheels, forged)
    with next(forged.glob("json5-*")).open("ab") as wheel:
        wheel.write(b"\0")
    done = checkout.run(checkout.root / "bin/close-project", "--json", PIP_FIND_LINKS=str(forged))
    ends_like_missing_dependency(done, "cannot install")
    assert package_directories(checkout.cache) == []


def test_neither_pip_nor_uv(checkout: Checkout) -> None:
    done = checkout.run(no_pip(checkout), checkout.root / "bin/close-project", "--json", PATH=str(checkout.path))
    ends_like_missing_dependency(done, "neither pip nor uv")
    assert package_directories(checkout.cache) == []


@pytest.mark.long
def test_uv_where_pip_is_missing(checkout: Checkout, site: Path) -> None:
    python = no_pip(checkout)
    quick_uv(checkout, site)
    done = checkout.run(python, checkout.root / "bin/close-project", "--help")
    assert done.returncode == 0, done.stderr
    arguments = (checkout.home / "arguments").read_text().split()
    assert arguments[:4] == ["pip", "install", "--python", str(python)]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(arguments)
    assert arguments[-1] == str(checkout.root / "lib/requirements.lock")
    # Beside its final place, on the same file system: only there a rename moves it.
    target = Path(arguments[arguments.index("--target") + 1])
    assert target.parent.parent == checkout.cache


def test_what_another_process_filled_meanwhile_stays(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    command = (no_pip(checkout), checkout.root / "bin/close-project", "--help")
    assert checkout.run(*command).returncode == 0
    [filled] = package_directories(checkout.cache)
    theirs = filled.rename(checkout.scratch / "theirs")
    (theirs / "marker").touch()
    with (checkout.path / "uv").open("a") as script:
        script.write(f'mv "{theirs}" "{filled}"\n')
    done = checkout.run(*command)
    assert done.returncode == 0, done.stderr
    assert (filled / "marker").exists()
    assert package_directories(checkout.cache) == [filled]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_installing(checkout: Checkout, number: int) -> None:
    checkout.put_on_path("uv", 'touch "$HOME/started"; exec sleep 60')
    run = subprocess.Popen(
        [sys.executable, "-c", HEED_INTERRUPTS, no_pip(checkout), checkout.root / "bin/close-project", "--help"],
        env=checkout.environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (checkout.home / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    # From a terminal all of them get it; whoever ends a service or a job may mean it alone.
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    _, stderr = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert package_directories(checkout.cache) == []


def test_leftovers_of_killed_installations(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    old, fresh = checkout.cache / "new-old", checkout.cache / "new-fresh"
    for directory in (old, fresh):
        (directory / "site").mkdir(parents=True)
    os.utime(old, (0, 0))
    checkout.cache.chmod(0o700)
    assert checkout.run(no_pip(checkout), checkout.root / "bin/close-project", "--help").returncode == 0
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.long
def test_packages_lost_from_the_cache_are_fetched_again(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    command = (no_pip(checkout), checkout.root / "bin/close-project", "--help")
    assert checkout.run(*command).returncode == 0
    [filled] = package_directories(checkout.cache)
    (filled / "psutil/__init__.py").unlink()
    again = checkout.run(*command)
    assert again.returncode == 0, again.stderr
    assert again.stderr.startswith(FIRST_RUN)
    assert (filled / "psutil/__init__.py").exists()
    assert package_directories(checkout.cache) == [filled]


@pytest.mark.long
def test_another_lock_file_has_a_directory_of_its_own(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    python = no_pip(checkout)
    assert checkout.run(python, checkout.root / "bin/close-project", "--help").returncode == 0
    other = checkout.scratch / "other"
    shutil.copytree(checkout.root, other)
    with (other / "lib/requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    done = checkout.run(python, other / "bin/close-project", "--help")
    assert done.returncode == 0
    assert done.stderr.startswith(FIRST_RUN)
    assert len(package_directories(checkout.cache)) == 2


@pytest.mark.long
def test_settings_and_files_that_would_mislead_pip(checkout: Checkout) -> None:
    settings = checkout.scratch / "pip.conf"
    settings.write_text("[install]\nuser = true\nrequire-virtualenv = true\n")
    here = checkout.scratch / "here"
    here.mkdir()
    for name in ("pip", "plumbum", "session_closer", "bootstrap", "first_run", "unable"):
        (here / f"{name}.py").write_text("raise SystemExit(55)\n")
    elsewhere = str(checkout.scratch / "elsewhere")
    done = checkout.run(
        cwd=here,
        PIP_CONFIG_FILE=str(settings),
        PIP_USER="1",
        PIP_REQUIRE_VIRTUALENV="1",
        PIP_TARGET=elsewhere,
        PIP_PREFIX=elsewhere,
        PIP_ROOT=elsewhere,
        PIP_DRY_RUN="1",
        PIP_PYTHON="/nonexistent",
        PIP_CONSTRAINT="/nonexistent",
    )
    assert done.returncode == 0, done.stderr
    assert not os.path.lexists(elsewhere)
    assert not (checkout.home / ".local").exists()


def test_byte_code_is_kept_outside_the_tree(checkout: Checkout, site: Path) -> None:
    checkout.keep_its_own_byte_code()
    done = checkout.run(PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    kept = checkout.cache.joinpath("pyc", *checkout.root.resolve().parts[1:], "lib/session_closer")
    assert [path.name for path in kept.glob("__init__.*.pyc")]


@pytest.mark.long
def test_the_cache_can_be_named(checkout: Checkout, site: Path) -> None:
    checkout.keep_its_own_byte_code()
    named = checkout.scratch / "named"
    xdg = checkout.scratch / "xdg"
    checkout.run(PYTHONPATH=str(site), SESSION_CLOSER_CACHE=str(named), XDG_CACHE_HOME=str(xdg))
    assert [path.name for path in named.iterdir()] == ["pyc"]
    assert named.stat().st_mode & 0o077 == 0
    checkout.run(PYTHONPATH=str(site), XDG_CACHE_HOME=str(xdg))
    assert [path.name for path in xdg.joinpath("session-closer").iterdir()] == ["pyc"]
    assert list(checkout.home.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_cache_that_others_can_write_is_not_used(checkout: Checkout, site: Path, mode: int) -> None:
    checkout.keep_its_own_byte_code()
    named = checkout.scratch / "named"
    named.mkdir()
    named.chmod(mode)
    done = checkout.run(PYTHONPATH=str(site), SESSION_CLOSER_CACHE=str(named))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(named.iterdir()) == []
    assert checkout.cache.joinpath("pyc").is_dir()


def test_byte_code_that_others_can_write_is_not_used(checkout: Checkout, site: Path) -> None:
    checkout.keep_its_own_byte_code()
    shared = checkout.cache / "pyc"
    shared.mkdir(parents=True)
    checkout.cache.chmod(0o755)
    shared.chmod(0o777)
    assert checkout.run(PYTHONPATH=str(site)).returncode == 0
    assert list(shared.iterdir()) == []


@pytest.mark.long
def test_no_home(checkout: Checkout) -> None:
    done = checkout.run(HOME=str(checkout.scratch / "missing"))
    assert done.returncode == 0, done.stderr
    fallback = checkout.temp / f"session-closer-{os.getuid()}"
    assert len(package_directories(fallback)) == 1
    assert fallback.stat().st_mode & 0o777 == 0o700
    assert not (checkout.scratch / "missing").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a home of another user")
def test_the_home_of_another_user(checkout: Checkout, site: Path) -> None:
    checkout.keep_its_own_byte_code()
    os.chown(checkout.home, 12345, 12345)
    assert checkout.run(PYTHONPATH=str(site)).returncode == 0
    assert list(checkout.home.iterdir()) == []
    assert (checkout.temp / f"session-closer-{os.getuid()}/pyc").is_dir()


def test_a_link_in_the_temporary_directory_is_not_followed(checkout: Checkout, site: Path) -> None:
    checkout.keep_its_own_byte_code()
    target = checkout.scratch / "target"
    target.mkdir(mode=0o700)
    (checkout.temp / f"session-closer-{os.getuid()}").symlink_to(target)
    missing = str(checkout.scratch / "missing")
    assert checkout.run(PYTHONPATH=str(site), HOME=missing).returncode == 0
    done = checkout.run(checkout.root / "bin/close-project", "--json", HOME=missing)
    ends_like_missing_dependency(done, "no private directory")
    assert list(target.iterdir()) == []


def test_start_up_imports_nothing_slow(checkout: Checkout, site: Path) -> None:
    quick_uv(checkout, site)
    python = no_pip(checkout)
    assert checkout.run(python, checkout.root / "bin/close-project", "--help").returncode == 0
    lib = checkout.root / "lib"
    code = (
        f"import os, sys; before = set(sys.modules); sys.dont_write_bytecode = True; sys.path.insert(0, {str(lib)!r}); "
        "import bootstrap; assert bootstrap.provide(bootstrap.LOCK, bootstrap.PACKAGES); "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = checkout.run(python, "-I", "-S", "-c", code)
    assert done.returncode == 0, done.stderr
    # gc is part of the interpreter.
    assert set(done.stdout.split()) <= {"bootstrap", "gc", "zlib"}


class TestOldPython:
    """An interpreter that is too old hands over to a newer one, or says so in one line."""

    @pytest.fixture(params=["simulated", "real"])
    def old(self, request: pytest.FixtureRequest, checkout: Checkout) -> list[list[str]]:
        if request.param == "simulated":
            return [[sys.executable, "-c", PRETEND_OLD]]
        found = [[python] for python in real_old_pythons()]
        if not found:
            pytest.skip("no Python older than 3.11 runs here")
        return found

    @pytest.mark.long
    def test_nothing_newer(self, checkout: Checkout, old: list[list[str]]) -> None:
        checkout.put_on_path("python3.12", "echo shim: not installed >&2; exit 127")
        for python in old:
            done = checkout.run(*python, checkout.root / "bin/close-project", "--json", PATH=str(checkout.path))
            ends_like_missing_dependency(done, "needs Python 3.11 or newer, this is 3.")
            assert done.stderr.count("\n") == 1

    @pytest.mark.long
    def test_newer_behind_a_broken_shim(
        self, checkout: Checkout, site: Path, old: list[list[str]], some: Share
    ) -> None:
        checkout.put_on_path("python3.14", "echo shim: not installed >&2; exit 127")
        checkout.put_on_path("python3.11", f'exec "{sys.executable}" "$@"')
        for python in some(old, len(old)):
            script = checkout.root / "bin/close-project"
            path = str(checkout.path)
            done = checkout.run(*python, script, "--help", PATH=path, PYTHONPATH=str(site))
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == checkout.run(PYTHONPATH=str(site)).stdout

    def test_a_newer_one_that_is_none(self, checkout: Checkout, old: list[list[str]], some: Share) -> None:
        for python in some(old, len(old)):
            command = f"""exec "{python[0]}" {'-c "$PRETEND"' if python[1:] else ""} "$@" """
            checkout.put_on_path("python3.14", f'[ "$1" = -c ] && exit 0; {command}')
            script = checkout.root / "bin/close-project"
            path = str(checkout.path)
            done = checkout.run(*python, script, "--json", PATH=path, PRETEND=PRETEND_OLD)
            ends_like_missing_dependency(done, "needs Python 3.11 or newer")

    @pytest.mark.parametrize("name", ["bootstrap.py", "unable.py"])
    def test_it_can_read_the_file(self, name: str) -> None:
        """A newer grammar would be a traceback; Python is asked about 3.7, the oldest that it still knows."""
        text = (ROOT / "lib" / name).read_text()
        assert ast.parse(text, feature_version=(3, 7)).body
        with pytest.raises(SyntaxError):
            ast.parse(text + "if (found := 1):\n    pass\n", feature_version=(3, 7))


class TestTools:
    """`bootstrap.py --with LOCKFILE -m MODULE` runs a tool with more packages."""

    def test_packages_reach_child_processes(self, checkout: Checkout, site: Path) -> None:
        checkout.keep_its_own_byte_code()
        quick_uv(checkout, site)
        lock = checkout.scratch / "tools.lock"
        lock.write_text("json5==0 --hash=sha256:0\n")
        child = "import json5, plumbum, os; print(json5.__file__, os.environ['PYTHONPYCACHEPREFIX'])"
        code = f"import subprocess, sys; subprocess.check_call([sys.executable, '-c', {child!r}])"
        bootstrap = checkout.root / "lib/bootstrap.py"
        argv = (no_pip(checkout), bootstrap, "--with", lock, "-m", "timeit", "-n1", "-r1", code)
        done = checkout.run(*argv, PYTHONDONTWRITEBYTECODE="1")
        assert done.returncode == 0, done.stderr
        assert len(package_directories(checkout.cache)) == 2
        assert done.stdout.startswith(str(checkout.cache))
        assert f"{checkout.cache}/pyc" in done.stdout

    def test_usage(self, checkout: Checkout) -> None:
        done = checkout.run(sys.executable, checkout.root / "lib/bootstrap.py", "-m", "timeit")
        assert (done.returncode, done.stdout) == (2, "")
        assert "--with LOCKFILE -m MODULE" in done.stderr

    @pytest.mark.parametrize(("pretend", "code"), [((), 2), (("-c", PRETEND_OLD), 69)], ids=["usage", "too old"])
    def test_nothing_is_left_in_the_tree(self, checkout: Checkout, pretend: tuple[str, ...], code: int) -> None:
        checkout.keep_its_own_byte_code()
        before = sorted(checkout.root.rglob("*"))
        script = checkout.root / "lib/bootstrap.py"
        done = checkout.run(sys.executable, *pretend, script, "-m", "timeit", PATH=str(checkout.path))
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert sorted(checkout.root.rglob("*")) == before

    def test_it_finds_its_own_where_python_looks_at_no_folder_of_the_caller(self, checkout: Checkout) -> None:
        done = checkout.run(sys.executable, "-P", checkout.root / "lib/bootstrap.py", "-m", "timeit")
        assert (done.returncode, "--with LOCKFILE -m MODULE" in done.stderr) == (2, True)


# A power cut


@pytest.mark.long
@pytest.mark.parametrize(("name", "left"), [("psutil/__init__.py", b""), ("json5/__init__.py", None)])
def test_a_package_whose_first_file_is_empty_or_missing_is_installed_anew(
    checkout: Checkout, site: Path, name: str, left: bytes | None
) -> None:
    filled = checkout.fill_cache(site)
    assert checkout.run().stderr == ""
    damage(filled / name, left)
    again = checkout.run()
    assert (again.returncode, again.stderr.startswith(FIRST_RUN)) == (0, True)
    assert (filled / name).stat().st_size > 0
    assert checkout.run().stderr == ""


DAMAGED = ("plumbum/cli/application.py", "msgspec/json.py", "json5/lib.py", "json5/parser.py")


@pytest.mark.parametrize(
    ("name", "left"),
    [
        pytest.param(name, left, marks=[] if left == b"" or name == "json5/lib.py" else [pytest.mark.depth])
        for name in DAMAGED
        for left in (b"", None, b"\0" * 4096)
    ],
)
def test_a_package_that_is_not_whole_is_one_line_and_names_the_folder_to_remove(
    checkout: Checkout, site: Path, name: str, left: bytes | None
) -> None:
    filled = checkout.fill_cache(site)
    state = checkout.scratch / "state"
    state.mkdir()
    (state / "openclaw.json").write_text("{gateway: {port: 9}, session: {store: '/nowhere/{agentId}.json'}}")
    words = [checkout.root / "bin/close-project", "alpha", "--state-dir", state, "--agent", "a"]
    damage(filled / name, left)
    done = checkout.run(*words, "--json")
    ends_like_missing_dependency(done, "are not whole")
    assert f"rm -r {filled}" in done.stderr
    assert done.stderr.count("\n") == 1


def damage(path: Path, left: bytes | None) -> None:
    """Leave of a file what a power cut does: nothing, or bytes that are none."""
    path.unlink()
    if left is not None:
        path.write_bytes(left)


def test_the_packages_are_on_the_disk_before_their_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import first_run

    synced: list[str] = []
    named: list[list[str]] = []
    rename = os.rename

    def install(_lock: str, target: str, _work: str) -> str:
        for name in ("one/__init__.py", "one/two/three.py", "four.py"):
            Path(target, name).parent.mkdir(parents=True, exist_ok=True)
            Path(target, name).write_text("1\n")

    def note_name(source: str, target: str) -> None:
        named.append(list(synced))
        rename(source, target)

    def by_inode() -> dict[int, str]:
        return {path.lstat().st_ino: path.name for path in tmp_path.rglob("*")} | {tmp_path.lstat().st_ino: "root"}

    monkeypatch.setattr(first_run, "install", install)
    monkeypatch.setattr(os, "rename", note_name)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(by_inode()[os.fstat(descriptor).st_ino]))
    lock = ROOT / "lib/requirements.lock"
    said: list[str] = []
    first_run.fill(str(tmp_path), str(tmp_path / "filled"), str(lock), lambda: False, say=said.append, ways_out="")
    (before,) = named
    assert sorted(before) == sorted(["__init__.py", "three.py", "four.py", "two", "one", "site"])
    assert before.index("__init__.py") < before.index("one") < before.index("site")
    assert synced[len(before) :] == ["root"]


def test_a_full_cache_is_said_to_be_full(checkout: Checkout) -> None:
    checkout.put_on_path("uv", "echo 'error: x: No space left on device (os error 28)' >&2; exit 1")
    done = checkout.run(no_pip(checkout), checkout.root / "bin/close-project", "--json", PATH=str(checkout.path))
    ends_like_missing_dependency(done, "No space left on device")
    assert "offline" not in done.stderr
    assert json.loads(done.stdout)["error"]["remedy"] == "make room there, or set SESSION_CLOSER_CACHE"


def test_a_cache_below_a_folder_that_is_gone_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bootstrap

    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("SESSION_CLOSER_CACHE", "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert next(iter(bootstrap.cache_candidates())) == os.path.realpath(tmp_path / "session-closer")
