"""Changes of role that come too often: an alarm, and a growing pause before further automatic ones (`ha.md`,
Switching over).

Pure and small: a window of times. It does not count what this member did not see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from confkit.election.types import InstanceName

LONGEST_DELAY_S = 60.0


@dataclass(frozen=True, slots=True)
class Flapping:
    """More than `limit` automatic changes of the primary within `window_s` seconds are too many; `changes_s`
    are the times seen.
    """

    limit: int = 10
    window_s: float = 600.0
    last: InstanceName | None = None
    changes_s: tuple[float, ...] = ()

    def saw(self, leader: InstanceName | None, now_s: float, *, planned: bool = False) -> Flapping:
        """Note who is primary; nobody is no change, the same again neither, and a planned one is nobody's
        trouble.
        """
        if leader is None or leader == self.last:
            return self
        if self.last is None or planned:
            return replace(self, last=leader)
        kept = tuple(t for t in self.changes_s if now_s - t < self.window_s)
        return replace(self, last=leader, changes_s=(*kept, now_s))

    def excess(self, now_s: float) -> int:
        """Give by how many the changes in the window are too many, 0 when they are not."""
        return max(0, sum(now_s - t < self.window_s for t in self.changes_s) - self.limit)

    def delay_s(self, now_s: float, *, step_s: float) -> float:
        """Give how many seconds to wait before a campaign: `step_s`, doubled with each further change, at
        most a minute.
        """
        excess = self.excess(now_s)
        return min(step_s * 2.0 ** (excess - 1), LONGEST_DELAY_S) if excess else 0.0
