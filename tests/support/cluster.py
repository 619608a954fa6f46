"""Whole clusters for tests: brought up in a directory, looked into, and always taken down."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confcluster.cluster import Cluster
from confcluster.status import ask
from confcluster.topology import Options

LEASE_TTL_S = 2
"""The shortest that etcd grants, so that tests that wait for it take least."""


@contextmanager
def new_cluster(directory: Path, **wishes: Any) -> Iterator[Cluster]:
    """A planned cluster of which nothing runs yet; whatever runs at the end is killed."""
    made = Cluster.create(directory, Options(**{"lease_ttl_s": LEASE_TTL_S, **wishes}))
    try:
        yield made
    finally:
        for handle in made.handles.values():
            handle.kill()


@contextmanager
def running_cluster(directory: Path, **wishes: Any) -> Iterator[Cluster]:
    """A cluster that is up, with its license loaded and its applications registered."""
    with new_cluster(directory, **wishes) as made:
        made.up()
        until(lambda: primary(made), within_s=15)
        yield made


def until(condition: Callable[[], Any], *, within_s: float, what: str | Callable[[], str] = "") -> Any:
    """What `condition` gives as soon as it gives something; fails after `within_s` seconds, saying `what`."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline_s:
            missing = what() if callable(what) else what or condition
            raise AssertionError(f"not within {within_s:g} s: {missing}")
        time.sleep(0.02)


async def until_async(
    condition: Callable[[], Any], *, within_s: float, what: str | Callable[[], str] = ""
) -> Any:
    """The same beside other tasks; `condition` runs in a thread."""
    return await asyncio.to_thread(until, condition, within_s=within_s, what=what)


def roles(cluster: Cluster, component: str = "confserv") -> dict[str, tuple[str, str]]:
    """Role and token of each process of a component that runs, as it says itself."""
    tls = cluster.tls("administrator")
    running = [
        process for process in cluster.topology.of(component) if cluster.handles[process.name].is_running()
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda process: ask(process.endpoint, tls), running))
    return {process.name: answer for process, answer in zip(running, answers, strict=True)}


def primary(cluster: Cluster, component: str = "confserv") -> str | None:
    """Name of the process that says that it is primary, None when nobody does."""
    found = [name for name, (role, _) in roles(cluster, component).items() if role == "primary"]
    return found[0] if len(found) == 1 else None


def backup(cluster: Cluster, component: str = "confserv") -> str | None:
    """Name of a process that says that it is backup, None when nobody does."""
    found = [name for name, (role, _) in roles(cluster, component).items() if role == "backup"]
    return found[0] if found else None


def logged(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """The structured log of a process, an entry a line; what is not JSON is left out."""
    entries = []
    for line in cluster.handles[name].log().splitlines():
        if line.startswith("{"):
            entries.append(json.loads(line))
    return entries


def events(cluster: Cluster, *names: str, prefix: str = "") -> list[str]:
    """Numbers of the log events of some processes, by the time at which they were logged."""
    found = [
        (entry.get("timestamp", ""), entry["event_id"])
        for name in names or tuple(cluster.handles)
        for entry in logged(cluster, name)
        if str(entry.get("event_id", "")).startswith(prefix or "") and "event_id" in entry
    ]
    return [number for _, number in sorted(found)]


def whole(cluster: Cluster) -> bool:
    """Whether one Configuration Server is primary and every other one backup."""
    found = [role for role, _ in roles(cluster).values()]
    servers = len(cluster.topology.of("confserv"))
    return 1 == found.count("primary") and servers - 1 == found.count("backup")
