"""What a new Configuration Database holds after the first promotion: the environment, and who must get in to
do the rest.

The server itself and people's tools; everything else is made by operators.
"""

from __future__ import annotations

from collections.abc import Sequence

from confserv.core.applications import ApplicationType
from confserv.core.objects import ENVIRONMENT, ConfigObject, Dbid, TypeName
from confserv.core.operations import Create, Operation, WriteRequest
from confserv.core.requests import new_request_id

SERVER_DBID = Dbid(99)
"""Number of the Application object of the server that made the database."""

TOOLS = {
    "administrator": ApplicationType.ADMINISTRATOR,
    "confctl": ApplicationType.ADMINISTRATOR,
    "itc": ApplicationType.ITC_UTILITY,
}
"""Applications of people, by name."""

_APPLICATION = TypeName("Application")


def first_objects(*, server: str) -> tuple[Operation, ...]:
    """Give the operations of the first revision; `server` is the name of the server that makes it."""
    operations: list[Operation] = [
        Create(ConfigObject(TypeName("Tenant"), name="Environment"), dbid=ENVIRONMENT)
    ]
    kinds = (ApplicationType.CONFIGURATION_SERVER, ApplicationType.ADMINISTRATOR, ApplicationType.ITC_UTILITY)
    template_of: dict[ApplicationType, int] = {}
    for kind in kinds:
        operations.append(Create(_template(kind)))
        template_of[kind] = -len(operations)
    own = _application(server, template_of[ApplicationType.CONFIGURATION_SERVER])
    operations.append(Create(own, dbid=SERVER_DBID))
    operations += [
        Create(_application(name, template_of[kind])) for name, kind in TOOLS.items() if name != server
    ]
    return tuple(operations)


def _template(kind: ApplicationType) -> ConfigObject:
    return ConfigObject(
        TypeName("ApplicationTemplate"), name=kind.title, body={"application_type": int(kind)}
    )


def _application(name: str, template: int) -> ConfigObject:
    return ConfigObject(_APPLICATION, name=name, body={"template": template})


def first_request(operations: Sequence[Operation], *, actor: str, now_ms: int, random: bytes) -> WriteRequest:
    """Give the request of the first revision; `now_ms` is wall time in milliseconds, `random` ten random bytes."""
    request_id = new_request_id(now_ms=now_ms, random=random)
    return WriteRequest(actor, request_id, b"", "first start on an empty database", tuple(operations))
