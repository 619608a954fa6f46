"""Sellable items: what may be used in some quantity, measured by LRM, reported, never blocked.

An item is an INCREMENT whose VENDOR_STRING starts with `item:`, for example
`VENDOR_STRING="item:type=concurrent:unit=seat:burst=50"`. The License Manager refuses to check items out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from confkit.license.attributes import parse_number
from confkit.license.dates import begin_of, end_of
from confkit.license.model import Keyword

if TYPE_CHECKING:
    from datetime import date, datetime

    from confkit.license.model import LicensedLine

ITEM_PREFIX = "item:"
DEFAULT_UNIT = "seat"


class ItemError(ValueError):
    """The VENDOR_STRING of a sellable item is malformed."""


class ItemType(StrEnum):
    """How use of an item is counted: seats in use at an instant, or units configured."""

    CONCURRENT = "concurrent"
    ENABLED = "enabled"


@dataclass(frozen=True, slots=True)
class Item:
    """One entitlement line: so much of an item, from `start` up to, not including, `end` (UTC; None: no
    limit).

    Several lines of one name add up while they are valid. `burst` is what may be used beyond `quantity`
    before the use counts as beyond burst. `quantity` None is without limit.
    """

    name: str
    type: ItemType
    unit: str
    quantity: int | None
    burst: int
    order_number: str
    description: str
    vendor: str
    starts_on: date | None
    expires_on: date | None

    @property
    def start(self) -> datetime | None:
        """The first instant of validity, None when it always was valid."""
        return None if self.starts_on is None else begin_of(self.starts_on)

    @property
    def end(self) -> datetime | None:
        """The first instant after the validity, None when it never ends."""
        return end_of(self.expires_on)

    def is_valid_on(self, day: date) -> bool:
        """Whether the line counts on a day (UTC)."""
        begun = self.starts_on is None or self.starts_on <= day
        return begun and (self.expires_on is None or day <= self.expires_on)


def is_item(line: LicensedLine) -> bool:
    """Whether a line is a sellable item rather than a technical key."""
    return (line.text("VENDOR_STRING") or "").startswith(ITEM_PREFIX)


def item_of(line: LicensedLine) -> Item | None:
    """Read the sellable item of a line, None when it is a technical key. Raises ItemError when it is
    malformed.
    """
    if not is_item(line):
        return None
    if line.keyword is not Keyword.INCREMENT:
        raise ItemError(f"it must be an INCREMENT line, not {line.keyword}")
    values = _values((line.text("VENDOR_STRING") or "")[len(ITEM_PREFIX) :])
    try:
        kind = ItemType(values.pop("type", ""))
    except ValueError:
        raise ItemError("type=concurrent or type=enabled is needed") from None
    try:
        burst = parse_number(values.pop("burst", "0"))
    except ValueError as error:
        raise ItemError(f"burst: {error}") from None
    unit = values.pop("unit", DEFAULT_UNIT)
    if values:
        raise ItemError(f"unknown: {', '.join(sorted(values))}")
    return Item(
        name=line.feature,
        type=kind,
        unit=unit,
        quantity=None if line.is_uncounted else line.count,
        burst=burst,
        order_number=line.text("SN") or "",
        description=line.text("NOTICE") or "",
        vendor=line.vendor,
        starts_on=line.start,
        expires_on=line.expiry,
    )


def _values(text: str) -> dict[str, str]:
    values = dict[str, str]()
    for part in text.split(":"):
        name, equals, value = part.partition("=")
        if not equals or not name or not value:
            raise ItemError(f"name=value parts with colons between them are needed, not {part!r}")
        if name in values:
            raise ItemError(f"{name} stands twice")
        values[name] = value
    return values
