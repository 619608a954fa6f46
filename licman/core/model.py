"""The words of the License Manager: what is wanted, what is held, why something is denied, what is written
down.

Reasons and classic numbers are a contract with clients; they never change once released. Times are UTC wall
time in milliseconds where they are kept, and seconds of CLOCK_BOOTTIME where they only measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from typing import NewType

from confkit.license.pools import PoolId

Handle = NewType("Handle", str)
"""Chosen by the client; unique for its owner."""

Owner = NewType("Owner", str)
"""Who holds: role and name from the certificate, as application/sample-1."""

HoldingKey = tuple[Owner, Handle]

MAX_TEXT_CHARS = 255
MAX_COUNT = 2**31 - 1
MAX_HANDLES_PER_OWNER = 10_000


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant on both clocks: wall time decides what is valid, boot time decides who is silent."""

    wall_ms: int
    boottime_s: float

    @property
    def day(self) -> date:
        """The calendar day in UTC, which decides what of a license is valid."""
        return datetime.fromtimestamp(self.wall_ms / 1000, UTC).date()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for; everything but the owner comes from the request. An empty version is any."""

    owner: Owner
    handle: Handle
    feature: str
    version: str
    count: int
    user: str = ""
    host: str = ""
    display: str = ""
    tenant: str = ""

    @property
    def key(self) -> HoldingKey:
        """What names the check-out: the same key is the same check-out."""
        return self.owner, self.handle


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held: what was wanted, from which pool, and since when.

    `is_counted` is false for what came from an uncounted pool; `is_overdraft` tells that the grant went
    beyond the count.
    """

    wanted: Wanted
    pool_id: PoolId
    granted_ms: int
    is_counted: bool = True
    is_overdraft: bool = False

    @property
    def key(self) -> HoldingKey:
        """The key of the check-out."""
        return self.wanted.key


class DenialReason(Enum):
    """Why a check-out is denied: the stable reason, its classic number (0: none), and the sentence for
    people.
    """

    NO_LICENSE = -1, "no license file is known to the License Manager yet: try again, or load a license"
    ALL_IN_USE = -4, "all licenses of {feature} are in use: wait for a check-in, or ask for more"
    NO_SUCH_FEATURE = -5, "the license has no feature {feature}: check the name, or ask the vendor for it"
    WRONG_HOST = -9, "the licenses of {feature} are bound to other hosts, users or displays"
    EXPIRED = -10, "the license of {feature} has expired: ask the vendor for a new one"
    SELLABLE_ITEM = -18, "{feature} is a sellable item: its use is measured and reported, never checked out"
    VERSION_TOO_HIGH = -21, "the license of {feature} does not serve version {version}"
    NOT_STARTED = -31, "the license of {feature} is not valid yet"
    HANDLE_REUSED = 0, "the handle {handle} is held for something else: choose a new one"
    TOO_MANY_HANDLES = 0, "one client may hold {limit} handles: check some in"

    @property
    def number(self) -> int:
        """The classic number, 0 when there is none."""
        return int(self.value[0])

    def message(self, wanted: Wanted) -> str:
        """Say it for people: what, and what to do (B-60)."""
        text = str(self.value[1])
        return text.format(
            feature=wanted.feature,
            version=wanted.version,
            handle=wanted.handle,
            limit=MAX_HANDLES_PER_OWNER,
        )


class ReleaseReason(StrEnum):
    """Why something is no longer held."""

    CHECKED_IN = "CHECKED_IN"
    HEARTBEAT_MISSED = "HEARTBEAT_MISSED"


@dataclass(frozen=True, slots=True)
class Grant:
    """Record: a check-out took place."""

    holding: Holding


@dataclass(frozen=True, slots=True)
class Release:
    """Record: a holding ended, at `at_ms` of UTC wall time."""

    holding: Holding
    reason: ReleaseReason
    at_ms: int


@dataclass(frozen=True, slots=True)
class LicenseText:
    """Record: the license from which grants are made from here on; what a successor starts with."""

    revision: int
    sha256: str
    text: bytes


Record = Grant | Release | LicenseText


@dataclass(frozen=True, slots=True)
class Granted:
    """Answer: it is held. `record` is to be kept before the answer goes out, None for a repetition."""

    holding: Holding
    record: Grant | None


@dataclass(frozen=True, slots=True)
class Denied:
    """Answer: it is not held, and why."""

    wanted: Wanted
    reason: DenialReason

    @property
    def message(self) -> str:
        """The sentence for people."""
        return self.reason.message(self.wanted)


class RequestError(ValueError):
    """The request itself is wrong; the text says which field and what it takes."""


def check_wanted(wanted: Wanted) -> None:
    """Refuse a request that could never be granted or kept. Raises RequestError (B-60)."""
    texts = {
        "handle": wanted.handle,
        "feature": wanted.feature,
        "version": wanted.version,
        "user": wanted.user,
        "host": wanted.host,
        "display": wanted.display,
        "tenant": wanted.tenant,
    }
    for name, text in texts.items():
        if len(text) > MAX_TEXT_CHARS:
            raise RequestError(f"{name}: at most {MAX_TEXT_CHARS} characters")
        if "\x00" in text:
            raise RequestError(f"{name}: no NUL characters")
    for name in ("handle", "feature"):
        if not texts[name]:
            raise RequestError(f"{name}: a text is needed")
    if not 1 <= wanted.count <= MAX_COUNT:
        raise RequestError(f"count: a number from 1 to {MAX_COUNT:,} is needed, not {wanted.count}")


def check_handles(handles: Sequence[str]) -> tuple[Handle, ...]:
    """Read a list of handles. Raises RequestError when there are more than one client may hold, or one is
    too long.
    """
    if len(handles) > MAX_HANDLES_PER_OWNER:
        raise RequestError(f"handles: at most {MAX_HANDLES_PER_OWNER:,} at once")
    if any(len(handle) > MAX_TEXT_CHARS for handle in handles):
        raise RequestError(f"handles: at most {MAX_TEXT_CHARS} characters each")
    return tuple(Handle(handle) for handle in handles)


def remembered(before: tuple[Handle, ...], handles: Sequence[str]) -> tuple[Handle, ...]:
    """Give what a heartbeat speaks of: an empty list means the same handles as before. Raises
    RequestError.
    """
    return check_handles(handles) or before
