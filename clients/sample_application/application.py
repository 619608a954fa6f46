"""A business application on the client library that uses all of it, and prints what it sees.

Why it exists: it shows how the library is meant to be used, and its lines are what the demo and the tests judge: every
write that was acknowledged, every notification, with times. One JSON document a line, `event` says what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from confapi.config.v1 import objects_pb2
from confapi.message.v1 import message_pb2
from confclient.client import Client, connect
from confclient.errors import ConfservError
from confclient.licenses import CheckoutDeniedError
from confclient.objects import key_of, update
from confclient.request_ids import new_id
from confclient.session_rules import SessionState
from confclient.watch import Changed, Snapshot, WatchEvent
from sample_application.plan import Plan

VERSION = "1.0"
SECTION, OPTION = "sample", "counter"
"""The option that the application writes, of its own Application object."""

Say = Callable[..., None]
"""Prints an event with its facts."""


def say(event: str, **facts: Any) -> None:
    """Print one line."""
    print(json.dumps({"event": event, "time_ms": _now_ms(), **facts}), flush=True)  # noqa: T201  # its output


async def run(plan: Plan, stop: asyncio.Event, *, tell: Say = say) -> None:
    """Connect, do what the plan says until `stop` is set or the time is over, and leave.

    Raises:
        ConfservError: the session was refused (B-11, B-16), or there was no primary in time.
    """

    def session_changed(state: SessionState, detail: str) -> None:
        tell("session", state=state.value, detail=detail)

    async with connect(
        endpoints=plan.endpoints,
        tls=plan.tls,
        application=plan.application,
        application_type=plan.application_type,
        version=VERSION,
        spool_dir=plan.spool_dir,
        session_timeout_s=plan.session_timeout_s,
        on_session=session_changed,
        on_usage_refused=lambda id_, reason, text: tell("usage_refused", id=id_, reason=reason, text=text),
    ) as client:
        await client.cache.start()
        tell("cache", revision=client.cache.revision, objects=len(client.cache))
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(_license_held(client, plan, tell))
            stack.enter_context(_seats_used(client, plan, tell))
            if plan.log_text:
                client.log.put(_event(plan))
                tell("logged", text=plan.log_text)
            await _work(client, plan, stop, tell)
        tell("usage_flushed", complete=await client.usage.flush(timeout_s=2.0))
        tell("log_flushed", complete=await client.log.flush(timeout_s=2.0))
    tell("end")


async def _work(client: Client, plan: Plan, stop: asyncio.Event, tell: Say) -> None:
    """Follow and write until the end."""
    tasks = []
    if plan.follow:
        tasks.append(asyncio.create_task(_follow(client, tell)))
    if plan.write_every_s:
        tasks.append(asyncio.create_task(_write(client, plan, tell)))
    unlisten = client.cache.listen(lambda _: _tell_own_option(client, plan, tell))
    try:
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            {waiting, *tasks}, timeout=plan.run_for_s or None, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - {waiting}:
            task.result()
    finally:
        unlisten()
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)


async def _follow(client: Client, tell: Say) -> None:
    """Print each transaction once, across switchovers (B-52)."""
    async with contextlib.aclosing(client.watch()) as events:
        async for event in events:
            tell(**_seen(event))


def _seen(event: WatchEvent) -> dict[str, Any]:
    if isinstance(event, Snapshot):
        return {"event": "snapshot", "revision": event.resume.revision, "objects": len(event.objects)}
    if isinstance(event, Changed):
        changed = [f"{change.object.type}/{change.object.name}" for change in event.transaction.changes]
        return {
            "event": "change",
            "revision": event.transaction.revision,
            "request_id": event.transaction.request_id,
            "committed_ms": event.transaction.time_ms,
            "objects": changed,
        }
    return {"event": "read_again", "reason": event.reason}


async def _write(client: Client, plan: Plan, tell: Say) -> None:
    """Write the own option again and again; print each acknowledged write with its duration."""
    key = key_of("Application", name=plan.application)
    number = 0
    while True:
        number += 1
        item = objects_pb2.ConfigObject(type="Application")
        item.options.sections[SECTION].options[OPTION] = str(number)
        request_id = new_id()
        started = time.monotonic()
        operation = update(key, item, mask=[f"options.{SECTION}.{OPTION}"])
        try:
            answer = await client.transact([operation], request_id=request_id)
        except ConfservError as error:
            tell(
                "write_failed", number=number, request_id=request_id, reason=error.reason, text=error.message
            )
        else:
            tell(
                "written",
                number=number,
                request_id=request_id,
                revision=answer.commit.revision,
                token=f"{answer.commit.epoch.generation}.{answer.commit.epoch.mod_revision}",
                duration_ms=round((time.monotonic() - started) * 1000, 3),
            )
        await asyncio.sleep(plan.write_every_s)


@contextlib.asynccontextmanager
async def _license_held(client: Client, plan: Plan, tell: Say) -> AsyncGenerator[None, None]:
    """Hold the licenses of the plan (B-42); goes on without them when they are denied, and says so."""
    if not plan.feature:
        yield
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            held = await stack.enter_async_context(client.licenses.checkout(plan.feature, plan.count))
            tell("checked_out", feature=plan.feature, count=plan.count, handle=held.holding.handle)
        except CheckoutDeniedError as error:
            tell("denied", feature=plan.feature, denial=error.denial.reason, number=error.denial.number)
        yield


@contextlib.contextmanager
def _seats_used(client: Client, plan: Plan, tell: Say) -> Any:
    """Use the item of the plan on each of its seats."""
    if not plan.item:
        yield
        return
    handles = [
        client.usage.start(tenant=plan.tenant, item=plan.item, place=f"{plan.application}-place-{number}")
        for number in range(1, plan.seats + 1)
    ]
    tell("use_started", tenant=plan.tenant, item=plan.item, seats=plan.seats)
    try:
        yield
    finally:
        for handle in handles:
            handle.end()
        tell("use_ended", tenant=plan.tenant, item=plan.item, seats=plan.seats)


def _tell_own_option(client: Client, plan: Plan, tell: Say) -> None:
    value = client.cache.option(plan.application, SECTION, OPTION)
    if value is not None:
        tell("option", section=SECTION, option=OPTION, value=value, revision=client.cache.revision)


def _event(plan: Plan) -> message_pb2.LogEvent:
    return message_pb2.LogEvent(
        event_uid=new_id(),
        event_id="00-25000",
        level=message_pb2.LEVEL_STANDARD,
        severity=message_pb2.SEVERITY_INFO,
        text=plan.log_text,
        time_ms=_now_ms(),
        application=plan.application,
        component="sample-application",
        host=socket.gethostname(),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
