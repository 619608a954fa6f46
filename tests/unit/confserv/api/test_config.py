"""ConfigService as a client meets it: over TLS, with certificates, reasons and resume tokens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import struct_pb2

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2
from confapi.ha.v1 import ha_pb2
from confclient.credentials import TlsFiles, open_channel
from confclient.errors import (
    AlreadyExistsError,
    CompactedError,
    ConfservError,
    ImmutableError,
    InvalidError,
    NotFoundError,
    NotPrimaryError,
    OptionReadOnlyError,
    ReferencedError,
    RequestIdReusedError,
    SessionRequiredError,
    StaleRevisionError,
    TooLargeError,
    UnknownTypeError,
    from_rpc_error,
)
from confcluster.pki import CertificateAuthority
from confkit.election.types import Epoch
from confkit.server import GrpcServer
from confserv.adapters.memory import MemoryDatabase
from confserv.api.config import POLICY, SERVICE, ConfigService, add_config_service
from confserv.core.requests import new_request_id
from confserv.service.gate import Gate
from confserv.state_ports import Tenure
from tests.support.configurations import CODEC, EPOCH, HISTORY, NOW_MS
from tests.support.engines import LICENSE_OPTION, Server, StillClock, a_primary
from tests.support.waiting import eventually

CLUSTER = "demo"
Stub = config_pb2_grpc.ConfigServiceStub


@dataclass
class Served:
    """A server with its gate, and clients by certificate."""

    server: Server
    gate: Gate
    endpoint: str
    files: dict[str, TlsFiles]
    sessions: set[str]
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def stub(self, certificate: str = "administrator") -> Any:
        """A client."""
        channel = open_channel(self.endpoint, self.files[certificate])
        self.channels.append(channel)
        return Stub(channel)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    """Certificates of a server, of an administrator and of two applications."""
    directory: Path = tmp_path_factory.mktemp("pki")
    authority = CertificateAuthority.create(directory)
    return {
        name: authority.issue(role, name, cluster=CLUSTER)
        for role, name in (
            ("confserv", "confserv-1"),
            ("administrator", "administrator"),
            ("application", "router"),
            ("application", "stranger"),
        )
    }


@asynccontextmanager
async def serving(
    files: dict[str, TlsFiles], database: MemoryDatabase, **wishes: object
) -> AsyncIterator[Served]:
    """A primary that serves; `router` has a session."""
    async with a_primary(database, **wishes) as server:
        hint = ha_pb2.PrimaryHint(instance="confserv-2", endpoints=["127.0.0.1:7002"])
        gate = Gate(
            epoch_at=lambda _: server.epoch,
            clock=StillClock(),
            refusal=lambda: NotPrimaryError("go to confserv-2", hint=hint),
        )
        sessions = {"router"}
        service = ConfigService(
            engine=server.engine,
            gate=gate,
            reader=CODEC,
            shown=server.shown,
            has_session=sessions.__contains__,
        )
        grpc_server = GrpcServer(
            listen="127.0.0.1:0", tls=files["confserv-1"], cluster=CLUSTER, policy=POLICY
        )
        grpc_server.add(add_config_service, service, SERVICE)
        endpoint = grpc_server.bind()
        await grpc_server.start()
        gate.open(Tenure(EPOCH, HISTORY))
        served = Served(server, gate, endpoint, files, sessions)
        try:
            yield served
        finally:
            for channel in served.channels:
                await channel.close()
            await grpc_server.stop(0)


@pytest.fixture
async def served(files: dict[str, TlsFiles]) -> AsyncIterator[Served]:
    """A primary with the first objects."""
    async with serving(files, MemoryDatabase()) as made:
        yield made


def context(**fields: str) -> config_pb2.WriteContext:
    """What a write carries."""
    made = new_request_id(now_ms=NOW_MS, random=os.urandom(10))
    return config_pb2.WriteContext(**{"request_id": made, **fields})


def a_message(type: str, name: str = "", body: Any = None, **fields: Any) -> objects_pb2.ConfigObject:
    """An object as a client sends it."""
    message = objects_pb2.ConfigObject(type=type, name=name, **fields)
    if body is not None:
        message.body.Pack(body)
    return message


def a_host(name: str, address: str = "10.0.0.1") -> objects_pb2.ConfigObject:
    """A host."""
    return a_message("Host", name, objects_pb2.Host(address=address))


def key(type: str, which: int | str) -> objects_pb2.ObjectKey:
    """A key by number or name."""
    return (
        objects_pb2.ObjectKey(type=type, dbid=which)
        if isinstance(which, int)
        else objects_pb2.ObjectKey(type=type, name=which)
    )


async def create(stub: Any, message: objects_pb2.ConfigObject, **fields: str) -> Any:
    """Create an object."""
    operation = config_pb2.CreateOperation(object=message)
    return await stub.CreateObject(
        config_pb2.CreateObjectRequest(context=context(**fields), create=operation)
    )


async def update(
    stub: Any, which: objects_pb2.ObjectKey, message: objects_pb2.ConfigObject, *paths: str, expected: int = 0
) -> Any:
    """Change an object."""
    operation = config_pb2.UpdateOperation(key=which, object=message, expected_revision=expected)
    operation.update_mask.paths.extend(paths)
    return await stub.UpdateObject(config_pb2.UpdateObjectRequest(context=context(), update=operation))


async def delete(stub: Any, which: objects_pb2.ObjectKey) -> Any:
    """Delete an object."""
    operation = config_pb2.DeleteOperation(key=which)
    return await stub.DeleteObject(config_pb2.DeleteObjectRequest(context=context(), delete=operation))


async def refused(call: Any) -> ConfservError:
    """Give the refusal of a call as the client library sees it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def next_message(stream: Any) -> config_pb2.WatchResponse:
    """Give the next message of a stream, within 5 seconds."""
    async with asyncio.timeout(5):
        message = await stream.read()
    assert message is not grpc.aio.EOF
    return message  # type: ignore[no-any-return]


