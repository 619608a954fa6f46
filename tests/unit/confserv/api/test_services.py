"""Sessions, license and the bond with LRM as clients see them: real gRPC, real TLS, a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import pytest

from confapi.config.v1 import objects_pb2, sessions_pb2, sessions_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.credentials import open_channel
from confclient.errors import (
    ConfservError,
    LicenseRefusedError,
    LrmNotStartedError,
    NoPrimaryError,
    NotPrimaryError,
    PermissionDeniedError,
    SessionRequiredError,
    from_rpc_error,
)
from confkit.server import GrpcServer
from confserv.api.answers import Shown
from confserv.api.services import POLICY, Served, services
from confserv.core.objects import ConfigObject, TypeName
from confserv.core.operations import Create
from tests.support.configurations import CODEC, request_id
from tests.support.configurations import request as write
from tests.support.confserv_pair import WITH_HA, WITHOUT_HA, Server, World, sqlite_world
from tests.support.members import CLUSTER, Authority
from tests.support.waiting import eventually

T = TypeVar("T")
LRM, BUSINESS = (
    objects_pb2.APPLICATION_TYPE_LICENSE_REPORTING_MANAGER,
    objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
)
APPLICATIONS = {"lrm-1": LRM, "billing": BUSINESS}


class Cluster:
    """One primary that listens, and channels to it."""

    def __init__(self, world: World, server: Server, authority: Authority) -> None:
        self.world, self.server = world, server
        self._authority = authority
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._grpc = GrpcServer(
            listen="127.0.0.1:0",
            tls=authority.tls("confserv", "confserv-1"),
            cluster=CLUSTER,
            policy=POLICY,
        )

    async def start(self) -> None:
        server = self.server
        served = Served(
            gate=server.base.gate,
            engine=server.engine,
            keeper=server.keeper,
            bindings=server.bindings,
            licensing=server.licensing,
            reader=CODEC,
            shown=Shown(lambda: None),
            members=lambda: [ha_pb2.Member(instance="confserv-1")],
            application=lambda name: objects_pb2.ConfigObject(name=name),
        )
        for service in services(served):
            self._grpc.add(service.register, service.servicer, service.name)
        self._endpoint = self._grpc.bind()
        await self._grpc.start()

    def channel(self, role: str, name: str) -> grpc.aio.Channel:
        """Connect with a certificate of this role and name."""
        if name not in self._channels:
            self._channels[name] = open_channel(self._endpoint, self._authority.tls(role, name))
        return self._channels[name]

    async def open(self, name: str, *, role: str = "application", session_id: str = "") -> Any:
        """Open a session."""
        request = sessions_pb2.OpenSessionRequest(
            session_id=session_id or name, application=name, application_type=APPLICATIONS[name]
        )
        return await answer(
            sessions_pb2_grpc.SessionServiceStub(self.channel(role, name)).OpenSession(request)
        )

    def bind(self, name: str, requests: AsyncIterator[license_pb2.BindRequest], *, role: str = "lrm") -> Any:
        """Begin a bond."""
        return license_pb2_grpc.LrmBindingServiceStub(self.channel(role, name)).Bind(requests)

    def licenses(self, role: str = "administrator", name: str = "alice") -> Any:
        """The license service as that certificate sees it."""
        return license_pb2_grpc.LicenseServiceStub(self.channel(role, name))

    async def stop(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        await self._grpc.stop(0)


async def answer(call: Any) -> Any:
    """The answer of a call, or the project's own exception."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


async def refusal(call: Any) -> ConfservError:
    """The error with which a stream ends; what it says before does not count."""
    try:
        while await call.read() is not grpc.aio.EOF:
            continue
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the stream ended without an error")


async def one(request: license_pb2.BindRequest) -> AsyncIterator[license_pb2.BindRequest]:
    """A stream of requests with one request that stays open."""
    yield request
    await asyncio.Event().wait()


