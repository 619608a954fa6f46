"""The parts of a simulated election that have no behaviour of their own: network, fates of calls, servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from confkit.election import messages as msg
from confkit.election.core import ElectionCore
from confkit.election.timing import Timing
from confkit.election.types import (
    Epoch,
    InstanceName,
)

TIMING = Timing(lease_ttl_s=2)


class Broken(AssertionError):
    """A promise that was broken, by its name."""


@dataclass(slots=True)
class Network:
    """How calls fare: delays in seconds, and the chances that a message is lost or comes very late."""

    delay_s: float = 0.002
    loss: float = 0.0
    late: float = 0.0
    late_s: float = 3.0


class Fate(Enum):
    """What may happen to one call, when it is chosen and not drawn."""

    LOST = "lost"
    """It never reaches etcd."""
    UNANSWERED = "unanswered"
    """It is applied, and the answer is lost."""
    LATE = "late"
    """It is applied long after its sender has given up."""
    STOPPED = "stopped"
    """Its sender is stopped for longer than its lease while the call is under way."""


LATE_S = 1.0
STOPPED_S = 3.0


@dataclass(slots=True)
class Server:
    """One process: its core, its clock, what its component has open, and the faults it suffers."""

    name: InstanceName
    rate: float = 1.0
    offset_s: float = 0.0
    core: ElectionCore | None = None
    life: int = 0
    paused: bool = False
    backlog: list[Callable[[], None]] = field(default_factory=list)
    cut_out: bool = False
    cut_in: bool = False
    database_cut: bool = False
    tick_at_s: float = float("inf")
    open_epoch: Epoch | None = None
    holding: bool = False
    applied: int = 0
    writing: int = 0
    orders: list[msg.Effect] = field(default_factory=list)
    serving_order: bool = False
    refuses_handover: bool = False
    history_id: str = ""

    def local_s(self, now_s: float) -> float:
        """The server's own clock."""
        return self.offset_s + self.rate * now_s
