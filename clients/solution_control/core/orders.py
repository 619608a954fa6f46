"""Whether an order can be given, and to whom: starts and stops to agents, switchovers to primaries (B-40).

Pure: it looks at the configuration and at what was seen. What it does not promise: that the order succeeds; the
agent, or the primary itself, decides that again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from solution_control.core.model import NO_HOST, Application, ApplicationName, Host, HostName, Kind, kind_of


class Obstacle(Enum):
    """Why an order cannot be given."""

    NOT_FOUND = "not_found"
    NO_HOST = "no_host"
    NOT_ELECTED = "not_elected"
    NOT_LICENSED = "not_licensed"
    NOT_PRIMARY = "not_primary"
    NO_SUCCESSOR = "no_successor"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that cannot be given: the obstacle, and a sentence that says what to do."""

    obstacle: Obstacle
    message: str


@dataclass(frozen=True, slots=True)
class AgentOrder:
    """An order for the agent of a host."""

    application: Application
    host: Host


@dataclass(frozen=True, slots=True)
class SwitchoverOrder:
    """A switchover: which kind of pair, from whom; `to` empty lets the primary choose."""

    kind: Kind
    application: Application
    to: ApplicationName


def agent_order(
    name: ApplicationName,
    *,
    applications: Mapping[ApplicationName, Application],
    hosts: Mapping[HostName, Host],
) -> AgentOrder | Refusal:
    """Say which agent starts or stops an application."""
    application = applications.get(name)
    if application is None:
        return _unknown(name)
    host = hosts.get(application.host)
    if application.host == NO_HOST or host is None:
        return Refusal(Obstacle.NO_HOST, f"{name} has no host: set `host` of its Application object")
    if not host.agent:
        return Refusal(
            Obstacle.NO_HOST,
            f"host {host.name} has no agent: set `address` and `agent_port` of its Host object",
        )
    return AgentOrder(application, host)


def switchover_order(
    name: ApplicationName,
    *,
    to: ApplicationName,
    applications: Mapping[ApplicationName, Application],
    roles: Mapping[ApplicationName, str],
    ha_licensed: bool,
) -> SwitchoverOrder | Refusal:
    """Say whether `name` can give its role to `to` (empty: to any that may)."""
    application = applications.get(name)
    if application is None:
        return _unknown(name)
    kind = kind_of(application.application_type)
    if kind is None:
        return Refusal(
            Obstacle.NOT_ELECTED, f"{name} is no member of an elected pair: there is no role to move"
        )
    if not ha_licensed:
        return Refusal(
            Obstacle.NOT_LICENSED, "the license lacks ha_redundancy: load a license that has the feature"
        )
    if roles.get(name) != "primary":
        return Refusal(
            Obstacle.NOT_PRIMARY,
            f"{name} is {roles.get(name) or 'not known'}: {_primary(kind, applications, roles)}",
        )
    if to and (
        to == name or to not in applications or kind_of(applications[to].application_type) is not kind
    ):
        return Refusal(
            Obstacle.NO_SUCCESSOR, f"{to} is not another member of {name}'s pair: name one, or none"
        )
    return SwitchoverOrder(kind, application, to)


def _unknown(name: ApplicationName) -> Refusal:
    return Refusal(Obstacle.NOT_FOUND, f"there is no application {name!r}")


def _primary(
    kind: Kind,
    applications: Mapping[ApplicationName, Application],
    roles: Mapping[ApplicationName, str],
) -> str:
    for name, application in applications.items():
        if roles.get(name) == "primary" and kind_of(application.application_type) is kind:
            return f"the primary is {name}, which can give its role away"
    return "no primary of its pair is known now; try again"
