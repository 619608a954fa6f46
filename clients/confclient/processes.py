"""Who this process is, so that its agent can report its death and nobody acts on another that got its number."""

from __future__ import annotations

import os
import pathlib
import socket

from confapi.ha.v1 import ha_pb2


def process_identity(pid: int | None = None) -> ha_pb2.ProcessIdentity:
    """The identity of a process of this host, by default of this one.

    Raises:
        ProcessLookupError: there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    return ha_pb2.ProcessIdentity(
        host=socket.gethostname(),
        boot_id=pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        pid=pid,
        start_time_ticks=start_time_ticks(pid),
    )


def start_time_ticks(pid: int) -> int:
    """Start time of a process in clock ticks since boot: with its number, who it is.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        raise ProcessLookupError(f"no process {pid}") from None
    # the name in parentheses may itself hold spaces and parentheses
    return int(stat.rpartition(")")[2].split()[19])
