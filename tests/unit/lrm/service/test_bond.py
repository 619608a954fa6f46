"""The bond over real connections: LRM follows the primary, believes no lower token, and repairs its license copy."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from confapi.license.v1 import license_pb2, license_pb2_grpc
from confapi.message.v1 import message_pb2
from confclient.channel import ServiceChannel
from confkit.election.types import Epoch
from confkit.events import EventLog
from confkit.license.trust import KeyId, TrustedKey, TrustSet
from confkit.server import GrpcServer
from lrm.adapters.seen_epoch import SeenEpochFile
from lrm.service.bond import Bond, BondTools
from lrm.service.license_book import LicenseBook
from tests.support.licenses import KEY_ID, LICENSE, NOW, OTHER_KEY, TRUST, VENDOR, signed
from tests.support.members import Authority, Member, Pair, until

FEWER = LICENSE.replace(" 500 ISSUED", " 20 ISSUED")


class Licenses(license_pb2_grpc.LrmBindingServiceServicer, license_pb2_grpc.LicenseServiceServicer):
    """A Configuration Server's licenses; `sent` is what it says of the current one, whatever it stores."""

    def __init__(self, member: Member, texts: list[bytes]) -> None:
        self.member = member
        self.texts = texts

    def revision(self, number: int = 0) -> license_pb2.LicenseRevision:
        number = number or len(self.texts)
        digest = hashlib.sha256(self.texts[number - 1]).hexdigest()
        return license_pb2.LicenseRevision(revision=number, sha256=digest, stored_ms=number * 1000)

    async def Bind(self, request_iterator: Any, context: Any) -> AsyncIterator[license_pb2.BindResponse]:
        async for request in request_iterator:
            self.member.check()
            current = self.revision()
            same = (request.license_revision, request.license_sha256) == (current.revision, current.sha256)
            text = b"" if same else self.texts[-1]
            yield license_pb2.BindResponse(epoch=self.member.epoch, license=current, text=text)

    async def GetLicense(self, request: Any, context: Any) -> license_pb2.GetLicenseResponse:
        revision = self.revision(request.revision)
        return license_pb2.GetLicenseResponse(revision=revision, text=self.texts[revision.revision - 1])


