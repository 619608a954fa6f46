# ruff: noqa: T201  a command answers on its terminal
"""`make chaos ROUNDS=n SEED=s`: long fault runs on real processes.

A failing run prints its seed, and keeps its directory with every log.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.rounds import run
from tests.support.cluster import running_cluster


def main() -> int:
    """Run, report, and give the exit status: 0 when no promise was broken."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    wishes = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="confserv-chaos-"))
    print(f"seed {wishes.seed}, {wishes.rounds} rounds on {wishes.database}, in {directory}", flush=True)
    try:
        with running_cluster(directory, database=wishes.database) as cluster:
            outcome = run(
                cluster, rounds=wishes.rounds, seed=wishes.seed, say=lambda line: print(line, flush=True)
            )
    except Exception as error:
        print(
            f"FAILED with seed {wishes.seed}: {error!r}\neverything is kept in {directory}", file=sys.stderr
        )
        raise
    judged = outcome.judgement
    print(
        f"{judged.acknowledged} writes acknowledged, {judged.unknown} unknown, {judged.reads} reads,"
        f" {judged.notifications} notifications, {judged.revisions} revisions"
    )
    for violation in judged.violations:
        print(f"BROKEN {violation}", file=sys.stderr)
    if judged.violations:
        print(f"FAILED with seed {wishes.seed}; everything is kept in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
