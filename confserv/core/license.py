"""What the stored license means to a Configuration Server: may it start, may a new text replace it, what is
in it.

Why it exists: the same judgements are made by the upload from the command line, by the upload through the
primary, by a start and by the monitor, and must agree. Syntax, signatures and dates are `confkit.license`'s.
Time is an aware `datetime`. It does not promise that a text is genuine at a later date: keys are revoked, so
the monitor asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from confkit.license.dates import begin_of
from confkit.license.findings import Finding, LicenseError, errors_of
from confkit.license.signing import verify
from confkit.license.syntax import parse
from confkit.license.terms import FeatureRow, LicenseState, Terms
from confkit.license.trust import TrustSet


@dataclass(frozen=True, slots=True)
class StoredLicense:
    """One license revision as the database holds it; `stored_ms` in milliseconds since 1970 UTC."""

    revision: int
    sha256: str
    text: bytes
    stored_ms: int
    stored_by: str


@dataclass(frozen=True)
class CheckedLicense:
    """A stored license beside what its text says; `problem` is not empty when the text is no longer genuine.

    The terms of a text that is not genuine grant nothing.
    """

    stored: StoredLicense
    terms: Terms | None
    problem: str = ""

    def has_feature(self, name: str, now: datetime) -> bool:
        """Whether the license contains a feature, expired or not (B-16, B-30, B-40)."""
        return self.terms is not None and self.terms.has_feature(name, now, include_expired=True)

    def has_ha(self, now: datetime) -> bool:
        """Whether pairs may switch over (B-40)."""
        return self.terms is not None and self.has_feature(self.terms.keys.ha_redundancy, now)

    @property
    def rows(self) -> tuple[FeatureRow, ...]:
        """What it grants, a row for each line (B-1)."""
        return () if self.terms is None else self.terms.rows()


def read_license(
    data: bytes, *, source: str, trust: TrustSet, now: datetime
) -> tuple[Terms, Sequence[Finding]]:
    """Parse and verify a text; the findings that come back are warnings.

    Raises LicenseError with every finding that refuses it (B-3).
    """
    terms = Terms(parse(data, source=source))
    findings = verify(terms.license_file, trust=trust, now=now)
    if errors := errors_of(findings):
        raise LicenseError(errors)
    return terms, findings


def check_stored(stored: StoredLicense, *, trust: TrustSet, now: datetime) -> CheckedLicense:
    """Verify what the database holds, as if it came from a stranger (B-32)."""
    source = f"license revision {stored.revision}"
    try:
        terms, _ = read_license(stored.text, source=source, trust=trust, now=now)
    except LicenseError as error:
        return CheckedLicense(stored, None, str(error.findings[0]))
    if terms.license_file.sha256 != stored.sha256:
        return CheckedLicense(stored, None, f"{source}: the text is not the one whose SHA-256 is on record")
    return CheckedLicense(stored, terms)


class UploadVerdict(Enum):
    """What loading a text comes to."""

    STORE = "store"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class UploadRefusal(StrEnum):
    """Why a genuine text is refused all the same (B-3)."""

    EVERY_LINE_EXPIRED = "EVERY_LINE_EXPIRED"
    OLDER_THAN_CURRENT = "OLDER_THAN_CURRENT"


@dataclass(frozen=True, slots=True)
class UploadDecision:
    """The verdict on a text; `message` says why it is refused and what to do."""

    verdict: UploadVerdict
    refusal: UploadRefusal | None = None
    message: str = ""


def judge_upload(
    new: Terms,
    current: CheckedLicense | None,
    *,
    now: datetime,
    accept_expired: bool = False,
    accept_older: bool = False,
) -> UploadDecision:
    """Decide about a text that parses and is genuine (B-3)."""
    if current is not None and new.license_file.sha256 == current.stored.sha256 and not current.problem:
        return UploadDecision(UploadVerdict.UNCHANGED)
    if new.every_line_expired(now) and not accept_expired:
        return UploadDecision(
            UploadVerdict.REFUSED,
            UploadRefusal.EVERY_LINE_EXPIRED,
            "every line of the file has expired: ask the vendor for a current file, "
            "or give --accept-expired to load it all the same",
        )
    old = None if current is None else current.terms
    if old is not None and new.is_older_than(old) and not accept_older:
        issued = f"on {new.issued}" if new.issued else "without a date of issue"
        return UploadDecision(
            UploadVerdict.REFUSED,
            UploadRefusal.OLDER_THAN_CURRENT,
            f"the file was issued {issued}, the current license on {old.issued}: "
            "give the newer file, or --accept-older to go back to this one",
        )
    return UploadDecision(UploadVerdict.STORE)


@dataclass(frozen=True, slots=True)
class StartDecision:
    """Whether a server may start; when not, `message` says why and names the command to run."""

    may_start: bool
    message: str = ""


def judge_start(license_: CheckedLicense | None, *, new_deployment: bool, now: datetime) -> StartDecision:
    """Decide whether a server may start: on a new deployment only with a license that gives the right to use
    today (B-4), on one that already served always (B-5).
    """
    if not new_deployment:
        return StartDecision(may_start=True)
    why = _missing_right(license_, now=now)
    if why is None:
        return StartDecision(may_start=True)
    return StartDecision(
        may_start=False,
        message=f"{why}; load one before the first start: confserv -license FILE",
    )


def _missing_right(license_: CheckedLicense | None, *, now: datetime) -> str | None:
    if license_ is None:
        return "the database holds no license"
    if license_.terms is None:
        return f"the stored license is not valid ({license_.problem})"
    key = license_.terms.keys.config_server
    if not license_.terms.right_to_use(now, include_expired=True):
        return f"the stored license lacks {key}, the right to use this software"
    if not license_.terms.right_to_use(now, include_expired=False):
        return f"the right to use this software ({key}) has expired in the stored license"
    return None


@dataclass(frozen=True, slots=True)
class Expiry:
    """What has expired, and since which instant: what the monitor logs (B-30)."""

    features: tuple[str, ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class LicenseFacts:
    """The license as the monitor looks at it at one instant."""

    revision: int
    state: LicenseState
    problem: str = ""
    expiry: Expiry | None = None
    days_left: int | None = None
    """Days until the next line expires, None when none will (B-32)."""
    expiring: tuple[str, ...] = ()


def facts_of(license_: CheckedLicense, *, now: datetime) -> LicenseFacts:
    """Look at a license at an instant."""
    terms, revision = license_.terms, license_.stored.revision
    if terms is None:
        return LicenseFacts(revision, LicenseState.NO_RIGHT_TO_USE, license_.problem)
    status = terms.status(now)
    return LicenseFacts(
        revision,
        status.state,
        expiry=_expiry(terms, status.state, now),
        days_left=status.days_left(now),
        expiring=tuple(sorted({line.feature for line in terms.lines if line.expiry == status.next_expiry}))
        if status.next_expiry is not None
        else (),
    )


def _expiry(terms: Terms, state: LicenseState, now: datetime) -> Expiry | None:
    expired = terms.status(now).expired
    if state is LicenseState.EXPIRED:
        expired = tuple(one for one in expired if one.feature == terms.keys.config_server)
    if not expired:
        return None
    last_day = min(one.expired_on for one in expired)
    return Expiry(tuple(sorted({one.feature for one in expired})), begin_of(last_day) + timedelta(days=1))
