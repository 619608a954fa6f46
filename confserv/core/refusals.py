"""Why a request is refused: a stable reason, a sentence, and facts, as the core says it (B-60).

The servicers map each reason to the exception of `confclient.errors` that has the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """Stable, machine-readable reasons; each is documented with the calls that give it."""

    INVALID = "INVALID"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    TOO_LARGE = "TOO_LARGE"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    REFERENCED = "REFERENCED"
    IMMUTABLE = "IMMUTABLE"
    STALE_REVISION = "STALE_REVISION"
    OPTION_READ_ONLY = "OPTION_READ_ONLY"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    REQUEST_ID_EXPIRED = "REQUEST_ID_EXPIRED"
    NOT_PRIMARY = "NOT_PRIMARY"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    COMPACTED = "COMPACTED"
    LAGGED = "LAGGED"


class Refused(Exception):
    """A request is refused, and nothing of it was done.

    `facts` are metadata for programs: the field, the referrers, the number of the operation, …
    """

    def __init__(self, reason: Reason, message: str, **facts: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.facts: Mapping[str, object] = facts

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"

    def at_operation(self, number: int) -> Refused:
        """Give the same refusal with the number of the operation, from 1, that it is about."""
        return Refused(self.reason, f"operation {number}: {self.message}", **self.facts, operation=number)


def invalid(message: str, **facts: object) -> Refused:
    """Give the refusal of a request that is wrong in itself."""
    return Refused(Reason.INVALID, message, **facts)


def not_primary() -> Refused:
    """Give the refusal of a server that is not, or no longer, the primary; nothing was written."""
    return Refused(Reason.NOT_PRIMARY, "this server is not the primary; go to the primary")


def outcome_unknown() -> Refused:
    """Give the answer to a write that may or may not have been committed."""
    return Refused(
        Reason.OUTCOME_UNKNOWN,
        "the write may or may not have been committed; repeat it under the same request id",
    )


def request_id_reused(request_id: str) -> Refused:
    """Give the refusal of another request under an id that was used."""
    return Refused(
        Reason.REQUEST_ID_REUSED,
        f"context.request_id: {request_id} was used for another request; take a new id",
        field="context.request_id",
    )


def rejected(detail: str) -> Refused:
    """Give the refusal of a transaction that the database does not take."""
    return invalid(f"the database refuses the transaction: {detail}")
