"""ConfigService: reads from memory, writes through the engine, watches. Messages in, bytes out.

Every call passes the gate, so that only a primary serves; a caller needs an open session, but for people's
tools and Configuration Servers.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import grpc.aio

from confapi.config.v1 import config_pb2
from confclient.errors import DatabaseUnavailableError, SessionRequiredError
from confclient.identity import CertificateRole, Principal
from confkit.election.ports import StoreUnreachable
from confkit.server import EVERYBODY, Policy, caller
from confserv.api import answers, requests
from confserv.api.answers import Shown
from confserv.api.requests import ObjectReader
from confserv.api.wire import add_bytes_service, embed
from confserv.core.history import check_kept
from confserv.core.listing import page, parts, snapshot
from confserv.core.log import HistoryPage, LogEntry
from confserv.core.objects import Dbid, Key, TypeName
from confserv.core.operations import Operation, WriteRequest
from confserv.core.refusals import Refused, invalid
from confserv.core.watch import Filter
from confserv.service.engine import ConfigurationEngine
from confserv.service.gate import Gate
from confserv.service.streams import until_closed
from confserv.service.watching import Watching

SERVICE = "confapi.config.v1.ConfigService"
METHODS = config_pb2.DESCRIPTOR.services_by_name["ConfigService"]
POLICY: Policy = {f"/{SERVICE}/{method.name}": EVERYBODY for method in METHODS.methods}

MAX_PAGE = 1000
DEFAULT_PAGE = 100
_WITHOUT_SESSION = frozenset({CertificateRole.ADMINISTRATOR, CertificateRole.CONFSERV})
_Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


def add_config_service(servicer: ConfigService, server: grpc.aio.Server) -> None:
    """Add ConfigService to a server; takes the place of the generated function, since answers are bytes."""
    add_bytes_service(METHODS, servicer, server)


def _refusing(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    @functools.wraps(method)
    async def wrapped(self: ConfigService, request: Any, context: _Context) -> T:
        with self._errors():
            return await method(self, request, context)

    return wrapped


class ConfigService:
    """The configuration, as the primary serves it.

    `has_session` says whether the certificate of that name has an open session.
    """

    def __init__(
        self,
        *,
        engine: ConfigurationEngine,
        gate: Gate,
        reader: ObjectReader,
        shown: Shown,
        has_session: Callable[[str], bool],
    ) -> None:
        """Serve what `engine` holds, while `gate` is open."""
        self._engine = engine
        self._gate = gate
        self._reader = reader
        self._shown = shown
        self._has_session = has_session

    # -- reads

    @_refusing
    async def GetObject(self, request: config_pb2.GetObjectRequest, context: _Context) -> bytes:
        """See the proto."""
        await self._readable(request.consistency)
        record = self._engine.find(requests.target(request.key))
        tail = config_pb2.GetObjectResponse(revision=self._engine.revision)
        return embed(1, self._shown.object(record)) + tail.SerializeToString()

    @_refusing
    async def ListObjects(self, request: config_pb2.ListObjectsRequest, context: _Context) -> bytes:
        """See the proto."""
        size = _limit(request.page_size, "page_size")
        chosen = Filter(
            tenant=Dbid(request.tenant), folder=Dbid(request.folder), name_prefix=request.name_prefix
        )
        query = f"{request.type}\0{chosen}"
        after = _read_token(request.page_token, query)
        await self._readable(request.consistency)
        self._engine.check_type(TypeName(request.type))
        found = page(
            self._engine.configuration, TypeName(request.type), chosen=chosen, after=after, size=size
        )
        tail = config_pb2.ListObjectsResponse(
            next_page_token="" if found.next_after is None else _page_token(found.next_after, query),
            revision=self._engine.revision,
        )
        objects = b"".join(embed(1, self._shown.object(record)) for record in found.records)
        return objects + tail.SerializeToString()

    async def GetSnapshot(
        self, request: config_pb2.GetSnapshotRequest, context: _Context
    ) -> AsyncIterator[bytes]:
        """See the proto."""
        with self._errors():
            await self._readable(request.consistency)
            records = snapshot(self._engine.configuration, requests.watch_filter(request.filter))
            token = answers.resume(history_id=self._engine.history_id, revision=self._engine.revision)
            tail = config_pb2.GetSnapshotResponse(resume=token).SerializeToString()
            for part, complete in parts(records):
                yield embed(1, self._shown.part(part, complete=complete)) + tail

    @_refusing
    async def ListHistory(
        self, request: config_pb2.ListHistoryRequest, context: _Context
    ) -> config_pb2.ListHistoryResponse:
        """See the proto."""
        limit = _limit(request.limit, "limit")
        key = None
        if request.HasField("key"):
            which = requests.target(request.key)
            key = self._engine.find(which).key if which.dbid is None else Key(which.type, which.dbid)
        await self._readable(config_pb2.CONSISTENCY_CURRENT)
        found = await self._engine.history(key=key, after_revision=request.after_revision, limit=limit)
        check_kept(found, after_revision=request.after_revision)
        return _history(found, key)

    async def Watch(self, request: config_pb2.WatchRequest, context: _Context) -> AsyncIterator[bytes]:
        """See the proto."""
        with self._errors():
            self._need_session()
            tenure = await self._gate.passage()
            await self._engine.current()
            watching = Watching(self._engine, self._shown, requests.watch_filter(request.filter))
            resumed = request.HasField("resume")
            source = (
                watching.resumed(history_id=request.resume.history_id, revision=request.resume.revision)
                if resumed
                else watching.from_snapshot()
            )
            async for message in until_closed(source, self._gate, tenure):
                yield message

    # -- writes

    @_refusing
    async def CreateObject(self, request: config_pb2.CreateObjectRequest, context: _Context) -> bytes:
        """See the proto."""
        write = self._write(request)
        entry = await self._commit(write, requests.create(request.create, self._reader))
        return self._single(entry)

    @_refusing
    async def UpdateObject(self, request: config_pb2.UpdateObjectRequest, context: _Context) -> bytes:
        """See the proto."""
        write = self._write(request)
        entry = await self._commit(write, requests.update(request.update, self._reader))
        return self._single(entry)

    @_refusing
    async def DeleteObject(
        self, request: config_pb2.DeleteObjectRequest, context: _Context
    ) -> config_pb2.DeleteObjectResponse:
        """See the proto."""
        write = self._write(request)
        entry = await self._commit(write, requests.delete(request.delete))
        return config_pb2.DeleteObjectResponse(
            commit=answers.commit(entry, history_id=self._engine.history_id)
        )

    @_refusing
    async def Transact(self, request: config_pb2.TransactRequest, context: _Context) -> bytes:
        """See the proto."""
        write = self._write(request)
        entry = await self._commit(write, *requests.operations(request.operations, self._reader))
        outcome = answers.commit(entry, history_id=self._engine.history_id)
        tail = config_pb2.TransactResponse(commit=outcome)
        objects = b"".join(embed(1, data) for data in self._shown.results(entry))
        return objects + tail.SerializeToString()

    # -- inside

    def _write(self, request: Any) -> WriteRequest:
        self._need_session()
        return requests.write_request(request, request.context, actor=str(caller()))

    async def _commit(self, write: WriteRequest, *operations: Operation) -> LogEntry:
        return await self._engine.submit(replace(write, operations=operations))

    def _single(self, entry: LogEntry) -> bytes:
        outcome = answers.commit(entry, history_id=self._engine.history_id)
        return embed(1, self._shown.results(entry)[0]) + embed(2, outcome.SerializeToString())

    async def _readable(self, consistency: int) -> None:
        self._need_session()
        if consistency == config_pb2.CONSISTENCY_POSSIBLY_STALE:
            if self._gate.is_closed:
                raise self._gate.refusal()
            return
        await self._gate.passage()
        await self._engine.current()

    def _need_session(self) -> None:
        principal: Principal = caller()
        if self._gate.is_closed:
            raise self._gate.refusal()
        if principal.role not in _WITHOUT_SESSION and not self._has_session(principal.name):
            raise SessionRequiredError(f"{principal} has no open session: open one with OpenSession")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Refused as refusal:
            raise answers.to_error(refusal, self._gate.refusal) from None
        except StoreUnreachable as error:
            raise DatabaseUnavailableError(f"the database does not answer: {error}") from None


def _limit(given: int, field: str) -> int:
    if not 0 <= given <= MAX_PAGE:
        raise invalid(f"{field}: 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}; not {given}", field=field)
    return given or DEFAULT_PAGE


def _page_token(after: Dbid, query: str) -> str:
    text = json.dumps([after, hashlib.sha256(query.encode()).hexdigest()[:16]])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str, query: str) -> Dbid:
    if not token:
        return Dbid(0)
    try:
        after, digest = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, binascii.Error):
        raise invalid("page_token: not one of this server's; start over", field="page_token") from None
    if digest != hashlib.sha256(query.encode()).hexdigest()[:16] or not isinstance(after, int):
        raise invalid("page_token: belongs to another query; start over", field="page_token")
    return Dbid(after)


def _history(found: HistoryPage, key: Key | None) -> config_pb2.ListHistoryResponse:
    response = config_pb2.ListHistoryResponse(
        through_revision=found.through_revision, history_id=found.history_id
    )
    for entry in found.entries:
        for change in entry.changes:
            if key in (None, change.key):
                added = response.entries.add(
                    revision=entry.revision,
                    epoch=answers.epoch(entry),
                    time_ms=entry.time_ms,
                    actor=entry.actor,
                    reason=entry.reason,
                    request_id=entry.request_id,
                )
                if change.before is not None:
                    added.before.ParseFromString(change.before.data)
                if change.after is not None:
                    added.after.ParseFromString(change.after.data)
    return response
