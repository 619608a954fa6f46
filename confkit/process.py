"""What every process does alike: event loop, log, signals, readiness, exit status.

`run` owns the loop and the signals; a process's `main` gets a `Shutdown` to wait for and returns the
exit status. Exit statuses are a contract (cli.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import structlog
import structlog.tracebacks
import uvloop

from confclient.processes import process_identity as process_identity
from confclient.processes import start_time_ticks as start_time_ticks
from confkit.exit_status import ExitStatus as ExitStatus
from confkit.settings import LogSettings


class Shutdown:
    """Asked for by SIGTERM and SIGINT, or by the process itself; SIGHUP asks to read the settings again."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self.reason = ""
        self._reload: Callable[[], None] | None = None

    def request(self, reason: str) -> None:
        """Ask for an orderly end: hand over, finish, leave."""
        self.reason = self.reason or reason
        self._requested.set()

    @property
    def requested(self) -> bool:
        """Whether an end was asked for."""
        return self._requested.is_set()

    async def wait(self) -> str:
        """Return the reason once an end is asked for."""
        await self._requested.wait()
        return self.reason

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Call back on SIGHUP, in the event loop."""
        self._reload = callback

    def reload(self) -> None:
        """What SIGHUP does."""
        if self._reload is not None:
            self._reload()


Main = Callable[[Shutdown], Awaitable[int]]


def run(main: Main, *, log: LogSettings) -> int:
    """Run a process to its end and return its exit status.

    Args:
        main: gets the `Shutdown`, returns the exit status. An exception that it raises is logged with its
            trace and is status 1: a broken invariant ends the process on purpose.
        log: where the structured log goes.
    """
    configure_log(log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(_main(main)))


async def _main(main: Main) -> int:
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shutdown.request, f"signal {number.name}")
    loop.add_signal_handler(signal.SIGHUP, shutdown.reload)
    try:
        return await main(shutdown)
    except Exception:
        structlog.get_logger().exception("the process ends on an error that it cannot handle")
        return ExitStatus.FAILED


def configure_log(settings: LogSettings) -> None:
    """Send the structured log to standard error, or to the file that is set; one line an entry."""
    stream = settings.file.open("a", buffering=1) if settings.file is not None else sys.stderr
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if settings.format == "json":
        # without the values of locals, which are long and may be secret
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        processors.append(structlog.processors.ExceptionRenderer(frames))
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def notify_ready(status: str = "") -> None:
    """Tell systemd `READY=1`, if it listens (NOTIFY_SOCKET); nothing otherwise."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "READY=1" + (f"\nSTATUS={status}" if status else "")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall(message.encode())