def template(name: str, kind: int) -> tuple[Create, Create]:
    """Operations that make an application of a type."""
    return (
        Create(
            ConfigObject(
                TypeName("ApplicationTemplate"), name=f"template of {name}", body={"application_type": kind}
            )
        ),
        Create(ConfigObject(TypeName("Application"), name=name, body={"template": -1})),
    )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    world = sqlite_world(tmp_path)
    await world.upload(WITH_HA)
    server = await world.server("confserv-1")
    await server.promote(5)
    for name, kind in APPLICATIONS.items():
        await server.engine.submit(
            write(*template(name, kind), id=request_id(at_ms=server.base.clock.now_ms))
        )
    made = Cluster(world, server, Authority(tmp_path / "pki"))
    await made.start()
    following = asyncio.create_task(server.licensing.run())
    yield made
    following.cancel()
    await made.stop()
    await world.close()


async def test_the_story_of_the_first_lrm(cluster: Cluster) -> None:
    # B-11, B-12, B-13, B-21
    with pytest.raises(LrmNotStartedError):
        await cluster.open("billing")
    await cluster.open("lrm-1", role="lrm")
    bond = cluster.bind("lrm-1", one(license_pb2.BindRequest(instance="lrm-1")))
    first = await bond.read()
    assert (5, 1, WITH_HA) == (first.epoch.mod_revision, first.license.revision, first.text)
    opened = await cluster.open("billing")
    assert ("billing", 10_000, ["confserv-1"]) == (
        opened.session.application,
        opened.lease_ttl_ms,
        [member.instance for member in opened.members],
    )
    numbers = [number for number in cluster.server.base.numbers if number.startswith("21-2510")]
    assert ["21-25101", "21-25100"] == numbers
    bond.cancel()
    await eventually(lambda: "21-25102" in cluster.server.base.numbers)


async def test_lrm_gets_a_new_revision_at_once(cluster: Cluster) -> None:
    # B-25, B-31
    await cluster.open("lrm-1", role="lrm")
    bond = cluster.bind("lrm-1", one(license_pb2.BindRequest(instance="lrm-1")))
    await bond.read()
    await cluster.world.upload(WITHOUT_HA)
    second = await asyncio.wait_for(bond.read(), 2)
    assert (2, WITHOUT_HA) == (second.license.revision, second.text)
    bond.cancel()


async def test_an_lrm_that_has_the_text_is_not_sent_it_again(cluster: Cluster) -> None:
    # B-26
    await cluster.open("lrm-1", role="lrm")
    current = cluster.server.licensing.current
    assert current is not None
    known = license_pb2.BindRequest(license_revision=1, license_sha256=current.stored.sha256)
    bond = cluster.bind("lrm-1", one(known))
    answered = await bond.read()
    assert (1, b"") == (answered.license.revision, answered.text)
    bond.cancel()


async def test_an_lrm_that_has_another_text_is_repaired(cluster: Cluster) -> None:
    # B-26
    await cluster.open("lrm-1", role="lrm")
    bond = cluster.bind("lrm-1", one(license_pb2.BindRequest(license_revision=1, license_sha256="another")))
    assert WITH_HA == (await bond.read()).text
    bond.cancel()


async def test_the_bond_ends_with_the_role_and_no_loss_is_logged(cluster: Cluster) -> None:
    # B-20, B-22
    await cluster.open("lrm-1", role="lrm")
    bond = cluster.bind("lrm-1", one(license_pb2.BindRequest(instance="lrm-1")))
    await bond.read()
    await cluster.server.demote()
    assert isinstance(await refusal(bond), NotPrimaryError)
    assert "21-25102" not in cluster.server.base.numbers
    again = cluster.bind("lrm-1", one(license_pb2.BindRequest(instance="lrm-1")))
    assert isinstance(await refusal(again), NotPrimaryError)


async def test_a_server_below_the_highest_token_that_lrm_has_seen_does_not_bind_it(cluster: Cluster) -> None:
    # B-20, I-7
    await cluster.open("lrm-1", role="lrm")
    seen = license_pb2.BindRequest(highest_epoch=ha_pb2.Epoch(generation=1, mod_revision=6))
    assert isinstance(await refusal(cluster.bind("lrm-1", one(seen))), NoPrimaryError)
    assert "21-25100" not in cluster.server.base.numbers


async def test_only_an_lrm_with_a_session_binds(cluster: Cluster) -> None:
    # B-20
    stranger = cluster.bind("billing", one(license_pb2.BindRequest()), role="application")
    assert isinstance(await refusal(stranger), PermissionDeniedError)
    early = cluster.bind("lrm-1", one(license_pb2.BindRequest()))
    assert isinstance(await refusal(early), SessionRequiredError)
    assert "21-25100" not in cluster.server.base.numbers