async def test_an_object_is_created_read_changed_and_deleted(served: Served) -> None:
    stub = served.stub()
    made = await create(stub, a_host("rhea"), reason="first")
    assert (100, "rhea", 2, (1, 10), HISTORY) == (
        made.object.dbid,
        made.object.name,
        made.commit.revision,
        (made.commit.epoch.generation, made.commit.epoch.mod_revision),
        made.commit.history_id,
    )
    read = await stub.GetObject(config_pb2.GetObjectRequest(key=key("Host", "rhea")))
    assert (made.object, 2) == (read.object, read.revision)
    changed = await update(stub, key("Host", 100), a_host("", "10.0.0.9"), "body.address", expected=2)
    body = objects_pb2.Host()
    assert changed.object.body.Unpack(body)
    assert "10.0.0.9" == body.address
    gone = await delete(stub, key("Host", 100))
    assert 4 == gone.commit.revision
    assert isinstance(
        await refused(stub.GetObject(config_pb2.GetObjectRequest(key=key("Host", 100)))), NotFoundError
    )


async def test_a_transaction_answers_with_every_object_and_may_refer_to_what_it_makes(served: Served) -> None:
    template = a_message(
        "ApplicationTemplate", "router", objects_pb2.ApplicationTemplate(application_type=11, version="9.0")
    )
    application = a_message("Application", "router", objects_pb2.Application(template=-1, host=-3))
    operations = [config_pb2.Operation(create=config_pb2.CreateOperation(object=template))]
    operations.append(config_pb2.Operation(create=config_pb2.CreateOperation(object=a_host("rhea"))))
    application.body.Pack(objects_pb2.Application(template=-1, host=-2))
    operations.append(config_pb2.Operation(create=config_pb2.CreateOperation(object=application)))
    answer = await served.stub().Transact(
        config_pb2.TransactRequest(context=context(), operations=operations)
    )
    assert ["router", "rhea", "router"] == [message.name for message in answer.objects]
    body = objects_pb2.Application()
    assert answer.objects[2].body.Unpack(body)
    assert (answer.objects[0].dbid, answer.objects[1].dbid, "9.0") == (body.template, body.host, body.version)


