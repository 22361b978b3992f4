"""Runs a command from a plain checkout: a new enough Python, the dependencies, nothing left in the tree.

This file must parse on Python 3.6, so that an old interpreter gets one clear line and not a traceback.
"""

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Packages = list[tuple[str, str, tuple[int, ...], tuple[int, ...]]]

MINIMUM = (3, 11)
NEWER_PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11")
RESTARTED = "SESSION_CLOSER_RESTARTED"
# Where pytest, mypy, ruff and coverage would otherwise write into the tree.
TOOL_CACHES = ("HYPOTHESIS_STORAGE_DIRECTORY", "MYPY_CACHE_DIR", "RUFF_CACHE_DIR", "COVERAGE_FILE")

LIB = os.path.dirname(os.path.realpath(__file__))
LOCK = os.path.join(LIB, "requirements.lock")
NO_LIMIT = (sys.maxsize,)
# What the commands import: name, a file that it must have, first version that serves, first that does not.
PACKAGES = [
    ("plumbum", "plumbum/__init__.py", (2, 0), (3,)),
    ("psutil", "psutil/__init__.py", (6,), NO_LIMIT),
    ("websockets", "websockets/__init__.py", (15,), NO_LIMIT),
    ("json5", "json5/__init__.py", (0, 9), NO_LIMIT),
    ("msgspec", "msgspec/__init__.py", (0, 19), NO_LIMIT),
    ("rich", "rich/__init__.py", (13, 9), NO_LIMIT),
]  # type: Packages
if sys.version_info < (3, 14):
    PACKAGES.append(("backports.zstd", "backports/zstd/__init__.py", (1,), NO_LIMIT))
# By hand they are installed with what they need themselves.
WAYS_OUT = "pip install {}; or install uv or python3-pip and try again; or pip install . in the checkout".format(
    " ".join(package[0] for package in PACKAGES)
)
if sys.version_info < (3, 13):
    PACKAGES.append(("typing_extensions", "typing_extensions.py", (4,), NO_LIMIT))


def run(command: str) -> None:
    """Run `session_closer.cli.commands.<command>` and exit with its code; 69 if it cannot be run here."""
    gc.disable()  # modules that load hold no cycles: looking for some costs a twentieth of a short run
    require_python()
    site = provide(LOCK, PACKAGES)
    if site:
        sys.path.insert(1, site)
    from importlib import import_module

    try:
        verb = import_module("session_closer.cli.commands." + command)
        from session_closer.cli import program

        # What is imported late may not be whole either.
        program.damaged_packages = lambda problem: damage(site, problem)
        code = verb.main()
    except Exception as problem:
        found = damage(site, problem)
        if not found:
            raise
        import unable

        raise unable.failure(*found) from None
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()
    # Freeing every object first would take a sixth of a short run.
    os._exit(code)


def run_tool(lock: str, module: str) -> None:
    """Run a module as `python -m` does, with the packages of `lock` importable, in child processes too."""
    sites = [site for site in (provide(LOCK, PACKAGES), provide(lock, [])) if site]
    sys.path[1:1] = sites
    inherited, environ = os.environ.get("PYTHONPATH"), os.environ
    environ["PYTHONPATH"] = os.pathsep.join([*sites, inherited] if inherited else sites)
    if sys.pycache_prefix:
        environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for variable in TOOL_CACHES:
        environ.setdefault(variable, os.path.join(os.path.dirname(sites[-1]), "tools", variable.lower()))
    import runpy

    runpy.run_module(module, run_name="__main__", alter_sys=True)


def require_python() -> None:
    """Go on in a newer Python from PATH if this one is too old; exit 69 if there is none."""
    environ = os.environ
    restarted = environ.pop(RESTARTED, None)
    if sys.version_info < MINIMUM:
        import unable

        names = [] if restarted else NEWER_PYTHONS
        unable.go_on_in_a_newer_one(MINIMUM, names, dict(environ, **{RESTARTED: "1"}))


def provide(lock: str, packages: "Packages") -> str:
    """Return the directory of the packages of `lock`, filled on first use; "" if none is needed."""
    name = cache_name(lock)
    root = cache_root(name)
    keep_byte_code_out_of_the_tree(root)
    site = os.path.join(root, name)
    if root and is_filled(site, packages):
        return site
    if packages and all(is_importable(*package) for package in packages):
        return ""
    import unable

    if not root:
        raise unable.failure("has no private directory for its dependencies", "set SESSION_CLOSER_CACHE to one")
    import first_run

    try:
        first_run.fill(root, site, lock, lambda: is_filled(site, packages), say=unable.tell, ways_out=WAYS_OUT)
    except first_run.Failed as error:
        raise unable.failure(error.message, error.remedy) from None
    return site


def damage(site: str, problem: Exception) -> "tuple[str, ...]":
    """Return what to say and to do where an error comes from a package in the cache that is not whole, else nothing.

    A power cut can leave files empty, or none at all.
    """
    if not site or not isinstance(problem, (ImportError, SyntaxError, AttributeError)):
        return ()
    import first_run

    reason = first_run.damage(site, problem, [package[0] for package in PACKAGES])
    return (reason.message, reason.remedy) if reason else ()


