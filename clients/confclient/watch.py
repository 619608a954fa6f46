"""Following changes of the configuration across switchovers (B-52).

`watch` never ends by itself. What it gives is: one `Snapshot` first, unless it resumes; then each transaction once;
and `ReadAgain`, followed by a new snapshot, when the history that it knows is gone or belongs to another database.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from confapi.config.v1 import config_pb2, objects_pb2
from confclient import watching
from confclient.channel import ServiceChannel
from confclient.errors import CompactedError, ConfservError, LaggedError, NoPrimaryError, SessionRequiredError
from confclient.following import pause_s
from confclient.rpcs import WATCH
from confclient.watching import Position, Progress, Step


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects that pass the filter, as of `resume.revision`. Replaces whatever is known."""

    objects: tuple[objects_pb2.ConfigObject, ...]
    resume: config_pb2.ResumeToken


@dataclass(frozen=True, slots=True)
class Changed:
    """One whole transaction, with those of its changes that pass the filter."""

    transaction: config_pb2.Transaction
    resume: config_pb2.ResumeToken


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """What is known cannot be brought up to date; a snapshot follows."""

    reason: str


WatchEvent = Snapshot | Changed | ReadAgain


async def watch(
    channel: ServiceChannel,
    *,
    watch_filter: config_pb2.WatchFilter | None = None,
    resume: config_pb2.ResumeToken | None = None,
    on_stream: Callable[[bool], None] | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    """Follow changes; use it in `contextlib.aclosing` when it is left before its end.

    Args:
        channel: to the Configuration Server.
        watch_filter: which changes; None: all.
        resume: where to go on; None: a snapshot first.
        on_stream: told when a stream to a primary stands (True) and when it has broken (False).

    Raises:
        ConfservError: a refusal that trying again does not cure.
    """
    tell = on_stream or (lambda _: None)
    progress = Progress(Position(resume.history_id, resume.revision) if resume else None)
    tries = 0
    while True:
        try:
            request = _request(watch_filter, progress)
            async with await channel.server_stream(WATCH, request) as stream:
                async for message in stream:
                    tell(True)
                    tries = 0
                    progress, event = _advance(progress, message)
                    if event is not None:
                        yield event
                    if isinstance(event, ReadAgain):
                        break
        except CompactedError as error:
            progress = Progress()
            yield ReadAgain(error.message)
        except ConfservError as error:
            await _recover(channel, error, tries=tries)
        tell(False)
        progress = watching.broken(progress)
        await asyncio.sleep(pause_s(tries, draw=random.random()) if tries else 0)  # noqa: S311
        tries += 1


async def _recover(channel: ServiceChannel, error: ConfservError, *, tries: int) -> None:
    """Pass over what passes: the loss of a primary, lagging behind, a session that is being restored."""
    if not isinstance(error, LaggedError | NoPrimaryError | SessionRequiredError):
        await channel.recover(error, tries=tries)


def filter_of(
    types: Sequence[str] = (), *, tenant: int = 0, folder: int = 0, name_prefix: str = ""
) -> config_pb2.WatchFilter:
    """A filter: types (none: all), tenant and folder by dbid (0: all), beginning of the name."""
    return config_pb2.WatchFilter(types=types, tenant=tenant, folder=folder, name_prefix=name_prefix)


def _request(watch_filter: config_pb2.WatchFilter | None, progress: Progress) -> config_pb2.WatchRequest:
    request = config_pb2.WatchRequest(filter=watch_filter)
    if progress.position is not None:
        request.resume.history_id = progress.position.history_id
        request.resume.revision = progress.position.revision
    return request


def _advance(progress: Progress, message: config_pb2.WatchResponse) -> tuple[Progress, WatchEvent | None]:
    position = Position(message.resume.history_id, message.resume.revision)
    kind = message.WhichOneof("kind")
    if kind == "snapshot":
        part = message.snapshot
        progress, step = watching.snapshot_part(
            progress, tuple(part.objects), complete=part.complete, position=position
        )
    elif kind == "transaction":
        progress, step = watching.transaction(progress, message.transaction.revision, position)
    else:
        progress, step = watching.bookmark(progress, position)
    if step is Step.SNAPSHOT:
        return Progress(position), Snapshot(progress.parts, message.resume)
    if step is Step.DELIVER:
        return progress, Changed(message.transaction, message.resume)
    if step is Step.READ_AGAIN:
        return progress, ReadAgain("the database has another history than the one followed so far")
    return progress, None
