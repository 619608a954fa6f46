"""What the benchmarks make of their samples."""

from __future__ import annotations

import pytest

from bench.figures import Claim, Peer, longest_gap_s, percentile


@pytest.mark.parametrize(
    ("acknowledged", "since", "until", "gap"),
    [
        pytest.param(
            [1, 2, 3, 9, 10], 3.5, 11, 6, id="the gap that holds the fault counts from the write before it"
        ),
        pytest.param([1, 5, 6, 7], 5.5, 8, 1, id="a gap before the fault does not count"),
        pytest.param([1, 2, 3], 3, 9, float("inf"), id="no write after the fault is an endless gap"),
        pytest.param([4, 5], 2, 6, 2, id="without a write before it the fault itself is the begin"),
    ],
)
def test_the_longest_gap_between_acknowledged_writes(acknowledged, since, until, gap):
    assert gap == longest_gap_s(acknowledged, since_s=since, until_s=until)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_percentiles_are_samples(percent, expected):
    assert expected == percentile(list(range(1, 101)), percent)


def test_a_claim_is_one_line_that_scripts_can_read():
    claim = Claim(
        "P-2", "kill -9", "ms", [10, 20, 30], {"p50": 30, "ratio": 0.03}, Peer("etcd", [1000, 2000]), "here"
    )
    assert (
        "P-2 p50=20.0ms p99=30.0ms max=30.0ms rounds=3 target=p50<=30ms,ratio<=0.03 "
        "peer=etcd:1500ms ratio=0.013 met=yes"
    ) == claim.line()
