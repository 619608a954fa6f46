"""`make bench [ONLY=P-1,P-2]`: measures claims beside their peers, prints a line each, writes bench/results.json."""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping

import uvloop

from bench import p1_planned_switchover, p2_kill_primary
from bench.figures import Claim, save

Measure = Callable[[pathlib.Path, int], Awaitable[Claim]]

CLAIMS: Mapping[str, Measure] = {
    "P-1": p1_planned_switchover.measure,
    "P-2": p2_kill_primary.measure,
}
DEFAULT_ROUNDS = 50


def main() -> int:
    """Measure what was asked for; status 0 when all was measured, whether or not targets are met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(CLAIMS), help="claims, as P-1,P-2")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="rounds of each")
    arguments = parser.parse_args()
    wanted = [name.strip() for name in arguments.only.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(CLAIMS))
    if unknown:
        parser.error(f"unknown claims {', '.join(unknown)}; there are {', '.join(CLAIMS)}")

    for name in wanted:
        print(f"{name}: measuring {arguments.rounds} rounds", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="confserv-bench-") as folder:
            claim = uvloop.run(_measure(CLAIMS[name], pathlib.Path(folder), arguments.rounds))
        print(claim.line(), flush=True)

        save([claim])
    return 0


async def _measure(measure: Measure, folder: pathlib.Path, rounds: int) -> Claim:
    return await measure(folder, rounds)


if __name__ == "__main__":
    sys.exit(main())
