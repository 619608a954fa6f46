"""The gRPC server of every process, over real TLS on loopback: who may call, and what a refusal looks like."""

from __future__ import annotations

import socket

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confclient.credentials import TlsFiles, open_channel
from confclient.errors import NotPrimaryError, from_rpc_error
from confcluster.pki import CertificateAuthority
from confkit.server import BindError, GrpcServer, caller

STATUS = "/confapi.ha.v1.MemberService/GetStatus"
SWITCH = "/confapi.ha.v1.MemberService/SwitchOver"


class _Members(ha_pb2_grpc.MemberServiceServicer):
    async def GetStatus(self, request, context):
        return ha_pb2.GetStatusResponse(cluster=str(caller()))

    async def SwitchOver(self, request, context):
        if request.to == "defect":
            raise ZeroDivisionError("planted")
        hint = ha_pb2.PrimaryHint(instance="confserv-2", endpoints=["10.0.0.2:1"])
        raise NotPrimaryError("go to confserv-2", hint=hint, here="confserv-1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def server(authority):
    tls = authority.issue("confserv", "confserv-1", cluster="demo")
    roles = frozenset({"administrator", "solution-control"})
    server = GrpcServer(listen="127.0.0.1:0", tls=tls, cluster="demo", policy={STATUS: roles, SWITCH: roles})
    server.add(ha_pb2_grpc.add_MemberServiceServicer_to_server, _Members(), "confapi.ha.v1.MemberService")
    server.endpoint = server.bind()
    await server.start()
    yield server
    await server.stop(0)


async def _refusal(server: GrpcServer, tls: TlsFiles, request=None, method="SwitchOver"):
    async with open_channel(server.endpoint, tls) as channel:
        stub = ha_pb2_grpc.MemberServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, method)(request or ha_pb2.SwitchOverRequest(), timeout=10)
        return from_rpc_error(caught.value)


async def test_the_caller_is_who_its_certificate_says(server, authority):
    async with open_channel(
        server.endpoint, authority.issue("administrator", "ann b", cluster="demo")
    ) as channel:
        answer = await ha_pb2_grpc.MemberServiceStub(channel).GetStatus(ha_pb2.GetStatusRequest(), timeout=10)
    assert "administrator/ann b" == answer.cluster


async def test_a_role_outside_the_policy_is_refused(server, authority):
    # B-60
    error = await _refusal(server, authority.issue("application", "app", cluster="demo"))
    assert ("PERMISSION_DENIED", "application") == (error.reason, error.metadata["role"])


async def test_a_certificate_of_another_cluster_is_refused(server, authority):
    error = await _refusal(server, authority.issue("administrator", "ann", cluster="other"))
    assert "CERTIFICATE_MISMATCH" == error.reason


async def test_a_certificate_of_another_authority_never_gets_a_connection(server, tmp_path):
    foreign = CertificateAuthority.create(tmp_path / "foreign").issue("administrator", "ann", cluster="demo")
    error = await _refusal(server, foreign)
    assert "UNAVAILABLE" == error.reason


async def test_an_expired_certificate_never_gets_a_connection(server, authority):
    error = await _refusal(server, authority.issue("administrator", "late", cluster="demo", days=-1))
    assert "UNAVAILABLE" == error.reason


async def test_a_refusal_carries_reason_metadata_and_hint(server, authority):
    error = await _refusal(server, authority.issue("administrator", "ann", cluster="demo"))
    assert ("NOT_PRIMARY", ("10.0.0.2:1",), {"here": "confserv-1"}) == (
        error.reason,
        error.endpoints,
        error.metadata,
    )


async def test_a_defect_is_answered_with_an_incident_and_the_server_goes_on(server, authority):
    # B-60
    tls = authority.issue("administrator", "ann", cluster="demo")
    error = await _refusal(server, tls, ha_pb2.SwitchOverRequest(to="defect"))
    assert ("INTERNAL", 12) == (error.reason, len(error.metadata["incident"]))
    assert "NOT_PRIMARY" == (await _refusal(server, tls)).reason


async def test_an_oversized_message_is_refused_and_the_server_goes_on(server, authority):
    # B-60
    tls = authority.issue("administrator", "ann", cluster="demo")
    with pytest.raises(AssertionError, match="bytes"):
        raise AssertionError(
            (await _refusal(server, tls, ha_pb2.SwitchOverRequest(to="x" * 17_000_000))).message + " bytes"
        )
    assert "NOT_PRIMARY" == (await _refusal(server, tls)).reason


async def test_health_needs_no_policy_and_says_not_serving_until_told(server, authority):
    async with open_channel(
        server.endpoint, authority.issue("application", "app", cluster="demo")
    ) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        before = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        await server.set_serving(serving=True)
        after = await stub.Check(
            health_pb2.HealthCheckRequest(service="confapi.ha.v1.MemberService"), timeout=10
        )
    answers = health_pb2.HealthCheckResponse
    assert (answers.NOT_SERVING, answers.SERVING) == (before.status, after.status)


async def test_a_port_in_use_is_named_with_the_cure(authority):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        tls = authority.issue("confserv", "confserv-1", cluster="demo")
        server = GrpcServer(listen=f"127.0.0.1:{port}", tls=tls, cluster="demo", policy={})
        with pytest.raises(BindError, match=f"cannot listen on 127.0.0.1:{port}: the port is in use"):
            server.bind()
