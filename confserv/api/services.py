"""Everything that a Configuration Server serves, in one list: how it is added, what serves it, who may call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confapi.config.v1 import objects_pb2, sessions_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import license_pb2_grpc
from confkit.server import Policy
from confserv.api import binding, config, license, sessions
from confserv.api.answers import Shown
from confserv.api.requests import ObjectReader
from confserv.service.bindings import LrmBindings
from confserv.service.engine import ConfigurationEngine
from confserv.service.gate import Gate
from confserv.service.licensing import Licensing
from confserv.service.sessions import SessionKeeper

POLICY: Policy = {**config.POLICY, **sessions.POLICY, **license.POLICY, **binding.POLICY}


class Service(NamedTuple):
    """One service: the function that adds it to a server, the servicer, and the service's full name."""

    register: Callable[[Any, Any], None]
    servicer: object
    name: str


@dataclass(frozen=True)
class Served:
    """The parts that the services speak for.

    `members` gives the members of the Configuration Server, `application` an Application object by name.
    """

    gate: Gate
    engine: ConfigurationEngine
    keeper: SessionKeeper
    bindings: LrmBindings
    licensing: Licensing
    reader: ObjectReader
    shown: Shown
    members: Callable[[], Sequence[ha_pb2.Member]]
    application: Callable[[str], objects_pb2.ConfigObject | None]


def services(parts: Served) -> tuple[Service, ...]:
    """Make the services of one server."""
    gate, bindings, licensing, keeper = parts.gate, parts.bindings, parts.licensing, parts.keeper
    standing = license.Standing(
        lambda: bindings.stage.value, lambda: bindings.instances, lambda: bindings.away_since_ms
    )
    configuration = config.ConfigService(
        engine=parts.engine,
        gate=gate,
        reader=parts.reader,
        shown=parts.shown,
        has_session=keeper.has_session,
    )
    opened = sessions.SessionService(keeper=keeper, members=parts.members, application=parts.application)
    licenses = license.LicenseService(licensing=licensing, gate=gate, standing=standing)
    bonds = binding.LrmBindingService(bindings=bindings, licensing=licensing, sessions=keeper, gate=gate)
    return (
        Service(config.add_config_service, configuration, config.SERVICE),
        Service(sessions_pb2_grpc.add_SessionServiceServicer_to_server, opened, sessions.SERVICE),
        Service(license_pb2_grpc.add_LicenseServiceServicer_to_server, licenses, license.SERVICE),
        Service(license_pb2_grpc.add_LrmBindingServiceServicer_to_server, bonds, binding.SERVICE),
    )
