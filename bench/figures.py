"""What is made of samples: percentiles, the line that scripts read, the JSON that keeps everything."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import pathlib
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import pairwise

RESULTS = pathlib.Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer's samples of the same run, in the same unit."""

    name: str
    samples: Sequence[float]


@dataclass(frozen=True, slots=True)
class Claim:
    """One measured claim.

    Attributes:
        id: as P-1.
        what: what was measured, in a sentence.
        unit: unit of the samples.
        samples: one figure a round.
        targets: name of a statistic (p50, p99, ratio) → greatest value that meets it.
        peer: the peer beside it.
        conditions: how it was measured.
        phases: samples of parts of the whole, by name.
    """

    id: str
    what: str
    unit: str
    samples: Sequence[float]
    targets: Mapping[str, float]
    peer: Peer
    conditions: str
    phases: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def statistics(self) -> dict[str, float]:
        """p50, p99 and greatest of the samples, and the ratio of the medians of us and the peer."""
        return {
            "p50": statistics.median(self.samples),
            "p99": percentile(self.samples, 99),
            "max": max(self.samples),
            "ratio": statistics.median(self.samples) / statistics.median(self.peer.samples),
        }

    def met(self) -> bool:
        """Whether every target is met."""
        found = self.statistics()
        return all(found[name] <= target for name, target in self.targets.items())

    def line(self) -> str:
        """The claim in one line: id first, values with their units, verdict last."""
        found, unit = self.statistics(), self.unit
        targets = ",".join(
            f"{name}<={value:g}{'' if name == 'ratio' else unit}" for name, value in self.targets.items()
        )
        peer = f"{self.peer.name}:{statistics.median(self.peer.samples):.0f}{unit}"
        return (
            f"{self.id} p50={found['p50']:.1f}{unit} p99={found['p99']:.1f}{unit} max={found['max']:.1f}{unit} "
            f"rounds={len(self.samples)} target={targets} peer={peer} ratio={found['ratio']:.3f} "
            f"met={'yes' if self.met() else 'no'}"
        )


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all are not above (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def longest_gap_s(acknowledged_s: Sequence[float], *, since_s: float, until_s: float) -> float:
    """The longest time between two acknowledgements that follow each other, of those that touch a window.

    Args:
        acknowledged_s: times of acknowledgements, ascending.
        since_s: begin of the window: the switchover was asked for, or the process killed.
        until_s: end of the window.
    """
    inside = [time_s for time_s in acknowledged_s if since_s < time_s <= until_s]
    before = max((time_s for time_s in acknowledged_s if time_s <= since_s), default=since_s)
    times = [before, *inside]
    return max((later - earlier for earlier, later in pairwise(times)), default=math.inf)


def save(claims: Sequence[Claim]) -> None:
    """Write `bench/results.json`; claims that were not run this time keep their former figures."""
    former = json.loads(RESULTS.read_text())["claims"] if RESULTS.exists() else {}
    former.update({claim.id: _document(claim) for claim in claims})
    document = {"machine": _machine(), "claims": former}
    RESULTS.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _document(claim: Claim) -> dict[str, object]:
    return {
        "what": claim.what,
        "unit": claim.unit,
        "conditions": claim.conditions,
        "measured": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rounds": len(claim.samples),
        "statistics": claim.statistics(),
        "targets": dict(claim.targets),
        "met": claim.met(),
        "samples": [round(sample, 3) for sample in claim.samples],
        "phases": {name: [round(s, 3) for s in samples] for name, samples in claim.phases.items()},
        "peer": {"name": claim.peer.name, "samples": [round(sample, 3) for sample in claim.peer.samples]},
        "line": claim.line(),
    }


def _machine() -> dict[str, object]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    packages = ("confserv", "grpcio", "protobuf", "sqlalchemy", "uvloop", "aetcd")
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in packages},
    }
