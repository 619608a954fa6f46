"""What tests of the Configuration Server's running parts share: a clock by hand, a log to look into, a gate."""

from __future__ import annotations

from dataclasses import dataclass, field

from confapi.message.v1 import message_pb2
from confclient.errors import ConfservError, NotPrimaryError
from confkit.election.types import Epoch
from confkit.events import EventLog
from confserv.service.gate import Gate
from confserv.state_ports import Fenced, Tenure
from tests.support.licenses import NOW

EPOCH = Epoch(1, 5)
TENURE = Tenure(EPOCH, "history")


@dataclass
class HandClock:
    """A clock that moves when it is told to."""

    now_s: float = 1000.0
    now_ms: int = int(NOW.timestamp() * 1000)

    def boottime_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.now_ms += int(seconds * 1000)


@dataclass
class Stage:
    """A pretend server: its clock, its log, its gate, and whether the election gives it the epoch."""

    clock: HandClock = field(default_factory=HandClock)
    epoch: Epoch | None = EPOCH
    fenced: list[Fenced] = field(default_factory=list)
    logged: list[message_pb2.LogEvent] = field(default_factory=list)
    events: EventLog = field(init=False)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.events = EventLog(
            application="confserv-1", component="confserv", sink=self.logged.append, now_ms=self.clock.wall_ms
        )
        self.gate = Gate(epoch_at=lambda _: self.epoch, clock=self.clock, refusal=self.refusal)

    def refusal(self) -> ConfservError:
        return NotPrimaryError("go to confserv-2")

    @property
    def numbers(self) -> list[str]:
        """The numbers of what was logged."""
        return [event.event_id for event in self.logged]
