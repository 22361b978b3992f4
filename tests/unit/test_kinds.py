"""What kind of session a key is, and that no doubt ever makes it one that may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import keys
from session_closer.core.kinds import SHAPES, is_peer_direct, job_of, kind, openclaw_deletes
from session_closer.core.model import Session
from session_closer.core.protection import protection
from session_closer.core.words import DURABLE, STALE_KINDS, Kind

UUID = "0b9f7f2e-6d0c-4a55-9c1e-0a4d3c2b1f00"
ACCOUNTS = ("main", "group", "channel", "dm", "thread", "topic", "slash", "work")
MACHINES = ("cron", "subagent", "hook", "acp", "acp-bridge")
PREFIXES = (*(f"{name}:" for name in MACHINES), "dreaming-narrative-", "probe-setup-inference")
PLACES = ("group", "channel", "thread", "topic", "heartbeat", "main", "direct", "dm")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("agent:a:main", Kind.MAIN),
        ("main", Kind.MAIN),
        ("global", Kind.MAIN),
        ("unknown", Kind.MAIN),
        ("AGENT:a:Main ", Kind.MAIN),
        ("agent:a:main:x", Kind.MAIN),
        *((f"agent:a:telegram:{name}:direct:104", Kind.DIRECT) for name in ACCOUNTS),
        ("agent:a:telegram:slash:4711", Kind.CHAT),
        ("agent:a:telegram:other:slash:4711", Kind.CHAT),
        ("agent:a:irc:slash:bob", Kind.CHAT),
        ("agent:project-lead:slash", Kind.PROJECT),
        ("agent:a:dreaming", Kind.MEMORY),
        ("agent:a:dreaming:light", Kind.MEMORY),
        ("dreaming", Kind.MEMORY),
        ("agent:project-lead:dreaming", Kind.MEMORY),
        ("agent:a:wecom:wangzihao", Kind.CHAT),
        ("agent:a:wecom-agent:wangzihao", Kind.CHAT),
        ("agent:a:wecom:group:wr7y", Kind.GROUP),
        ("agent:a:dingtalk-connector:direct:u1", Kind.DIRECT),
        ("agent:a:session-1774095193327", Kind.CHAT),
        ("agent:project-lead:session-1774095193327", Kind.CHAT),
        ("agent:a:session-notes", Kind.OTHER),
        (f"agent:a:dashboard:{UUID}", Kind.CHAT),
        ("agent:a:dashboard", Kind.OTHER),
        ("agent:a:direct:peer", Kind.DIRECT),
        ("agent:a:telegram:direct:peer", Kind.DIRECT),
        ("agent:a:telegram:account:direct:peer", Kind.DIRECT),
        ("agent:a:telegram:dm:peer", Kind.DIRECT),
        ("agent:a:telegram:group:-100123", Kind.GROUP),
        ("agent:a:WhatsApp:Group:123@g.us", Kind.GROUP),
        ("agent:a:one:two:three:group:x", Kind.GROUP),
        ("telegram:group:-100123", Kind.GROUP),
        ("agent:a:slack:channel:c1", Kind.CHANNEL),
        ("agent:a:discord:channel:c1:thread:t1", Kind.THREAD),
        ("agent:a:telegram:group:-100:topic:42", Kind.THREAD),
        ("agent:a:telegram:group:-100:topic:42:sender:7", Kind.THREAD),
        ("agent:a:thread:x", Kind.THREAD),
        ("agent:a:main:thread:123", Kind.THREAD),
        ("agent:a:cron:nightly", Kind.CRON),
        ("agent:a:cron:nightly:run:7f3a", Kind.CRON_RUN),
        ("cron:nightly:run:7f3a", Kind.CRON_RUN),
        ("AGENT:A:CRON:Nightly:RUN:7F3A", Kind.CRON_RUN),
        ("agent:a:cron:nightly:run:7f3a:more", Kind.CRON),
        ("agent:a:cron:nightly:run:", Kind.CRON),
        ("agent:a:cron:nightly:run", Kind.CRON),
        ("agent:a:cron::run:7f3a", Kind.CRON),
        ("agent:a:cron:nightly:run:topic", Kind.CRON_RUN),
        ("agent:a:subagent:2b1c", Kind.SUBAGENT),
        ("subagent:2b1c", Kind.SUBAGENT),
        ("agent:a:subagent", Kind.OTHER),
        ("agent:a:hook:mail:1", Kind.HOOK),
        ("agent:a:heartbeat", Kind.HEARTBEAT),
        ("agent:a:main:heartbeat", Kind.HEARTBEAT),
        ("agent:a:cron:x:run:heartbeat", Kind.HEARTBEAT),
        ("agent:a:telegram:group:1:topic:2:heartbeat", Kind.HEARTBEAT),
        ("agent:a:dreaming-narrative-light-1", Kind.DREAMING),
        ("agent:a:acp:one", Kind.ACP),
        ("agent:a:acp-bridge:one", Kind.ACP),
        (f"agent:a:explicit:model-run-{UUID}", Kind.PROBE),
        ("agent:a:explicit:model-run-mine", Kind.OTHER),
        ("agent:a:probe-setup-inference-x", Kind.PROBE),
        ("agent:a:probe-setup-inference", Kind.OTHER),
        ("agent:a:project-kelly", Kind.PROJECT),
        ("project-kelly", Kind.PROJECT),
        ("agent:a:project-kelly:group:1", Kind.GROUP),
        ("agent:a:project-kelly:heartbeat", Kind.HEARTBEAT),
        ("agent:project-lead:kelly", Kind.PROJECT),
        ("agent:project-lead:group", Kind.PROJECT),
        ("agent:project-lead:kelly:more", Kind.OTHER),
        ("agent:a:kelly", Kind.OTHER),
        ("kelly", Kind.OTHER),
        ("", Kind.MAIN),
        ("agent:a:", Kind.MAIN),
        (":::", Kind.OTHER),
        ("agent:a:heartbeat ", Kind.HEARTBEAT),
        (" agent:a:dreaming", Kind.MEMORY),
        ("agent:a:telegram:group:one\ntwo", Kind.GROUP),
    ],
)
def test_kinds(key: str, expected: Kind) -> None:
    assert kind(key) is expected


PART = st.one_of(
    st.sampled_from(
        ("agent", "a", "main", "run", "x", "telegram", "project-lead", "project-x", "", UUID, *PLACES, *MACHINES)
    ),
    st.text(alphabet="abcXYZ019-_. ", max_size=6),
)
KEY = st.lists(PART, min_size=1, max_size=8).map(":".join)
CHAT_TYPE = st.one_of(st.none(), st.text(max_size=10), st.sampled_from(["direct", "group", "Channel", "thread"]))


@given(st.one_of(st.text(), KEY), CHAT_TYPE)
def test_any_text_has_a_kind(key: str, chat_type: str | None) -> None:
    assert isinstance(kind(key, chat_type), Kind)


@given(KEY, CHAT_TYPE)
def test_case_does_not_matter(key: str, chat_type: str | None) -> None:
    expected = kind(key, chat_type)
    assert {kind(other, chat_type) for other in (key.upper(), key.lower(), key.swapcase())} == {expected}


def rest_of(key: str) -> str:
    plain = key.lower().strip()
    return plain if keys.agent_of(plain) is None else plain.split(":", 2)[2]


@given(st.lists(PART, max_size=5), st.sampled_from(PLACES), st.lists(PART, max_size=4), CHAT_TYPE)
def test_a_place_where_people_talk_is_never_stale(
    ahead: list[str], place: str, behind: list[str], chat_type: str | None
) -> None:
    """Unless the key is a machine's; and a key of one word is a name that somebody chose."""
    key = ":".join(["agent", "a", *ahead, place, *behind])
    rest = rest_of(key)
    if rest.startswith(PREFIXES) or rest.count(":") == 0:
        return
    assert kind(key, chat_type) not in STALE_KINDS


