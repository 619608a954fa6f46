"""The table of refusals: everything that can be raised can be sent and raised again at the other end."""

from __future__ import annotations

import grpc.aio
import pytest

from confapi.ha.v1 import ha_pb2
from confclient.errors import BY_REASON, NotPrimaryError, from_rpc_error, trailing_metadata


def over_the_wire(error):
    return from_rpc_error(
        grpc.aio.AioRpcError(
            error.code,
            grpc.aio.Metadata(),
            grpc.aio.Metadata(trailing_metadata(error)),
            details=error.message,
        )
    )


@pytest.mark.parametrize("reason", sorted(BY_REASON))
def test_every_reason_survives_the_wire(reason):
    # B-60
    error = over_the_wire(BY_REASON[reason]("what, where, cure", where="line 3"))
    assert (reason, "what, where, cure", {"where": "line 3"}) == (error.reason, error.message, error.metadata)


def test_the_hint_survives_the_wire():
    hint = ha_pb2.PrimaryHint(
        instance="b", endpoints=["h:1"], epoch=ha_pb2.Epoch(generation=1, mod_revision=9)
    )
    assert hint == over_the_wire(NotPrimaryError("go there", hint=hint)).hint


def test_a_reason_that_is_not_known_falls_back_on_the_code():
    plain = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone"
    )
    assert "NOT_FOUND" == from_rpc_error(plain).reason


def test_only_no_primary_is_retried_blindly():
    assert ["NO_PRIMARY"] == [reason for reason, kind in BY_REASON.items() if kind.retry]
