"""P-1: planned switchover: the longest gap between acknowledged writes of a running client."""

from __future__ import annotations

import pathlib

from bench.figures import Claim, Peer
from bench.our_cluster import OurCluster
from bench.peer_etcd import EtcdCluster
from bench.writer import Writer

TARGETS = {"p50": 20.0, "p99": 50.0}


async def measure(folder: pathlib.Path, rounds: int) -> Claim:
    """Measure `rounds` switchovers of ours, then as many of the peer's."""
    ours = OurCluster(folder / "ours")
    gaps = []
    async with ours, Writer(ours.put) as writer:
        for _ in range(rounds):
            await ours.until_warm()
            gaps.append(await writer.gap_ms(ours.switch_over))
    peers = []
    async with EtcdCluster(folder / "peer") as etcd, Writer(etcd.put) as writer:
        for _ in range(rounds):
            peers.append(await writer.gap_ms(etcd.move_leader))
    return Claim(
        id="P-1",
        what="planned switchover: longest gap between acknowledged writes of a running client",
        unit="ms",
        samples=gaps,
        targets=TARGETS,
        peer=Peer("etcd-move-leader", peers),
        conditions=f"{ours.description}; beside it {etcd.description}, move-leader",
    )