@given(KEY)
def test_main_sessions_are_main(key: str) -> None:
    assert (kind(key) is Kind.MAIN) >= keys.is_main(key)
    assert not keys.is_main(key) or kind(key, "group") is Kind.MAIN


@given(KEY)
def test_a_direct_message_of_one_peer_is_kept(key: str) -> None:
    if is_peer_direct(key) and not rest_of(key).startswith(PREFIXES):
        assert kind(key) in DURABLE


@pytest.mark.parametrize("rest", ["direct:peer", "telegram:direct:peer", "telegram:account:direct:peer"])
def test_only_a_key_that_openclaw_makes_of_one_peer_is_a_direct_message_of_one(rest: str) -> None:
    assert is_peer_direct(f"agent:a:{rest}")
    assert is_peer_direct(f"AGENT:A:{rest}".upper())
    ahead = ("", "agent:a::", "agent:a:agent:b:", "agent:a:x:y:z:")
    for other in (*(start + rest for start in ahead), f"agent:a:{rest}:", f"agent:a:{rest}:topic"):
        assert not is_peer_direct(other)


@pytest.mark.parametrize("chat_type", ["group", "channel", "thread", "Group", "CHANNEL"])
@pytest.mark.parametrize("key", ["agent:project-lead:kelly", "agent:a:project-x", "agent:a:kelly", "agent:a:x:y"])
def test_a_chat_type_makes_a_project_or_other_durable(key: str, chat_type: str) -> None:
    assert kind(key) in STALE_KINDS
    assert kind(key, chat_type) is Kind(chat_type.lower())


