"""Dates of license lines: `dd-mmm-yyyy`, and the two spellings of never.

A line is valid from 00:00 UTC of its START through 23:59:59 UTC of its expiry day, whatever zone a client
lives in. Everything here compares calendar days in UTC, so that the last day of the calendar needs no special
case.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PERMANENT = "00-000-0000"
"""The signed normal form of an expiry that never comes."""

_DATE = re.compile(r"([0-9]{1,2})-([a-z]{3})-([0-9]{4})")
_NEVER = re.compile(r"[0-9]{1,2}-(?:[a-z]{3}|000)-0{1,4}")


def parse_date(text: str) -> date:
    """Read `dd-mmm-yyyy`, any case, one or two digits of day. Raises ValueError."""
    match = _DATE.fullmatch(text.lower())
    if not match or match[2] not in MONTHS:
        raise ValueError("a date is written dd-mmm-yyyy, for example 31-dec-2027")
    try:
        return date(int(match[3]), MONTHS.index(match[2]) + 1, int(match[1]))
    except ValueError:
        raise ValueError("there is no such day in the calendar") from None


def parse_expiry(text: str) -> date | None:
    """Read an expiry: a date, or None for `permanent` and for a year of zeros. Raises ValueError."""
    lowered = text.lower()
    if lowered == "permanent" or _NEVER.fullmatch(lowered):
        return None
    return parse_date(text)


def print_date(day: date | None) -> str:
    """Write the normal form of a date, or of never."""
    return PERMANENT if day is None else f"{day.day:02d}-{MONTHS[day.month - 1]}-{day.year:04d}"


def utc_day(now: datetime) -> date:
    """Give the calendar day in UTC of an aware instant."""
    return now.astimezone(UTC).date()


def begin_of(day: date) -> datetime:
    """Give the first instant of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def end_of(day: date | None) -> datetime | None:
    """Give the first instant after an expiry day, None for never (and for the last day that can be
    written).
    """
    return None if day is None or day == date.max else begin_of(day + timedelta(days=1))
