"""What the server itself looks up in the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from confserv.core.admission import ApplicationFacts
from confserv.core.applications import ApplicationType
from confserv.core.objects import ConfigObject, State, TypeName
from confserv.core.operations import Create
from tests.support.configurations import an_object, request, request_id, update
from tests.support.confserv_pair import WITH_HA, Server, World, sqlite_world

GENERIC, MESSAGE_SERVER = int(ApplicationType.GENERIC_SERVER), int(ApplicationType.MESSAGE_SERVER)


def create(type: str, name: str, **body: object) -> object:
    return Create(an_object(type, name, **body))  # type: ignore[arg-type]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    world: World = sqlite_world(tmp_path)
    await world.upload(WITH_HA)
    made = await world.server("confserv-1")
    await made.promote(5)
    yield made
    await world.close()


async def write(server: Server, *operations: object) -> None:
    wanted = request(*operations, id=request_id(at_ms=server.base.clock.now_ms))  # type: ignore[arg-type]
    await server.engine.submit(wanted)


async def test_an_application_is_found_with_what_its_template_needs(server: Server) -> None:
    # B-16
    await write(
        server,
        create("ApplicationTemplate", "router", application_type=GENERIC, required_feature="routing"),
        create("Application", "router-1", template=-1),
    )
    facts = server.directory.application_facts("router-1")
    assert facts is not None
    assert ApplicationFacts(facts.dbid, True, ApplicationType.GENERIC_SERVER, "routing") == facts


async def test_an_unknown_name_is_nobody(server: Server) -> None:
    # B-16
    assert server.directory.application_facts("nobody") is None


async def test_servers_of_a_type_are_found_by_their_addresses_unless_disabled(server: Server) -> None:
    # B-16
    await write(
        server,
        create("ApplicationTemplate", "log", application_type=MESSAGE_SERVER),
        create("Application", "log-1", template=-1, endpoints=("127.0.0.1:7001",)),
        create("Application", "log-2", template=-1, endpoints=("127.0.0.1:7002", "127.0.0.1:7003")),
    )
    found = server.directory.endpoints(ApplicationType.MESSAGE_SERVER)
    assert ("127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003") == found
    disabled = ConfigObject(TypeName("Application"), state=State.DISABLED)
    await write(server, update("Application", "log-1", disabled, "state"))
    assert ("127.0.0.1:7002", "127.0.0.1:7003") == server.directory.endpoints(ApplicationType.MESSAGE_SERVER)
    facts = server.directory.application_facts("log-1")
    assert facts is not None
    assert not facts.enabled
