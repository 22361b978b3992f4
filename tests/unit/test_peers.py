"""Whose socket is at the other end: as the kernel's table says it, and as the processes do where there is none."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from session_closer.system import peers, trust

PORT, OTHER = 0x4965, 64002
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
FOUR, ALL_FOUR, FAR = "0100007F", "00000000", "010200C0"
ALL_SIX, MAPPED, SIX = "0" * 32, "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"
US = os.geteuid()

little = pytest.mark.skipif(sys.byteorder != "little", reason="the rows are written as a little-endian machine does")


def listens(address: str, uid: int) -> str:
    return f"   0: {address}:4965 {'0' * len(address)}:0000 0A 00000000:00000000 00:00000000 00000000 {uid:5} 0 17 1\n"


def taken(address: str, uid: int, inode: int = 18) -> str:
    return f"   1: {address}:4965 {address}:E93D 01 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1\n"


Table = Callable[..., None]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """Let the kernel's table have these rows and no others."""

    def rows(*some: str) -> None:
        monkeypatch.setattr(peers, "_sockets", lambda port: list(peers._table(HEAD + "".join(some), port)))

    return rows


def line(host: str = "127.0.0.1", here: str | None = None) -> peers.Line:
    return peers.Line(SimpleNamespace(), peers._end((here or host, 0xE93D)), peers._end((host, PORT)))


@little
@pytest.mark.parametrize("address", [FOUR, ALL_FOUR, ALL_SIX, MAPPED])
@pytest.mark.parametrize("mapped", [False, True])
def test_both_ends_ours_or_roots_are_trusted_and_no_others(table: Table, address: str, mapped: bool) -> None:
    end = MAPPED if mapped else FOUR
    for listener, taker in ((US, US), (0, US), (US, 0), (0, 0)):
        table(listens(address, listener), taken(end, taker))
        assert peers.objection(line(), named=False) == ""
    for listener, taker in ((OTHER, US), (US, OTHER), (OTHER, 0), (0, OTHER)):
        table(listens(address, listener), taken(end, taker))
        for named in (False, True):
            assert f"uid {OTHER}" in peers.objection(line(), named=named)


@little
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    "rows",
    [[listens(FOUR, US)], [taken(FOUR, US)], [listens(FOUR, 0), taken(FOUR, 0, inode=0)]],
    ids=["not taken", "listens no more", "held by no process"],
)
def test_half_of_it_is_not_enough(table: Table, rows: list[str], named: bool) -> None:
    table(*rows)
    assert "not seen which process" in peers.objection(line(), named=named)


@little
def test_of_several_listeners_the_most_exact_one_is_asked(table: Table) -> None:
    table(listens(ALL_FOUR, OTHER), listens(ALL_SIX, OTHER), listens(SIX, OTHER), listens(FOUR, US), taken(FOUR, US))
    assert peers.objection(line(), named=False) == ""
    assert (peers.stranger(PORT), peers.stranger_at_home(PORT)) == ("", "")
    table(listens(ALL_FOUR, US), listens(FOUR, OTHER))
    assert f"uid {OTHER}" in peers.stranger(PORT)
    table(listens(SIX, OTHER))
    assert f"uid {OTHER}" in peers.stranger(PORT)
    assert peers.stranger_at_home(PORT) == ""


@little
@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", None), ("198.51.100.7", "192.0.2.1")])
def test_where_nobody_here_is_at_it_only_its_name_vouches_for_it(table: Table, host: str, here: str | None) -> None:
    table()
    assert peers.objection(line(host, here), named=False) == "no process is seen there"
    assert peers.objection(line(host, here), named=True) == ""
    assert peers.is_elsewhere(line(host, here))


@little
def test_who_listens_here_is_nothing_to_another_machine(table: Table) -> None:
    table(listens(ALL_FOUR, OTHER))
    assert peers.objection(line("198.51.100.7", "192.0.2.1"), named=True) == ""


@little
def test_a_user_whom_a_user_namespace_does_not_know_is_not_told_and_not_left_out(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_unknown_uid", lambda: 65534)
    table(listens(FOUR, 65534), taken(FOUR, 65534))
    assert "does not know" in peers.objection(line(), named=True)
    assert (peers.stranger(PORT), peers.stranger_at_home(PORT)) == ("", "")


def test_without_a_table_nobody_on_this_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_sockets", lambda _: None)
    for named in (False, True):
        assert "cannot be told" in peers.objection(line(), named=named)
    assert peers.objection(line("198.51.100.7", "192.0.2.1"), named=True) == ""


@pytest.fixture(params=["linux", "darwin"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look at real sockets in either way."""
    monkeypatch.setattr(peers, "sys", SimpleNamespace(platform=request.param, byteorder=sys.byteorder))
    if request.param == "linux" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux has the kernel's table")
    return str(request.param)


@contextlib.contextmanager
def connected(address: str, host: str) -> Iterator[peers.Line]:
    six = ":" in address
    family = socket.AF_INET6 if six else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family, dualstack_ipv6=six)
    except OSError as problem:
        pytest.skip(f"no such address here: {problem}")
    with server, contextlib.closing(peers.dial(host, server.getsockname()[1], 5).socket) as made:
        taken_by_us, _ = server.accept()
        with taken_by_us:
            yield peers.Line(made, peers._end(made.getsockname()), peers._end(made.getpeername()))


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1"), ("::1", "::1")],
)
def test_our_own_sockets_are_ours(system: str, address: str, host: str) -> None:
    with connected(address, host) as made:
        for named in (False, True):
            assert peers.objection(made, named=named) == ""
        assert peers.stranger(made.there[1]) == ""
        assert not peers.is_elsewhere(made)


def status(mode: int, gid: int = 0) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, US, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("group", "members", "own", "open_to_others"),
    [("kelly", [], 700, False), ("kelly", ["kelly"], 700, False), ("kelly", ["kelly", "eve"], 700, True),
     ("users", [], 700, True), ("kelly", [], 100, True)],
)  # fmt: skip
def test_a_group_that_is_the_users_own_is_the_user(
    monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], own: int, open_to_others: bool
) -> None:
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_gid=gid, gr_name=group, gr_mem=members))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="kelly", pw_gid=own))
    assert (trust.objection(status(0o664, 700)) == "others may write to it") is open_to_others
    assert trust.objection(status(0o644, 700)) == ""
    assert trust.objection(status(0o646, 700)) == "others may write to it"
