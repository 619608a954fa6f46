"""What an answer or an error means to a client that follows the primary.

Why it exists: `following.py` decides on plain values; this is where gRPC errors and protobuf messages become
those values.
"""

from __future__ import annotations

import grpc
from google.protobuf.message import Message

from confclient.errors import (
    ConfservError,
    NoPrimaryError,
    NotPrimaryError,
    OutcomeUnknownError,
    UnavailableError,
    from_rpc_error,
)
from confclient.following import Epoch, Trouble

_BROKEN_WHILE_SENDING = "Internal error from Core"
"""What grpc.aio says, with the code INTERNAL, when a stream ends under a message that is being written: no server has
said that."""


class ConnectionBrokenError(UnavailableError):
    """The connection was lost during the call; whether it was carried out is not known.

    Made by the client alone, so it shares the reason UNAVAILABLE.
    """


def error_of(error: grpc.aio.AioRpcError) -> ConfservError:
    """The exception of the library for a failed call; a lost connection is a ConnectionBrokenError."""
    found = from_rpc_error(error)
    plain = (
        type(found) is UnavailableError
        or error.code() is grpc.StatusCode.CANCELLED
        or error.details() == _BROKEN_WHILE_SENDING
    )
    if plain and not isinstance(found, NoPrimaryError):
        return ConnectionBrokenError(found.message)
    return found


def trouble_of(error: ConfservError) -> Trouble | None:
    """How a failure is taken by `following.after_trouble`; None for a refusal that goes to the caller."""
    if isinstance(error, NotPrimaryError):
        return Trouble.NOT_PRIMARY
    if isinstance(error, NoPrimaryError):
        return Trouble.NO_PRIMARY
    if isinstance(error, OutcomeUnknownError):
        return Trouble.OUTCOME_UNKNOWN
    if isinstance(error, ConnectionBrokenError):
        return Trouble.BROKEN
    return None


def epoch_of(message: Message) -> Epoch | None:
    """The epoch under which a server has answered: the field `epoch` of its answer, where it has one.

    The epoch inside a commit or a transaction is when that was written, which may well be an earlier tenure: a
    repeated write gets its first answer.
    """
    if "epoch" not in message.DESCRIPTOR.fields_by_name or not message.HasField("epoch"):
        return None
    epoch = message.epoch  # type: ignore[attr-defined]
    return Epoch(epoch.generation, epoch.mod_revision)