async def test_a_repeated_request_returns_the_first_answer_and_another_under_its_id_is_refused(
    served: Served,
) -> None:
    # B-51
    stub = served.stub()
    operation = config_pb2.CreateOperation(object=a_host("rhea"))
    request = config_pb2.CreateObjectRequest(context=context(), create=operation)
    first, again = await stub.CreateObject(request), await stub.CreateObject(request)
    assert first == again
    request.create.object.name = "dione"
    assert isinstance(await refused(stub.CreateObject(request)), RequestIdReusedError)


async def test_each_refusal_has_its_reason_and_the_server_goes_on(served: Served) -> None:
    # B-60
    stub = served.stub()
    await create(stub, a_host("rhea"))
    application = objects_pb2.Application(template=100, host=100)
    await create(stub, a_message("Application", "second", application))
    wrong_body = a_message("Host", "h", objects_pb2.Person(first_name="Ada"))
    garbage = a_host("h")
    garbage.body.value = b"\xff\xff\xff"
    unknown_field = a_host("h")
    unknown_field.body.value += b"\xa8\x1f\x07"
    moved = a_message("Application", "second", objects_pb2.Application(template=101))
    option = a_message("Application")
    option.options.sections["confserv"].options["license"] = "mine"
    refusals = [
        (create(stub, a_message("Bolt", "b")), UnknownTypeError),
        (create(stub, a_host("rhea")), AlreadyExistsError),
        (create(stub, a_host("")), InvalidError),
        (create(stub, wrong_body), InvalidError),
        (create(stub, garbage), InvalidError),
        (create(stub, unknown_field), InvalidError),
        (create(stub, a_host("h"), request_id="7"), InvalidError),
        (create(stub, a_host("h"), reason="x" * 1025), TooLargeError),
        (update(stub, key("Host", 7), a_host("h")), NotFoundError),
        (update(stub, key("Host", 100), a_host("h"), "name", expected=1), StaleRevisionError),
        (update(stub, key("Application", "second"), moved), ImmutableError),
        (update(stub, key("Application", "confserv-1"), option, "options"), OptionReadOnlyError),
        (delete(stub, key("Host", "rhea")), ReferencedError),
        (delete(stub, objects_pb2.ObjectKey()), InvalidError),
        (stub.Transact(config_pb2.TransactRequest(context=context())), InvalidError),
        (
            stub.Transact(config_pb2.TransactRequest(context=context(), operations=[config_pb2.Operation()])),
            InvalidError,
        ),
        (stub.ListObjects(config_pb2.ListObjectsRequest(type="Bolt")), UnknownTypeError),
        (stub.ListObjects(config_pb2.ListObjectsRequest(type="Host", page_size=1001)), InvalidError),
        (stub.ListObjects(config_pb2.ListObjectsRequest(type="Host", page_token="7")), InvalidError),
    ]
    for call, kind in refusals:
        assert kind is type(await refused(call))
    assert 3 == (await stub.GetObject(config_pb2.GetObjectRequest(key=key("Host", "rhea")))).revision


async def test_an_oversized_message_is_refused_and_the_server_goes_on(served: Served) -> None:
    # B-60
    stub = served.stub()
    huge = a_host("h")
    huge.options.sections["s"].options["o"] = "x" * (17 * 1024 * 1024)
    assert isinstance(await refused(create(stub, huge)), ConfservError)
    assert 2 == (await create(stub, a_host("rhea"))).commit.revision


