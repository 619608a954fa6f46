"""Settings of a Message Server, beside those that every process has."""

from __future__ import annotations

import pathlib

from pydantic import BaseModel, ConfigDict, Field

from confkit.database import DatabaseTls
from confkit.settings import ProcessSettings


class DatabaseTlsSettings(BaseModel):
    """PEM files for a PostgreSQL over TCP: its authority, and a client certificate if it asks for one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: pathlib.Path
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None

    def files(self) -> DatabaseTls:
        """The same for the kit."""
        return DatabaseTls(self.ca, self.certificate, self.key)


class MessageServerSettings(ProcessSettings):
    """What `message-server` can be told.

    Attributes:
        database: URL of the log database, sqlite:///FILE or postgresql://….
        database_tls: files for a PostgreSQL over TCP.
        several_hosts: members of the pair run on several hosts, which SQLite cannot serve.
    """

    database: str = Field(min_length=1)
    database_tls: DatabaseTlsSettings | None = None
    several_hosts: bool = False
