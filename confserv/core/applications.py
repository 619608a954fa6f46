"""What kinds of application there are, and what is fixed for each kind.

Why it exists: admission, sessions and the startup stage ask the same few questions of a type. The numbers are
those of the wire, so that an adapter only converts. It does not say whether an application exists; objects
do.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType


class ApplicationType(IntEnum):
    """The type of an Application object, by its number on the wire."""

    CONFIGURATION_SERVER = 1
    CONFIGURATION_SERVER_PROXY = 2
    ADMINISTRATOR = 3
    ADMINISTRATOR_EXTENSION = 4
    MESSAGE_SERVER = 5
    SOLUTION_CONTROL_SERVER = 6
    LICENSE_REPORTING_MANAGER = 7
    ITC_UTILITY = 8
    LICENSE_MANAGER = 9
    LOCAL_CONTROL_AGENT = 10
    GENERIC_SERVER = 11
    GENERIC_CLIENT = 12

    @property
    def title(self) -> str:
        """The name of the type as messages for people give it."""
        return _TITLES[self]

    @property
    def has_many_sessions(self) -> bool:
        """Whether several sessions may be open under one name: people's tools and clients, not servers (B-17)."""
        return self in _MANY_SESSIONS

    @property
    def is_accepted_first(self) -> bool:
        """Whether a session is granted before any LRM was seen (B-11)."""
        return self not in _BUSINESS


_TITLES = MappingProxyType(
    {
        ApplicationType.CONFIGURATION_SERVER: "Configuration Server",
        ApplicationType.CONFIGURATION_SERVER_PROXY: "Configuration Server Proxy",
        ApplicationType.ADMINISTRATOR: "Administrator",
        ApplicationType.ADMINISTRATOR_EXTENSION: "Administrator Extension",
        ApplicationType.MESSAGE_SERVER: "Message Server",
        ApplicationType.SOLUTION_CONTROL_SERVER: "Solution Control Server",
        ApplicationType.LICENSE_REPORTING_MANAGER: "License Reporting Manager",
        ApplicationType.ITC_UTILITY: "ITC Utility",
        ApplicationType.LICENSE_MANAGER: "License Manager",
        ApplicationType.LOCAL_CONTROL_AGENT: "Local Control Agent",
        ApplicationType.GENERIC_SERVER: "Generic Server",
        ApplicationType.GENERIC_CLIENT: "Generic Client",
    }
)

_BUSINESS = frozenset({ApplicationType.GENERIC_SERVER, ApplicationType.GENERIC_CLIENT})
_MANY_SESSIONS = frozenset(
    {
        ApplicationType.ADMINISTRATOR,
        ApplicationType.ADMINISTRATOR_EXTENSION,
        ApplicationType.ITC_UTILITY,
        ApplicationType.GENERIC_CLIENT,
    }
)

PEOPLES_TOOLS = "administrator"
"""The certificate role of people's tools: its holder's name need not be the application's."""

CERTIFICATE_ROLES = MappingProxyType(
    {
        ApplicationType.CONFIGURATION_SERVER: frozenset({"confserv"}),
        ApplicationType.CONFIGURATION_SERVER_PROXY: frozenset({"proxy"}),
        ApplicationType.ADMINISTRATOR: frozenset({PEOPLES_TOOLS}),
        ApplicationType.ADMINISTRATOR_EXTENSION: frozenset({PEOPLES_TOOLS}),
        ApplicationType.MESSAGE_SERVER: frozenset({"message-server"}),
        ApplicationType.SOLUTION_CONTROL_SERVER: frozenset({"solution-control"}),
        ApplicationType.LICENSE_REPORTING_MANAGER: frozenset({"lrm"}),
        ApplicationType.ITC_UTILITY: frozenset({"itc"}),
        ApplicationType.LICENSE_MANAGER: frozenset({"licman"}),
        ApplicationType.LOCAL_CONTROL_AGENT: frozenset({"lca"}),
        ApplicationType.GENERIC_SERVER: frozenset({"application"}),
        ApplicationType.GENERIC_CLIENT: frozenset({"application"}),
    }
)
"""The roles of certificate that may open a session of each type: nobody passes for another kind of server."""