async def test_an_application_needs_a_session_and_people_do_not(served: Served) -> None:
    request = config_pb2.GetObjectRequest(key=key("Tenant", 1))
    assert 1 == (await served.stub("router").GetObject(request)).object.dbid
    assert isinstance(await refused(served.stub("stranger").GetObject(request)), SessionRequiredError)
    stream = served.stub("stranger").Watch(config_pb2.WatchRequest())
    assert isinstance(await refused(stream.read()), SessionRequiredError)


async def test_who_wrote_what_and_why_is_in_the_history_before_and_after(served: Served) -> None:
    # ha.md: the change log is the audit trail
    stub = served.stub()
    await create(stub, a_host("rhea"), reason="new rack")
    await create(stub, a_host("dione"))
    await update(stub, key("Host", "rhea"), a_host("", "10.0.0.2"), "body.address")
    await delete(stub, key("Host", "rhea"))
    answer = await stub.ListHistory(config_pb2.ListHistoryRequest(key=key("Host", 100)))
    assert [(2, "new rack"), (4, ""), (5, "")] == [(entry.revision, entry.reason) for entry in answer.entries]
    assert ["administrator/administrator"] * 3 == [entry.actor for entry in answer.entries]
    assert [(False, True), (True, True), (True, False)] == [
        (entry.HasField("before"), entry.HasField("after")) for entry in answer.entries
    ]
    assert (5, HISTORY) == (answer.through_revision, answer.history_id)


async def test_objects_come_by_pages_and_a_token_of_another_query_is_refused(served: Served) -> None:
    stub = served.stub()
    for number in range(5):
        await create(stub, a_host(f"h{number}"))
    names: list[str] = []
    request = config_pb2.ListObjectsRequest(type="Host", page_size=2)
    while True:
        answer = await stub.ListObjects(request)
        names += [message.name for message in answer.objects]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert ["h0", "h1", "h2", "h3", "h4"] == names
    request.name_prefix = "h"
    assert isinstance(await refused(stub.ListObjects(request)), InvalidError)


async def test_a_configuration_server_is_shown_with_the_license_and_other_objects_as_they_are(
    served: Served,
) -> None:
    # B-6
    stub = served.stub()
    watch = stub.Watch(config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=["Application"])))
    shown = {m.name: m.options for m in (await next_message(watch)).snapshot.objects}
    assert LICENSE_OPTION == shown["confserv-1"].sections["confserv"].options["license"]
    assert not shown["confctl"].sections
    read = (await stub.GetObject(config_pb2.GetObjectRequest(key=key("Application", 99)))).object
    assert shown["confserv-1"] == read.options
    full = await update(stub, key("Application", 99), read)
    assert read == full.object
    renamed = await update(stub, key("Application", 99), a_message("Application", "confserv-x"), "name")
    assert LICENSE_OPTION == renamed.object.options.sections["confserv"].options["license"]
    change = (await next_message(watch)).transaction.changes[0]
    assert LICENSE_OPTION == change.object.options.sections["confserv"].options["license"]
    kept = next(r for r in served.server.engine.configuration.objects("Application") if r.key.dbid == 99)
    assert b"license" not in kept.data
    served.server.license_option = None
    bare = (await stub.GetObject(config_pb2.GetObjectRequest(key=key("Application", 99)))).object
    assert not bare.options.sections


async def test_a_watch_begins_with_a_snapshot_and_goes_on_with_each_change_once(served: Served) -> None:
    # B-52
    stub = served.stub()
    await create(stub, a_host("rhea"))
    watch = stub.Watch(config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=["Host"])))
    first = await next_message(watch)
    assert (["rhea"], True, 2) == (
        [message.name for message in first.snapshot.objects],
        first.snapshot.complete,
        first.resume.revision,
    )
    await create(stub, a_host("dione"), reason="more")
    await update(stub, key("Host", "rhea"), a_host("", "10.0.0.2"), "body.address")
    await delete(stub, key("Host", "rhea"))
    seen = [await next_message(watch) for _ in range(3)]
    assert [
        (3, config_pb2.CHANGE_KIND_ADDED, "dione"),
        (4, config_pb2.CHANGE_KIND_CHANGED, "rhea"),
        (5, config_pb2.CHANGE_KIND_REMOVED, "rhea"),
    ] == [
        (m.transaction.revision, m.transaction.changes[0].kind, m.transaction.changes[0].object.name)
        for m in seen
    ]
    assert ("more", 3, HISTORY) == (
        seen[0].transaction.reason,
        seen[0].resume.revision,
        seen[0].resume.history_id,
    )


