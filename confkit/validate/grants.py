"""I-8: no grant brings use above the counts then valid plus overdraft; one handle counts once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confkit.validate.history import Violation


@dataclass(frozen=True, slots=True)
class Grant:
    """A check-out that was granted, in the order in which the journal has it.

    `allowed`: the counts valid for the feature at that moment, overdraft included; None: uncounted.
    """

    handle: str
    feature: str
    count: int
    allowed: int | None


@dataclass(frozen=True, slots=True)
class Release:
    """A handle that was given back or freed."""

    handle: str


def grants_stay_within_counts(journal: Sequence[Grant | Release]) -> list[Violation]:
    """I-8 along a journal. A repeated grant of a handle replaces the former one and counts once."""
    held: dict[str, Grant] = {}
    violations = []
    for record in journal:
        if isinstance(record, Release):
            held.pop(record.handle, None)
            continue
        former = held.get(record.handle)
        held[record.handle] = record
        grows = former is None or record.count > former.count
        used = _used(held)[record.feature]
        if grows and record.allowed is not None and used > record.allowed:
            violations.append(
                Violation(
                    "I-8", f"handle {record.handle} brought {record.feature} to {used} of {record.allowed}"
                )
            )
    return violations


def _used(held: Mapping[str, Grant]) -> Mapping[str, int]:
    used: dict[str, int] = defaultdict(int)
    for grant in held.values():
        used[grant.feature] += grant.count
    return used
