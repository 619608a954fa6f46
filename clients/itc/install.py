"""Installing a package: template, application and options in one transaction.

Installing again what is installed changes nothing and says so; a package that differs changes what differs.
"""

from __future__ import annotations

from dataclasses import dataclass

from confapi.config.v1 import objects_pb2
from confclient.client import Client
from confclient.declared import Name, Plan, names_in, plan
from confclient.errors import NotFoundError
from confclient.objects import key_of
from itc.package import Package


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done, and the revision of the transaction; 0 when nothing was to do."""

    plan: Plan
    revision: int


async def install(client: Client, package: Package, *, dry_run: bool = False) -> Installed:
    """Install a package; with `dry_run` only say what would be done.

    Raises:
        DocumentError: the package refers to a host or tenant that does not exist.
        ConfservError: the server refuses; then nothing has been done.
    """
    made = plan(package.documents, await _existing(client, names_in(package.documents)))
    if dry_run or not made.operations:
        return Installed(made, 0)
    answer = await client.transact(made.operations, reason=f"installed from {package.source}")
    return Installed(made, answer.commit.revision)


async def _existing(client: Client, names: list[Name]) -> dict[Name, objects_pb2.ConfigObject]:
    found: dict[Name, objects_pb2.ConfigObject] = {}
    for type_, name in names:
        try:
            found[type_, name] = await client.get(key_of(type_, name=name))
        except NotFoundError:
            continue
    return found
