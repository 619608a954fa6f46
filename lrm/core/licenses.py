"""A license text as an entitlement description (`B-25`).

Why: the License Reporting Manager works from its own copy of the license, so it reads the text itself, by
the same pure code that the upload used; a text that does not parse, or whose signatures do not verify,
entitles to nothing new and says why.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from confkit.license.findings import LicenseError, errors_of
from confkit.license.items import Item, ItemError
from confkit.license.signing import verify
from confkit.license.syntax import parse
from confkit.license.terms import Terms
from confkit.license.trust import TrustSet
from lrm.core.binding import LicenseId
from lrm.core.entitlement import (
    UNLIMITED,
    EntitlementHeader,
    EntitlementLine,
    EntitlementRevision,
    ItemKind,
)
from lrm.core.sessions import MS_PER_S, ItemName


class UnusableLicense(Exception):
    """A stored license text cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class LicenseCopy:
    """One revision of the license as it was read: its terms, and what they entitle to."""

    license: LicenseId
    terms: Terms
    entitlement: EntitlementRevision


def fits(text: bytes, license_: LicenseId) -> bool:
    """Whether a text is the one that its SHA-256 names (`B-26`)."""
    return hashlib.sha256(text).hexdigest() == license_.sha256


def read_license(
    text: bytes, license_: LicenseId, *, stored_ms: int, trust: TrustSet | None, now: datetime
) -> LicenseCopy:
    """Read a license text that counts from when it was stored.

    Args:
        text: the stored text.
        license_: which one it is.
        stored_ms: when it was stored, in milliseconds since 1970 UTC.
        trust: trusted vendor keys; None: the signatures are left to the Configuration Server.
        now: for keys that are valid for a time.

    Raises:
        UnusableLicense: it does not parse, or its signatures do not verify.
    """
    try:
        license_file = parse(text, source=f"license revision {license_.revision}")
        errors = errors_of(verify(license_file, trust=trust, now=now)) if trust is not None else ()
        if errors:
            raise UnusableLicense(str(errors[0]))
        terms = Terms(license_file)
        lines = tuple(map(_line, terms.items))
    except (LicenseError, ItemError) as error:
        raise UnusableLicense(str(error)) from error
    header = EntitlementHeader(issued=terms.issued.isoformat() if terms.issued else "")
    return LicenseCopy(
        license=license_,
        terms=terms,
        entitlement=EntitlementRevision(
            license_revision=license_.revision,
            license_sha256=license_.sha256,
            effective_s=stored_ms // MS_PER_S,
            header=header,
            lines=lines,
        ),
    )


def _line(item: Item) -> EntitlementLine:
    return EntitlementLine(
        item=ItemName(item.name),
        quantity=UNLIMITED if item.quantity is None else item.quantity,
        order_number=item.order_number,
        description=item.description,
        burst=item.burst,
        kind=ItemKind(item.type.value),
        unit=item.unit,
        valid_from_s=None if item.start is None else int(item.start.timestamp()),
        valid_until_s=None if item.end is None else int(item.end.timestamp()),
    )
