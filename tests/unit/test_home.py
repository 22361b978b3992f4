"""Where a state directory, its configuration and its gateway's ports are, by the words of an environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_closer.openclaw.environment import state_dir_of
from session_closer.openclaw.home import DEFAULT_PORT, Home, find


@pytest.mark.parametrize(
    ("environ", "state"),
    [
        ({}, "{home}/.openclaw"),
        ({"OPENCLAW_HOME": "~"}, "{home}/.openclaw"),
        ({"OPENCLAW_HOME": "~/svc"}, "{home}/svc/.openclaw"),
        ({"OPENCLAW_HOME": " ~/svc "}, "{home}/svc/.openclaw"),
        ({"OPENCLAW_HOME": "{home}/~"}, "{home}/~/.openclaw"),
        ({"OPENCLAW_HOME": "~/svc", "OPENCLAW_STATE_DIR": "~/state"}, "{home}/svc/state"),
        ({"OPENCLAW_STATE_DIR": "~"}, "{home}"),
    ],
)
def test_a_leading_tilde_stands_for_the_home_as_in_openclaw(
    tmp_path: Path, environ: dict[str, str], state: str
) -> None:
    # Of a home that is not ours: the words are those of a process, too.
    home = str(tmp_path.resolve() / "kelly")
    words = {"HOME": home, **{name: value.format(home=home) for name, value in environ.items()}}
    assert find(words).state == state.format(home=home)
    assert state_dir_of(words) == state.format(home=home)


def test_a_tilde_in_the_name_of_a_profile_or_a_configuration_stands_for_the_same_home(tmp_path: Path) -> None:
    home = str(tmp_path.resolve())
    words = {"HOME": home, "OPENCLAW_HOME": "~/svc", "OPENCLAW_CONFIG_PATH": "~/own.json"}
    assert find(words, profile="work").state == f"{home}/svc/.openclaw-work"
    assert find(words).config_path == f"{home}/svc/own.json"


@pytest.mark.parametrize(
    ("environ", "named", "openclaw", "ours"),
    [
        ({}, {}, "openclaw", ""),
        ({}, {"profile": "work"}, "openclaw --profile work", "--profile work"),
        ({}, {"state_dir": "/else where"}, "env 'OPENCLAW_STATE_DIR=/else where' openclaw", "--state-dir /else where"),
        ({"OPENCLAW_STATE_DIR": "/x"}, {}, "env OPENCLAW_STATE_DIR=/x openclaw", "--state-dir /x"),
        ({"OPENCLAW_HOME": "/svc"}, {}, "env OPENCLAW_STATE_DIR=/svc/.openclaw openclaw", "--state-dir /svc/.openclaw"),
        (
            {"OPENCLAW_HOME": "/svc"}, {"profile": "work"}, "env OPENCLAW_HOME=/svc openclaw --profile work",
            "env OPENCLAW_HOME=/svc --profile work",
        ),
        (
            {"OPENCLAW_CONFIG_PATH": "/y.json"}, {},
            "env OPENCLAW_STATE_DIR={home}/.openclaw OPENCLAW_CONFIG_PATH=/y.json openclaw",
            "env OPENCLAW_STATE_DIR={home}/.openclaw OPENCLAW_CONFIG_PATH=/y.json",
        ),
        (
            {"OPENCLAW_STATE_DIR": "/x", "OPENCLAW_CONFIG_PATH": "/y.json"}, {},
            "env OPENCLAW_STATE_DIR=/x OPENCLAW_CONFIG_PATH=/y.json openclaw",
            "env OPENCLAW_STATE_DIR=/x OPENCLAW_CONFIG_PATH=/y.json",
        ),
    ],
)  # fmt: skip
def test_what_is_to_be_typed_means_the_same_place_in_any_shell(
    tmp_path: Path, environ: dict[str, str], named: dict[str, str], openclaw: str, ours: str
) -> None:
    home = str(tmp_path.resolve())
    found = find({"HOME": home, **environ}, **named)
    assert found.openclaw == openclaw.format(home=home)
    ahead, words = found.meant_by(named.get("profile"))
    assert " ".join([*ahead, *words]) == ours.format(home=home)


@pytest.mark.parametrize(
    ("named", "configured", "ports"),
    [
        (None, None, (DEFAULT_PORT,)),
        (None, 19000, (19000,)),
        ("19001", None, (19001, DEFAULT_PORT)),
        ("19001", 19000, (19001, 19000)),
        # The environment names the default: the configuration takes back nothing of it.
        (str(DEFAULT_PORT), 19000, (DEFAULT_PORT, 19000)),
        (str(DEFAULT_PORT), DEFAULT_PORT, (DEFAULT_PORT,)),
        (" 19001 ", 19000, (19001, 19000)),
        ("127.0.0.1:19001", 19000, (19001, 19000)),
        ("[::1]:19001", 19000, (19001, 19000)),
        # What is no port configures none.
        (None, 70000, (DEFAULT_PORT,)),
        (None, 0, (DEFAULT_PORT,)),
        (None, True, (DEFAULT_PORT,)),
        (None, "19000", (19000, DEFAULT_PORT)),
        ("x", 19000, (19000,)),
        ("9" * 5000, 19000, (19000,)),
    ],
)
def test_the_ports_are_those_that_are_named_and_the_default_where_none_is_configured(
    tmp_path: Path, named: str | None, configured: Any, ports: tuple[int, ...]
) -> None:
    (tmp_path / "openclaw.json").write_text(json.dumps({"gateway": {"port": configured}}))
    environ = {} if named is None else {"OPENCLAW_GATEWAY_PORT": named}
    assert Home(str(tmp_path), "--state-dir", environ).ports == ports
