"""The times of an election and the relations between them; what cannot work is refused at construction.

Why: a lease, its renewal, its guard and the timeouts of calls only make sense together, and a wrong set shows
itself on the worst day. It does not promise that etcd grants what is asked: the TTL that counts is the
granted one, which may be longer.
"""

from __future__ import annotations

from dataclasses import dataclass

ETCD_LEAST_TTL_S = 2
"""etcd grants nothing shorter with its default election timeout."""

MARGIN_PART = 0.10
MARGIN_S = 0.1
"""The guard ends 10 % and 100 ms before the lease: for drift between clocks and for what a last act may take.
"""


class TimingImpossible(ValueError):
    """The times given cannot work together; the text says which, why, and what to set."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds. Zero stands for the default: renew each third of the TTL, give a call to etcd a
    quarter of it.

    Raises TimingImpossible when the TTL is below etcd's floor, or when a renewal that fails once could not be
    repeated before the guard runs out.
    """

    lease_ttl_s: int = 5
    renewal_interval_s: float = 0.0
    call_timeout_s: float = 0.0

    def __post_init__(self) -> None:
        if self.lease_ttl_s < ETCD_LEAST_TTL_S:
            raise TimingImpossible(
                f"lease_ttl_s = {self.lease_ttl_s} is below etcd's floor: set {ETCD_LEAST_TTL_S} or more"
            )
        if min(self.renewal_interval_s, self.call_timeout_s) < 0:
            raise TimingImpossible("renewal_interval_s or call_timeout_s is negative: set 0 for default")
        guard_s = self.lease_ttl_s - margin_s(self.lease_ttl_s)
        needed_s = self.renewal_s + 2 * self.timeout_s
        if needed_s > guard_s:
            raise TimingImpossible(
                f"renewal_interval_s = {self.renewal_s:g} and twice call_timeout_s = {self.timeout_s:g} make "
                f"{needed_s:g} s, but the guard of a lease of {self.lease_ttl_s} s runs {guard_s:g} s, so "
                "that one failed renewal would suspend the primary: set call_timeout_s to "
                f"{max((guard_s - self.renewal_s) / 2, 0):.2f} or less, shorten renewal_interval_s, or "
                "lengthen lease_ttl_s"
            )

    @property
    def renewal_s(self) -> float:
        """Seconds between the sending of one renewal and the next; the leader key is read as often."""
        return self.renewal_interval_s or self.lease_ttl_s / 3

    @property
    def timeout_s(self) -> float:
        """Seconds that a call to etcd may take."""
        return self.call_timeout_s or self.lease_ttl_s / 4

    @property
    def retry_s(self) -> float:
        """Seconds before something that failed is tried again."""
        return self.renewal_s / 5


def margin_s(granted_ttl_s: float) -> float:
    """Give how many seconds before the end of a lease its guard ends."""
    return granted_ttl_s * MARGIN_PART + MARGIN_S


def guard_until_s(*, sent_s: float, granted_ttl_s: float) -> float:
    """Give the time until which a renewal sent at `sent_s` lets its holder act, on the same clock."""
    return sent_s + granted_ttl_s - margin_s(granted_ttl_s)
