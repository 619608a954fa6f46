"""One process of a local cluster, with nine verbs: start, stop, kill, pause, resume, wait, is_running, log, config.

A handle finds its process again after the program that started it is gone: by pid and start time, which together name
one process. A process belongs to no terminal: it has a session of its own, and dies only when it is told. Ready is
what the process itself says (READY=1 on its NOTIFY_SOCKET); what says nothing is asked in its own way by whoever
knows how. Nothing here decides what runs: that is `topology` and `cluster`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confkit.process import start_time_ticks

_ZOMBIE_STATES = frozenset("ZX")


class ProcessError(Exception):
    """A process did not do what it was told: says which, what it did, and where its log is."""


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What a process is: its name, its command, its log file, and what its environment adds."""

    name: str
    component: str
    command: tuple[str, ...]
    log: Path
    endpoints: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    announces_ready: bool = True
    stop_signal: int = signal.SIGTERM


@dataclass(frozen=True, slots=True)
class ProcessKey:
    """One process for ever: its number, and its start time in clock ticks since boot."""

    pid: int
    start_time_ticks: int


class ProcessHandle:
    """A process that may run or not, and what can be done to it."""

    def __init__(self, config: ProcessConfig, key: ProcessKey | None = None) -> None:
        """`key` is that of a process started before, by this program or another."""
        self.config = config
        self.key = key
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    def start(self, *, timeout_s: float = 30.0) -> None:
        """Start the process, and wait until it says that it is ready, if it is one that does.

        Raises ProcessError when it runs already, ends, or is not ready after `timeout_s` seconds.
        """
        ready = self.begin()
        if ready is not None:
            with ready:
                self.await_ready(ready, timeout_s=timeout_s)

    def begin(self) -> ReadySocket | None:
        """Start the process and return at once, with what `await_ready` needs; raises ProcessError when it runs."""
        if self.is_running():
            raise ProcessError(f"{self.name} already runs as process {self.key.pid if self.key else '?'}")
        self.config.log.parent.mkdir(parents=True, exist_ok=True)
        ready = ReadySocket() if self.config.announces_ready else None
        environment = {**os.environ, **self.config.environment}
        environment.pop("NOTIFY_SOCKET", None)
        if ready:
            environment["NOTIFY_SOCKET"] = ready.address
        with self.config.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.config.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.key = ProcessKey(self._child.pid, start_time_ticks(self._child.pid))
        return ready

    def await_ready(self, ready: ReadySocket, *, timeout_s: float) -> None:
        """Wait for READY=1; raises ProcessError when the process ends first or the time does."""
        deadline = time.monotonic() + timeout_s
        while not ready.poll(0.05):
            if not self.is_running():
                raise ProcessError(
                    f"{self.name} ended with status {self.wait(timeout_s=1)}:\n{self.log(lines=12)}"
                )
            if time.monotonic() >= deadline:
                raise ProcessError(
                    f"{self.name} is not ready after {timeout_s:g} s; the end of {self.config.log}:\n"
                    f"{self.log(lines=12)}"
                )

    def stop(self, *, timeout_s: float = 15.0) -> int | None:
        """Ask the process to end, and kill it when it has not after `timeout_s` seconds; its exit status."""
        if not self.is_running():
            return self.wait(timeout_s=0)
        self.signal(self.config.stop_signal)
        self.signal(signal.SIGCONT)
        try:
            return self.wait(timeout_s=timeout_s)
        except ProcessError:
            return self.kill()

    def kill(self) -> int | None:
        """Kill the process (SIGKILL) and wait until it is gone; its exit status."""
        self.signal(signal.SIGKILL)
        return self.wait(timeout_s=10)

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process run on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal to exactly this process; nothing when it is gone."""
        with self._opened() as descriptor:
            if descriptor is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)

    def wait(self, *, timeout_s: float) -> int | None:
        """Wait for the end; its exit status (minus the signal's number), None when this program did not start it.

        Raises ProcessError when it still runs after `timeout_s` seconds.
        """
        if self._child is not None:
            try:
                return self._child.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                raise ProcessError(f"{self.name} still runs after {timeout_s:g} s") from None
        with self._opened() as descriptor:
            if descriptor is not None and not select.select([descriptor], [], [], timeout_s)[0]:
                raise ProcessError(f"{self.name} still runs after {timeout_s:g} s")
        return None

    def is_running(self) -> bool:
        """Whether exactly this process exists and has not ended. A paused one runs."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return self.key is not None and runs(self.key)

    def is_paused(self) -> bool:
        """Whether the process is stopped (SIGSTOP)."""
        return self.is_running() and self.key is not None and _state(self.key.pid) in {"T", "t"}

    def log(self, *, lines: int | None = None) -> str:
        """What the process has written, or its last `lines`."""
        try:
            text = self.config.log.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return text if lines is None else "\n".join(text.splitlines()[-lines:])

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """A pidfd of exactly this process, None when it is gone: a number that was given away is never hit."""
        try:
            descriptor = os.pidfd_open(self.key.pid) if self.key else None
        except ProcessLookupError:
            descriptor = None
        try:
            yield descriptor if self.key and runs(self.key) else None
        finally:
            if descriptor is not None:
                os.close(descriptor)


class ReadySocket:
    """Where one process says READY=1: an abstract Unix socket, which leaves no file and knows no long paths."""

    def __init__(self) -> None:
        """Open the socket; `address` goes into NOTIFY_SOCKET."""
        self.address = f"@confserv-ready-{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:])

    def poll(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds for a message, and say whether it was READY=1."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return False
        return b"READY=1" in self._socket.recv(4096).splitlines()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> ReadySocket:
        """Give the socket itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the socket."""
        self.close()


def runs(key: ProcessKey) -> bool:
    """Whether exactly this process exists and has not ended."""
    try:
        return start_time_ticks(key.pid) == key.start_time_ticks and _state(key.pid) not in _ZOMBIE_STATES
    except ProcessLookupError:
        return False


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
