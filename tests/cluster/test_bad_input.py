"""Bad input at a real server: each gets the clear error, and the server goes on (B-60)."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedBody
from google.protobuf.field_mask_pb2 import FieldMask

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2
from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import license_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles, channel_credentials
from confclient.errors import ConfservError
from confclient.request_ids import new_id
from confclient.rpcs import BIND, CREATE_OBJECT, GET_OBJECT, GET_STATUS, UPDATE_OBJECT
from confcluster.cluster import Cluster
from confcluster.pki import CertificateAuthority
from tests.support.cluster import running_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120), pytest.mark.xdist_group("bad-input")]
ALONE = {"servers": 1, "agents": 0, "message_servers": 0, "solution_controls": 0, "licman": 0, "lrm": 0}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("bad-input"), **ALONE) as made:
        yield made


@pytest.fixture
async def server(cluster: Cluster) -> AsyncIterator[ServiceChannel]:
    """A channel as administrator; afterwards the same process has to serve on."""
    before = cluster.handles["confserv-1"].key
    channel = ServiceChannel(cluster.endpoints("confserv"), cluster.tls("administrator"), timeout_s=10)
    yield channel
    answer = await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())
    assert ha_pb2.ROLE_PRIMARY == answer.self.role
    assert cluster.handles["confserv-1"].is_running()
    assert before == cluster.handles["confserv-1"].key
    await channel.close()


def _context() -> config_pb2.WriteContext:
    return config_pb2.WriteContext(request_id=new_id(), reason="test")


def _create(name: str, kind: str = "Person", text: str = "x") -> config_pb2.CreateObjectRequest:
    body = PackedBody()
    body.Pack(objects_pb2.Person(first_name=text))
    made = objects_pb2.ConfigObject(type=kind, name=name, tenant=1, body=body)
    return config_pb2.CreateObjectRequest(context=_context(), create=config_pb2.CreateOperation(object=made))


def _option(key: objects_pb2.ObjectKey, section: str, option: str, *, expected: int = 0):
    changed = objects_pb2.ConfigObject(type=key.type)
    changed.options.sections[section].options[option] = "x"
    return config_pb2.UpdateObjectRequest(
        context=_context(),
        update=config_pb2.UpdateOperation(
            key=key,
            object=changed,
            update_mask=FieldMask(paths=[f"options.{section}.{option}"]),
            expected_revision=expected,
        ),
    )


async def _reason(call) -> str:
    try:
        await call
    except ConfservError as error:
        return error.reason if error.message.strip() else "no message"
    return "none"


OWN = objects_pb2.ObjectKey(type="Application", name="confserv-1")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param(
            _option(objects_pb2.ObjectKey(type="Unicorn", name="x"), "a", "b"),
            "UNKNOWN_TYPE",
            id="unknown type",
        ),
        pytest.param(_create("x", kind="Unicorn"), "INVALID", id="a body of another type"),
        pytest.param(_create(""), "INVALID", id="no name"),
        pytest.param(_create("n" * 256), "INVALID", id="a name of 256 characters"),  # B-61
        pytest.param(
            _option(objects_pb2.ObjectKey(type="Person", name="nobody"), "a", "b"),
            "NOT_FOUND",
            id="missing object",
        ),
        pytest.param(_option(OWN, "confserv", "license"), "OPTION_READ_ONLY", id="reserved option"),  # B-6
        pytest.param(_option(OWN, "a", "b", expected=999_999), "STALE_REVISION", id="stale revision"),
    ],
)
async def test_a_write_that_is_wrong_is_refused_by_reason(
    server: ServiceChannel, request_: config_pb2.CreateObjectRequest, reason: str
) -> None:
    # B-60
    rpc = CREATE_OBJECT if isinstance(request_, config_pb2.CreateObjectRequest) else UPDATE_OBJECT
    assert reason == await _reason(server.unary(rpc, request_))


async def test_the_license_option_is_there_to_read(server: ServiceChannel) -> None:
    # B-6
    found = await server.unary(GET_OBJECT, config_pb2.GetObjectRequest(key=OWN))
    revision, sha256 = found.object.options.sections["confserv"].options["license"].split()
    assert ("1", 64) == (revision, len(sha256))


async def test_a_request_id_with_other_content_is_refused(server: ServiceChannel) -> None:
    # B-51
    first = _create("twice")
    made = await server.unary(CREATE_OBJECT, first)
    assert made == await server.unary(CREATE_OBJECT, first)
    other = _create("other")
    other.context.request_id = first.context.request_id
    assert "REQUEST_ID_REUSED" == await _reason(server.unary(CREATE_OBJECT, other))


async def test_a_message_beyond_the_limit_is_refused(server: ServiceChannel) -> None:
    # B-60
    assert "none" != await _reason(server.unary(CREATE_OBJECT, _create("big", text="x" * 17_000_000)))


async def test_bytes_that_are_no_protocol_end_nothing(server: ServiceChannel, cluster: Cluster) -> None:
    # B-60
    host, _, port = cluster.endpoints("confserv")[0].rpartition(":")
    for hostile in (b"\x00" * 4096, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 512):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(hostile)
    assert ha_pb2.ROLE_PRIMARY == (await server.unary(GET_STATUS, ha_pb2.GetStatusRequest())).self.role


def _status(cluster: Cluster, tls: TlsFiles | None) -> grpc.StatusCode:
    endpoint = cluster.endpoints("confserv")[0]
    credentials = (
        channel_credentials(tls)
        if tls
        else grpc.ssl_channel_credentials((cluster.places.pki / "ca.crt").read_bytes())
    )
    with grpc.secure_channel(endpoint, credentials) as channel:
        stub = config_pb2_grpc.ConfigServiceStub(channel)
        try:
            stub.GetObject(config_pb2.GetObjectRequest(key=OWN), timeout=5)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_certificate_that_is_not_good_gets_nowhere(cluster: Cluster, tmp_path: Path) -> None:
    # issue 3, TLS on every connection
    authority = cluster.authority
    good = authority.issue("administrator", "good", cluster="local", directory=tmp_path)
    expired = authority.issue("administrator", "expired", cluster="local", directory=tmp_path, days=-1)
    elsewhere = authority.issue("administrator", "elsewhere", cluster="other", directory=tmp_path)
    etcd = authority.issue("etcd", "etcd", cluster="local", directory=tmp_path)
    foreign = CertificateAuthority.create(tmp_path / "foreign").issue(
        "administrator", "foreign", cluster="local"
    )
    foreign = TlsFiles(good.ca, foreign.certificate, foreign.key)
    found = {
        "good": _status(cluster, good),
        "expired": _status(cluster, expired),
        "foreign": _status(cluster, foreign),
        "none": _status(cluster, None),
        "other cluster": _status(cluster, elsewhere),
        "no role of ours": _status(cluster, etcd),
    }
    expected = {
        "good": grpc.StatusCode.OK,
        "expired": grpc.StatusCode.UNAVAILABLE,
        "foreign": grpc.StatusCode.UNAVAILABLE,
        "none": grpc.StatusCode.UNAVAILABLE,
        "other cluster": grpc.StatusCode.PERMISSION_DENIED,
        "no role of ours": grpc.StatusCode.UNAUTHENTICATED,
    }
    assert expected == found
    assert cluster.handles["confserv-1"].is_running()


async def test_an_applications_certificate_cannot_bind_as_lrm(cluster: Cluster, tmp_path: Path) -> None:
    # issue 3, the role of a process is in its certificate, and checked
    tls = cluster.authority.issue("application", "lrm-9", cluster="local", directory=tmp_path)
    channel = ServiceChannel(cluster.endpoints("confserv"), tls, timeout_s=5)

    async def bind() -> object:
        stream = await channel.bidi_stream(BIND)
        await stream.write(license_pb2.BindRequest(instance="lrm-9"))
        return await stream.read()

    # grpc.aio loses the status of a call that ends under the first message; like any client, ask again then
    reasons = [await _reason(asyncio.wait_for(bind(), 5)) for _ in range(5)]
    assert "PERMISSION_DENIED" in reasons
    assert {"PERMISSION_DENIED", "UNAVAILABLE"} >= set(reasons)
    await channel.close()


def _start(cluster: Cluster, tmp_path: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Start a second server of its own with some settings changed by the environment."""
    (plan,) = cluster.topology.of("confserv")
    environment = {
        f"CONFSERV_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    command = cluster.topology.command(plan, python=sys.executable)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**environment, "PATH": "/bin"}
    )


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        pytest.param({"license_poll_s": "often"}, 2, "license_poll_s", id="wrong type"),
        pytest.param({"listen": "nowhere"}, 2, "listen", id="no address"),
        pytest.param({}, 1, "port is in use", id="port in use"),
        pytest.param(
            {"database": "postgresql://x@/x?host=/nonexistent", "listen": "127.0.0.1:0"},
            1,
            "database",
            id="database not reachable",
        ),
        pytest.param(
            {"etcd__endpoints": ["127.0.0.1:9"], "listen": "127.0.0.1:0"}, 1, "etcd", id="etcd not reachable"
        ),
        pytest.param({"trust": "/nonexistent", "listen": "127.0.0.1:0"}, 2, "trust", id="no trust set"),
        pytest.param(
            {"tls__key": "/nonexistent", "listen": "127.0.0.1:0"}, 2, "/nonexistent", id="no key file"
        ),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_sentence(
    cluster: Cluster, tmp_path: Path, settings: dict[str, object], status: int, said: str
) -> None:
    # B-60, cli.md, exit statuses
    ended = _start(cluster, tmp_path, **settings)
    assert (status, True) == (ended.returncode, said in ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_key_in_the_settings_file_is_named(cluster: Cluster, tmp_path: Path) -> None:
    # B-60
    file = tmp_path / "cluster.toml"
    file.write_text(cluster.places.settings.read_text().replace("lease_ttl_s", "lease_ttl"))
    command = [sys.executable, "-m", "confserv", "-c", str(file), "-s", "confserv-1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == ended.returncode
    assert "etcd.lease_ttl: unknown key" in ended.stderr
