"""The pure core of the election. Its words come from `types.py` and are given on here, so that users import
one module.
"""

from __future__ import annotations

from confkit.election.types import (
    ALLOWED,
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    HandOver,
    HandOverResult,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
    State,
    View,
)

__all__ = [
    "ALLOWED",
    "Confirmation",
    "Epoch",
    "EtcdIdentity",
    "GenerationRaise",
    "Grounds",
    "HandOver",
    "HandOverResult",
    "History",
    "InstanceName",
    "LeaderRecord",
    "LeaseId",
    "Member",
    "MemberState",
    "Pause",
    "Permission",
    "ProcessFacts",
    "Promotion",
    "PromotionResult",
    "Refusal",
    "State",
    "View",
]
