"""Clients that write, read and follow the configuration while faults happen, and note everything that they see.

What they note is a history in the words of `confkit.validate`, whose functions judge it: no acknowledged write lost
or doubled, no notification missed, no current read out of order. The demo, the tests on real processes and long
fault runs share it. It injects no faults itself, and it does not promise a rate: each writer sends its next write when
the last one was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from google.protobuf.any_pb2 import Any as PackedBody
from google.protobuf.field_mask_pb2 import FieldMask

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.channel import ServiceChannel
from confclient.client import Client
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError, DeadlineError, NoPrimaryError, OutcomeUnknownError
from confclient.request_ids import new_id
from confclient.rpcs import CREATE_OBJECT, GET_OBJECT, LIST_HISTORY, UPDATE_OBJECT, WATCH
from confclient.watch import Changed, ReadAgain
from confkit import validate
from confkit.election.types import Epoch
from confkit.validate import (
    LogChange,
    LogEntry,
    Operation,
    Outcome,
    Seen,
    Violation,
    WatchHistory,
    WriteAttempt,
)

KIND = "Person"
SECTION, OPTION = "load", "value"
INITIAL = "initial"
_DEADLINE_S = 20.0
_READ_PAUSE_S = 0.02
_MAYBE = (DeadlineError, NoPrimaryError, OutcomeUnknownError)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a load: figures for people, and the promises that were broken, if any."""

    acknowledged: int
    unknown: int
    refused: int
    reads: int
    notifications: int
    revisions: int
    violations: tuple[Violation, ...]


@dataclass(slots=True)
class _Watcher:
    """What one follower has been told."""

    name: str
    after: int = 0
    through: int = 0
    history_id: str = ""
    seen: list[Seen] = field(default_factory=list)
    resumed: int = 0


