"""Times that can work together, and the refusals of those that cannot."""

from __future__ import annotations

import pytest

from confkit.election.timing import Timing, TimingImpossible, guard_until_s, margin_s


@pytest.mark.parametrize("ttl_s", [2, 3, 5, 30])
def test_defaults_work_for_every_ttl_that_etcd_grants(ttl_s: int) -> None:
    # ha.md, Coordination: TTL 5 s by default, 2 s in tests, renewed each third of it
    timing = Timing(lease_ttl_s=ttl_s)
    assert ttl_s / 3 == timing.renewal_s
    assert timing.renewal_s + 2 * timing.timeout_s <= ttl_s - margin_s(ttl_s)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"lease_ttl_s": 1}, "lease_ttl_s = 1 .* set 2 or more", id="ttl below etcd's floor"),
        pytest.param(
            {"call_timeout_s": 2.0}, "set call_timeout_s to 1.37 or less", id="timeout too long to try twice"
        ),
        pytest.param(
            {"renewal_interval_s": 4.0}, "shorten renewal_interval_s", id="renewal too rare to try twice"
        ),
        pytest.param({"renewal_interval_s": -1.0}, "negative", id="negative time"),
    ],
)
def test_times_that_cannot_work_are_refused_with_what_to_set(given: dict[str, float], says: str) -> None:
    # ha.md, Coordination: relations that cannot work are refused at start; B-60
    with pytest.raises(TimingImpossible, match=says):
        Timing(**given)  # type: ignore[arg-type]


def test_the_guard_counts_from_sending_and_ends_a_tenth_and_100_ms_before_the_lease() -> None:
    # ha.md, Coordination: lease guard
    assert pytest.approx(104.4) == guard_until_s(sent_s=100.0, granted_ttl_s=5.0)
