"""Composition root: the only module that names the real adapters of a Configuration Server."""

from __future__ import annotations

from confserv.adapters.sql.database import Database, DatabaseRefused, DatabaseTls, open_database
from confserv.settings import ConfservSettings


def open_configured_database(settings: ConfservSettings) -> Database:
    """Open the Configuration Database that the settings name. Raises DatabaseRefused (exit status 2)."""
    tls = settings.database_tls
    database = open_database(
        settings.database,
        ttl_s=5.0 if settings.etcd is None else settings.etcd.lease_ttl_s,
        tls=None if tls is None else DatabaseTls(tls.ca, tls.certificate, tls.key),
    )
    if settings.several_hosts and database.serves_one_host:
        raise DatabaseRefused(
            "database: SQLite serves one host and several_hosts is set; use PostgreSQL for a pair over hosts"
        )
    return database