class Load:
    """Writers, a reader and followers; use it in `async with`, inject faults inside, then `judge`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: TlsFiles,
        *,
        name: str = "load",
        writers: int = 3,
        followers: int = 2,
        applications: Sequence[Client] = (),
    ) -> None:
        """Prepare.

        Args:
            endpoints: of the Configuration Servers.
            tls: an administrator's certificate.
            name: begins the names of the objects that are written.
            writers: how many write at the same time.
            followers: how many follow the changes, each on a stream of its own.
            applications: connected applications that follow them too, by the client library.
        """
        self._endpoints = tuple(endpoints)
        self._tls = tls
        self._name = name
        self._writers = writers
        self._followers = followers
        self._applications = tuple(applications)
        self._dbids: list[int] = []
        self._channels: list[ServiceChannel] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._watchers: list[_Watcher] = []
        self._stopping = False
        self._random = random.Random(name)  # noqa: S311  spreads load; nothing secret depends on it
        self.attempts: list[WriteAttempt] = []
        self.operations: list[Operation] = []
        self.acknowledged_s: list[float] = []
        self.troubles: list[str] = []

    async def __aenter__(self) -> Load:
        """Create the objects, start followers, then writers, and wait until writes flow."""
        channel = self._channel()
        for number in range(self._writers + 1):  # the last one is everybody's
            self._dbids.append(await self._create(channel, f"{self._name}-{number}"))
        for number in range(self._followers):
            watcher = _Watcher(f"{self._name}-follower-{number}")
            self._watchers.append(watcher)
            self._tasks.append(asyncio.create_task(self._follow(watcher, self._channel())))
        for number, application in enumerate(self._applications):
            watcher = _Watcher(f"{self._name}-application-{number}")
            self._watchers.append(watcher)
            self._tasks.append(asyncio.create_task(self._follow_as_application(watcher, application)))
        await self.until(lambda: all(watcher.through for watcher in self._watchers), timeout_s=20)
        self._tasks += [
            asyncio.create_task(self._write_on(number, self._channel())) for number in range(self._writers)
        ]
        self._tasks.append(asyncio.create_task(self._read_on(self._channel())))
        await self.until_flowing()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop writing, let followers catch up, and close."""
        self._stopping = True
        try:
            writers = self._tasks[len(self._watchers) :]
            await asyncio.wait(writers, timeout=2 * _DEADLINE_S)
            last = max((attempt.revision or 0 for attempt in self.attempts), default=0)
            await self.until(lambda: all(watcher.through >= last for watcher in self._watchers), timeout_s=20)
        finally:
            for task in self._tasks:
                task.cancel()
            for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    self.troubles.append(repr(outcome))
            for channel in self._channels:
                await channel.close()

    async def until(self, condition: object, *, timeout_s: float) -> None:
        """Wait until `condition()` holds; raises TimeoutError, or what a task of the load raised."""
        assert callable(condition)
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            for task in self._tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
            if time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"the load waited {timeout_s:g} s in vain; its last troubles: {self.troubles[-3:]}"
                )
            await asyncio.sleep(0.01)

    async def until_flowing(self, *, writes: int = 10, timeout_s: float = 60.0) -> None:
        """Wait until `writes` more writes have been acknowledged."""
        aim = len(self.acknowledged_s) + writes
        await self.until(lambda: len(self.acknowledged_s) >= aim, timeout_s=timeout_s)

    def longest_gap_s(self, *, since_s: float, until_s: float | None = None) -> float:
        """The longest time without an acknowledged write between two instants of `time.monotonic`."""
        end = time.monotonic() if until_s is None else until_s
        times = [at for at in self.acknowledged_s if at <= end]
        before = max((at for at in times if at <= since_s), default=since_s)
        inside = [before, *sorted(at for at in times if at > since_s)]
        return max((later - earlier for earlier, later in pairwise([*inside, end])), default=0.0)

    async def judge(self) -> Judgement:
        """Read the whole change log and hold what was seen against it; call it after the load has stopped."""
        channel = ServiceChannel(self._endpoints, self._tls, component="Configuration Server")
        try:
            log = await read_log(channel)
        finally:
            await channel.close()
        watches = [self._watch_history(watcher) for watcher in self._watchers]
        violations = [
            *validate.tokens_never_decrease(log),
            *validate.revisions_have_no_holes(log),
            *validate.writes_happen_once(log, self.attempts),
            *validate.watchers_see_the_log(log, watches),
            *validate.linearizable(self.operations, initial=INITIAL),
        ]
        by_outcome = [attempt.outcome for attempt in self.attempts]
        return Judgement(
            acknowledged=by_outcome.count(Outcome.ACKNOWLEDGED),
            unknown=by_outcome.count(Outcome.UNKNOWN),
            refused=by_outcome.count(Outcome.REFUSED),
            reads=sum(not operation.writes for operation in self.operations),
            notifications=sum(len(watcher.seen) for watcher in self._watchers),
            revisions=len(log),
            violations=tuple(violations),
        )

    # writers and readers

    def _channel(self) -> ServiceChannel:
        channel = ServiceChannel(
            self._endpoints, self._tls, component="Configuration Server", timeout_s=_DEADLINE_S
        )
        self._channels.append(channel)
        return channel

    async def _create(self, channel: ServiceChannel, name: str) -> int:
        body = PackedBody()
        body.Pack(objects_pb2.Person(first_name="Load"))
        made = objects_pb2.ConfigObject(type=KIND, name=name, tenant=1, body=body)
        made.options.sections[SECTION].options[OPTION] = INITIAL
        request = config_pb2.CreateObjectRequest(
            context=_context(new_id()), create=config_pb2.CreateOperation(object=made)
        )
        return int((await channel.unary(CREATE_OBJECT, request)).object.dbid)

    async def _write_on(self, writer: int, channel: ServiceChannel) -> None:
        number = 0
        while not self._stopping:
            number += 1
            shared = self._random.random() < 0.2
            await self._write(channel, self._dbids[-1 if shared else writer], f"{writer}.{number}")

    async def _write(self, channel: ServiceChannel, dbid: int, value: str) -> None:
        request_id = new_id()
        changed = objects_pb2.ConfigObject(type=KIND, dbid=dbid)
        changed.options.sections[SECTION].options[OPTION] = value
        request = config_pb2.UpdateObjectRequest(
            context=_context(request_id),
            update=config_pb2.UpdateOperation(
                key=objects_pb2.ObjectKey(type=KIND, dbid=dbid),
                object=changed,
                update_mask=FieldMask(paths=[f"options.{SECTION}.{OPTION}"]),
            ),
        )
        started_s = time.monotonic()
        outcome, revision = Outcome.UNKNOWN, None
        try:
            answer = await channel.unary(UPDATE_OBJECT, request)
        except ConfservError as error:
            self.troubles.append(f"write {value}: {error}")
            outcome = Outcome.UNKNOWN if isinstance(error, _MAYBE) else Outcome.REFUSED
        else:
            outcome, revision = Outcome.ACKNOWLEDGED, answer.commit.revision
            self.acknowledged_s.append(time.monotonic())
        ended_s = time.monotonic()
        self.attempts.append(WriteAttempt(request_id, outcome, revision, started_s, ended_s))
        if outcome is not Outcome.REFUSED:
            maybe = outcome is Outcome.UNKNOWN
            self.operations.append(Operation(dbid, started_s, ended_s, writes=True, value=value, maybe=maybe))

    async def _read_on(self, channel: ServiceChannel) -> None:
        while not self._stopping:
            dbid = self._random.choice(self._dbids)
            request = config_pb2.GetObjectRequest(
                key=objects_pb2.ObjectKey(type=KIND, dbid=dbid),
                consistency=config_pb2.CONSISTENCY_CURRENT,
            )
            started_s = time.monotonic()
            try:
                answer = await channel.unary(GET_OBJECT, request)
            except ConfservError as error:
                self.troubles.append(f"read {dbid}: {error}")
            else:
                value = _value(answer.object)
                self.operations.append(
                    Operation(dbid, started_s, time.monotonic(), writes=False, value=value)
                )
            await asyncio.sleep(_READ_PAUSE_S)

    # followers

    async def _follow(self, watcher: _Watcher, channel: ServiceChannel) -> None:
        tries = 0
        while True:
            request = config_pb2.WatchRequest(filter=config_pb2.WatchFilter(types=[KIND]))
            if watcher.history_id:
                request.resume.history_id, request.resume.revision = watcher.history_id, watcher.through
            try:
                async with await channel.server_stream(WATCH, request, timeout_s=_DEADLINE_S) as stream:
                    async for message in stream:
                        tries = 0
                        _note(watcher, message)
            except ConfservError as error:
                self.troubles.append(f"{watcher.name}: {error}")
                await channel.recover(error, tries=tries)
            tries += 1
            watcher.resumed += 1

    async def _follow_as_application(self, watcher: _Watcher, application: Client) -> None:
        async with contextlib.aclosing(application.watch(types=[KIND])) as events:
            async for event in events:
                if isinstance(event, ReadAgain):
                    raise RuntimeError(f"{watcher.name} was told to read everything again: {event.reason}")
                if isinstance(event, Changed):
                    _note_transaction(watcher, event.transaction)
                else:
                    watcher.after = event.resume.revision
                watcher.history_id, watcher.through = event.resume.history_id, event.resume.revision

    def _watch_history(self, watcher: _Watcher) -> WatchHistory:
        objects = frozenset((KIND, dbid) for dbid in self._dbids)
        mine = tuple(
            Seen(seen.revision, changes)
            for seen in watcher.seen
            if (changes := tuple(change for change in seen.changes if change.object_id in objects))
        )
        return WatchHistory(watcher.name, watcher.after, mine, watcher.through, objects)


