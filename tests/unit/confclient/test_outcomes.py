"""What an error of grpc.aio means to a client that follows the primary."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from confclient.errors import InternalError, InvalidError
from confclient.following import Trouble
from confclient.outcomes import ConnectionBrokenError, error_of, trouble_of


@pytest.mark.parametrize(
    ("code", "details", "kind", "trouble"),
    [
        pytest.param(
            "UNAVAILABLE", "connection reset", ConnectionBrokenError, Trouble.BROKEN, id="a lost connection"
        ),
        pytest.param("CANCELLED", "", ConnectionBrokenError, Trouble.BROKEN, id="a call that was cut off"),
        pytest.param(
            "INTERNAL",
            "Internal error from Core",
            ConnectionBrokenError,
            Trouble.BROKEN,
            id="a stream that ended under a write",
        ),
        pytest.param(
            "INTERNAL", "the server failed on this call", InternalError, None, id="a defect of the server"
        ),
        pytest.param("INVALID_ARGUMENT", "no", InvalidError, None, id="a refusal"),
    ],
)
def test_an_error_means(code: str, details: str, kind: type[Exception], trouble: Trouble | None) -> None:
    empty = grpc.aio.Metadata()
    found = error_of(grpc.aio.AioRpcError(grpc.StatusCode[code], empty, empty, details=details))
    assert (kind, trouble) == (type(found), trouble_of(found))
