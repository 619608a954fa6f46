"""I-6 and I-7: who may promote itself, and what the License Reporting Manager may believe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from confkit.election.types import Epoch
from confkit.validate.history import Violation


@dataclass(frozen=True, slots=True)
class Tenure:
    """One promotion, as the fence row recorded it.

    `licensed`: whether the license held the HA feature at that moment; `by_hand`: an operator took over.
    """

    epoch: Epoch
    instance: str
    licensed: bool
    by_hand: bool = False


def only_the_last_primary_without_the_feature(tenures: Sequence[Tenure]) -> list[Violation]:
    """I-6: without the HA feature nobody but the last primary on record promotes itself (B-40).

    Args:
        tenures: promotions in the order in which they were committed; the first may be anyone's.
    """
    return [
        Violation(
            "I-6",
            f"{after.instance} took over from {before.instance} under {after.epoch} without the HA feature",
        )
        for before, after in pairwise(tenures)
        if after.instance != before.instance and not after.licensed and not after.by_hand
    ]


def tokens_grow_with_each_tenure(tenures: Sequence[Tenure]) -> list[Violation]:
    """A token is never taken up again (ha.md, Coordination); part of I-1."""
    return [
        Violation("I-1", f"{after.instance} promoted itself under {after.epoch}, not above {before.epoch}")
        for before, after in pairwise(tenures)
        if after.epoch <= before.epoch
    ]


def nothing_under_a_lower_token(accepted: Sequence[Epoch]) -> list[Violation]:
    """I-7: a receiver accepts nothing under a token lower than one it has seen (B-20).

    Args:
        accepted: tokens of what it accepted, in order.
    """
    return [
        Violation("I-7", f"something under token {after} was accepted after {before}")
        for before, after in pairwise(accepted)
        if after < before
    ]


def the_stage_never_goes_back(stages: Sequence[str]) -> list[Violation]:
    """I-7: between migrations that reset it, the startup stage never goes back (B-10).

    Args:
        stages: FIRST_STARTUP or OPERATIONAL, in the order in which they were read.
    """
    return [
        Violation("I-7", "the stage went back to FIRST_STARTUP")
        for before, after in pairwise(stages)
        if (before, after) == ("OPERATIONAL", "FIRST_STARTUP")
    ]
