"""Who is at the other end of a connection: read from the certificate, and from nowhere else.

A certificate carries one URI as subject alternative name, `confserv://CLUSTER/ROLE/NAME`. The role
says what its holder may do; a server's policy lists the roles that may call each RPC. What a
message says about its sender is never believed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

SCHEME = "confserv"


class CertificateRole(enum.StrEnum):
    """What the holder of a certificate is (the process table of behaviour.md)."""

    CONFSERV = "confserv"
    PROXY = "proxy"
    LRM = "lrm"
    LICMAN = "licman"
    MESSAGE_SERVER = "message-server"
    SOLUTION_CONTROL = "solution-control"
    LCA = "lca"
    ADMINISTRATOR = "administrator"
    ITC = "itc"
    APPLICATION = "application"


_ROLES = frozenset(role.value for role in CertificateRole)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated peer.

    Attributes:
        cluster: name of the cluster that the certificate was issued for.
        role: what the holder may be.
        name: name of its Application object, or of the person's tool.
    """

    cluster: str
    role: CertificateRole
    name: str

    def uri(self) -> str:
        """The subject alternative name that says the same."""
        return f"{SCHEME}://{quote(self.cluster, safe='')}/{self.role}/{quote(self.name, safe='')}"

    def __str__(self) -> str:
        return f"{self.role}/{self.name}"


def principal_from_uri(uri: str) -> Principal | None:
    """Parse one subject alternative name; None when it is not one of ours or is malformed."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    segments = parts.path.split("/")
    if parts.scheme != SCHEME or len(segments) != 3 or parts.query or parts.fragment:
        return None
    _, role, name = segments
    if role not in _ROLES or not parts.netloc or not name:
        return None
    return Principal(cluster=unquote(parts.netloc), role=CertificateRole(role), name=unquote(name))


def principal_from_sans(sans: Iterable[str]) -> Principal | None:
    """The one principal among a certificate's names; None when there is none, or more than one."""
    found = [principal for san in sans if (principal := principal_from_uri(san)) is not None]
    return found[0] if len(found) == 1 else None
