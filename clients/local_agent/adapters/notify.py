"""READY=1 from a program that the agent has started, by the protocol of sd_notify(3).

One datagram socket in the abstract namespace for each program, with a random name that only it is told. What it
does not promise: that READY is the truth; it is what the program says.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

_MAX_BYTES = 4096


class NotifySocket:
    """Waits for one READY=1; `address` is for NOTIFY_SOCKET."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        self._loop = loop
        self._on_ready = on_ready
        name = f"confserv-lca-{secrets.token_hex(16)}"
        self.address = f"@{name}"
        self._socket: socket.socket | None = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        self._socket.bind(f"\0{name}")
        loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        assert self._socket is not None, "a closed socket has no reader"
        try:
            message = self._socket.recv(_MAX_BYTES)
        except BlockingIOError:
            return
        if b"READY=1" in message.splitlines():
            self.close()
            self._on_ready()
