"""The business applications of the demo: real processes on the client library, which print what they see.

What they print is what is judged: a transaction that an application was told, a write that was acknowledged to it,
what its session did, with times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from confcluster.cluster import Cluster
from confcluster.process import ProcessConfig, ProcessHandle
from confcluster.programs import installed

PROGRAM = "confserv-sample-application"
SHOPS = ("shop-1", "shop-2", "shop-3")
FOLLOWING = ("--follow", "--write-every", "0.05")
"""An application that prints every transaction and writes an option of its own."""
USING = ("--item", "voice_seat", "--seats", "2", "--feature", "report_designer")
"""An application that uses two seats of an item and holds a technical key."""
PACKAGE = f"""\
[application]
name = "{SHOPS[0]}"
version = "1.0"

[template]
type = "generic_server"

[options.limits]
retries = 3
"""
"""What ITC installs: the first application."""


@dataclass(frozen=True, slots=True)
class Shop:
    """One run of the sample application under a name."""

    handle: ProcessHandle

    @classmethod
    def start(cls, cluster: Cluster, name: str, *arguments: str, run: str = "") -> Shop:
        """Start the application `name` with further `arguments`; `run` tells the logs of its runs apart."""
        if not cluster.tls(name).key.exists():
            cluster.authority.issue("application", name, cluster=cluster.options.cluster)
        command = (
            installed(PROGRAM),
            name,
            "--cluster",
            str(cluster.directory),
            "--spool",
            str(cluster.places.data(name)),
            *arguments,
        )
        log: Path = cluster.places.log(f"{name}{run}")
        handle = ProcessHandle(ProcessConfig(name, "application", command, log, announces_ready=False))
        handle.start()
        return cls(handle)

    def told(self, *events: str) -> list[dict[str, Any]]:
        """What it has printed so far: all, or the lines of some kinds of event."""
        lines = [json.loads(line) for line in self.handle.log().splitlines() if line.startswith("{")]
        return [line for line in lines if not events or line["event"] in events]

    def session(self) -> str:
        """State of its session, as it was told last."""
        states: Sequence[dict[str, Any]] = self.told("session")
        return str(states[-1]["state"]) if states else ""

    def is_in(self) -> bool:
        """Whether its session is open."""
        return self.session() == "open"

    def follows(self) -> bool:
        """Whether it has read a snapshot, and a write of its own was acknowledged."""
        return self.is_in() and bool(self.told("snapshot")) and bool(self.told("written"))

    def told_up_to(self) -> int:
        """Last revision that it was told."""
        told = self.told("snapshot", "change")
        return int(told[-1]["revision"]) if told else 0

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self.handle.is_running()


def gaps(shop: Shop, revisions: Sequence[int]) -> list[str]:
    """What an application was not told once and in order of `revisions`, which the log holds; empty when nothing is.

    Transactions before its first snapshot are part of the snapshot.
    """
    (start,) = [line["revision"] for line in shop.told("snapshot")][:1] or [0]
    told = [line["revision"] for line in shop.told("change")]
    wrong = [f"{shop.handle.name} was told {after} after {before}" for before, after in _falls(told)]
    missing = sorted({revision for revision in revisions if revision > start} - set(told))
    return wrong + [f"{shop.handle.name} was not told {revision}" for revision in missing]


def _falls(told: Sequence[int]) -> list[tuple[int, int]]:
    return [(before, after) for before, after in pairwise(told) if after <= before]
