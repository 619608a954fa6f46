"""Settings of a server that keeps its data in SQLite or PostgreSQL, and the database that they name."""

from __future__ import annotations

import pathlib

from pydantic import BaseModel, ConfigDict, Field

from confkit.database import Database, DatabaseRefused, DatabaseTls, open_database
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


class StoreSettings(ProcessSettings):
    """What an elected server with a database can be told.

    Attributes:
        database: URL of its database, sqlite:///FILE or postgresql://….
        database_tls: files for a PostgreSQL over TCP.
        several_hosts: members of the pair run on several hosts, which SQLite cannot serve.
    """

    database: str = Field(min_length=1)
    database_tls: DatabaseTlsSettings | None = None
    several_hosts: bool = False


def open_configured_database(settings: StoreSettings, *, program: str) -> Database:
    """Open the database that the settings name; `program` is what it knows the connection by.

    Raises DatabaseRefused (exit status 2).
    """
    database = open_database(
        settings.database,
        program=program,
        ttl_s=settings.required_etcd().lease_ttl_s,
        tls=settings.database_tls.files() if settings.database_tls else None,
    )
    if settings.several_hosts and database.serves_one_host:
        raise DatabaseRefused(
            "database: SQLite serves one host and several_hosts is set; use PostgreSQL for a pair over hosts"
        )
    return database
