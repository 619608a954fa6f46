"""License Managers as real processes on a real etcd, over TLS: check-out through loss and switchover."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import grpc.aio
import pytest

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confapi.license.v1 import checkout_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import open_channel
from confclient.errors import ConfservError, InvalidError, LicenseRequiredError, NoPrimaryError
from confclient.licenses import CheckoutDeniedError, Licenses
from confclient.rpcs import CHECK_IN, CHECK_OUT, GET_STATUS, HEARTBEAT, LIST_USE, SWITCH_OVER
from confcluster.pki import CertificateAuthority
from tests.support.elected import WITHOUT_HA, running_etcd
from tests.support.licenses import LICENSE
from tests.support.licman_pair import LicmanPair, check_out, licman_pairs, used

pytestmark = pytest.mark.etcd

GRANTED, DENIED = checkout_pb2.CHECK_OUTCOME_GRANTED, checkout_pb2.CHECK_OUTCOME_DENIED


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as endpoint:
        yield endpoint


@pytest.fixture
async def pair(tmp_path: Path, authority: CertificateAuthority, etcd: str) -> AsyncIterator[LicmanPair]:
    async with licman_pairs(tmp_path, authority, etcd) as made:
        yield made


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 60.0) -> None:
    """Wait until an awaitable condition is true; a refusal is "not yet"."""

    async def holds() -> bool:
        try:
            return await condition()
        except (ConfservError, grpc.aio.AioRpcError):
            return False

    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110  # what is asked is another process's business
            await asyncio.sleep(0.02)


async def throughout(condition: Callable[[], Awaitable[bool]], *, for_s: float) -> None:
    """Check that an awaitable condition stays true for some seconds."""
    end_s = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < end_s:
        assert await condition()
        await asyncio.sleep(0.1)


def licensed(pair: LicmanPair) -> Callable[[], Awaitable[bool]]:
    channel = pair.channel("administrator", "eva")

    async def known() -> bool:
        answer = await channel.unary(LIST_USE, checkout_pb2.ListUseRequest())
        return answer.license_revision > 0

    return known


async def test_check_out_deny_check_in_and_repeat(pair: LicmanPair) -> None:  # B-42
    pair.start(1)
    await eventually(licensed(pair))
    ann, bob = pair.channel(), pair.channel(name="bob")
    first = await check_out(ann, "h1", count=2)
    again = await check_out(ann, "h1", count=2)
    assert (GRANTED, 2, "ann", 60_000) == (
        first.outcome,
        first.holding.count,
        first.holding.application,
        first.heartbeat_timeout_ms,
    )
    assert first.holding == again.holding
    assert (2, 3) == await used(ann)
    denied = await check_out(bob, "h1", count=2)
    assert (DENIED, "ALL_IN_USE", -4) == (denied.outcome, denied.denial.reason, denied.denial.number)
    item = await check_out(bob, "h2", "seat_voice", version="")
    assert (DENIED, "SELLABLE_ITEM", -18) == (item.outcome, item.denial.reason, item.denial.number)
    released = await ann.unary(CHECK_IN, checkout_pb2.CheckInRequest(handles=["h1", "h9"]))
    assert ["h1"] == list(released.released)
    assert GRANTED == (await check_out(bob, "h1", count=3)).outcome


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def pair_on_any_database(
    request: pytest.FixtureRequest, tmp_path: Path, authority: CertificateAuthority, etcd: str
) -> AsyncIterator[LicmanPair]:
    database = ""
    if request.param == "postgresql":
        database = request.getfixturevalue("postgresql_server").fresh_database()
    async with licman_pairs(tmp_path, authority, etcd, database=database) as made:
        yield made


async def both_run(pair: LicmanPair) -> None:
    """Start a pair whose first member is primary, and wait until the second could take over."""
    pair.start(1)
    await eventually(licensed(pair))
    pair.start(2)

    async def backup_knows_the_license() -> bool:
        status = await ask_member(pair, 2)
        return 2 == len(status.members) and "true" == status.attributes["ha_licensed"]

    await eventually(backup_knows_the_license)


async def ask_member(pair: LicmanPair, number: int) -> ha_pb2.GetStatusResponse:
    """Ask one member, primary or not, how it stands."""
    async with open_channel(pair.endpoints[number - 1], pair.tls("administrator", "eva")) as channel:
        stub = ha_pb2_grpc.MemberServiceStub(channel)
        return await stub.GetStatus(ha_pb2.GetStatusRequest(), timeout=10, wait_for_ready=True)


async def test_a_primary_that_was_stopped_for_longer_than_its_lease_grants_nothing_more(
    pair_on_any_database: LicmanPair,
) -> None:  # B-50, I-8
    pair = pair_on_any_database
    await both_run(pair)
    ann, bob = pair.channel(), pair.channel(name="bob")
    await check_out(ann, "h1", count=2)
    pair.kill("licman-1", signal.SIGSTOP)
    waiting = asyncio.create_task(check_out(ann, "late"))
    granted = await check_out(bob, "h2")
    late = await waiting
    pair.kill("licman-1", signal.SIGCONT)
    assert {DENIED, GRANTED} == {late.outcome, granted.outcome}
    assert "licman-2" == await pair.primary(ann)
    former = ServiceChannel(pair.endpoints[:1], pair.tls("application", "carl"), timeout_s=10)
    pair.stack.push_async_callback(former.close)
    assert DENIED == (await check_out(former, "h3")).outcome  # refused there, led to the primary
    assert (3, 3) == await used(ann)


async def test_the_loss_of_the_primary_takes_no_license_and_gives_none_twice(
    pair_on_any_database: LicmanPair,
) -> None:  # B-42, B-51
    pair = pair_on_any_database
    await both_run(pair)
    ann, people = pair.channel(), pair.channel("administrator", "eva")
    first = await check_out(ann, "h1", count=3)
    pair.kill("licman-1")
    again = await check_out(ann, "h1", count=3)
    assert (GRANTED, first.holding) == (again.outcome, again.holding)
    assert (again.epoch.generation, again.epoch.mod_revision) > (
        first.epoch.generation,
        first.epoch.mod_revision,
    )
    assert "licman-2" == await pair.primary(people)
    assert (3, 3) == await used(people)
    assert DENIED == (await check_out(pair.channel(name="bob"), "x")).outcome


async def test_a_holder_that_dies_gives_back_and_one_that_beats_keeps(pair: LicmanPair) -> None:  # B-42
    pair.heartbeat_timeout_s = 2.0
    pair.start(1)
    await eventually(licensed(pair))
    ann, bob = pair.channel(), pair.channel(name="bob")
    await check_out(ann, "alive")
    await check_out(bob, "dead")
    async with await ann.bidi_stream(HEARTBEAT) as stream:
        await stream.write(checkout_pb2.HeartbeatRequest(handles=["alive", "unknown"]))
        answer = await stream.read()
        assert answer is not None
        assert ["unknown"] == list(answer.lost)

        async def one_is_left() -> bool:
            await stream.write(checkout_pb2.HeartbeatRequest())
            beat = await stream.read()
            assert beat is not None
            assert ["unknown"] == list(beat.lost)
            return (1, 3) == await used(ann)

        await eventually(one_is_left)
    assert "67-25011" in pair.log_file("licman-1").read_text()


async def test_the_library_keeps_a_license_through_a_planned_switchover(
    pair: LicmanPair,
) -> None:  # B-42, B-53
    pair.heartbeat_timeout_s = 2.0
    pair.start(1)
    await eventually(licensed(pair))
    pair.start(2)
    people = pair.channel("administrator", "eva")
    licenses = Licenses(pair.channel())
    async with licenses.checkout("editor", 3, version="1.5") as held:

        async def switched_over() -> bool:
            answer = await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(to="licman-2", reason="test"))
            return "licman-2" == answer.primary

        await eventually(switched_over)
        async with asyncio.timeout(20):
            with pytest.raises(CheckoutDeniedError):
                async with Licenses(pair.channel(name="bob")).checkout("editor"):
                    pass

        async def all_are_used() -> bool:
            return (3, 3) == await used(people)

        await throughout(all_are_used, for_s=1.5 * pair.heartbeat_timeout_s)
        assert not held.lost.is_set()
    assert (0, 3) == await used(people)
    await licenses.close()


async def test_without_the_feature_no_switchover_and_with_it_at_once(pair: LicmanPair) -> None:  # B-40
    pair.stub.license_text = WITHOUT_HA
    pair.start(1)
    await eventually(licensed(pair))
    people = pair.channel("administrator", "eva")
    pair.start(2)

    async def refused() -> bool:
        try:
            await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(to="licman-2"))
        except LicenseRequiredError:
            return True
        raise AssertionError("switched over without the feature")

    await eventually(refused)

    async def backup_is_there() -> bool:
        return 2 == len((await ask_member(pair, 2)).members)

    await eventually(backup_is_there)
    pair.kill("licman-1")

    async def refusal_is_logged() -> bool:
        return "00-25012" in pair.log_file("licman-2").read_text()

    await eventually(refusal_is_logged)
    with pytest.raises(NoPrimaryError):
        await people.unary(GET_STATUS, ha_pb2.GetStatusRequest(), timeout_s=4)
    pair.stub.load(LICENSE)

    async def took_over() -> bool:
        return "licman-2" == await pair.primary(people)

    await eventually(took_over)


async def test_a_new_license_counts_at_once_and_holders_keep_theirs(pair: LicmanPair) -> None:  # B-42
    pair.start(1)
    await eventually(licensed(pair))
    ann = pair.channel()
    await check_out(ann, "h1", count=3)
    pair.stub.load(
        LICENSE.replace(
            "INCREMENT editor acmed 2.0 31-dec-2027 3", "INCREMENT editor acmed 2.0 31-dec-2027 5"
        )
    )

    async def more_are_issued() -> bool:
        return (3, 5) == await used(ann)

    await eventually(more_are_issued)
    assert GRANTED == (await check_out(ann, "h2", count=2)).outcome
    pair.stub.load(LICENSE.replace("editor", "other"))

    async def gone() -> bool:
        answer = await check_out(ann, "h3")
        return "NO_SUCH_FEATURE" == answer.denial.reason

    await eventually(gone)
    assert (5, 0) == await used(ann)


async def test_without_a_configuration_server_the_journal_s_license_counts(
    pair: LicmanPair,
) -> None:  # B-42
    pair.start(1)
    await eventually(licensed(pair))
    assert 0 == await pair.stop("licman-1")
    pair.stub.endpoint = "127.0.0.1:1"
    pair.start(1)
    assert GRANTED == (await check_out(pair.channel(), "h1")).outcome


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        pytest.param(checkout_pb2.Holding(feature="editor", count=1), "handle", id="no handle"),
        pytest.param(checkout_pb2.Holding(handle="h", count=1), "feature", id="no feature"),
        pytest.param(checkout_pb2.Holding(handle="h", feature="editor"), "count", id="no count"),
        pytest.param(
            checkout_pb2.Holding(handle="h", feature="editor", count=1, version="x"),
            "version",
            id="no version",
        ),
    ],
)
async def test_a_wrong_request_is_refused_and_the_server_goes_on(
    pair: LicmanPair, wanted: checkout_pb2.Holding, says: str
) -> None:  # B-60
    pair.start(1)
    await eventually(licensed(pair))
    ann = pair.channel()
    with pytest.raises(InvalidError, match=says):
        await ann.unary(CHECK_OUT, checkout_pb2.CheckOutRequest(wanted=wanted))
    with pytest.raises(InvalidError, match="handles"):
        await ann.unary(CHECK_IN, checkout_pb2.CheckInRequest(handles=["x" * 300]))
    assert GRANTED == (await check_out(ann, "h1")).outcome


async def test_stat_shows_who_uses_what_to_people_and_scripts(pair: LicmanPair) -> None:
    pair.start(1)
    await eventually(licensed(pair))
    await check_out(pair.channel(), "h1", count=2)
    tls = pair.tls("administrator", "eva")
    options = [
        "--endpoints",
        pair.endpoints[0],
        "--ca",
        tls.ca,
        "--certificate",
        tls.certificate,
        "--key",
        tls.key,
    ]

    async def stat(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "licman", "stat", *map(str, options), *more]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)

    table = await stat("-a")
    assert 0 == table.returncode
    assert "Users of editor:  (Total of 3 licenses issued;  Total of 2 licenses in use)" in table.stdout
    assert "    ann pc1 - (v2.0)" in table.stdout
    document = json.loads((await stat("-f", "editor", "-o", "json")).stdout)
    (feature,) = document["features"]
    assert ("editor", 3, 2, "2027-12-31", "h1", "ann") == (
        feature["feature"],
        feature["issued"],
        feature["used"],
        feature["expires"],
        feature["holdings"][0]["handle"],
        feature["holdings"][0]["user"],
    )
    pair.kill("licman-1", signal.SIGKILL)
    nobody = await stat("--timeout", "1")
    assert (4, True) == (nobody.returncode, "licman:" in nobody.stderr)


async def test_an_application_sees_its_own_holdings_alone(pair: LicmanPair) -> None:
    pair.start(1)
    await eventually(licensed(pair))
    ann, bob = pair.channel(), pair.channel(name="bob")
    await check_out(ann, "h1")
    answer = await bob.unary(LIST_USE, checkout_pb2.ListUseRequest(feature="editor"))
    assert [(1, [])] == [(row.used, list(row.holdings)) for row in answer.features]