async def test_an_object_that_leaves_a_filter_is_removed_for_its_watcher_and_one_that_enters_is_added(
    served: Served,
) -> None:
    # ha.md, The change log
    stub = served.stub()
    await create(stub, a_host("inside"))
    watch = stub.Watch(
        config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=["Host"], name_prefix="in"))
    )
    await next_message(watch)
    await update(stub, key("Host", 100), a_message("Host", "out"), "name")
    await update(stub, key("Host", 100), a_message("Host", "in again"), "name")
    changes = [(await next_message(watch)).transaction.changes[0] for _ in range(2)]
    assert [(config_pb2.CHANGE_KIND_REMOVED, "inside"), (config_pb2.CHANGE_KIND_ADDED, "in again")] == [
        (change.kind, change.object.name) for change in changes
    ]


async def test_a_watch_resumes_behind_the_revision_it_names(served: Served) -> None:
    # B-52
    stub = served.stub()
    for number in range(3):
        await create(stub, a_host(f"h{number}"))
    token = config_pb2.ResumeToken(history_id=HISTORY, revision=2)
    watch = stub.Watch(config_pb2.WatchRequest(resume=token))
    assert [3, 4] == [(await next_message(watch)).transaction.revision for _ in range(2)]
    await create(stub, a_host("late"))
    assert 5 == (await next_message(watch)).transaction.revision


async def test_a_server_behind_the_resume_revision_waits_until_it_has_it(served: Served) -> None:
    # ha.md, The change log
    stub = served.stub()
    token = config_pb2.ResumeToken(history_id=HISTORY, revision=2)
    watch = stub.Watch(config_pb2.WatchRequest(resume=token))
    reading = asyncio.create_task(next_message(watch))
    await create(stub, a_host("h2"))
    await create(stub, a_host("h3"))
    assert 3 == (await reading).transaction.revision


@pytest.mark.parametrize("history_id", ["", "another"])
async def test_a_resume_token_of_another_history_says_to_read_everything_again(
    served: Served, history_id: str
) -> None:
    # B-52
    token = config_pb2.ResumeToken(history_id=history_id, revision=1)
    watch = served.stub().Watch(config_pb2.WatchRequest(resume=token))
    assert isinstance(await refused(watch.read()), CompactedError)


async def test_a_snapshot_is_all_objects_at_one_revision_with_a_token_to_go_on(served: Served) -> None:
    stub = served.stub()
    transaction = config_pb2.TransactRequest(context=context())
    for number in range(600):
        operation = config_pb2.CreateOperation(object=a_host(f"h{number}"))
        transaction.operations.append(config_pb2.Operation(create=operation))
    await stub.Transact(transaction)
    request = config_pb2.GetSnapshotRequest(filter=config_pb2.WatchFilter(types=["Host"]))
    answers = [answer async for answer in stub.GetSnapshot(request)]
    assert [500, 100] == [len(answer.part.objects) for answer in answers]
    assert [False, True] == [answer.part.complete for answer in answers]
    assert {(HISTORY, 2)} == {(answer.resume.history_id, answer.resume.revision) for answer in answers}


