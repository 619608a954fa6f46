"""Loading a license text: the one way in, from the command line and through the primary alike (B-1, B-3).

The text is parsed, verified and judged inside the transaction that stores it, so that two uploads at once cannot
both believe that they follow the same revision. It does not tell running servers; they look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from confkit.license.findings import LicenseError
from confkit.license.terms import Terms
from confkit.license.trust import TrustSet
from confserv.core.license import (
    CheckedLicense,
    StoredLicense,
    UploadVerdict,
    check_stored,
    judge_upload,
    read_license,
)
from confserv.state_ports import LicenseStore, NewLicense


class UploadRefused(Exception):
    """The text is refused and the database is as it was; the message says where, why and what to do (B-3).

    `metadata` has the same for programs: source, reason, and for a text that is wrong line, column and cure.
    """

    def __init__(self, message: str, metadata: dict[str, str]) -> None:
        """Keep the facts."""
        self.metadata = metadata
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Upload:
    """A text somebody wants to load, and what that person accepts."""

    text: bytes
    source: str
    stored_by: str
    accept_expired: bool = False
    accept_older: bool = False


@dataclass(frozen=True)
class Loaded:
    """The license that is current now; `changed` is false when it was before."""

    stored: StoredLicense
    terms: Terms
    changed: bool
    warnings: tuple[str, ...] = field(default=())


def check_upload(upload: Upload, *, trust: TrustSet, now: datetime) -> tuple[Terms, tuple[str, ...]]:
    """Give what a text says and the warnings about it, without looking at any database.

    Raises UploadRefused for all that no database could make good (B-3).
    """
    try:
        terms, warnings = read_license(upload.text, source=upload.source, trust=trust, now=now)
    except LicenseError as error:
        raise _refused(error) from None
    _judge(upload, terms, None, now=now)
    return terms, tuple(map(str, warnings))


async def load_license(store: LicenseStore, upload: Upload, *, trust: TrustSet, now: datetime) -> Loaded:
    """Verify a text and store it as the next revision, unless it is the current one (B-1, B-3).

    `now` is an aware datetime. Raises UploadRefused, StoreUnreachable.
    """
    terms, warnings = check_upload(upload, trust=trust, now=now)
    changed = False

    def decide(current: StoredLicense | None) -> NewLicense | None:
        nonlocal changed
        checked = None if current is None else check_stored(current, trust=trust, now=now)
        changed = _judge(upload, terms, checked, now=now)
        stored_ms = int(now.timestamp() * 1000)
        new = NewLicense(terms.license_file.sha256, upload.text, stored_ms, upload.stored_by)
        return new if changed else None

    stored = await store.store_license(decide)
    assert stored is not None, "a text was stored, or was current before"
    return Loaded(stored, terms, changed, warnings)


def _judge(upload: Upload, terms: Terms, current: CheckedLicense | None, *, now: datetime) -> bool:
    decision = judge_upload(
        terms,
        current,
        now=now,
        accept_expired=upload.accept_expired,
        accept_older=upload.accept_older,
    )
    if decision.verdict is UploadVerdict.REFUSED:
        metadata = {"source": upload.source, "reason": str(decision.refusal)}
        raise UploadRefused(f"{upload.source}: {decision.message} [{decision.refusal}]", metadata)
    return decision.verdict is UploadVerdict.STORE


def _refused(error: LicenseError) -> UploadRefused:
    first = error.findings[0]
    metadata = {
        "source": first.source,
        "reason": str(first.reason),
        "line": str(first.position.line),
        "column": str(first.position.column),
        "cure": first.cure,
    }
    return UploadRefused(str(error), metadata)