def cache_name(lock: str) -> str:
    """Return the name of the directory for this lock file, Python, ABI and machine."""
    import zlib

    with open(lock, "rb") as file:
        text = file.read()
    abi = sys.implementation.cache_tag + getattr(sys, "abiflags", "")
    system = getattr(sys.implementation, "_multiarch", sys.platform)
    # It tells versions of the lock apart and guards nothing: zlib costs 0.2 ms of each start, hashlib 3 ms.
    return "{}-{}-{}-{:x}-{:08x}".format(abi, system, os.uname().machine, len(text), zlib.crc32(text))


def cache_root(name: str) -> str:
    """Return the first cache directory of ours that holds or can take `name`, "" if there is none."""
    for path in cache_candidates():
        if is_private(path) and (os.path.isdir(os.path.join(path, name)) or os.access(path, os.W_OK)):
            return path
    return ""


def cache_candidates() -> "Iterator[str]":
    """Yield the directories that may hold the cache, the preferred one first."""
    chosen = os.environ.get("SESSION_CLOSER_CACHE")
    if chosen:
        try:  # noqa: SIM105
            yield os.path.realpath(os.path.expanduser(chosen))
        except FileNotFoundError:
            pass  # it is to be in the folder where this was called, which is gone
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(caches):
        yield os.path.realpath(os.path.join(caches, "session-closer"))
    home = os.path.expanduser("~")
    # Of one who acts for another user HOME can be that user's, who could not use a cache directory that we made there.
    if os.path.isdir(home) and os.stat(home).st_uid == os.getuid():
        caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
        yield os.path.realpath(os.path.join(home, caches, "session-closer"))
    import tempfile

    # Not resolved any further: a link at this place is another user's.
    yield os.path.join(os.path.realpath(tempfile.gettempdir()), "session-closer-{}".format(os.getuid()))


def is_private(path: str) -> bool:
    """Tell whether nobody but us and root can write in the directory; create it so if it is missing."""
    try:
        if not os.path.lexists(path):
            os.makedirs(path, 0o700, exist_ok=True)
    except OSError:
        return False
    return is_ours(path)


def is_ours(path: str) -> bool:
    """Tell whether a directory is ours or root's alone, and nobody else can put another in its place."""
    import stat

    try:
        own, above = os.lstat(path), os.stat(os.path.dirname(path))
    except OSError:
        return False
    replaceable = above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX
    ours = {own.st_uid, above.st_uid} <= {os.getuid(), 0}
    return stat.S_ISDIR(own.st_mode) and ours and not own.st_mode & 0o022 and not replaceable


def keep_byte_code_out_of_the_tree(root: str) -> None:
    """Send byte code to the cache, else nowhere: a skill folder is copied with all that is in it."""
    prefix = os.path.join(root, "pyc")
    if not sys.pycache_prefix and root and is_private(prefix):
        sys.pycache_prefix = prefix
    sys.dont_write_bytecode = not sys.pycache_prefix


def is_filled(site: str, packages: "Packages") -> bool:
    """Tell whether `site` has all its packages: cleaners of temporary folders take some, a power cut empties some."""
    try:
        return is_ours(site) and all(os.stat(os.path.join(site, package[1])).st_size for package in packages)
    except OSError:
        return False


def is_importable(name: str, file: str, lowest: "tuple[int, ...]", too_high: "tuple[int, ...]") -> bool:
    """Tell without importing it whether the package is on the path in a version that serves."""
    import importlib.util

    # Of a name with a dot only the first part: to find the whole of it would import that.
    spec = importlib.util.find_spec(name.split(".", maxsplit=1)[0])
    if spec is None:
        return False
    inside = spec.submodule_search_locations or [spec.origin or ""]
    sites = [site for site in map(os.path.dirname, inside) if is_for_this_python(os.path.join(site, file))]
    for entry in os.listdir(sites[0]) if sites else ():
        stem, kind = os.path.splitext(entry)
        own, _, version = stem.partition("-")
        if kind in (".dist-info", ".egg-info") and own.replace("_", ".") == name.replace("_", "."):
            numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
            return lowest <= numbers < too_high
    return False


def is_for_this_python(path: str) -> bool:
    """Tell whether a module is there and what is compiled beside it in its package, if anything, is for this Python."""
    from importlib.machinery import EXTENSION_SUFFIXES

    if not path.endswith("__init__.py") or not os.path.exists(path):
        return os.path.exists(path)
    compiled = [name.partition(".")[2] for name in os.listdir(os.path.dirname(path)) if name.endswith((".so", ".pyd"))]
    return not compiled or any("." + kind in EXTENSION_SUFFIXES for kind in compiled)


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # until it is known where it may lie
    sys.path.insert(0, LIB)  # of which Python takes no notice where it is told to be safe
    require_python()
    if len(sys.argv) < 5 or sys.argv[1] != "--with" or sys.argv[3] != "-m":
        import unable

        unable.tell("usage: bootstrap.py --with LOCKFILE -m MODULE [ARGUMENT]...")
        sys.exit(2)
    lock_file, sys.argv[:5] = sys.argv[2], [sys.argv[4]]
    run_tool(lock_file, sys.argv[0])
