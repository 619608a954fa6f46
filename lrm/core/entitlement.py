"""What is entitled at each instant, from every license revision that was ever in force (`B-25`).

Why: an entitlement is a step function of time. A revision counts from the moment it was loaded until the
next one was; inside it each line counts from its start through its last second. Reports ask for that
function over a period, so that figures of the past do not change when a new license arrives.

Not promised: that a license is genuine; its signatures were verified before it was stored, and whoever
builds the lines takes them from verified text.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lrm.core.intervals import Period, Steps, running_total
from lrm.core.sessions import ItemName

UNLIMITED: Final = 1 << 53
"""The quantity that stands for "uncounted"; larger than any number of seats."""


class ItemKind(StrEnum):
    """How a sellable item is measured."""

    CONCURRENT = "concurrent"
    ENABLED = "enabled"


@dataclass(frozen=True, slots=True)
class EntitlementLine:
    """One line of an entitlement description.

    `burst` is the number of seats that may be used on top of `quantity`. The line counts from
    `valid_from_s` up to but not including `valid_until_s` (UTC seconds since 1970; None is without bound).
    """

    item: ItemName
    quantity: int
    order_number: str = ""
    description: str = ""
    burst: int = 0
    kind: ItemKind = ItemKind.CONCURRENT
    unit: str = "seat"
    valid_from_s: int | None = None
    valid_until_s: int | None = None


@dataclass(frozen=True, slots=True)
class EntitlementHeader:
    """Who the entitlement is for; empty texts where the license says nothing."""

    customer: str = ""
    site: str = ""
    issued: str = ""


@dataclass(frozen=True, slots=True)
class EntitlementRevision:
    """The entitlement description of one license revision, in force from `effective_s` (UTC, since 1970)."""

    license_revision: int
    license_sha256: str
    effective_s: int
    header: EntitlementHeader = EntitlementHeader()
    lines: tuple[EntitlementLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What is entitled, and what is entitled with burst, over one period."""

    entitled: Steps
    with_burst: Steps


class Entitlement:
    """All revisions together, as a function of time. Immutable."""

    def __init__(self, revisions: tuple[EntitlementRevision, ...] = ()) -> None:
        self._revisions = tuple(sorted(revisions, key=lambda each: (each.effective_s, each.license_revision)))

    @property
    def revisions(self) -> tuple[EntitlementRevision, ...]:
        """All revisions in the order in which they came into force."""
        return self._revisions

    @property
    def current(self) -> EntitlementRevision | None:
        """The revision that came into force last, or None before any license is known."""
        return self._revisions[-1] if self._revisions else None

    def with_revision(self, revision: EntitlementRevision) -> Entitlement:
        """The same with one more revision; one that is known already is replaced by what is said now."""
        others = tuple(each for each in self._revisions if each.license_revision != revision.license_revision)
        return Entitlement((*others, revision))

    def items(self, period: Period, kind: ItemKind = ItemKind.CONCURRENT) -> frozenset[ItemName]:
        """The items of which something is entitled at some time of the period."""
        return frozenset(line.item for line, _, _ in self._parts(period) if line.kind is kind)

    def limits(self, item: ItemName, period: Period, kind: ItemKind = ItemKind.CONCURRENT) -> Limits:
        """What is entitled of an item at each second of a period: the sum of the lines then in force.

        Nothing is entitled before the first revision.
        """
        entitled: defaultdict[int, int] = defaultdict(int)
        with_burst: defaultdict[int, int] = defaultdict(int)
        for line, start_s, end_s in self._parts(period):
            if line.item == item and line.kind is kind:
                for changes, amount in ((entitled, line.quantity), (with_burst, line.quantity + line.burst)):
                    changes[start_s] += amount
                    changes[end_s] -= amount
        return Limits(entitled=running_total(entitled, period), with_burst=running_total(with_burst, period))

    def _parts(self, period: Period) -> list[tuple[EntitlementLine, int, int]]:
        """Each line that counts in the period, with the part (start, end) of the period in which it does."""
        ends_s = [*(each.effective_s for each in self._revisions), period.end_s][1:]
        parts = []
        for revision, until_s in zip(self._revisions, ends_s, strict=True):
            for line in revision.lines:
                start_s = max(revision.effective_s, period.start_s, line.valid_from_s or 0)
                line_end_s = period.end_s if line.valid_until_s is None else line.valid_until_s
                end_s = min(until_s, period.end_s, line_end_s)
                if start_s < end_s:
                    parts.append((line, start_s, end_s))
        return parts
