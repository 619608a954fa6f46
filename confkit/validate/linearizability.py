"""I-5: histories of current reads and writes on single objects are linearizable.

Wing and Gong's search with a memo, after Lowe: at each step some operation that began before every
operation still open had ended is taken next; a pair of (set of operations taken, value) that was seen
before need not be tried again. Objects are independent, so each is searched alone, which keeps the search
short. An operation whose outcome is unknown may take effect at any time after it began, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from confkit.validate.history import ObjectId, Violation


@dataclass(frozen=True, slots=True)
class Operation:
    """A read or a write of one object, as its caller saw it.

    Attributes:
        object_id: which object.
        started_s: when it was sent.
        ended_s: when its answer came; infinite when none came.
        writes: whether it is a write.
        value: what was written or read; None: absent.
        maybe: a write whose outcome is unknown.
        expected: for a compared write, the value that must stand there before; left out: any.
    """

    object_id: ObjectId
    started_s: float
    ended_s: float
    writes: bool
    value: Hashable | None
    maybe: bool = False
    expected: Hashable = field(default="*any*")

    @property
    def deadline_s(self) -> float:
        """Until when it must have taken effect."""
        return math.inf if self.maybe else self.ended_s


def linearizable(operations: Iterable[Operation], *, initial: Hashable | None = None) -> list[Violation]:
    """I-5 for each object: one violation for each whose history has no order that explains it.

    Args:
        operations: reads that were answered, and writes that were acknowledged or may have taken place.
        initial: value of every object before the first operation.
    """
    by_object: dict[ObjectId, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_object[operation.object_id].append(operation)
    return [
        Violation("I-5", f"no order of {len(history)} operations explains the history of {object_id!r}")
        for object_id, history in by_object.items()
        if not _has_order(sorted(history, key=lambda o: o.started_s), initial)
    ]


def _has_order(history: Sequence[Operation], initial: Hashable | None) -> bool:
    everything = (1 << len(history)) - 1
    optional = sum(1 << index for index, operation in enumerate(history) if operation.maybe)
    seen: set[tuple[int, Hashable | None]] = set()
    stack: list[tuple[int, Hashable | None]] = [(0, initial)]
    while stack:
        taken, value = stack.pop()
        if taken | optional == everything:
            return True
        if (taken, value) in seen:
            continue
        seen.add((taken, value))
        stack.extend(_next(history, taken, value))
    return False


def _next(
    history: Sequence[Operation], taken: int, value: Hashable | None
) -> list[tuple[int, Hashable | None]]:
    left = [index for index in range(len(history)) if not taken >> index & 1]
    first_end_s = min(history[index].deadline_s for index in left)
    found: list[tuple[int, Hashable | None]] = []
    for index in left:
        operation = history[index]
        if operation.started_s > first_end_s:
            break
        if _possible(operation, value):
            found.append((taken | 1 << index, operation.value if operation.writes else value))
    return found


def _possible(operation: Operation, value: Hashable | None) -> bool:
    if not operation.writes:
        return operation.value == value
    return operation.expected == "*any*" or operation.expected == value
