"""Reading license files and trust sets from disk, within their limits; the one module here that touches
files.

It reads no more than the limit, so that a device or an endless file harms nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confkit.license.findings import Finding, LicenseError, Position, Reason
from confkit.license.lines import MAX_FILE_BYTES
from confkit.license.syntax import parse
from confkit.license.trust import MAX_TRUST_SET_BYTES, TrustSet, parse_trust_set

if TYPE_CHECKING:
    from pathlib import Path

    from confkit.license.model import LicenseFile


def read_license(path: Path) -> LicenseFile:
    """Read and parse a license file. Raises LicenseError: missing, unreadable, too large, malformed (B-3)."""
    return parse(_read(path, MAX_FILE_BYTES), source=str(path))


def read_trust_set(path: Path) -> TrustSet:
    """Read a file of trusted keys. Raises LicenseError: missing, unreadable, malformed."""
    return parse_trust_set(_read(path, MAX_TRUST_SET_BYTES), source=str(path))


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        cure = "check the path, and that you may read the file"
        finding = Finding(
            Reason.UNREADABLE, f"cannot read the file: {reason}", str(path), Position(1, 1), "", cure
        )
        raise LicenseError([finding]) from None
