"""What is wrong in a license file, where, and what to do about it.

Upload, inspection, the vendor's tool and the License Manager report through this one shape, so that a refusal
always quotes file, line, column and the offending text (B-3, B-60). A finding says nothing about who decides:
the caller chooses whether a warning may pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FINDINGS = 50
"""How many findings one refusal lists; a file with more is wrong as a whole."""


class Severity(StrEnum):
    """Whether a finding refuses the file or only warns."""

    ERROR = "error"
    WARNING = "warning"


class Reason(StrEnum):
    """The stable, machine-readable reason of a finding (B-60)."""

    UNREADABLE = "UNREADABLE"
    TOO_LARGE = "TOO_LARGE"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    LINE_TOO_LONG = "LINE_TOO_LONG"
    CONTROL_CHARACTER = "CONTROL_CHARACTER"
    TRUNCATED = "TRUNCATED"
    UNKNOWN_KEYWORD = "UNKNOWN_KEYWORD"
    MALFORMED_FIELD = "MALFORMED_FIELD"
    MISSING_FIELD = "MISSING_FIELD"
    UNEXPECTED_TEXT = "UNEXPECTED_TEXT"
    MALFORMED_ATTRIBUTE = "MALFORMED_ATTRIBUTE"
    ATTRIBUTE_MIXED_CASE = "ATTRIBUTE_MIXED_CASE"
    ATTRIBUTE_TWICE = "ATTRIBUTE_TWICE"
    ATTRIBUTE_UNKNOWN = "ATTRIBUTE_UNKNOWN"
    ATTRIBUTE_WITHOUT_EFFECT = "ATTRIBUTE_WITHOUT_EFFECT"
    HOSTID_REQUIRED = "HOSTID_REQUIRED"
    HOSTID_NOT_ALLOWED = "HOSTID_NOT_ALLOWED"
    HOSTID_UNKNOWN = "HOSTID_UNKNOWN"
    TOO_MANY_SERVERS = "TOO_MANY_SERVERS"
    VENDOR_NOT_DECLARED = "VENDOR_NOT_DECLARED"
    NOTHING_LICENSED = "NOTHING_LICENSED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    ITEM_MALFORMED = "ITEM_MALFORMED"
    DUPLICATE_LINE = "DUPLICATE_LINE"
    UNSIGNED = "UNSIGNED"
    FLEXNET_SIGNATURE = "FLEXNET_SIGNATURE"
    SIGNATURE_MALFORMED = "SIGNATURE_MALFORMED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    KEY_NOT_FOR_VENDOR = "KEY_NOT_FOR_VENDOR"
    KEY_REVOKED = "KEY_REVOKED"
    ISSUED_REQUIRED = "ISSUED_REQUIRED"
    ISSUED_AFTER_LAST_ISSUE = "ISSUED_AFTER_LAST_ISSUE"
    SIGNATURE_MISMATCH = "SIGNATURE_MISMATCH"
    TRUST_SET_MALFORMED = "TRUST_SET_MALFORMED"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text: line and column, both counted from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or odd: what, where, the offending text, and the cure."""

    reason: Reason
    message: str
    source: str
    position: Position
    excerpt: str
    cure: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Read like a compiler's message, so that editors can jump to the place."""
        quoted = f": {self.excerpt!r}" if self.excerpt else ""
        place = f"{self.source}:{self.position.line}:{self.position.column}"
        return f"{place}: {self.severity}: {self.message}{quoted} [{self.reason}]; {self.cure}"


class LicenseError(Exception):
    """A license, or a set of trusted keys, is refused; `findings` say why (B-3)."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Keep the findings; the text of the error is one line for each."""
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class LicenseSyntaxError(LicenseError):
    """The text does not follow the syntax of license files."""


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Keep what refuses a file and drop the warnings."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
