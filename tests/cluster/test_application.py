"""An application on the client library, while the primary of each pair that it uses is killed in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from confapi.config.v1 import objects_pb2
from confapi.license.v1 import checkout_pb2
from confapi.message.v1 import message_pb2
from confapi.usage.v1 import usage_pb2
from confclient import Client, connect
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.declared import plan
from confclient.objects import Objects, key_of, update
from confclient.request_ids import new_id
from confclient.rpcs import GET_USAGE_REPORT, LIST_USE, QUERY_EVENTS
from confclient.watch import Changed, Snapshot
from confcluster.cluster import Cluster
from tests.support.cluster import primary, running_cluster, until_async

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.xdist_group("application")]

NAME = "billing"
ITEM = "voice_seat"
DECLARED = [
    {"type": "ApplicationTemplate", "name": "sample", "body": {"application_type": "generic_server"}},
    {"type": "Application", "name": NAME, "body": {"template": "sample"}},
]
COMPONENTS = ("message-server", "lrm", "licman", "confserv")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("application")
    with running_cluster(directory, lrm=2, licman=2, message_servers=2, solution_controls=0) as made:
        yield made


def own_certificate(cluster: Cluster) -> TlsFiles:
    pki = cluster.places.pki
    files = cluster.authority.issue(
        "application", NAME, cluster=cluster.topology.options.cluster, directory=pki
    )
    return TlsFiles(ca=files.ca, certificate=files.certificate, key=files.key)


class Busy:
    """Uses items, logs and writes without a pause; keeps what was promised to it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uses = 0
        self.events: list[str] = []
        self.written: list[int] = []
        self.seen: list[int] = []
        self.stop = asyncio.Event()

    async def use_and_log(self) -> None:
        while not self.stop.is_set():
            handle = self.client.usage.start(tenant="acme", item=ITEM, place=f"p{self.uses}")
            await asyncio.sleep(0.02)
            handle.end(at_ms=handle.session.start_ms + 1000)
            self.uses += 1
            self.events.append(new_id())
            self.client.log.put(
                message_pb2.LogEvent(
                    event_uid=self.events[-1],
                    event_id="00-25000",
                    level=message_pb2.LEVEL_STANDARD,
                    text="busy",
                    time_ms=handle.session.start_ms,
                    application=NAME,
                )
            )

    async def write(self) -> None:
        while not self.stop.is_set():
            item = objects_pb2.ConfigObject(type="Application")
            item.options.sections["sample"].options["counter"] = str(len(self.written))
            key = key_of("Application", name=NAME)
            answer = await self.client.transact([update(key, item, mask=["options.sample.counter"])])
            self.written.append(answer.commit.revision)
            await asyncio.sleep(0.005)

    async def follow(self) -> None:
        async with contextlib.aclosing(self.client.watch()) as events:
            async for event in events:
                assert isinstance(event, Snapshot if not self.seen else Changed)
                self.seen.append(event.resume.revision)


async def test_keeps_session_license_usage_and_log_while_every_primary_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    # B-17, B-42, B-51, B-52; ha.md, Clients
    administrator = cluster.tls("administrator")
    config = ServiceChannel(cluster.endpoints("confserv"), administrator)
    await Objects(config).transact(plan(DECLARED, {}).operations)
    async with connect(
        endpoints=cluster.endpoints("confserv"),
        tls=own_certificate(cluster),
        application=NAME,
        spool_dir=tmp_path / "spool",
        timeout_s=30,
    ) as client:
        busy = Busy(client)
        tasks = [asyncio.create_task(work) for work in (busy.use_and_log(), busy.write(), busy.follow())]
        async with client.licenses.checkout("report_designer") as held:
            for component in COMPONENTS:
                await _kill_primary(cluster, component)
            await _holds_one(cluster, held.holding.handle)
            assert not held.lost.is_set()
        busy.stop.set()
        await asyncio.gather(*tasks[:2])
        await until_async(lambda: busy.seen[-1] >= busy.written[-1], within_s=10)
        tasks[2].cancel()
        assert await client.usage.flush(timeout_s=30)
        assert await client.log.flush(timeout_s=30)
    assert list(range(busy.seen[0], busy.seen[-1] + 1)) == busy.seen
    assert set(busy.written) <= set(busy.seen)
    assert len(busy.written) == len(set(busy.written))
    assert busy.uses == await _reported(cluster)
    assert busy.events == await _logged(cluster)
    await config.close()


async def _kill_primary(cluster: Cluster, component: str) -> None:
    killed = await until_async(lambda: primary(cluster, component), within_s=20)
    cluster.handles[killed].kill()
    await until_async(lambda: primary(cluster, component) not in (None, killed), within_s=20)


async def _ask(cluster: Cluster, component: str, rpc: Any, request: Any) -> Any:
    channel = ServiceChannel(cluster.endpoints(component), cluster.tls("administrator"), timeout_s=20)
    try:
        return await channel.unary(rpc, request)
    finally:
        await channel.close()


async def _holds_one(cluster: Cluster, handle: str) -> None:
    request = checkout_pb2.ListUseRequest(feature="report_designer")
    answer = await _ask(cluster, "licman", LIST_USE, request)
    held = [holding.handle for feature in answer.features for holding in feature.holdings]
    assert [handle] == held


async def _reported(cluster: Cluster) -> int:
    day = datetime.now(UTC).date().isoformat()
    request = usage_pb2.GetUsageReportRequest(from_day=day, to_day=day, tenant="acme", item=ITEM)
    answer = await _ask(cluster, "lrm", GET_USAGE_REPORT, request)
    return sum(row.sessions for row in answer.rows if row.tenant == "acme")


async def _logged(cluster: Cluster) -> list[str]:
    found: list[str] = []
    request = message_pb2.QueryEventsRequest(
        filter=message_pb2.EventFilter(application=NAME, event_ids=["00-25000"]), limit=1000
    )
    while True:
        answer = await _ask(cluster, "message-server", QUERY_EVENTS, request)
        found += [stored.event.event_uid for stored in answer.events if stored.event.text == "busy"]
        if not answer.more:
            return found
        request.after_position = answer.events[-1].position