@pytest.mark.parametrize("key", ["agent:a:cron:x:run:y", "agent:a:subagent:x", "agent:a:hook:x", "agent:a:cron:x"])
@given(CHAT_TYPE)
def test_a_chat_type_does_not_change_what_a_machine_made(key: str, chat_type: str | None) -> None:
    assert kind(key, chat_type) is kind(key)


def test_direct_is_no_chat_type_that_keeps() -> None:
    assert kind("agent:project-lead:kelly", "direct") is Kind.PROJECT


@pytest.mark.parametrize(
    "key", ["agent:a:cron:nightly", "cron:nightly", "AGENT:A:CRON:Nightly", " agent:a:cron:nightly "]
)
def test_a_cron_job_that_is_gone_leaves_an_orphan(key: str) -> None:
    assert (kind(key), kind(key, orphaned=True), job_of(key)) == (Kind.CRON, Kind.CRON_ORPHAN, "nightly")
    assert Kind.CRON_ORPHAN in STALE_KINDS


@pytest.mark.parametrize("key", ["agent:a:cron:heartbeat", "agent:a:cron:nightly:run:1", "agent:a:telegram:group:1"])
def test_only_the_session_of_a_cron_job_can_be_an_orphan(key: str) -> None:
    assert kind(key, orphaned=True) is kind(key)


@pytest.mark.parametrize(
    "key", ["agent:a:cron:nightly:run:1", "agent:a:cron:nightly:more", "agent:a:hook:x", "agent:a:cron:"]
)
def test_only_a_job_s_own_session_is_one(key: str) -> None:
    assert job_of(key) is None


@pytest.mark.parametrize(
    ("key", "deletes"),
    [
        ("agent:a:cron:j:run:1", True), ("agent:a:subagent:1", True), ("agent:a:hook:1", True), ("agent:a:acp:1", True),
        (f"agent:a:explicit:model-run-{UUID}", True), (f"agent:a:explicit:model-run-{UUID}-mine", False),
        ("agent:a:probe-setup-inference-x", False),
        ("agent:a:project-x", False), ("agent:a:thing", False), ("agent:a:dreaming-narrative-1", False),
    ],
)  # fmt: skip
def test_what_openclaw_s_own_cleanup_of_a_database_deletes(key: str, deletes: bool) -> None:
    assert openclaw_deletes(key, kind(key)) is deletes


def test_every_line_of_the_table_has_a_source() -> None:
    assert all(shape.source for shape in SHAPES)
    assert {shape.kind for shape in SHAPES} == set(Kind) - {Kind.PROJECT, Kind.OTHER, Kind.CRON_ORPHAN}


def test_every_kind_is_either_durable_or_stale() -> None:
    assert set(STALE_KINDS) | DURABLE == set(Kind)
    assert not DURABLE & set(STALE_KINDS)


@pytest.mark.parametrize("what", Kind)
@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("running", [True, False])
def test_protection_names_the_strongest_reason(what: Kind, pinned: bool, bound: bool, running: bool) -> None:
    why = protection(what, Session("a", "k", None, None, pinned=pinned, bound=bound), running=running)
    otherwise = "pinned" if pinned else "bound" if bound else "running" if running else None
    assert why == (str(what) if what in DURABLE else otherwise)
