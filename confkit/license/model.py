"""What a parsed license file consists of.

Every byte of the file belongs to exactly one line, so that printing gives the same bytes back. Lines say what
is written; what they grant at an instant is the business of `pools` and `terms`, whether they are genuine of
`signing`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from confkit.license.attributes import SIGN, Attribute, sort_of
from confkit.license.dates import parse_date
from confkit.license.hostids import Hostid, parse_hostids

if TYPE_CHECKING:
    from datetime import date

    from confkit.license.findings import Finding
    from confkit.license.lines import SourceText, Span
    from confkit.license.versions import Version


class Keyword(StrEnum):
    """The first word of a line, in its modern spelling."""

    SERVER = "SERVER"
    VENDOR = "VENDOR"
    USE_SERVER = "USE_SERVER"
    FEATURE = "FEATURE"
    INCREMENT = "INCREMENT"
    UPGRADE = "UPGRADE"
    PACKAGE = "PACKAGE"


@dataclass(frozen=True, slots=True)
class TriviaLine:
    """A comment or an empty line."""

    span: Span


@dataclass(frozen=True, slots=True)
class ServerLine:
    """A host that may run a License Manager; only its host id is signed."""

    span: Span
    host: str
    hostid: Hostid
    port: int | None = None
    is_master: bool = False
    heartbeat_interval_s: int | None = None


@dataclass(frozen=True, slots=True)
class VendorLine:
    """A vendor whose lines follow; nothing of it is signed."""

    span: Span
    vendor: str
    path: str | None = None
    options_path: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class UseServerLine:
    """Clients ask the server only; kept, without effect here."""

    span: Span


@dataclass(frozen=True, slots=True)
class LicensedLine:
    """A FEATURE, INCREMENT, UPGRADE or PACKAGE line; count 0 is uncounted, expiry None never comes.

    `version` is the version that is granted (of an UPGRADE, the one moved to), None only for a PACKAGE
    without one.
    """

    span: Span
    keyword: Keyword
    feature: str
    vendor: str
    version: Version | None
    from_version: Version | None
    expiry: date | None
    count: int
    legacy_key: str | None
    attributes: tuple[Attribute, ...]
    name_span: Span
    end: int

    def attribute(self, name: str) -> Attribute | None:
        """Find an attribute by its exact name."""
        return next((one for one in self.attributes if one.name == name), None)

    def text(self, name: str) -> str | None:
        """Give the value of an attribute as text, None when the line has none of that name."""
        found = self.attribute(name)
        return None if found is None else found.text

    @property
    def sign(self) -> Attribute | None:
        """The signature, if there is one."""
        return self.attribute(SIGN)

    @property
    def issued(self) -> date | None:
        """The day on which the vendor issued the line."""
        return self._date("ISSUED")

    @property
    def start(self) -> date | None:
        """The first day of validity, None when it begins with time itself."""
        return self._date("START")

    @property
    def hostids(self) -> tuple[Hostid, ...]:
        """What the line is bound to; empty when to nothing."""
        text = self.text("HOSTID")
        return () if text is None else parse_hostids(text)

    @property
    def sort(self) -> int:
        """The administrator's order, 100 by default."""
        return sort_of(self.attributes)

    @property
    def overdraft(self) -> int:
        """How many may be granted beyond the count."""
        return int(self.text("OVERDRAFT") or 0)

    @property
    def is_uncounted(self) -> bool:
        """Whether there is no limit to the count."""
        return self.count == 0

    def is_expired(self, day: date) -> bool:
        """Whether the line's last day lies before `day` (UTC)."""
        return self.expiry is not None and self.expiry < day

    def has_started(self, day: date) -> bool:
        """Whether the line's first day is `day` or before (UTC)."""
        return self.start is None or self.start <= day

    def _date(self, name: str) -> date | None:
        text = self.text(name)
        return None if text is None else parse_date(text)


Line = TriviaLine | ServerLine | VendorLine | UseServerLine | LicensedLine


@dataclass(frozen=True)
class LicenseFile:
    """A license file: its bytes, its lines in order, and what was odd about them without being wrong."""

    source: SourceText
    lines: tuple[Line, ...]
    warnings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """What the file is called in messages."""
        return self.source.name

    @property
    def text(self) -> str:
        """The file as text, for people."""
        return self.source.decode(self.source.data)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in lowercase hex: what B-1 prints and B-26 compares."""
        return hashlib.sha256(self.source.data).hexdigest()

    @cached_property
    def servers(self) -> tuple[ServerLine, ...]:
        """The SERVER lines in order."""
        return tuple(line for line in self.lines if isinstance(line, ServerLine))

    @cached_property
    def vendors(self) -> tuple[VendorLine, ...]:
        """The VENDOR lines in order."""
        return tuple(line for line in self.lines if isinstance(line, VendorLine))

    @cached_property
    def licensed(self) -> tuple[LicensedLine, ...]:
        """The lines that grant something, in order."""
        return tuple(line for line in self.lines if isinstance(line, LicensedLine))

    @property
    def server_hostids(self) -> tuple[Hostid, ...]:
        """The host ids of the SERVER lines, which every signature covers."""
        return tuple(line.hostid for line in self.servers)

    def raw(self, line: Line) -> bytes:
        """Give the bytes of one line as they stand in the file."""
        return self.source.data[line.span[0] : line.span[1]]

    def print(self) -> bytes:
        """Write the file from its lines: the bytes that were read."""
        return b"".join(self.raw(line) for line in self.lines)
