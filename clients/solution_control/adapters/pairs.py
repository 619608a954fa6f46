"""Roles of the members of elected pairs, and switchovers, by the MemberService of each pair's primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError
from confclient.rpcs import GET_STATUS, SWITCH_OVER
from solution_control.core.model import ApplicationName, Kind
from solution_control.ports import Directory, Switched

STATUS_TIMEOUT_S = 1.0
SWITCHOVER_TIMEOUT_S = 20.0

_ROLE = "ROLE_"


class MemberPairs:
    """One channel for each kind of pair, to the endpoints of its Application objects."""

    def __init__(self, directory: Directory, tls: TlsFiles) -> None:
        self._directory = directory
        self._channels = {
            kind: ServiceChannel(self._endpoints_of(kind), tls, component=kind.value) for kind in Kind
        }

    async def close(self) -> None:
        """Close every channel."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def roles(self) -> Mapping[ApplicationName, str]:
        """Ask the primary of each pair for the roles of its members."""
        answers = await asyncio.gather(*(self._roles_of(kind) for kind in Kind))
        return {name: role for answer in answers for name, role in answer.items()}

    async def switch_over(self, kind: Kind, *, to: ApplicationName, reason: str) -> Switched:
        """Have the primary of a pair give its role away."""
        answer = await self._channels[kind].unary(
            SWITCH_OVER, ha_pb2.SwitchOverRequest(to=to, reason=reason), timeout_s=SWITCHOVER_TIMEOUT_S
        )
        return Switched(answer.primary, answer.duration_ms)

    async def _roles_of(self, kind: Kind) -> Mapping[ApplicationName, str]:
        if not self._endpoints_of(kind)():
            return {}
        try:
            answer = await self._channels[kind].unary(
                GET_STATUS, ha_pb2.GetStatusRequest(), timeout_s=STATUS_TIMEOUT_S
            )
        except ConfservError:
            return {}
        return roles_in(answer)

    def _endpoints_of(self, kind: Kind) -> Callable[[], Sequence[str]]:
        def ask() -> Sequence[str]:
            return tuple(
                endpoint
                for application in self._directory.applications().values()
                if application.application_type == kind.value and application.enabled
                for endpoint in application.endpoints
            )

        return ask


def roles_in(answer: ha_pb2.GetStatusResponse) -> Mapping[ApplicationName, str]:
    """Give the roles of all members as one of them says.

    Who is primary stands in the leader key; what a member writes of itself follows with its next refresh, so that
    right after a switchover only the key is right.
    """
    leader = answer.primary.instance
    roles = {ApplicationName(member.instance): _role(member, leader) for member in answer.members}
    return {name: "backup" if role == "primary" and name != leader else role for name, role in roles.items()}


def _role(member: ha_pb2.Member, leader: str) -> str:
    role = ha_pb2.Role.Name(member.role).removeprefix(_ROLE).lower()
    return "primary" if member.instance == leader and role == "backup" else role