async def test_an_applications_certificate_does_not_open_an_lrms_session(cluster: Cluster) -> None:
    # B-16
    stub = sessions_pb2_grpc.SessionServiceStub(cluster.channel("application", "lrm-1"))
    request = sessions_pb2.OpenSessionRequest(session_id="a", application="lrm-1", application_type=LRM)
    with pytest.raises(PermissionDeniedError):
        await answer(stub.OpenSession(request))


async def test_a_session_is_kept_closed_and_reported(cluster: Cluster) -> None:
    # B-17
    await cluster.open("lrm-1", role="lrm")
    stub = sessions_pb2_grpc.SessionServiceStub(cluster.channel("lrm", "lrm-1"))
    keeping = stub.KeepSession()
    await keeping.write(sessions_pb2.KeepSessionRequest(session_id="lrm-1"))
    kept = await keeping.read()
    assert (10_000, 5, 1) == (kept.lease_ttl_ms, kept.epoch.mod_revision, len(kept.members))
    await stub.CloseSession(sessions_pb2.CloseSessionRequest(session_id="lrm-1"))
    await stub.CloseSession(sessions_pb2.CloseSessionRequest(session_id="lrm-1"))
    await keeping.write(sessions_pb2.KeepSessionRequest(session_id="lrm-1"))
    assert isinstance(await refusal(keeping), SessionRequiredError)
    agent = sessions_pb2_grpc.SessionServiceStub(cluster.channel("lca", "lca-1"))
    report = sessions_pb2.ReportProcessExitRequest(
        process=ha_pb2.ProcessIdentity(host="h", boot_id="b", pid=1)
    )
    assert [] == list((await agent.ReportProcessExit(report)).session_ids)


async def test_an_operator_loads_reads_and_lists_licenses(cluster: Cluster) -> None:
    # B-1
    stub = cluster.licenses()
    request = license_pb2.LoadLicenseRequest(text=WITHOUT_HA, source="new.lic", accept_older=True)
    loaded = await stub.LoadLicense(request)
    assert (2, True, ["config_server"]) == (
        loaded.revision.revision,
        loaded.changed,
        [feature.feature for feature in loaded.features],
    )
    assert "administrator/alice" == loaded.revision.stored_by
    assert not (await stub.LoadLicense(request)).changed
    assert WITH_HA == (await stub.GetLicense(license_pb2.GetLicenseRequest(revision=1))).text
    listed = await stub.ListLicenseRevisions(license_pb2.ListLicenseRevisionsRequest())
    assert [2, 1] == [revision.revision for revision in listed.revisions]


async def test_a_refused_license_says_where_and_what_to_do(cluster: Cluster) -> None:
    # B-3, B-60
    altered = license_pb2.LoadLicenseRequest(text=WITH_HA.replace(b"2027", b"2028"), source="bad.lic")
    with pytest.raises(LicenseRefusedError) as caught:
        await answer(cluster.licenses().LoadLicense(altered))
    facts = caught.value.metadata
    assert ("bad.lic", "2", "9") == (facts["source"], facts["line"], facts["column"])
    assert facts["cure"]
    with pytest.raises(PermissionDeniedError):
        await answer(cluster.licenses("application", "billing").LoadLicense(altered))


async def test_who_follows_the_license_is_told_until_the_role_moves(cluster: Cluster) -> None:
    # B-31
    watching = cluster.licenses("licman", "licman-1").WatchLicense(license_pb2.WatchLicenseRequest())
    assert 1 == (await watching.read()).revision.revision
    await cluster.world.upload(WITHOUT_HA)
    assert 2 == (await asyncio.wait_for(watching.read(), 2)).revision.revision
    await cluster.server.demote()
    assert isinstance(await refusal(watching), NotPrimaryError)


async def test_everybody_may_ask_for_compliance(cluster: Cluster) -> None:
    # B-33
    found = await cluster.licenses("application", "billing").GetCompliance(license_pb2.GetComplianceRequest())
    assert (license_pb2.COMPLIANCE_OK, "FIRST_STARTUP", []) == (
        found.compliance,
        found.stage,
        list(found.lrm_bound),
    )
