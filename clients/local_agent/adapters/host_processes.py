"""Processes of this Linux host by pidfd: exit, signals, and the agent's own children.

A pidfd names one process for ever: once it is open and start time and boot agree, no signal can reach another
process that got the number. Children run in sessions of their own and outlive the agent; their exit is told by
the same pidfd, and their status taken then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from confclient.processes import process_identity, start_time_ticks
from local_agent.adapters.notify import NotifySocket
from local_agent.core.model import ApplicationSpec, ProcessKey
from local_agent.ports import SpawnError

_OWN_SETTINGS = "CONFSERV_"


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    notify: NotifySocket


class PidfdProcesses:
    """Watches, signals and starts processes. Make it inside the event loop that uses it; `close` it there.

    `output_dir` gets what programs write to standard output and error, one file an application.
    """

    def __init__(self, *, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._boot_id = process_identity().boot_id
        self._pidfds: dict[ProcessKey, int] = {}
        self._children: dict[ProcessKey, _Child] = {}
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Watch nothing any more; processes run on."""
        for process in list(self._pidfds):
            self._forget(process)
        for child in self._children.values():
            child.notify.close()
            child.process.returncode = (
                child.process.returncode or 0
            )  # it runs on, and is nobody's concern here

    def start_time_ticks(self, pid: int) -> int | None:
        """Give when the process with this number was started, None when there is none."""
        try:
            return start_time_ticks(pid)
        except ProcessLookupError:
            return None

    def watch(self, process: ProcessKey, on_exit: Callable[[int | None], None]) -> None:
        """Call `on_exit` when exactly this process has exited."""
        pidfd = self._open(process)
        if pidfd is None:
            on_exit(self._status(process))
            return
        self._pidfds[process] = pidfd
        self._loop.add_reader(pidfd, self._exited, process, on_exit)

    def signal(self, process: ProcessKey, number: int) -> None:
        """Signal exactly this watched process."""
        pidfd = self._pidfds.get(process)
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return  # it has exited, which the pidfd tells by itself

    async def spawn(self, spec: ApplicationSpec, on_ready: Callable[[], None]) -> ProcessKey:
        """Start a program. Raises SpawnError."""
        notify = NotifySocket(self._loop, on_ready)
        try:
            child = await asyncio.to_thread(self._start, spec, notify.address)
        except (OSError, ValueError) as error:
            notify.close()
            raise SpawnError(f"{spec.command_line}: {error}") from error
        identity = process_identity(child.pid)
        process = ProcessKey(identity.host, identity.boot_id, identity.pid, identity.start_time_ticks)
        self._children[process] = _Child(child, notify)
        return process

    def _start(self, spec: ApplicationSpec, notify_address: str) -> subprocess.Popen[bytes]:
        self._output_dir.mkdir(parents=True, exist_ok=True)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)
        }
        with (self._output_dir / f"{quote(spec.name, safe='')}.log").open("ab") as output:
            return subprocess.Popen(
                [spec.command_line, *spec.arguments],
                cwd=spec.working_directory or None,
                env={**environment, "NOTIFY_SOCKET": notify_address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )

    def _open(self, process: ProcessKey) -> int | None:
        """Open a pidfd, and make sure afterwards that it is that very process's."""
        if process.boot_id != self._boot_id:
            return None
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return None
        if self.start_time_ticks(process.pid) != process.start_time_ticks:
            os.close(pidfd)
            return None
        return pidfd

    def _exited(self, process: ProcessKey, on_exit: Callable[[int | None], None]) -> None:
        self._forget(process)
        on_exit(self._status(process))

    def _forget(self, process: ProcessKey) -> None:
        pidfd = self._pidfds.pop(process, None)
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)

    def _status(self, process: ProcessKey) -> int | None:
        child = self._children.pop(process, None)
        if child is None:
            return None
        child.notify.close()
        return child.process.wait()
