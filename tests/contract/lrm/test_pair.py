"""Two License Reporting Managers as real processes, on a real etcd and one DuckDB file, over TLS."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from confapi.ha.v1 import ha_pb2
from confapi.usage.v1 import usage_pb2
from confclient.errors import (
    CertificateMismatchError,
    InvalidError,
    PermissionDeniedError,
    SequenceGapError,
    TooLargeError,
)
from confclient.rpcs import GET_USAGE_REPORT, SWITCH_OVER
from confcluster.pki import CertificateAuthority
from tests.support.elected import WITHOUT_HA
from tests.support.licenses import LICENSE, signed
from tests.support.lrm_pair import LrmPair, eventually, lrm_pairs

pytestmark = [pytest.mark.etcd, pytest.mark.cluster]

Change = Callable[[LrmPair], Awaitable[None]]

DAY = "2026-11-20"
DAY_START_MS = 1_795_132_800_000
LOADED_MS = DAY_START_MS - 5 * 86_400_000
SMALL = LICENSE.replace(" 500 ISSUED", " 2 ISSUED").replace("burst=50", "burst=1")


@pytest.fixture
async def pair(tmp_path: Path, authority: CertificateAuthority, etcd: str) -> AsyncIterator[LrmPair]:
    async with lrm_pairs(tmp_path, authority, etcd) as made:
        made.stub.revisions.clear()
        made.stub.load(SMALL, stored_ms=LOADED_MS)
        yield made


def use(number: int, start_s: int, end_s: int | None, **more: object) -> usage_pb2.UsageSession:
    return usage_pb2.UsageSession(
        **{
            "id": f"s-{number}",
            "version": 1,
            "tenant": "acme",
            "item": "seat_voice",
            "device": f"d-{number}",
            "start_ms": DAY_START_MS + 1000 * start_s,
            "end_ms": 0 if end_s is None else DAY_START_MS + 1000 * end_s,
            **more,
        }
    )


async def test_use_beyond_the_license_is_reported_from_what_applications_said(pair: LrmPair) -> None:
    # B-25
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    sessions = [use(number, 100 + number, 200) for number in range(4)]
    answer = await pair.record(application, 1, *sessions)
    assert (1, 4, 0) == (answer.sequence, answer.accepted, answer.repeated_count)
    await eventually(lambda: pair.entitlement(people))
    ours, system = await pair.report(people, DAY)
    expected = usage_pb2.UsageReportRow(
        tenant="acme",
        item="seat_voice",
        day=DAY,
        peak=4,
        peak_time_ms=DAY_START_MS + 103_000,
        seconds_at_peak=97,
        entitled=2,
        burst=1,
        licensed=True,
        over_use=2,
        over_use_seconds=98,
        over_use_first_ms=DAY_START_MS + 102_000,
        over_burst=1,
        sessions=4,
    )
    assert expected == ours
    expected.tenant = ""
    assert expected == system
    assert [] == await pair.report(people, DAY, tenant="nobody")


async def test_a_new_license_revision_is_in_the_entitlement_within_two_seconds(pair: LrmPair) -> None:
    # B-25, B-31
    pair.start(1)
    people = pair.channel()
    first = await eventually(lambda: pair.entitlement(people))
    assert (1, 2) == (first.license_revision, first.lines[0].quantity)
    began_s = time.monotonic()
    pair.stub.load(LICENSE)

    async def rebuilt() -> bool:
        return 500 == (await pair.entitlement(people)).lines[0].quantity

    await eventually(rebuilt)
    assert time.monotonic() - began_s < 2
    again = await pair.entitlement(people)
    assert pair.stub.revision().sha256 == again.license_sha256
    assert pair.stub.revision().stored_ms // 1000 == again.effective_ms // 1000


async def test_a_license_copy_that_differs_is_announced_and_read_afresh(pair: LrmPair) -> None:
    # B-26
    pair.settings["license_check_s"] = 0.2
    pair.start(1)
    people = pair.channel()
    await eventually(lambda: pair.entitlement(people))
    pair.stub.revisions[0] = (signed(SMALL.replace(" 2 ISSUED", " 3 ISSUED")), LOADED_MS)

    async def repaired() -> bool:
        return 3 == (await pair.entitlement(people)).lines[0].quantity

    await eventually(repaired)
    assert "66-25203" in [event["event_id"] for event in pair.events("lrm-1")]

    async def agreed() -> bool:
        asked = pair.stub.asked[-1]
        return (1, pair.stub.revision().sha256) == (asked.license_revision, asked.license_sha256)

    await eventually(agreed)


async def test_a_repeated_batch_changes_nothing_and_a_gap_is_refused(pair: LrmPair) -> None:
    # B-51
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    again = await pair.record(application, 1, use(1, 10, 20))
    assert (1, 0, 1) == (again.sequence, again.accepted, again.repeated_count)
    with pytest.raises(SequenceGapError) as gap:
        await pair.record(application, 3, use(2, 10, 20))
    assert "2" == gap.value.metadata["expected"]
    answer = await pair.record(application, 2, use(1, 10, 30), use(3, 50, 40), use(2, 10, 20))
    assert [("s-1", "CONFLICT"), ("s-3", "INVALID")] == [(each.id, each.reason) for each in answer.refused]
    assert [2, 2] == [row.sessions for row in await pair.report(people, DAY)]


async def test_nobody_reports_under_another_name_and_bad_requests_end_nothing(pair: LrmPair) -> None:
    # B-60
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    with pytest.raises(CertificateMismatchError):
        await pair.record(application, 1, use(1, 10, 20), source="other")
    with pytest.raises(TooLargeError):
        await pair.record(application, 1, *(use(number, 10, 20) for number in range(10_001)))
    with pytest.raises(PermissionDeniedError):
        await pair.report(application, DAY)
    with pytest.raises(InvalidError, match="give a day as 2026-11-24"):
        await pair.report(people, "yesterday")
    request = usage_pb2.GetUsageReportRequest(from_day="2026-11-24", to_day="2026-11-23")
    with pytest.raises(InvalidError, match="lies before"):
        await people.unary(GET_USAGE_REPORT, request)
    assert 1 == (await pair.record(application, 1, use(1, 10, 20))).accepted


async def test_what_was_acknowledged_survives_kill_9_of_the_primary(pair: LrmPair) -> None:
    # B-51
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, None))
    await eventually(lambda: pair.entitlement(people))
    pair.start(2)
    await _both_bound(pair)
    pair.signal("lrm-1", signal.SIGKILL)
    again = await pair.record(application, 1, use(1, 10, None))
    assert 1 == again.repeated_count
    answer = await pair.record(application, 2, use(1, 10, 20, version=2), use(2, 15, 20))
    assert 2 == answer.accepted
    assert "lrm-2" == await pair.primary(people)
    assert [2, 2] == [row.peak for row in await pair.report(people, DAY)]
    assert 2 == (await pair.entitlement(people)).lines[0].quantity


async def planned(pair: LrmPair) -> None:
    people = pair.channel()

    async def switched_over() -> bool:
        answer = await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(reason="test"))
        return "lrm-2" == answer.primary

    await eventually(switched_over)


async def killed(pair: LrmPair) -> None:
    pair.signal("lrm-1", signal.SIGKILL)


@pytest.mark.parametrize(
    "change",
    [pytest.param(planned, id="a planned switchover"), pytest.param(killed, id="kill -9 of the primary")],
)
async def test_a_change_of_role_under_load_loses_and_doubles_nothing(pair: LrmPair, change: Change) -> None:
    # B-51, B-53
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(0, 10, 2000))
    pair.start(2)
    await _both_bound(pair)
    recorded = 1
    goal: list[int] = []

    async def load() -> None:
        nonlocal recorded
        while not goal or recorded < goal[0]:
            await pair.record(application, recorded + 1, use(recorded, 10, 2000))
            recorded += 1

    loading = asyncio.create_task(load())
    await change(pair)
    assert "lrm-2" == await pair.primary(people)
    goal.append(recorded + 20)
    await loading
    assert [(recorded, recorded)] * 2 == [(row.peak, row.sessions) for row in await pair.report(people, DAY)]


async def test_a_paused_primary_that_keeps_the_store_is_ended_by_its_agent(pair: LrmPair) -> None:
    # B-50
    agent = await pair.start_agent()
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.start(2)
    await _both_bound(pair)
    pair.signal("lrm-1", signal.SIGSTOP)
    await pair.record(application, 2, use(2, 10, 20))
    assert [pair.processes["lrm-1"].pid] == agent.killed
    assert "lrm-2" == await pair.primary(people)
    assert [2, 2] == [row.peak for row in await pair.report(people, DAY)]


async def test_without_an_agent_the_successor_waits_until_the_paused_primary_lets_go(pair: LrmPair) -> None:
    # B-50, B-51
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.start(2)
    await _both_bound(pair)
    pair.signal("lrm-1", signal.SIGSTOP)

    async def says_that_it_waits() -> bool:
        return "66-25211" in [event["event_id"] for event in pair.events("lrm-2")]

    await eventually(says_that_it_waits)
    pair.signal("lrm-1", signal.SIGCONT)
    await pair.record(application, 2, use(2, 10, 20))
    assert [2, 2] == [row.peak for row in await pair.report(people, DAY)]


async def test_the_other_member_alone_takes_the_role_once_it_has_read_that_it_may(pair: LrmPair) -> None:
    # B-40
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.signal("lrm-1", signal.SIGKILL)
    pair.start(2)
    await pair.record(application, 2, use(2, 10, 20))
    assert "lrm-2" == await pair.primary(people)
    assert [2, 2] == [row.peak for row in await pair.report(people, DAY)]


async def test_without_the_feature_only_the_last_primary_takes_the_role_again(pair: LrmPair) -> None:
    # B-40
    pair.stub.load(WITHOUT_HA)
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.signal("lrm-1", signal.SIGKILL)
    pair.start(2)

    async def refused() -> bool:
        return "00-25012" in [event["event_id"] for event in pair.events("lrm-2")]

    await eventually(refused)
    pair.processes["lrm-1"].wait()
    pair.start(1)
    await pair.record(application, 2, use(2, 10, 20))
    assert "lrm-1" == await pair.primary(people)


async def test_an_operator_may_take_the_role_over_by_hand(pair: LrmPair) -> None:
    # B-40
    pair.stub.load(WITHOUT_HA)
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.signal("lrm-1", signal.SIGKILL)
    pair.start(2, "--take-over")
    await pair.record(application, 2, use(2, 10, 20))
    assert "lrm-2" == await pair.primary(people)
    assert "00-25022" in [event["event_id"] for event in pair.events("lrm-2")]


async def test_sigterm_hands_over_and_ends_with_status_0(pair: LrmPair) -> None:
    # B-53
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "desk")
    await pair.record(application, 1, use(1, 10, 20))
    pair.start(2)
    await _both_bound(pair)
    pair.signal("lrm-1", signal.SIGTERM)
    assert 0 == await pair.wait_exit("lrm-1")
    await pair.record(application, 2, use(2, 10, 20))
    assert "lrm-2" == await pair.primary(people)


async def _both_bound(pair: LrmPair) -> None:
    """Wait until both are bound, and so know the license."""

    async def bound() -> bool:
        read = all("66-25202" in [each["event_id"] for each in pair.events(name)] for name in pair.processes)
        return read and {"lrm-1", "lrm-2"} == pair.stub.bound

    await eventually(bound)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"several_hosts": True}, "a DuckDB file serves one host", id="a DuckDB pair over hosts"),
        pytest.param({"config_servers": []}, "config_servers is missing", id="nobody to bind to"),
        pytest.param(
            {"trust": "/nowhere/trust.toml"}, "/nowhere/trust.toml", id="a trust file that is not there"
        ),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_start(
    pair: LrmPair, settings: dict[str, object], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # B-60
    pair.settings.update(settings)
    pair.start(1)
    assert 2 == await pair.wait_exit("lrm-1")
    assert says in capfd.readouterr().err
