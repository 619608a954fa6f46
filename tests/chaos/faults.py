"""Faults as small objects: a name, whether it can be injected now, and how; each ends with the cluster whole again.

None of them looks at what clients see: that is the load's and the validators' business.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from confcluster.cluster import Cluster
from tests.support.cluster import LEASE_TTL_S, backup, primary, roles, until, whole


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. `inject` returns once the cluster is whole again."""

    name: str
    inject: Callable[[Cluster, random.Random], None]
    available: Callable[[Cluster], bool] = lambda cluster: True


def _wait_whole(cluster: Cluster) -> None:
    until(lambda: whole(cluster), within_s=30, what=lambda: f"a whole cluster: {roles(cluster)}")


def _known(name: str | None) -> str:
    assert name is not None
    return name


def _end_and_restart(
    find: Callable[[Cluster], str | None], number: int
) -> Callable[[Cluster, random.Random], None]:
    def inject(cluster: Cluster, draw: random.Random) -> None:
        name = _known(find(cluster))
        handle = cluster.handle(name)
        handle.signal(number)
        handle.wait(timeout_s=20)
        time.sleep(draw.random() * LEASE_TTL_S)  # the length of the outage is part of the fault
        cluster.start(name)
        _wait_whole(cluster)

    return inject


def _pause(
    find: Callable[[Cluster], str | None], *, at_most_s: float
) -> Callable[[Cluster, random.Random], None]:
    def inject(cluster: Cluster, draw: random.Random) -> None:
        handle = cluster.handle(_known(find(cluster)))
        handle.pause()
        time.sleep(draw.random() * at_most_s)  # the length of the pause is the fault
        handle.resume()
        # the agent ends one that keeps the database from its successor (ha.md, Fencing in the database)
        until(lambda: not handle.is_paused(), within_s=5)
        if not handle.is_running():
            cluster.start(handle.name)
        _wait_whole(cluster)

    return inject


def _part(component: str) -> Callable[[Cluster], str | None]:
    def find(cluster: Cluster) -> str | None:
        return next(
            (name for name, handle in cluster.handles.items() if component == handle.config.component), None
        )

    return find


def _restart_etcd(cluster: Cluster, draw: random.Random) -> None:
    handle = cluster.handle(_known(_part("etcd")(cluster)))
    handle.kill()
    time.sleep(draw.random() * LEASE_TTL_S)  # the length of the outage is part of the fault
    cluster.start_parts()
    _wait_whole(cluster)


def _has_agent(cluster: Cluster) -> bool:
    return "lca" in cluster.handles


FAULTS = (
    Fault("kill -9 of the primary", _end_and_restart(primary, signal.SIGKILL)),
    Fault("SIGTERM of the primary", _end_and_restart(primary, signal.SIGTERM)),
    Fault("kill -9 of the backup", _end_and_restart(backup, signal.SIGKILL)),
    Fault("pause of the primary within its lease", _pause(primary, at_most_s=0.4 * LEASE_TTL_S)),
    Fault("pause of the primary beyond its lease", _pause(primary, at_most_s=2.5 * LEASE_TTL_S)),
    Fault("pause of the backup beyond its lease", _pause(backup, at_most_s=2.5 * LEASE_TTL_S)),
    Fault("kill -9 of the agent", _end_and_restart(_part("lca"), signal.SIGKILL), _has_agent),
    Fault("kill -9 of etcd", _restart_etcd),
)
"""What is injected into a cluster."""