class World:
    """Two Configuration Servers and one bond."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        self.texts = [signed(LICENSE)]
        self.authority = authority
        self.servers = Pair(authority, self._add)
        self.seen = SeenEpochFile(directory / "token.json")
        self.book = LicenseBook(now=lambda: NOW)
        self.logged: list[message_pb2.LogEvent] = []
        self.work: list[Any] = []

    def _add(self, server: GrpcServer, member: Member) -> None:
        licenses = Licenses(member, self.texts)
        server.add(
            license_pb2_grpc.add_LrmBindingServiceServicer_to_server,
            licenses,
            "confapi.license.v1.LrmBindingService",
        )
        server.add(
            license_pb2_grpc.add_LicenseServiceServicer_to_server,
            licenses,
            "confapi.license.v1.LicenseService",
        )

    async def bond(self, *, check_s: float = 60.0) -> Bond:
        endpoints = [member.endpoint for member in self.servers.running]
        channel = ServiceChannel(
            endpoints, self.authority.tls("lrm", "lrm-1"), component="Configuration Server"
        )
        bond = Bond(
            BondTools(
                channel=channel,
                instance="lrm-1",
                book=self.book,
                seen=self.seen,
                events=EventLog(application="lrm-1", component="lrm", sink=self.logged.append),
                now=lambda: NOW,
                trust=TRUST,
                check_s=check_s,
            )
        )
        self.work = [asyncio.create_task(bond.run()), channel]
        return bond

    async def close(self) -> None:
        if self.work:
            task, channel = self.work
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await channel.close()
        await self.servers.stop()

    def numbers(self) -> list[str]:
        return [event.event_id for event in self.logged]

    def quantity(self) -> int:
        current = self.book.entitlement.current
        return current.lines[0].quantity if current is not None else 0


@pytest.fixture
async def world(authority: Authority, tmp_path: Path) -> AsyncIterator[World]:
    made = World(authority, tmp_path)
    for name in ("confserv-1", "confserv-2"):
        await made.servers.start(name)
    yield made
    await made.close()


async def test_lrm_binds_to_the_primary_and_to_its_successor(world: World) -> None:
    # B-20
    world.servers.promote("confserv-1")
    bond = await world.bond()
    await until(lambda: world.quantity() == 500)
    first = bond.bound
    assert world.servers.members["confserv-1"].endpoint == bond.status()["bound_to"]
    await world.servers.members["confserv-1"].stop()
    world.servers.promote("confserv-2")
    await until(lambda: len(world.numbers()) == 4)
    assert bond.bound not in (None, first)
    assert world.servers.members["confserv-2"].endpoint == bond.status()["bound_to"]
    assert ["66-25200", "66-25202", "66-25201", "66-25200"] == world.numbers()
    assert bond.bound == world.seen.read()


async def test_nothing_is_accepted_under_a_token_lower_than_one_seen_before_a_restart(world: World) -> None:
    # B-20, I-7
    world.seen.write(Epoch(1, 12))
    world.servers.promote("confserv-1")
    assert world.servers.epoch < 12
    bond = await world.bond()
    await until(lambda: world.servers.members["confserv-1"].calls >= 2)
    assert (None, 0, []) == (bond.bound, world.quantity(), world.numbers())
    world.servers.promote("confserv-2")
    await until(lambda: bond.bound == Epoch(1, 12))
    await until(lambda: world.quantity() == 500)


async def test_revisions_that_came_while_lrm_was_away_are_all_read(world: World) -> None:
    # B-25
    world.texts[:] = [signed(LICENSE), signed(FEWER), signed(LICENSE + "# third\n")]
    world.servers.promote("confserv-1")
    await world.bond()
    await until(lambda: len(world.book.entitlement.revisions) == 3)
    quantities = [each.lines[0].quantity for each in world.book.entitlement.revisions]
    assert [500, 20, 500] == quantities
    assert 3 == world.book.current.revision


async def test_a_copy_that_differs_is_announced_and_repaired(world: World) -> None:
    # B-26
    world.servers.promote("confserv-1")
    await world.bond(check_s=0.05)
    await until(lambda: world.quantity() == 500)
    world.texts[0] = signed(FEWER)
    await until(lambda: world.quantity() == 20)
    assert ["66-25200", "66-25202", "66-25203", "66-25202"] == world.numbers()


async def test_a_text_that_was_altered_entitles_to_nothing_and_the_former_one_counts(world: World) -> None:
    # B-26, B-32
    world.servers.promote("confserv-1")
    await world.bond(check_s=0.05)
    await until(lambda: world.quantity() == 500)
    world.texts.append(signed(LICENSE).replace(b" 500 ", b" 900 "))
    await until(lambda: "66-25204" in world.numbers())
    assert (500, 1) == (world.quantity(), world.book.current.revision)


async def test_a_key_that_is_trusted_later_counts_from_the_next_check(world: World) -> None:
    # B-26
    world.texts[0] = signed(LICENSE, key=OTHER_KEY)
    world.servers.promote("confserv-1")
    bond = await world.bond(check_s=0.05)
    await until(lambda: "66-25204" in world.numbers())
    public = OTHER_KEY.public_key().public_bytes_raw()
    bond.trust = TrustSet.of([TrustedKey(KeyId(KEY_ID), public, (VENDOR,))])
    await until(lambda: world.quantity() == 500)


def test_a_token_on_record_survives_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    # I-7, B-60
    file = SeenEpochFile(tmp_path / "token.json")
    assert None is file.read()
    file.write(Epoch(2, 30))
    assert Epoch(2, 30) == SeenEpochFile(tmp_path / "token.json").read()
    (tmp_path / "token.json").write_text("[]")
    with pytest.raises(ValueError, match=r"token\.json does not hold a token"):
        file.read()
