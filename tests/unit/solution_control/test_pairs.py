"""Who is primary, by what one member of a pair says."""

from __future__ import annotations

import pytest

from confapi.ha.v1 import ha_pb2
from solution_control.adapters.pairs import roles_in


def answer(leader: str, **roles: ha_pb2.Role) -> ha_pb2.GetStatusResponse:
    members = [ha_pb2.Member(instance=name, role=role) for name, role in roles.items()]
    return ha_pb2.GetStatusResponse(members=members, primary=ha_pb2.Member(instance=leader))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            answer("a", a=ha_pb2.ROLE_PRIMARY, b=ha_pb2.ROLE_BACKUP),
            {"a": "primary", "b": "backup"},
            id="all agree",
        ),
        pytest.param(
            answer("b", a=ha_pb2.ROLE_PRIMARY, b=ha_pb2.ROLE_BACKUP),
            {"a": "backup", "b": "primary"},
            id="right after a switchover only the leader key is right",
        ),
        pytest.param(
            answer("a", a=ha_pb2.ROLE_PROMOTING), {"a": "promoting"}, id="it has won and is catching up"
        ),
        pytest.param(
            answer("a", a=ha_pb2.ROLE_SUSPENDED), {"a": "suspended"}, id="it cannot prove that it is primary"
        ),
        pytest.param(answer("", a=ha_pb2.ROLE_BACKUP), {"a": "backup"}, id="nobody is primary"),
    ],
)
def test_roles(said: ha_pb2.GetStatusResponse, expected: dict[str, str]) -> None:
    assert expected == roles_in(said)
