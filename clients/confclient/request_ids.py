"""Ids that a client chooses, so that the server recognizes what is said twice."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """A UUID that begins with the time, so that ids sort by age (RFC 9562; the library's needs 3.14)."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value &= ~(0xF << 76 | 0x3 << 62)
    return uuid.UUID(int=value | 0x7 << 76 | 0x2 << 62)


def new_id() -> str:
    """A new UUIDv7 as text: for request ids, session ids, handles and log events."""
    return str(uuid7())
