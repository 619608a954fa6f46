"""Sessions against small real servers: waiting for LRM, kept across switchovers, restored under the same id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from confapi.config.v1 import objects_pb2, sessions_pb2, sessions_pb2_grpc
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import (
    ApplicationDisabledError,
    ConfservError,
    LrmNotStartedError,
    SessionRequiredError,
    UnknownApplicationError,
)
from confclient.processes import process_identity
from confclient.session import Session
from confclient.session_rules import SessionState
from confkit.server import GrpcServer
from tests.support.members import Member, Pair, until
from tests.unit.confclient.conftest import MakePair

BILLING = {"application": "billing", "application_type": objects_pb2.APPLICATION_TYPE_GENERIC_SERVER}


class Sessions(sessions_pb2_grpc.SessionServiceServicer):
    """Sessions of a pair, kept by the pair, as the database does."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.pair: Any = member.pair
        if not hasattr(self.pair, "sessions"):
            self.pair.sessions = {}
            self.pair.refusal = None
            self.pair.lease_ttl_ms = 150
            self.pair.opened = []
        self.kept: list[str] = []
        self.silent = False
        member.sessions = self  # type: ignore[attr-defined]

    async def OpenSession(self, request: Any, context: Any) -> sessions_pb2.OpenSessionResponse:
        self.member.check()
        if self.pair.refusal is not None:
            raise self.pair.refusal
        self.pair.opened.append(request)
        self.pair.sessions[request.session_id] = request
        return sessions_pb2.OpenSessionResponse(
            lease_ttl_ms=self.pair.lease_ttl_ms,
            members=[member.as_message() for member in self.pair.running],
            application=objects_pb2.ConfigObject(type="Application", name=request.application, dbid=101),
        )

    async def KeepSession(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            if self.silent:
                await asyncio.Event().wait()
            self.member.check()
            if request.session_id not in self.pair.sessions:
                raise SessionRequiredError("open it")
            self.kept.append(request.session_id)
            yield sessions_pb2.KeepSessionResponse(lease_ttl_ms=self.pair.lease_ttl_ms)

    async def CloseSession(self, request: Any, context: Any) -> sessions_pb2.CloseSessionResponse:
        self.member.check()
        self.pair.sessions.pop(request.session_id, None)
        return sessions_pb2.CloseSessionResponse()


def add(server: GrpcServer, member: Member) -> None:
    server.add(
        sessions_pb2_grpc.add_SessionServiceServicer_to_server,
        Sessions(member),
        "confapi.config.v1.SessionService",
    )


async def pair_of(make_pair: MakePair, *names: str) -> Pair:
    pair = make_pair(add)
    for name in names:
        await pair.start(name)
    pair.promote(names[0])
    return pair


def sessions(pair: Pair, name: str) -> Sessions:
    return pair.members[name].sessions  # type: ignore[attr-defined,no-any-return]


async def test_opens_keeps_and_closes(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-16, B-17
    pair: Any = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with Session(channel, **BILLING) as session:
        assert 101 == session.application_object.dbid
        assert process_identity() == pair.opened[0].process
        assert pair.members["two"].endpoint in channel.view.endpoints
        await until(lambda: len(sessions(pair, "one").kept) >= 3)
    assert ({}, SessionState.CLOSED) == (pair.sessions, session.state)
    await channel.close()


async def test_waits_for_lrm_and_gets_in_without_a_restart(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-11, B-12
    pair: Any = await pair_of(make_pair, "one")
    pair.refusal = LrmNotStartedError("Unable to accept connection: LRM Server has not been started")
    states: list[tuple[SessionState, str]] = []
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    session = Session(channel, **BILLING, on_change=lambda *change: states.append(change))
    opening = asyncio.create_task(session.open())
    await until(lambda: states)
    assert [(SessionState.WAITING, pair.refusal.message)] == states
    pair.refusal = None
    await opening
    assert [SessionState.WAITING, SessionState.OPEN] == [state for state, _ in states]
    await session.close()
    await channel.close()


@pytest.mark.parametrize(
    ("refusal", "timeout_s"),
    [(LrmNotStartedError("LRM has not been started"), 0.15), (UnknownApplicationError("no such"), None)],
    ids=["when its time is up", "when waiting does not help"],
)
async def test_tells_the_refusal(
    make_pair: MakePair, tls: TlsFiles, refusal: ConfservError, timeout_s: float | None
) -> None:
    # B-11, B-16
    pair: Any = await pair_of(make_pair, "one")
    pair.refusal = refusal
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    with pytest.raises(type(refusal), match=refusal.message):
        await Session(channel, **BILLING).open(timeout_s=timeout_s)
    await channel.close()


async def test_is_kept_at_the_successor_without_a_new_log_in(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-17; ha.md, Clients
    pair: Any = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with Session(channel, **BILLING):
        await until(lambda: sessions(pair, "one").kept)
        pair.promote("two")
        await until(lambda: len(sessions(pair, "two").kept) >= 2)
        pair.promote("one")
        await pair.members["two"].stop()
        already = len(sessions(pair, "one").kept)
        await until(lambda: len(sessions(pair, "one").kept) > already)
        assert 1 == len(pair.opened)
    await channel.close()


async def test_leaves_a_silent_primary_before_the_lease_runs_out(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-17, B-53
    pair: Any = await pair_of(make_pair, "one", "two")
    pair.lease_ttl_ms = 600
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with Session(channel, **BILLING):
        await until(lambda: sessions(pair, "one").kept)
        sessions(pair, "one").silent = True
        pair.members["one"].hang.clear()
        pair.promote("two")
        await until(lambda: sessions(pair, "two").kept)
        assert 1 == len(pair.opened)
        pair.members["one"].hang.set()
    await channel.close()


async def test_is_restored_under_the_same_id_when_the_server_has_lost_it(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-17
    pair: Any = await pair_of(make_pair, "one")
    states: list[SessionState] = []
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with Session(channel, **BILLING, on_change=lambda state, _: states.append(state)) as session:
        await until(lambda: sessions(pair, "one").kept)
        pair.refusal = ApplicationDisabledError("disabled")
        pair.sessions.clear()
        await until(lambda: session.state is SessionState.LOST)
        pair.refusal = None
        await session.wait_open(timeout_s=5)
        assert pair.opened[0].session_id == pair.opened[1].session_id
    assert [SessionState.OPEN, SessionState.LOST, SessionState.OPEN, SessionState.CLOSED] == states
    await channel.close()
