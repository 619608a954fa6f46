"""Signing lines, and telling the genuine from the altered.

A signature is `SIGN="<key-id> <base64 of 64 bytes>"`, Ed25519 over the bytes of `normal`. Files that another
publisher's tools signed cannot be verified by anyone but that publisher: they are told apart and refused with
exactly that reason.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from confkit.license.attributes import SIGN, Attribute
from confkit.license.dates import print_date, utc_day
from confkit.license.findings import Finding, Reason, Severity
from confkit.license.items import ItemError, item_of
from confkit.license.model import Keyword
from confkit.license.normal import signed_bytes
from confkit.license.trust import KEY_ID

if TYPE_CHECKING:
    from datetime import datetime

    from confkit.license.lines import Span
    from confkit.license.model import LicensedLine, LicenseFile
    from confkit.license.trust import TrustedKey, TrustSet

SIGNATURE_BYTES = 64
NOT_SUPPORTED_YET = frozenset({Keyword.UPGRADE, Keyword.PACKAGE})
"""Lines that are understood and signed but grant nothing in this version, and so are refused at upload."""

_HEX_GROUPS = re.compile(r"[0-9A-Fa-f \t]+")
_ASK_VENDOR = "ask the vendor for the file again and load it unchanged"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it stands in a line: whose key, and its 64 bytes."""

    key_id: str
    value: bytes

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read `<key-id> <base64>`, blanks inside ignored. Raises ValueError; there is one spelling for a
        value.
        """
        words = [word for word in text.replace("\t", " ").split(" ") if word]
        if len(words) < 2 or not KEY_ID.fullmatch(words[0]):
            raise ValueError("a key id, a blank and a base64 text are needed")
        encoded = "".join(words[1:])
        value = base64.b64decode(encoded, validate=True)
        if len(value) != SIGNATURE_BYTES or base64.b64encode(value).decode() != encoded:
            raise ValueError(f"the base64 of {SIGNATURE_BYTES} bytes is needed")
        return cls(words[0], value)

    def __str__(self) -> str:
        """Write the value of SIGN."""
        return f"{self.key_id} {base64.b64encode(self.value).decode()}"


def sign_line(
    license_file: LicenseFile, line: LicensedLine, *, key_id: str, key: Ed25519PrivateKey
) -> Signature:
    """Sign one line of a file."""
    covered = signed_bytes(line, key_id=key_id, server_hostids=license_file.server_hostids)
    return Signature(key_id, key.sign(covered))


def verify(license_file: LicenseFile, *, trust: TrustSet, now: datetime) -> tuple[Finding, ...]:
    """Check every line of a file against the trusted keys, and that it grants what this version understands.

    `now` (aware) decides whether a key is revoked already. Returns errors and warnings in the order of the
    file; without an error among them (`errors_of`) the file may be stored and used (B-3).
    """
    findings = [*license_file.warnings]
    if not license_file.licensed:
        span = (0, min(len(license_file.source.data), 1))
        message = "the file licenses nothing: it has no FEATURE or INCREMENT line"
        cure = "give the license file that the vendor sent"
        findings.append(license_file.source.finding(Reason.NOTHING_LICENSED, message, span=span, cure=cure))
    seen: dict[bytes, LicensedLine] = {}
    for line in license_file.licensed:
        found = _verify_line(license_file, line, trust=trust, now=now) or _check_content(license_file, line)
        findings += found or _duplicate(license_file, line, seen)
    return tuple(sorted(findings, key=lambda finding: finding.position))


def signed_by(line: LicensedLine) -> Signature | None:
    """Give the signature of a line when it has one of ours that is well formed."""
    try:
        return None if line.sign is None else Signature.parse(line.sign.text)
    except ValueError:
        return None


def identity_of(line: LicensedLine) -> bytes:
    """Give the signed bytes of a line within its file: lines in which they are equal count once."""
    signature = signed_by(line)
    return signed_bytes(line, key_id=signature.key_id if signature else "", server_hostids=())


def _verify_line(
    license_file: LicenseFile, line: LicensedLine, *, trust: TrustSet, now: datetime
) -> list[Finding]:
    sign = line.sign
    if sign is None or _HEX_GROUPS.fullmatch(sign.text):
        return [_unsigned(license_file, line, sign)]
    try:
        signature = Signature.parse(sign.text)
    except ValueError as error:
        message = f"the signature is malformed: {error}"
        return [_error(license_file, Reason.SIGNATURE_MALFORMED, message, sign.span, _ASK_VENDOR)]
    key = trust.get(signature.key_id)
    if key is None:
        message = f"no trusted key has the id {signature.key_id}"
        cure = "if the vendor has a new key, add it to the trusted ones; otherwise the file is not genuine"
        return [_error(license_file, Reason.UNKNOWN_KEY, message, sign.span, cure)]
    covered = signed_bytes(line, key_id=signature.key_id, server_hostids=license_file.server_hostids)
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature.value, covered)
    except InvalidSignature:
        message = (
            f"the signature of {line.keyword} {line.feature} does not match the line and the SERVER host ids"
        )
        return [_error(license_file, Reason.SIGNATURE_MISMATCH, message, line.name_span, _ASK_VENDOR)]
    return _check_key(license_file, line, key, now)


def _check_key(
    license_file: LicenseFile, line: LicensedLine, key: TrustedKey, now: datetime
) -> list[Finding]:
    place = line.sign.span if line.sign else line.name_span
    if line.vendor not in key.vendors:
        message = f"the key {key.key_id} may not sign for the vendor {line.vendor}"
        cure = "the set of trusted keys names the vendors of each key; ask whoever installed it"
        return [_error(license_file, Reason.KEY_NOT_FOR_VENDOR, message, place, cure)]
    if key.revoked_from is not None and key.revoked_from <= utc_day(now):
        since = print_date(key.revoked_from)
        message = f"the key {key.key_id} is revoked: its lines are void from {since} on"
        cure = "ask the vendor for a file that is signed with a key in use"
        return [_error(license_file, Reason.KEY_REVOKED, message, place, cure)]
    if key.last_issue is None:
        return []
    until = print_date(key.last_issue)
    cure = "ask the vendor for a file that is signed with a newer key"
    if line.issued is None:
        message = f"the key {key.key_id} signs lines issued up to {until}, and this line has no ISSUED"
        return [_error(license_file, Reason.ISSUED_REQUIRED, message, place, cure)]
    if line.issued > key.last_issue:
        message = f"the line was issued after {until}, the last day for the key {key.key_id}"
        return [_error(license_file, Reason.ISSUED_AFTER_LAST_ISSUE, message, place, cure)]
    return []


def _check_content(license_file: LicenseFile, line: LicensedLine) -> list[Finding]:
    if line.keyword in NOT_SUPPORTED_YET:
        message = f"{line.keyword} lines are not supported by this version"
        cure = "ask the vendor for a file with FEATURE and INCREMENT lines"
        return [_error(license_file, Reason.NOT_SUPPORTED, message, line.name_span, cure)]
    try:
        item_of(line)
    except ItemError as error:
        attribute = line.attribute("VENDOR_STRING")
        span = attribute.span if attribute else line.name_span
        message = f"the sellable item is malformed: {error}"
        return [
            _error(license_file, Reason.ITEM_MALFORMED, message, span, "ask the vendor for a corrected file")
        ]
    return []


def _duplicate(
    license_file: LicenseFile, line: LicensedLine, seen: dict[bytes, LicensedLine]
) -> list[Finding]:
    first = seen.setdefault(identity_of(line), line)
    if first is line:
        return []
    where = license_file.source.position(first.name_span[0]).line
    message = f"the line says what line {where} says, and counts once"
    cure = "nothing is to be done; the second one may be removed"
    finding = license_file.source.finding(
        Reason.DUPLICATE_LINE, message, span=line.name_span, cure=cure, severity=Severity.WARNING
    )
    return [finding]


def _unsigned(license_file: LicenseFile, line: LicensedLine, sign: Attribute | None) -> Finding:
    foreign = sign is not None or line.legacy_key is not None or line.attribute("AUTH") is not None
    if foreign:
        message = "the line is signed by FlexNet's own tools, which nobody but its vendor can verify"
        cure = "ask the vendor for a file with a signature of this system"
        span = sign.span if sign is not None else line.name_span
        return _error(license_file, Reason.FLEXNET_SIGNATURE, message, span, cure)
    cure = "sign it with `licgen sign`, or ask the vendor for the signed file; it may be cut off"
    message = f"{line.keyword} {line.feature} has no {SIGN}"
    return _error(license_file, Reason.UNSIGNED, message, line.name_span, cure)


def _error(license_file: LicenseFile, reason: Reason, message: str, span: Span, cure: str) -> Finding:
    return license_file.source.finding(reason, message, span=span, cure=cure)
