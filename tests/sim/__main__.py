"""Long simulated runs: `python -m tests.sim [--seeds N] [--seed S]`.

Without `--seed` the first seed is drawn, so that each run sees other executions. A failure prints its seed
and the transcript of that execution, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from typing import TextIO

from tests.sim.election import faults


def main() -> int:
    """Play seeds until one fails; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many seeds to play (default 10,000; 1 with --seed)")
    parser.add_argument("--seed", type=int, help="the first seed (default: drawn)")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    count = options.seeds or (1 if options.seed is not None else 10_000)
    tell(sys.stdout, f"election: seeds {first} to {first + count - 1}")
    began_s = time.monotonic()
    for seed in range(first, first + count):
        try:
            faults.simulate(seed)
        except Exception:
            show(seed)
            return 1
    tell(sys.stdout, f"election: {count} seeds hold, {time.monotonic() - began_s:.1f} s")
    return 0


def tell(stream: TextIO, text: str) -> None:
    """Write a line at once."""
    stream.write(text + "\n")
    stream.flush()


def show(seed: int) -> None:
    """Play a failing seed again and print what happened."""
    tell(sys.stderr, f"election: seed {seed} fails; make sim SEED={seed} shows it again")
    world = faults.make_world(seed, tracing=True)
    try:
        faults.play(world)
    except Exception:
        tell(sys.stderr, "\n".join(world.trace))
        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
