"""Choose free ports on the loopback address for processes that have to know them before they start.

Members of a cluster name each other's ports on their command lines, so binding port 0 does not do. A port is
free when it is asked for; nothing keeps another program from taking it before its process binds it, so
ports come from below the range that the kernel gives to outgoing connections, and two launchers start in
different places.
"""

from __future__ import annotations

import os
import random
import socket

_FIRST, _LAST = 20_000, 32_000


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Give `count` different ports that nobody listens at on `host` now.

    Raises RuntimeError when there are not as many.
    """
    start = random.Random(os.urandom(8)).randrange(_FIRST, _LAST)  # noqa: S311  spread, not secrecy
    found: list[int] = []
    for offset in range(_LAST - _FIRST):
        port = _FIRST + (start - _FIRST + offset) % (_LAST - _FIRST)
        if _is_free(host, port):
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError(f"fewer than {count} ports are free on {host} between {_FIRST} and {_LAST}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
