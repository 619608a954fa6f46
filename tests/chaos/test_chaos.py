"""A short run of random faults, so that the long runs are known to work; `make chaos` makes long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.rounds import run
from tests.support.cluster import running_cluster

pytestmark = [pytest.mark.chaos, pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.mark.parametrize(
    ("database", "seed"),
    [
        pytest.param("sqlite", 4, id="SQLite, with a paused primary that the agent ends"),
        pytest.param("postgresql", 3, marks=pytest.mark.postgresql, id="PostgreSQL, with losses of etcd"),
    ],
)
def test_random_faults_break_no_promise(tmp_path: Path, database: str, seed: int) -> None:
    # B-50 to B-52, I-1 to I-5, I-9
    with running_cluster(
        tmp_path, database=database, message_servers=0, solution_controls=0, licman=0, lrm=0
    ) as cluster:
        outcome = run(cluster, rounds=6, seed=seed)
    assert () == outcome.judgement.violations
    assert 6 == len(outcome.faults)
    assert outcome.judgement.acknowledged > 0
