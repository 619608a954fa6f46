"""The first start of a deployment, LRM's coming and going, and an expired license: real processes throughout."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from confapi.config.v1 import objects_pb2, sessions_pb2, sessions_pb2_grpc
from confclient.credentials import channel_credentials
from confclient.errors import ConfservError, from_rpc_error
from confcluster.cluster import Cluster
from confcluster.pki import TlsFiles
from confcluster.registration import WantedApplication
from confcluster.vendor import TechnicalKey, license_text
from confkit.process import ExitStatus
from tests.support.cluster import backup, events, new_cluster, primary, until

pytestmark = [pytest.mark.cluster, pytest.mark.etcd, pytest.mark.xdist_group("license-cluster")]

TODAY = dt.datetime.now(dt.UTC).date()
LOG_INTERVAL_S = 0.5
YESTERDAY = TODAY - dt.timedelta(days=1)
RIGHT_TO_USE = TechnicalKey("config_server", count=1)
BUSINESS = objects_pb2.APPLICATION_TYPE_GENERIC_SERVER


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    rules = {"license_log_interval_s": LOG_INTERVAL_S, "lrm_connect_timeout_s": 3, "session_ttl_s": 3}
    with new_cluster(
        tmp_path,
        lrm=1,
        licman=0,
        message_servers=0,
        solution_controls=0,
        agents=0,
        extra={"confserv": rules},
    ) as made:
        made.start_parts()
        yield made


def load(cluster: Cluster, text: str, *options: str) -> None:
    file = cluster.vendor.write_license(f"{uuid.uuid4().hex}.lic", text)
    loaded = cluster.load_license(file, *options)
    assert ExitStatus.DONE == loaded.returncode, loaded.stderr


def certificate(cluster: Cluster, name: str) -> TlsFiles:
    return cluster.authority.issue("application", name, cluster=cluster.topology.options.cluster)


def open_session(cluster: Cluster, server: str, name: str, tls: TlsFiles) -> str:
    """Open a session of a business application with one server; the reason when it is refused."""
    endpoint = next(one.endpoint for one in cluster.topology.of("confserv") if one.name == server)
    with grpc.secure_channel(endpoint, channel_credentials(tls)) as channel:
        request = sessions_pb2.OpenSessionRequest(
            session_id=name, application=name, application_type=BUSINESS
        )
        try:
            sessions_pb2_grpc.SessionServiceStub(channel).OpenSession(request, timeout=10)
        except grpc.RpcError as error:
            refused: ConfservError = from_rpc_error(error)
            return refused.reason
    return ""


def start_pair(cluster: Cluster) -> tuple[str, str]:
    """Start both servers and register applications; give primary and backup."""
    cluster.start("confserv-1", "confserv-2")
    cluster.register()
    cluster.register(
        [WantedApplication("billing", "GENERIC_SERVER"), WantedApplication("orders", "GENERIC_SERVER")]
    )
    first = until(lambda: primary(cluster), within_s=15)
    second = until(lambda: backup(cluster), within_s=15)
    return first, second


def test_the_story_of_a_first_start(cluster: Cluster) -> None:
    unlicensed = cluster.handle("confserv-1")
    unlicensed.begin()
    assert ExitStatus.NOT_LICENSED == unlicensed.wait(timeout_s=30)  # B-4
    assert "confserv -license FILE" in unlicensed.log()

    load(cluster, license_text(issued=TODAY, expires=None))
    first, second = start_pair(cluster)
    billing, orders = certificate(cluster, "billing"), certificate(cluster, "orders")
    assert "LRM_NOT_STARTED" == open_session(cluster, first, "billing", billing)  # B-11
    assert "NOT_PRIMARY" == open_session(cluster, second, "billing", billing)  # B-20
    assert "21-25101" in events(cluster, first)

    cluster.start("lrm-1")
    until(lambda: "21-25100" in events(cluster, first), within_s=20)  # B-12, B-21
    assert "" == open_session(cluster, first, "billing", billing)  # B-13
    assert "21-25102" not in events(cluster, first)

    cluster.handle(first).kill()  # B-15, B-17, B-20, B-22, B-23
    until(lambda: primary(cluster) == second, within_s=15)
    assert "" == open_session(cluster, second, "orders", orders)
    assert "" == open_session(cluster, second, "billing", billing)
    until(lambda: "21-25100" in events(cluster, second), within_s=20)
    assert "21-25102" not in events(cluster, first, second)

    cluster.handle("lrm-1").stop()  # B-22
    until(lambda: "21-25102" in events(cluster, second), within_s=15)
    assert "" == open_session(cluster, second, "orders", orders)

    cluster.start(first)  # B-23: the one that comes to the role with no LRM says so in time, once
    until(lambda: backup(cluster) == first, within_s=15)
    cluster.handle(second).stop()
    until(lambda: primary(cluster) == first, within_s=15)
    until(lambda: events(cluster, first).count("21-25102") == 1, within_s=15)
    cluster.start("lrm-1")
    until(
        lambda: "21-25100" == [one for one in events(cluster, first) if one[:7] == "21-2510"][-1], within_s=20
    )
    assert 1 == events(cluster, first).count("21-25102")


def test_an_expired_license_is_logged_and_serves_until_a_new_one_ends_it(cluster: Cluster) -> None:
    load(cluster, license_text(issued=YESTERDAY, expires=None))
    first, _ = start_pair(cluster)
    cluster.start("lrm-1")
    until(lambda: "21-25100" in events(cluster, first), within_s=20)

    load(cluster, license_text(issued=TODAY, expires=YESTERDAY), "--accept-expired")
    until(lambda: events(cluster, first).count("21-25111") >= 3, within_s=10)  # B-30
    assert "" == open_session(cluster, first, "billing", certificate(cluster, "billing"))

    load(cluster, license_text(issued=TODAY, expires=None, comment="renewed"))
    loaded_s = time.monotonic()
    until(lambda: "21-25112" in events(cluster, first), within_s=10)
    assert time.monotonic() - loaded_s <= 2.0  # B-31
    until(lambda: time.monotonic() - loaded_s > 3 * LOG_INTERVAL_S, within_s=10, what="three intervals")
    assert "21-25112" == [one for one in events(cluster, first) if one in ("21-25111", "21-25112")][-1]

    cluster.handle(first).stop()  # B-5: an expired license does not keep a server that served from starting
    load(cluster, license_text(issued=TODAY, expires=YESTERDAY, comment="again"), "--accept-expired")
    cluster.start(first)


def test_without_the_ha_feature_nobody_but_the_last_primary_takes_the_role(cluster: Cluster) -> None:
    load(cluster, license_text(issued=TODAY, expires=None, keys=[RIGHT_TO_USE]))
    first, second = start_pair(cluster)
    cluster.handle(first).kill()  # B-40, I-6
    until(lambda: "21-25123" in events(cluster, second), within_s=15)
    assert primary(cluster) is None
    cluster.start(first)
    until(lambda: primary(cluster) == first, within_s=15)
    cluster.handle(first).kill()
    load(cluster, license_text(issued=TODAY, expires=None, comment="with ha_redundancy"))
    until(lambda: primary(cluster) == second, within_s=15)
