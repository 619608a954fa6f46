"""The entitlement as it is known now, and whether the license allows a switchover.

Why: both members of a pair know the license from their own bonds with the Configuration Server, and only
the primary has the store open; so the entitlement lives here, and is written to the store by whoever holds
it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from lrm.core.binding import NO_LICENSE, LicenseId
from lrm.core.entitlement import Entitlement, EntitlementRevision
from lrm.core.licenses import LicenseCopy


class LicenseBook:
    """What is known of all license revisions. Used in the event loop only.

    Args:
        now: the time, aware.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._copy: LicenseCopy | None = None
        self.entitlement = Entitlement()
        self.on_revision: Callable[[EntitlementRevision], None] | None = None

    @property
    def current(self) -> LicenseId:
        """The newest license that was read."""
        return self._copy.license if self._copy is not None else NO_LICENSE

    def ha_licensed(self) -> bool:
        """Whether the license contains the HA feature (`B-40`); expiry alone takes nothing away."""
        terms = self._copy.terms if self._copy is not None else None
        return terms is not None and terms.has_feature(terms.keys.ha_redundancy, self._now())

    def take(self, copy: LicenseCopy, *, is_current: bool) -> None:
        """Take a license revision that was read; `is_current` says that it is the server's own (`B-25`)."""
        self.entitlement = self.entitlement.with_revision(copy.entitlement)
        if is_current:
            self._copy = copy
        if self.on_revision is not None:
            self.on_revision(copy.entitlement)

    def merge(self, stored: Entitlement) -> tuple[EntitlementRevision, ...]:
        """Add what a store keeps; gives the revisions that it lacks, or has otherwise, to be written
        there."""
        known = {each.license_revision: each for each in stored.revisions}
        missing = tuple(
            each for each in self.entitlement.revisions if known.get(each.license_revision) != each
        )
        for each in self.entitlement.revisions:
            stored = stored.with_revision(each)
        self.entitlement = stored
        return missing
