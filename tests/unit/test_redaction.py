"""Secrets are taken out, wherever they stand and however they are spelled; what stands around them stays."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core.export.redaction import GONE, Redactor, secrets_in, secrets_of
from support.patience import it_ends

# Put together here, so that no scanner takes this file for a leak.
_A = "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6"
SECRETS = {
    "openai": "sk-" + _A,
    "openai project": "sk-proj-" + _A + "_-x",
    "anthropic": "sk-ant-api03-" + _A,
    "github": "ghp_" + _A + "abcd",
    "github fine-grained": "github_pat_" + _A,
    "gitlab": "glpat-" + _A[:20],
    "slack": "xoxb-" + "123456789012-" + _A,
    "aws key id": "AKIA" + "ABCDEFGHIJKLMNOP",
    "google": "AIza" + _A + "abc",
    "stripe": "sk_live_" + _A,
    "npm": "npm_" + _A + "abcd",
    "pypi": "pypi-" + _A,
    "hugging face": "hf_" + _A,
    "telegram": "123456789:" + _A + "abc",
    "slack app": "xapp-" + "1-" + _A,
    "google token": "ya29." + _A,
    "google client": "GOCSPX-" + _A,
    "stripe webhook": "whsec_" + _A,
    "groq": "gsk_" + _A,
    "xai": "xai-" + _A,
    "digital ocean": "dop_v1_" + "0123456789abcdef" * 2,
    "shopify": "shpat_" + "0123456789abcdef" * 2,
    "sendgrid": "SG." + _A + "." + _A,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0NTYifQ" + "." + _A,
}
# Sentences with one secret each, at {}: all else is there afterwards.
AROUND = (
    "use {} please",
    "{}",
    "a\n{}\nb",
    "({})",
    '"{}",',
    "`{}`.",
    "curl -H 'x: {}' https://example.org/a?b=c",
    "<b>{}</b>",
    "key={}; ls /",
)
NAMED = (
    ("AWS_SECRET_ACCESS_KEY=", "wJalrXUtnFEMIK7MDENGbPxRfiCY", " ; ls /"),
    ("export DB_PASSWORD='", "correct horse battery", "' && run"),
    ('{"apiKey": "', "abcdef-123456", '", "model": "gpt-5"}'),
    ("password: ", "hunter2hunter2", "\nuser: kelly"),
    ("postgres://kelly:", "s3cr3t-pass", "@db.example.org/app"),
    ("Authorization: Bearer ", "abcdefghijklmnop1234", "\nAccept: */*"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "\nb3BlbnNzaC1r\nZXktdjEAAAAA\n", "-----END OPENSSH PRIVATE KEY-----"),
    ('{\\"client_secret\\": \\"', "abc123abc123", '\\"}'),
    ("https://example.org/cb?access_token=", "abc123abc123", "&state=1"),
)
# Nothing of these is a secret.
ORDINARY = (
    "The secret of a good token budget is a short password policy.",
    "max_tokens = 4096, token count: 12",
    "def login(password: str, token: Optional[str] = None) -> None:",
    "PASSWORD=$DB_PASSWORD; API_KEY=${API_KEY}",
    "set the api_key=<your key here>",
    "https://example.org/a:b@c and git@github.com:kelly/x.git",
    "a risk-averse-investors-policy, a desk-bound-administrator",
    "task-force, risk-averse, sk-learn, ghp_short, AKIA",
    "2020-11-28T10:00:00Z 12345:67 commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "kelly@example.org, +49 30 1234567",
    'the JSON {"token": null, "secret": false, "password": ""}',
)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", SECRETS)
def test_a_well_known_secret_is_gone_and_what_is_around_it_stays(name: str, around: str) -> None:
    assert Redactor().text(around.format(SECRETS[name])) == around.format(GONE)


@pytest.mark.parametrize(("before", "secret", "behind"), NAMED)
def test_what_is_named_a_secret_is_gone_and_nothing_else(before: str, secret: str, behind: str) -> None:
    assert Redactor().text(f"then {before}{secret}{behind} and on") == f"then {before}{GONE}{behind} and on"


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "spelled", ['pa ss/wörd"x', "pa%20ss%2Fw%C3%B6rd%22x", 'pa ss/wörd\\"x', 'pa ss/w\\u00f6rd\\"x']
)
def test_a_value_of_the_configuration_is_gone_in_each_of_its_spellings(spelled: str) -> None:
    assert Redactor(['pa ss/wörd"x']).text(f"say {spelled} twice: {spelled}") == f"say {GONE} twice: {GONE}"


ODD = 'Hu/n&t+er "<two>" \\o\'\n\tß €🔑'


def dotnet(value: str) -> str:
    """Write a value as encoders do that escape all but letters and digits, in capitals."""
    units = value.encode("utf-16-be")
    numbers = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(unit) if unit < 128 and chr(unit).isalnum() else f"\\u{unit:04X}" for unit in numbers)


def in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


ENCODERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": in_json,
    "JSON, beyond ASCII as it is": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "JSON in JSON in JSON": lambda value: in_json(in_json(in_json(value))),
    "JSON of Go": lambda value: in_json(value).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "JSON of PHP": lambda value: in_json(value).replace("/", "\\/"),
    "JSON of PHP in JSON": lambda value: in_json(in_json(value).replace("/", "\\/")),
    "JSON of .NET": dotnet,
    "JSON of .NET in JSON": lambda value: in_json(dotnet(value)),
    "a URL": lambda value: quote(value, safe=""),
    "a URL, slashes as they are": quote,
    "a URL in a URL": lambda value: quote(quote(value, safe=""), safe=""),
    "a URL in small letters": lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    "encodeURI": lambda value: quote(value, safe=";,/?:@&=+$-_.!~*'()#"),
    "a form": lambda value: urlencode({"v": value}).removeprefix("v="),
    "HTML": html.escape,
    "HTML by numbers": lambda value: "".join(one if one.isalnum() else f"&#{ord(one)};" for one in value),
    "HTML by sixteens": lambda value: "".join(one if one.isalnum() else f"&#x{ord(one):X};" for one in value),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_value_is_gone_whoever_has_encoded_it(encoder: str) -> None:
    spelled = ENCODERS[encoder](ODD)
    assert Redactor([ODD]).text(f"v={spelled}.") == f"v={GONE}."


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=6), st.sampled_from(sorted(ENCODERS)))
def test_any_value_is_gone_whoever_has_encoded_it(value: str, encoder: str) -> None:
    assert Redactor([value]).text(f"<{ENCODERS[encoder](value)}>") == f"<{GONE}>"


def test_many_backslashes_are_no_work_without_end() -> None:
    value = "\\/" * 30 + "\\" * 30 + "x" + "\\" * 30 + '"' + "\\" * 5
    with it_ends():
        for text in ("\\" * 5000 + "y", ("\\" * 8 + "/") * 500 + "y"):
            assert Redactor([value]).text(text) == text
        assert Redactor([value]).text(in_json(in_json(value))) == GONE


def test_a_value_that_begins_as_another_one_is_gone_as_a_whole() -> None:
    assert Redactor(["opensesame", "opensesame-really"]).text("say opensesame-really") == f"say {GONE}"


def test_what_is_nested_too_deeply_is_gone_as_a_whole() -> None:
    secret = SECRETS["github"]
    lines = (b'{"data":%b"%b"%b}\n' % (b"[" * depth, secret.encode(), b"]" * depth) for depth in range(300, 1100, 10))
    told = [Redactor().line(line) for line in lines]
    assert [line for line in told if secret.encode() in line] == []
    assert b'{"type":"redacted","why":"nested too deeply"}\n' in told


def test_a_value_that_could_be_a_word_is_no_secret() -> None:
    assert Redactor(["main"]).text("the main thing") == "the main thing"


def test_every_string_of_an_event_is_looked_at_names_included() -> None:
    secret = SECRETS["github"]
    line = json.dumps(
        {secret: [{"a": {"b": secret}}, secret], "password": "correct horse", "n": 1, "type": "x", "token": "$TOKEN"}
    )
    told = Redactor().line(line.encode() + b"\n")
    assert json.loads(told) == {
        GONE: [{"a": {"b": GONE}}, GONE],
        "password": GONE,
        "n": 1,
        "type": "x",
        "token": "$TOKEN",
    }
    assert told.endswith(b"\n")


def test_a_line_that_is_no_event_is_looked_at_as_text() -> None:
    assert Redactor().line(f"{{ torn {SECRETS['slack']}\n".encode()) == f"{{ torn {GONE}\n".encode()


def test_what_is_called_a_secret_in_the_configuration_is_one() -> None:
    settings = {
        "gateway": {"auth": {"mode": "token", "token": "t-of-gateway"}},
        "channels": [{"botToken": "the-bot-token"}, {"botToken": "${FROM_ENV}"}],
        "models": {"providers": {"x": {"apiKey": "key-of-x", "baseUrl": "https://x"}}},
        "maxTokens": "4096",
    }
    assert secrets_in(settings) == {"t-of-gateway", "the-bot-token", "key-of-x"}


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("value", ['pa"ssw0rd-77', "back\\slash-99x", "Gehèim-7788", "plain-77"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_known_value_is_gone_however_often_it_stands_in_json(value: str, depth: int, *, ascii_only: bool) -> None:
    text = f"psql --pw {value} -c"
    for _ in range(depth):
        text = json.dumps({"command": text}, ensure_ascii=ascii_only)
    told = Redactor([value]).text(text)
    for _ in range(depth):
        told = json.loads(told)["command"]
    assert told == f"psql --pw {GONE} -c"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("API_KEY=of-a-line # mine\n", {"of-a-line"}),
        ("export API_KEY='of a line'\n", {"of a line"}),
        ("providers: {x: {api_key: in-braces, url: u}}\n", {"in-braces"}),
        ('x: {"api_key": "in \\"braces\\"", passwords: [one-of-two, \'two of two\']}\n', {'in "braces"', "one-of-two"}),
        ("api_keys:\n  - first-one\n  - 'second one'\nurl: http://x\n", {"first-one", "second one"}),
        ("api_keys:\n- first-one\nurl: http://x\n", {"first-one"}),
        ('api_keys: [first-one, "second"]\n', {"first-one", "second"}),
        ("private_key: |\n  line-one\n\n  line-two\nurl: u\n", {"line-one", "line-two"}),
        ("password: >-\n  folded-one\n", {"folded-one"}),
        ("password:\n  on-the-next\n", {"on-the-next"}),
        ("password: &name !!str with-a-tag\n", {"with-a-tag"}),
        ("password: 'it''s here'\n", {"it's here"}),
        ('password: "dq\\x73ecret"\n', {"dqsecret"}),
        ('"api_key": in-quotes,\n', {"in-quotes"}),
        ("list:\n  - name: x\n    api_key: in-a-list\n", {"in-a-list"}),
        ("- - api_key: in-two-lists\n", {"in-two-lists"}),
        ('{"a": {"tokens": ["no"], "api_keys": ["of-json"], "token": "too"}}', {"of-json", "too"}),
    ],
)
def test_what_settings_call_secret_is_known_in_every_form_of_yaml(text: str, values: set[str]) -> None:
    assert values <= secrets_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 128000\n", "tokens: [a-word, b-word]\n", "password: ${FROM_ENV}\n", "api_key: null\n",
        "password:\n  minimum: eight-letters\n  reset: by-mail\n", "secrets:\n  provider: vault-one\n", "url: http://x\n",
    ],
)  # fmt: skip
def test_what_is_no_secret_of_the_settings_stays(text: str) -> None:
    assert secrets_of(text) == set()


@pytest.mark.parametrize("text", ["password:", 'password: "', "password: '", "- -", "{", "[", "a: |", "x: {api_key: "])
def test_settings_that_are_not_whole_are_no_error(text: str) -> None:
    assert secrets_of(text) in (set(), {'"'}, {"'"})
