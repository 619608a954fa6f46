"""Request ids: UUIDv7, so that they carry their time, and one older than the window that is kept is refused
rather than applied again (`ha.md`, The change log).
"""

from __future__ import annotations

import uuid

from confserv.core.refusals import Reason, Refused, invalid

WINDOW_MS = 24 * 3_600_000
"""A repetition is recognized for so long, in milliseconds; the log is kept for longer."""


def check_request_id(request_id: str, *, now_ms: int, window_ms: int = WINDOW_MS) -> None:
    """Check the id of a request that is not known yet. `now_ms` is wall time in milliseconds.

    Raises Refused: INVALID for anything but a UUIDv7 as text, REQUEST_ID_EXPIRED for one from before the
    window.
    """
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != 7 or str(parsed) != request_id:
        raise invalid(
            f"context.request_id: must be a UUIDv7 in lowercase, not {request_id[:64]!r}",
            field="context.request_id",
        )
    if request_time_ms(parsed) < now_ms - window_ms:
        raise Refused(
            Reason.REQUEST_ID_EXPIRED,
            f"context.request_id: older than {window_ms // 3_600_000} h, so it cannot be told whether it was applied; "
            "read the object, then write under a new id if it is still needed",
            field="context.request_id",
        )


def request_time_ms(request_id: uuid.UUID) -> int:
    """Give the time that a UUIDv7 carries, in milliseconds since 1970 UTC."""
    return request_id.int >> 80


def new_request_id(*, now_ms: int, random: bytes) -> str:
    """Make a UUIDv7 from wall time in milliseconds and ten random bytes."""
    bits = int.from_bytes(random[:10], "big")
    high = (now_ms & 0xFFFFFFFFFFFF) << 16 | 0x7000 | (bits >> 68) & 0x0FFF
    low = 0b10 << 62 | bits & 0x3FFFFFFFFFFFFFFF
    return str(uuid.UUID(int=high << 64 | low))
