"""Attributes of feature lines: who owns which, what values they take.

The publisher's count only in exact UPPERCASE and are signed; the administrator's are six lowercase names,
unsigned. Any other lowercase name is kept and has no effect, so that `overdraft=1000` is not a free grant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from confkit.license.dates import parse_date
from confkit.license.hostids import parse_hostids

if TYPE_CHECKING:
    from collections.abc import Callable

    from confkit.license.lines import Span

SIGN = "SIGN"
ADMINISTRATORS = frozenset({"asset_info", "dist_info", "user_info", "vendor_info", "sort", "ck"})
DEFAULT_SORT = 100
MAX_SORT = 255
MAX_COUNT = 2**31 - 1

_PUBLISHERS_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_LOWERCASE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DUP_GROUP = re.compile(r"NONE|SITE|[UHDV]{1,4}")
_NUMBER = re.compile(r"[0-9]{1,10}")


class Owner(Enum):
    """Who may write an attribute; MIXED names belong to nobody and are an error."""

    PUBLISHER = "publisher"
    ADMINISTRATOR = "administrator"
    NOBODY = "nobody"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name as written, its raw value after unquoting (None without `=`), its place in
    the file.
    """

    name: str
    value: bytes | None
    span: Span

    @property
    def owner(self) -> Owner:
        """Tell by its spelling who owns the attribute."""
        return owner_of(self.name)

    @property
    def text(self) -> str:
        """The value for people: UTF-8 where it is that, otherwise Latin-1; empty without a value."""
        raw = self.value or b""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")


def owner_of(name: str) -> Owner:
    """Tell by its spelling who owns an attribute of this name."""
    if _PUBLISHERS_NAME.fullmatch(name):
        return Owner.PUBLISHER
    if _LOWERCASE_NAME.fullmatch(name):
        return Owner.ADMINISTRATOR if name in ADMINISTRATORS else Owner.NOBODY
    return Owner.MIXED


def parse_number(text: str) -> int:
    """Read a count: decimal digits, at most 2,147,483,647. Raises ValueError."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_COUNT:
        raise ValueError(f"a whole number from 0 to {MAX_COUNT:,} is needed")
    return int(text)


def parse_count(text: str) -> int:
    """Read the count of a line; `uncounted` in any case is 0. Raises ValueError."""
    return 0 if text.lower() == "uncounted" else parse_number(text)


def _dup_group(text: str) -> str:
    if not _DUP_GROUP.fullmatch(text):
        raise ValueError("NONE, SITE, or some of the letters U, H, D, V is needed")
    return text


def _absent(text: str) -> str:
    if text:
        raise ValueError("it takes no value")
    return text


@dataclass(frozen=True, slots=True)
class Rule:
    """What a known attribute takes: whether it may, or must, have a value, and how that is checked."""

    check: Callable[[str], object] = str
    bare: bool = False


PUBLISHERS: dict[str, Rule] = {
    "BORROW": Rule(parse_number, bare=True),
    "DUP_GROUP": Rule(_dup_group),
    "SUITE_DUP_GROUP": Rule(_dup_group),
    "FLOAT_OK": Rule(parse_hostids, bare=True),
    "HOSTID": Rule(parse_hostids),
    "HOST_BASED": Rule(parse_number, bare=True),
    "USER_BASED": Rule(parse_number, bare=True),
    "ISSUED": Rule(parse_date),
    "START": Rule(parse_date),
    "ISSUER": Rule(),
    "NOTICE": Rule(),
    "SN": Rule(),
    "VENDOR_STRING": Rule(),
    "LINGER": Rule(parse_number),
    "OVERDRAFT": Rule(parse_number),
    "PLATFORMS": Rule(),
    "VM_PLATFORMS": Rule(),
    "SUPERSEDE": Rule(bare=True),
    "TS_OK": Rule(_absent, bare=True),
    "TZ": Rule(),
    # of PACKAGE lines
    "COMPONENTS": Rule(),
    "OPTIONS": Rule(),
    SIGN: Rule(),
}
"""The publisher's attributes that have a meaning here; another one in uppercase is kept, signed, and
warned about.
"""


def check_value(attribute: Attribute) -> None:
    """Check the value of a publisher's attribute that is known. Raises ValueError saying what it takes."""
    rule = PUBLISHERS.get(attribute.name)
    if rule is None:
        return
    if attribute.value is None:
        if not rule.bare:
            raise ValueError("a value is needed")
        return
    rule.check(attribute.value.decode("latin-1"))


def sort_of(attributes: tuple[Attribute, ...]) -> int:
    """Give the administrator's `sort=` of a line: 0 to 255, 100 when absent or not a number."""
    for attribute in attributes:
        if attribute.name == "sort" and _NUMBER.fullmatch(attribute.text):
            return min(int(attribute.text), MAX_SORT)
    return DEFAULT_SORT
