"""`openclaw.json` as OpenClaw reads it: includes, variables, references to secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core.errors import Refused
from session_closer.openclaw import config, home
from support.patience import it_ends


def written(folder: Path, **parts: Any) -> str:
    """Write `name.json` for each part; return the path of the first."""
    for name, part in parts.items():
        text = part if isinstance(part, str) else json.dumps(part)
        (folder / f"{name}.json").write_text(text)
    return str(folder / f"{next(iter(parts))}.json")


def load(folder: Path, environ: dict[str, str] | None = None, **parts: Any) -> dict[str, Any]:
    return config.load(written(folder, **parts), environ or {})


# The file itself


def test_no_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert config.load(str(tmp_path / "openclaw.json"), {}) == {}


@pytest.mark.parametrize("text", ["[]", "5", '"text"', "null"])
def test_what_is_no_object_configures_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, main=text) == {}


def test_json5_is_read(tmp_path: Path) -> None:
    text = "{// a comment\n gateway: {port: 0x4965, bind: 'loopback',},}"
    assert load(tmp_path, main=text) == {"gateway": {"port": 18789, "bind": "loopback"}}


@pytest.mark.parametrize("raw", [b"{", b"", b"{} {}", b"\xff\xfe{}", b"[" * 20_000])
def test_what_cannot_be_read_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "main.json").write_bytes(raw)
    with pytest.raises(Refused) as caught:
        config.load(str(tmp_path / "main.json"), {})
    assert caught.value.name == "config"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_folder_or_a_pipe_is_refused_and_does_not_hang(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "main.json")
    os.mkdir(path) if kind == "folder" else os.mkfifo(path)
    with it_ends(), pytest.raises(Refused):
        config.load(path, {})


# $include


def test_one_file_takes_the_place_of_its_include(tmp_path: Path) -> None:
    found = load(tmp_path, main={"agents": {"$include": "./agents.json"}}, agents={"list": [{"id": "a"}]})
    assert found == {"agents": {"list": [{"id": "a"}]}}


def test_several_files_are_merged_and_the_later_one_wins(tmp_path: Path) -> None:
    one, two = {"a": 1, "deep": {"x": 1, "y": 1}}, {"b": 2, "deep": {"y": 2, "z": 2}, "list": [2]}
    found = load(tmp_path, main={"$include": ["one.json", "two.json"]}, one={**one, "list": [1]}, two=two)
    assert found == {"a": 1, "b": 2, "deep": {"x": 1, "y": 2, "z": 2}, "list": [2]}


def test_members_beside_an_include_win(tmp_path: Path) -> None:
    main = {"$include": "base.json", "gateway": {"port": 1}}
    found = load(tmp_path, main=main, base={"gateway": {"port": 2, "bind": "lan"}, "more": True})
    assert found == {"gateway": {"port": 1, "bind": "lan"}, "more": True}


def test_includes_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", inner={"$include": "leaf.json"}, leaf={"token": "deep"})
    assert load(tmp_path, main={"a": [{"$include": "sub/inner.json"}]}) == {"a": [{"token": "deep"}]}


def test_an_included_value_need_not_be_an_object(tmp_path: Path) -> None:
    assert load(tmp_path, main={"port": {"$include": "port.json"}}, port="5") == {"port": 5}


def test_the_same_file_may_be_included_twice_side_by_side(tmp_path: Path) -> None:
    main = {"a": {"$include": "x.json"}, "b": {"$include": "x.json"}}
    assert load(tmp_path, main=main, x={"y": 1}) == {"a": {"y": 1}, "b": {"y": 1}}


@pytest.mark.parametrize("parts", [
    {"main": {"$include": "main.json"}},
    {"main": {"$include": "a.json"}, "a": {"x": {"$include": "main.json"}}},
    {"main": {"$include": "a.json"}, "a": {"$include": ["b.json"]}, "b": {"$include": "a.json"}},
])  # fmt: skip
def test_a_circle_is_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="circle"):
        load(tmp_path, **parts)


def chain(folder: Path, length: int) -> str:
    parts: dict[str, Any] = {f"f{number}": {"$include": f"f{number + 1}.json"} for number in range(length)}
    return written(folder, **parts, **{f"f{length}": {"end": True}})


def test_includes_may_be_ten_deep_and_no_deeper(tmp_path: Path) -> None:
    assert config.load(chain(tmp_path, 10), {}) == {"end": True}
    with pytest.raises(Refused, match="too deep"):
        config.load(chain(tmp_path, 11), {})


@pytest.mark.parametrize("name", ["../outside/x.json", "/etc/hostname", "sub/../../outside/x.json", "link.json"])
def test_files_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for folder in ("state", "outside"):
        (tmp_path / folder).mkdir()
    written(tmp_path / "outside", x={"secret": 1})
    (tmp_path / "state" / "link.json").symlink_to(tmp_path / "outside" / "x.json")
    with pytest.raises(Refused, match="outside"):
        load(tmp_path / "state", main={"$include": name})


def test_more_folders_may_be_allowed(tmp_path: Path) -> None:
    for folder in ("state", "shared", "shared-not"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, x={"from": folder})
    environ = {"OPENCLAW_INCLUDE_ROOTS": os.pathsep.join(["relative", str(tmp_path / "shared"), ""])}
    assert load(tmp_path / "state", environ, main={"$include": "../shared/x.json"}) == {"from": "shared"}
    with pytest.raises(Refused, match="outside"):
        load(tmp_path / "state", environ, main={"$include": "../shared-not/x.json"})


@pytest.mark.parametrize("named", [5, None, {}, "", ["a.json", 5], "a\0b", [["a.json"]]])
def test_an_include_that_names_no_file_is_refused(tmp_path: Path, named: Any) -> None:
    with pytest.raises(Refused, match="names no file"):
        load(tmp_path, main={"$include": named}, a={})


def test_a_missing_file_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nowhere"):
        load(tmp_path, main={"$include": "nowhere.json"})


def test_an_included_file_may_not_be_large(tmp_path: Path) -> None:
    large = json.dumps({"x": "y" * (2 << 20)})
    assert load(tmp_path, main=large) == json.loads(large)
    with pytest.raises(Refused, match="too large"):
        load(tmp_path, main={"$include": "large.json"}, large=large)


# ${VARIABLES}

ENV = {"NAME": "value", "EMPTY": "", "A_1": "${NAME}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${EMPTY}", ""),
        ("$${NAME}", "${NAME}"),
        ("$${MISSING}", "${MISSING}"),
        ("${MISSING}", None),
        ("${NAME}${MISSING}", None),
        ("${A_1}", "${NAME}"),
        ("${lower}", "${lower}"),
        ("${}", "${}"),
        ("$NAME", "$NAME"),
        ("${NAME", "${NAME"),
    ],
)
def test_variables_are_put_in_as_openclaw_does(text: str, expected: str | None) -> None:
    assert config.expanded(text, ENV) == expected


@given(st.text(alphabet="${}A_bx1", max_size=20), st.dictionaries(st.sampled_from(["A", "A_1", "_"]), st.text()))
def test_a_text_is_expanded_or_a_variable_is_missing(text: str, environ: dict[str, str]) -> None:
    missing, expanded = config.missing(text, environ), config.expanded(text, environ)
    assert (missing is None) is (expanded is not None)
    if "${" not in text:
        assert expanded == text
    if missing is not None:
        assert missing not in environ


# References


def secret(reference: dict[str, Any], environ: dict[str, str] | None = None, **secrets: Any) -> str | None:
    return config.secret({"secrets": secrets}, reference, environ or {}, "/home/nobody")


def test_a_reference_to_the_environment() -> None:
    reference = {"source": "env", "provider": "default", "id": "GATEWAY_TOKEN"}
    assert secret(reference, {"GATEWAY_TOKEN": "abc"}) == "abc"
    assert secret(reference, {"GATEWAY_TOKEN": ""}) is None
    assert secret(reference, {}) is None


def test_an_allowlist_counts() -> None:
    reference = {"source": "env", "provider": "p", "id": "TOKEN"}
    providers = {"p": {"source": "env", "allowlist": ["OTHER"]}}
    assert secret(reference, {"TOKEN": "abc"}, providers=providers) is None
    providers["p"]["allowlist"].append("TOKEN")
    assert secret(reference, {"TOKEN": "abc"}, providers=providers) == "abc"


def file_provider(path: str, **more: Any) -> dict[str, Any]:
    return {"providers": {"vault": {"source": "file", "path": path, **more}}}


POINTERS = {
    "/gateway/token": "abc",
    "/a~1b/c~0d": "slash and tilde",
    "/~01": "tilde one",
    "/gateway": None,
    "/gateway/nothing": None,
    "/list/0": None,
    "gateway/token": None,
    "": None,
    "/number": None,
    "/empty": None,
}


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_reference_into_a_file(tmp_path: Path, pointer: str) -> None:
    content = {"gateway": {"token": "abc"}, "a/b": {"c~d": "slash and tilde"}, "~1": "tilde one", "list": ["x"],
               "number": 5, "empty": ""}  # fmt: skip
    path = written(tmp_path, secrets=content)
    reference = {"source": "file", "provider": "vault", "id": pointer}
    assert secret(reference, **file_provider(path)) == POINTERS[pointer]


@pytest.mark.parametrize(("pointer", "expected"), [("value", "abc"), ("/value", None)])
def test_a_file_with_one_value(tmp_path: Path, pointer: str, expected: str | None) -> None:
    (tmp_path / "token").write_text("abc\n")
    reference = {"source": "file", "provider": "vault", "id": pointer}
    assert secret(reference, **file_provider(str(tmp_path / "token"), mode="singleValue")) == expected


def test_the_provider_may_be_the_default_one(tmp_path: Path) -> None:
    path = written(tmp_path, secrets={"t": "abc"})
    reference = {"source": "file", "id": "/t"}
    assert secret(reference, defaults={"file": "vault"}, **file_provider(path)) == "abc"
    assert secret(reference, **file_provider(path)) is None


def test_a_path_may_be_below_home_or_in_a_variable(tmp_path: Path) -> None:
    written(tmp_path, secrets={"t": "abc"})
    reference = {"source": "file", "provider": "vault", "id": "/t"}
    for path in ("~/secrets.json", "${PLACE}/secrets.json"):
        whole = {"secrets": file_provider(path)}
        assert config.secret(whole, reference, {"PLACE": str(tmp_path)}, str(tmp_path)) == "abc"
    assert config.secret({"secrets": file_provider("${NOWHERE}/x")}, reference, {}, "/home/nobody") is None


@pytest.mark.parametrize(
    "reference",
    [
        {"source": "exec", "provider": "vault", "id": "value"},
        {"source": "file", "provider": "other", "id": "/t"},
        {"source": "file", "provider": "vault"},
        {"source": "file", "provider": "vault", "id": 5},
        {"source": "file", "provider": ["vault"], "id": "/t"},
        {"provider": "vault", "id": "/t"},
        {},
    ],
)
def test_what_only_openclaw_can_resolve_is_nothing(tmp_path: Path, reference: dict[str, Any]) -> None:
    path = written(tmp_path, secrets={"t": "abc"})
    assert secret(reference, **file_provider(path)) is None


def test_an_exec_provider_is_not_started(tmp_path: Path) -> None:
    providers = {"vault": {"source": "exec", "command": "/bin/sh", "args": ["-c", f"touch {tmp_path / 'started'}"]}}
    assert secret({"source": "exec", "provider": "vault", "id": "value"}, providers=providers) is None
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("secrets", [None, [], {"providers": []}, {"providers": {"vault": "x"}}, {"defaults": 5}])
def test_providers_that_are_none(secrets: Any) -> None:
    reference = {"source": "file", "provider": "vault", "id": "/t"}
    assert config.secret({"secrets": secrets}, reference, {}, "/home/nobody") is None


# Files with a secret


def test_the_text_of_a_token_file_is_stripped(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  abc\r\n\n")
    (tmp_path / "link").symlink_to("token")
    assert config.secret_file(str(tmp_path / "token")) == "abc"
    assert config.secret_file(str(tmp_path / "link")) == "abc"


@pytest.mark.parametrize("kind", ["missing", "empty", "blank", "folder", "pipe", "loop", "large", "binary"])
def test_what_holds_no_token_gives_none_and_does_not_hang(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "token"
    make = {
        "missing": lambda: None,
        "empty": path.touch,
        "blank": lambda: path.write_text(" \n"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "loop": lambda: path.symlink_to(path),
        "large": lambda: path.write_text("x" * ((1 << 20) + 1)),
        "binary": lambda: path.write_bytes(b"\xff\xfe"),
    }
    make[kind]()
    with it_ends():
        assert config.secret_file(str(path)) is None


# The gateway's token


def token(folder: Path, value: Any, environ: dict[str, str] | None = None, **more: Any) -> str | None:
    gateway = {"gateway": {"auth": {"token": value}}} if value is not ... else {}
    written(folder, openclaw={**gateway, **more})
    return home.find({"HOME": str(folder), **(environ or {})}, state_dir=str(folder)).token


def test_the_token_is_found_where_openclaw_finds_it(tmp_path: Path) -> None:
    env = {"MY_TOKEN": "from-env"}
    assert token(tmp_path, "plain") == "plain"
    assert token(tmp_path, "${MY_TOKEN}", env) == "from-env"
    assert token(tmp_path, "${MY_TOKEN}") is None
    assert token(tmp_path, {"source": "env", "provider": "default", "id": "MY_TOKEN"}, env) == "from-env"
    assert token(tmp_path, {"source": "exec", "provider": "vault", "id": "x"}, env) is None
    assert token(tmp_path, ..., {"OPENCLAW_GATEWAY_TOKEN": "other"}) == "other"
    assert token(tmp_path, "", {"OPENCLAW_GATEWAY_TOKEN": "other"}) == "other"
    assert token(tmp_path, ...) is None
    assert token(tmp_path, 5) is None


def test_the_token_may_be_in_an_included_file(tmp_path: Path) -> None:
    written(tmp_path, auth={"token": "included"})
    written(tmp_path, openclaw={"gateway": {"auth": {"$include": "auth.json"}}})
    assert home.find({}, state_dir=str(tmp_path)).token == "included"
