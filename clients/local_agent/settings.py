"""Settings of a Local Control Agent, beside those that every process has."""

from __future__ import annotations

import socket

from pydantic import Field

from confkit.settings import ProcessSettings


class LocalAgentSettings(ProcessSettings):
    """What `lca` can be told.

    Attributes:
        host_name: name of the Host object whose applications it runs; default: this host's name.
    """

    host_name: str = Field(default_factory=socket.gethostname, min_length=1, max_length=255)
