"""Random sequences of faults under load, from a seed; the validators judge what the clients saw."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from confcluster.cluster import Cluster
from confcluster.load import Judgement, Load
from tests.chaos.faults import FAULTS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: the faults in their order, and the judgement."""

    faults: tuple[str, ...]
    judgement: Judgement


def run(
    cluster: Cluster, *, rounds: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Inject `rounds` faults drawn from `seed`, and judge; the cluster must be up."""
    return asyncio.run(_run(cluster, rounds, random.Random(seed), say))


async def _run(cluster: Cluster, rounds: int, draw: random.Random, say: Callable[[str], None]) -> Outcome:
    injected: list[str] = []
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator")) as load:
        for number in range(1, rounds + 1):
            fault = draw.choice([fault for fault in FAULTS if fault.available(cluster)])
            say(f"round {number}: {fault.name}")
            injected.append(fault.name)
            await asyncio.to_thread(fault.inject, cluster, draw)
            await load.until_flowing()
    return Outcome(tuple(injected), await load.judge())
