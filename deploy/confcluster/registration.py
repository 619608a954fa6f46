"""Create the objects that a local cluster's processes need in the configuration: host, templates, applications.

What is there already is kept; only addresses that have changed are written again, so registering twice changes
nothing. It goes through the client library like any operator's tool, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.any_pb2 import Any as PackedBody
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.channel import ServiceChannel
from confclient.request_ids import new_id
from confclient.rpcs import LIST_OBJECTS, TRANSACT

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class WantedApplication:
    """An application that is to exist. `application_type` is a name of the enumeration without its prefix."""

    name: str
    application_type: str
    endpoints: tuple[str, ...] = ()
    command_line: str = ""
    arguments: tuple[str, ...] = ()
    working_directory: str = ""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    required_feature: str = ""


@dataclass(frozen=True, slots=True)
class WantedHost:
    """The host on which all of them run."""

    name: str
    address: str
    agent_port: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What exists: dbids of hosts by name and of templates by type and feature, applications by name."""

    hosts: Mapping[str, int] = field(default_factory=dict)
    templates: Mapping[tuple[int, str], int] = field(default_factory=dict)
    applications: Mapping[str, objects_pb2.Application] = field(default_factory=dict)


def operations(
    wanted: Sequence[WantedApplication], host: WantedHost, known: Known
) -> list[config_pb2.Operation]:
    """What has to be done, in order, so that `known` becomes what is wanted; empty when nothing has."""
    made = _Operations()
    host_dbid = known.hosts.get(host.name) or made.create(
        "Host", host.name, objects_pb2.Host(address=host.address, agent_port=host.agent_port)
    )
    templates = dict(known.templates)
    for application in wanted:
        kind = getattr(objects_pb2, f"APPLICATION_TYPE_{application.application_type}")
        existing = known.applications.get(application.name)
        if existing is not None:
            made.readdress(application, existing, host_dbid)
            continue
        template = (kind, application.required_feature)
        if template not in templates:
            templates[template] = made.create(
                "ApplicationTemplate",
                _template_name(application),
                objects_pb2.ApplicationTemplate(
                    application_type=kind, version="1.0", required_feature=application.required_feature
                ),
            )
        made.create(
            "Application",
            application.name,
            _body(application, host=host_dbid, template=templates[template]),
            options=application.options,
        )
    return made.operations


class _Operations:
    """Collects operations; a created object is referred to by minus the number of its operation."""

    def __init__(self) -> None:
        self.operations: list[config_pb2.Operation] = []

    def create(
        self, kind: str, name: str, body: Message, *, options: Mapping[str, Mapping[str, str]] | None = None
    ) -> int:
        made = objects_pb2.ConfigObject(type=kind, name=name, tenant=1, body=_packed(body))
        for section, values in (options or {}).items():
            made.options.sections[section].options.update(values)
        self.operations.append(config_pb2.Operation(create=config_pb2.CreateOperation(object=made)))
        return -len(self.operations)

    def readdress(self, wanted: WantedApplication, existing: objects_pb2.Application, host: int) -> None:
        if tuple(existing.endpoints) == wanted.endpoints and existing.host:
            return
        body = objects_pb2.Application()
        body.CopyFrom(existing)
        del body.endpoints[:]
        body.endpoints.extend(wanted.endpoints)
        body.host = existing.host or host
        self.operations.append(
            config_pb2.Operation(
                update=config_pb2.UpdateOperation(
                    key=objects_pb2.ObjectKey(type="Application", name=wanted.name),
                    object=objects_pb2.ConfigObject(type="Application", name=wanted.name, body=_packed(body)),
                    update_mask=FieldMask(paths=["body.endpoints", "body.host"]),
                )
            )
        )


def _template_name(application: WantedApplication) -> str:
    name = application.application_type.replace("_", " ").capitalize()
    return f"{name} with {application.required_feature}" if application.required_feature else name


def _body(wanted: WantedApplication, *, host: int, template: int) -> objects_pb2.Application:
    return objects_pb2.Application(
        template=template,
        host=host,
        endpoints=wanted.endpoints,
        command_line=wanted.command_line,
        arguments=wanted.arguments,
        working_directory=wanted.working_directory,
        tenants=[1],
    )


def _packed(body: Message) -> PackedBody:
    packed = PackedBody()
    packed.Pack(body)
    return packed


async def register(
    channel: ServiceChannel,
    wanted: Sequence[WantedApplication],
    host: WantedHost,
    *,
    timeout_s: float = 30.0,
) -> int:
    """Bring the configuration to what is wanted; gives the number of operations. Raises ConfservError."""
    todo = operations(wanted, host, await _known(channel, timeout_s))
    if todo:
        request = config_pb2.TransactRequest(
            context=config_pb2.WriteContext(request_id=new_id(), reason="local cluster"), operations=todo
        )
        await channel.unary(TRANSACT, request, timeout_s=timeout_s)
    return len(todo)


async def _known(channel: ServiceChannel, timeout_s: float) -> Known:
    hosts, templates, applications = [
        await _list(channel, kind, timeout_s) for kind in ("Host", "ApplicationTemplate", "Application")
    ]
    by_kind: dict[tuple[int, str], int] = {}
    for found in templates:
        body = objects_pb2.ApplicationTemplate()
        found.body.Unpack(body)
        by_kind.setdefault((body.application_type, body.required_feature), found.dbid)
    bodies: dict[str, objects_pb2.Application] = {}
    for found in applications:
        bodies[found.name] = objects_pb2.Application()
        found.body.Unpack(bodies[found.name])
    return Known({found.name: found.dbid for found in hosts}, by_kind, bodies)


async def _list(channel: ServiceChannel, kind: str, timeout_s: float) -> list[objects_pb2.ConfigObject]:
    found: list[objects_pb2.ConfigObject] = []
    token = ""
    while True:
        request = config_pb2.ListObjectsRequest(type=kind, page_size=_PAGE, page_token=token)
        page = await channel.unary(LIST_OBJECTS, request, timeout_s=timeout_s)
        found += page.objects
        token = page.next_page_token
        if not token:
            return found