def _context(request_id: str) -> config_pb2.WriteContext:
    return config_pb2.WriteContext(request_id=request_id, reason="load")


def _value(found: objects_pb2.ConfigObject) -> str:
    return str(found.options.sections[SECTION].options[OPTION])


def _note(watcher: _Watcher, message: config_pb2.WatchResponse) -> None:
    """Take over one message of a stream: where a watch starts, or a transaction, and where it may resume."""
    kind = message.WhichOneof("kind")
    if kind == "snapshot":
        if message.snapshot.complete:
            watcher.history_id = message.resume.history_id
            watcher.after = watcher.through = message.resume.revision
        return
    if kind == "transaction":
        _note_transaction(watcher, message.transaction)
    watcher.history_id, watcher.through = message.resume.history_id, message.resume.revision


def _note_transaction(watcher: _Watcher, transaction: config_pb2.Transaction) -> None:
    changes = tuple(
        LogChange(
            (change.object.type, change.object.dbid),
            None if change.kind == config_pb2.CHANGE_KIND_REMOVED else _value(change.object),
        )
        for change in transaction.changes
    )
    watcher.seen.append(Seen(transaction.revision, changes))


async def read_log(channel: ServiceChannel) -> list[LogEntry]:
    """Read the whole change log of a Configuration Server."""
    found: dict[int, LogEntry] = {}
    after = 0
    while True:
        page = await channel.unary(
            LIST_HISTORY, config_pb2.ListHistoryRequest(after_revision=after, limit=1000)
        )
        for entry in page.entries:
            after_change = entry.after if entry.HasField("after") else None
            named = after_change or entry.before
            change = LogChange(
                (named.type, named.dbid), None if after_change is None else _value(after_change)
            )
            known = found.get(entry.revision)
            epoch = Epoch(entry.epoch.generation, entry.epoch.mod_revision)
            changes = (*(known.changes if known else ()), change)
            found[entry.revision] = LogEntry(
                entry.revision, epoch, entry.request_id or entry.revision, changes
            )
        if page.through_revision <= after:
            return [found[revision] for revision in sorted(found)]
        after = page.through_revision
