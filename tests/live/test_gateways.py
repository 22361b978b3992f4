"""Gateways as people run them: what is restarted, what is reported, whose gateway is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .install import Install
from .lab import PASSWORD, WRONG, Lab, create, laboratory, run, with_wrong_token
from .snapshots import change, digests, rows, without

pytestmark = pytest.mark.live

MAIN = "agent:main:main"
ONE = "agent:project-lead:project-one"
TWO = "agent:main:project-two"
REST = ("agent:project-lead:main", "agent:main:project-one")


@pytest.fixture(scope="module")
def by_hand(install: Install) -> Iterator[Lab]:
    """A lab whose gateway was started by hand, as `openclaw gateway run`."""
    with laboratory(install) as made:
        made.start("run")
        yield made


@pytest.mark.openclaw("files")
def test_an_edit_below_a_gateway_restarts_it_once_for_the_whole_batch(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
        listed = rows(rpc)
    files = digests(shared)

    with shared.restarting(1):
        result = run(shared, "close-project-batch", "--delete", "--via", "files", "one", TWO)
        assert shared.gateway is not None
        assert shared.gateway.is_healthy(), "the command may only say restarted when the gateway answers again"

    assert result.code == 0, result
    assert result.statuses() == {ONE: "closed", TWO: "closed"}
    assert {row["route"] for row in result.rows.values()} == {"files"}
    assert result.json["restart"]["ok"] is True
    change(files, digests(shared))
    with shared.rpc() as rpc:
        assert rows(rpc) == without(listed, ONE, TWO)


@pytest.mark.openclaw("files")
def test_no_restart_leaves_the_gateway_alone(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, *REST)
        listed = rows(rpc)
        with shared.restarting(0):
            result = run(shared, "close-project", "--delete", "--via", "files", "--no-restart", "one")
        assert (result.code, result.statuses()) == (0, {ONE: "closed"}), result
        assert result.json["restart"]["needed"] is True
        assert result.json["restart"]["ok"] is None
        # After the restart of the test before, 2026.5.7 may wake its main session at any moment.
        now = {key: row for key, row in rows(rpc).items() if key != MAIN}
        assert now == without({key: row for key, row in listed.items() if key != MAIN}, ONE)


@pytest.mark.depth
@pytest.mark.openclaw("2026.5.7")
def test_a_gateway_that_cannot_be_restarted_is_reported_and_the_sessions_are_closed(by_hand: Lab) -> None:
    with by_hand.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
        listed = rows(rpc)

        with by_hand.restarting(0):
            result = run(by_hand, "close-project-batch", "--delete", "--via", "files", "one", TWO)

        assert result.code == 1, result
        assert result.statuses() == {ONE: "closed", TWO: "closed"}
        assert result.json["restart"]["ok"] is False
        assert result.json["restart"]["result"] == "not-loaded"
        assert "restart it where you started it; it has noticed already" in result.json["restart"]["detail"]
        assert rows(rpc) == without(listed, ONE, TWO)


@pytest.mark.depth
def test_a_gateway_run_by_hand_closes_sessions_as_well(by_hand: Lab) -> None:
    with by_hand.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
        listed = rows(rpc)
        with by_hand.restarting(0):
            result = run(by_hand, "close-project-batch", "--delete", "one", TWO)
        assert result.code == 0, result
        assert {row["route"] for row in result.rows.values()} == {"gateway"}
        assert rows(rpc) == without(listed, ONE, TWO)


@pytest.mark.depth("2026.9.6")
def test_with_a_wrong_token_via_gateway_changes_nothing(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
    environ = with_wrong_token(shared)
    before = digests(shared)
    with shared.restarting(0):
        result = run(shared, "close-project-batch", "--delete", "--via", "gateway", "one", TWO, environ=environ)
    assert result.code == 6, result
    assert result.json["error"]["name"] == "gateway_needed"
    assert digests(shared) == before
    assert WRONG not in result.stdout + result.stderr


@pytest.mark.depth
@pytest.mark.openclaw("files")
def test_with_a_wrong_token_the_files_are_edited_and_the_token_is_not_told(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, ONE, TWO, *REST)
        listed = rows(rpc)
    files = digests(shared)

    with shared.restarting(1):
        result = run(shared, "close-project-batch", "--delete", "one", TWO, environ=with_wrong_token(shared))

    assert result.code == 0, result
    assert result.statuses() == {ONE: "closed", TWO: "closed"}, result
    assert {row["route"] for row in result.rows.values()} == {"files"}
    assert result.json["restart"]["ok"] is True
    change(files, digests(shared))
    with shared.rpc() as rpc:
        assert rows(rpc) == without(listed, ONE, TWO)
    assert WRONG not in result.stdout + result.stderr
    records = [path for path in (shared.state / "session-closer").rglob("*") if path.is_file()]
    assert records, "a change leaves a receipt"
    for path in records:
        assert WRONG.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.depth
def test_where_no_token_is_configured_the_openclaw_command_asks_the_gateway(install: Install) -> None:
    with laboratory(install, PASSWORD) as lab:
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, ONE, TWO, *REST)
            listed = rows(rpc)
            with lab.restarting(0):
                result = run(lab, "close-project-batch", "--delete", "one", TWO)
            assert result.code == 0, result
            assert result.statuses() == {ONE: "closed", TWO: "closed"}
            assert {row["route"] for row in result.rows.values()} == {"gateway"}
            assert rows(rpc) == without(listed, ONE, TWO)
        assert PASSWORD["password"] not in result.stdout + result.stderr


@pytest.mark.openclaw("sqlite")
def test_the_openclaw_command_switches_off_no_job_of_a_session_that_it_archives(install: Install) -> None:
    with laboratory(install, PASSWORD) as lab:
        lab.start()
        with lab.rpc() as rpc:
            ids = create(rpc, ONE, TWO)
            for key in (ONE, TWO):
                rpc(
                    "cron.add",
                    name=key,
                    agentId=key.split(":")[1],
                    enabled=True,
                    sessionTarget=f"session:{key}",
                    wakeMode="now",
                    schedule={"kind": "every", "everyMs": 86_400_000},
                    payload={"kind": "agentTurn", "message": "report"},
                )
            result = run(lab, "close-project", "one")
            assert (result.code, result.statuses()) == (0, {ONE: "archived"}), result
            # So an admin's connection does.
            rpc("sessions.patchMany", targets=[{"key": TWO, "expectedSessionId": ids[TWO]}], patch={"archived": True})
            jobs = rpc("cron.list", includeDisabled=True)["jobs"]
        assert {job["name"]: job["enabled"] for job in jobs if job["name"] in (ONE, TWO)} == {ONE: True, TWO: False}


@pytest.mark.depth
@pytest.mark.openclaw("2026.5.7")
def test_a_device_that_may_only_read_is_no_dead_end(install: Install) -> None:
    with laboratory(install, PASSWORD) as lab:
        lab.start()
        with lab.rpc() as rpc:
            create(rpc, ONE, *REST)
            listed = rows(rpc)
        # What a device is first used for decides what it may do until a person approves more.
        assert lab.openclaw("gateway", "call", "sessions.list", "--params", "{}", "--json").returncode == 0
        refused = lab.openclaw("gateway", "call", "sessions.delete", "--params", f'{{"key":"{ONE}"}}', "--json")
        assert refused.returncode == 1
        assert "scope upgrade pending approval" in refused.stderr

        with lab.restarting(1):
            result = run(lab, "close-project", "--delete", "one")

        assert (result.code, result.statuses()) == (0, {ONE: "closed"}), result
        assert result.rows[ONE]["route"] == "files"
        with lab.rpc() as rpc:
            assert rows(rpc) == without(listed, ONE)


@pytest.mark.depth
@pytest.mark.openclaw("files")
def test_a_gateway_of_another_state_directory_is_never_touched(shared: Lab, lab: Lab) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, ONE, *REST)
        own = rows(rpc)
    lab.stop()
    with shared.rpc() as rpc:
        create(rpc, ONE, *REST)
        listed = rows(rpc)
    files = digests(shared)
    before = digests(lab)
    lab.configure(port=shared.port, auth=shared.auth)

    with shared.restarting(0):
        first = run(lab, "close-project", "--delete", "--restart", "always", "one")
        second = run(lab, "close-project", "--delete", "one")

    assert (first.code, first.statuses()) == (0, {ONE: "closed"}), first
    assert (second.code, second.statuses()) == (0, {ONE: "already_closed"}), second
    change(before, digests(lab))
    assert digests(shared) == files
    with shared.rpc() as rpc:
        assert rows(rpc) == listed
    lab.configure()
    lab.start()
    with lab.rpc() as rpc:
        assert rows(rpc) == without(own, ONE)
