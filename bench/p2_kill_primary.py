"""P-2: kill -9 of the primary under an agent: the longest gap between acknowledged writes of a running client."""

from __future__ import annotations

import pathlib

from bench.figures import Claim, Peer
from bench.our_cluster import OurCluster
from bench.peer_etcd import EtcdCluster
from bench.writer import Writer
from confcluster.etcd import EtcdMember

TARGETS = {"p50": 30.0, "p99": 120.0, "ratio": 0.03}


async def measure(folder: pathlib.Path, rounds: int) -> Claim:
    """Measure `rounds` losses of our primary, then as many of the peer's leader."""
    ours = OurCluster(folder / "ours")
    gaps = []
    async with ours, Writer(ours.put) as writer:
        for _ in range(rounds):
            killed: list[str] = []

            async def kill(killed: list[str] = killed) -> None:
                killed.append(await ours.kill_primary())

            gaps.append(await writer.gap_ms(kill))
            await ours.restart(killed[0])
    peers = []
    async with EtcdCluster(folder / "peer") as etcd, Writer(etcd.put) as writer:
        for _ in range(rounds):
            dead: list[EtcdMember] = []

            async def kill_leader(dead: list[EtcdMember] = dead) -> None:
                dead.append(await etcd.kill_leader())

            peers.append(await writer.gap_ms(kill_leader))
            await etcd.restart(dead[0])
    return Claim(
        id="P-2",
        what="kill -9 of the primary under an agent: longest gap between acknowledged writes of a running client",
        unit="ms",
        samples=gaps,
        targets=TARGETS,
        peer=Peer("etcd", peers),
        conditions=f"{ours.description}; beside it {etcd.description}, leader killed with SIGKILL",
    )