async def test_a_server_that_left_the_role_sends_everybody_to_the_primary(served: Served) -> None:
    # B-20, architecture.md: NOT_PRIMARY with the primary's endpoints
    stub = served.stub()
    watch = stub.Watch(config_pb2.WatchRequest())
    await next_message(watch)
    served.gate.close()
    await served.server.engine.demote()
    calls = [
        watch.read(),
        stub.GetObject(config_pb2.GetObjectRequest(key=key("Tenant", 1))),
        stub.GetObject(
            config_pb2.GetObjectRequest(
                key=key("Tenant", 1), consistency=config_pb2.CONSISTENCY_POSSIBLY_STALE
            )
        ),
        create(stub, a_host("rhea")),
    ]
    for call in calls:
        refusal = await refused(call)
        assert isinstance(refusal, NotPrimaryError)
        assert ("127.0.0.1:7002",) == refusal.endpoints


async def test_while_suspended_current_reads_wait_and_possibly_stale_ones_do_not(served: Served) -> None:
    # ha.md: no read is presented as current
    stub = served.stub()
    served.gate.suspend()
    served.server.engine.suspend()
    stale = config_pb2.GetObjectRequest(
        key=key("Tenant", 1), consistency=config_pb2.CONSISTENCY_POSSIBLY_STALE
    )
    assert 1 == (await stub.GetObject(stale)).revision
    current = asyncio.ensure_future(stub.GetObject(config_pb2.GetObjectRequest(key=key("Tenant", 1))))
    assert set() == (await asyncio.wait({current}, timeout=0.1))[0]
    served.gate.open(Tenure(EPOCH, HISTORY))
    served.server.engine.resume()
    assert 1 == (await current).revision


async def test_a_watcher_that_does_not_keep_up_is_told_where_to_resume_and_misses_nothing(
    files: dict[str, TlsFiles],
) -> None:
    # B-52, LAGGED
    async with serving(files, MemoryDatabase(), max_queued=3) as served:
        engine = served.server.engine
        stub = served.stub()
        watch = stub.Watch(config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=["Host"])))
        revision = (await next_message(watch)).resume.revision
        big = [a_host(f"h{number}") for number in range(300)]
        for message in big:
            message.options.sections["s"].options["o"] = "x" * 60_000
        await asyncio.gather(*(create(stub, message) for message in big))
        seen: list[int] = []

        async def read_all() -> None:
            while True:
                seen.append((await next_message(watch)).transaction.revision)

        assert "LAGGED" == (await refused(read_all())).reason
        revision = seen[-1] if seen else revision
        token = config_pb2.ResumeToken(history_id=HISTORY, revision=revision)
        request = config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=["Host"]), resume=token)
        again = stub.Watch(request)
        while len(seen) < 300:
            seen.append((await next_message(again)).transaction.revision)
        assert list(range(2, 302)) == seen
        await eventually(lambda: engine.revision == 301)


async def test_a_custom_type_carries_any_structure_that_its_schema_allows(served: Served) -> None:
    stub = served.stub()
    schema = '{"type": "object", "required": ["size"]}'
    await create(stub, a_message("CustomType", "gadget", objects_pb2.CustomType(json_schema=schema)))
    body = struct_pb2.Struct()
    body.update({"size": 2, "tags": ["a", {"b": None}]})
    made = await create(stub, a_message("gadget", "g1", body))
    read = struct_pb2.Struct()
    assert made.object.body.Unpack(read)
    assert body == read
    assert isinstance(
        await refused(create(stub, a_message("gadget", "g2", struct_pb2.Struct()))), InvalidError
    )


async def test_a_new_primary_answers_the_repeated_write_of_the_old_one(files: dict[str, TlsFiles]) -> None:
    # B-51
    database = MemoryDatabase()
    operation = config_pb2.CreateOperation(object=a_host("rhea"))
    request = config_pb2.CreateObjectRequest(context=context(), create=operation)
    async with serving(files, database) as first:
        answer = await first.stub().CreateObject(request)
    database.raise_token(Epoch(1, 11))
    async with serving(files, database) as second:
        await second.server.engine.demote()
        second.server.epoch = EPOCH
        await second.server.promote(EPOCH)
        assert answer == await second.stub().CreateObject(request)
