"""Opens the Configuration Database: SQLite (one host) or PostgreSQL, and makes its schema when it is empty.

A `Database` has two engines, because the two kinds of transaction differ: one that writes begins IMMEDIATE on
SQLite, so that the fence is read inside it; one that reads sees one snapshot and blocks nobody. Timeouts lie
below the lease's TTL, so that a server that was stopped inside a transaction does not block its successor for
longer (`ha.md`, Fencing in the database). What it does not promise: any retry; a caller decides what an
unreachable database means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from confkit.election.ports import StoreUnreachable
from confkit.fence_sql import begin_immediately, past_blockers
from confserv.adapters.sql.schema import DEPLOYMENT

T = TypeVar("T")

SCHEMA_VERSION = "0001"
"""The migration that this program works with."""

_SCHEMA_LOCK = 0x636F6E66  # any number that every confserv agrees on


class DatabaseRefused(Exception):
    """The URL or the database cannot be used, and asking again would not help: says why and what to do
    (B-60)."""


@dataclass(frozen=True, slots=True)
class DatabaseTls:
    """Files for TLS to a PostgreSQL over TCP: certificate authority, and a client certificate if it asks
    for one."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: `writer` for short fenced transactions, `reader` for snapshots."""

    writer: sa.Engine
    reader: sa.Engine

    @property
    def serves_one_host(self) -> bool:
        """True for SQLite, which cannot carry a pair over hosts."""
        return self.writer.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes; it commits at the end of the block. Raises StoreUnreachable."""
        with reachable(), self.writer.begin() as conn:
            yield conn

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees the database as of its first statement, and writes nothing. Raises
        StoreUnreachable.
        """
        with reachable(), self.reader.begin() as conn:
            yield conn

    def promote(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a promotion's transaction, ending what blocks it on PostgreSQL. Raises StoreUnreachable."""
        with reachable():
            return past_blockers(self.writer, work)

    def close(self) -> None:
        """Close every idle connection."""
        self.writer.dispose()
        self.reader.dispose()


_UNREACHABLE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sa.exc.InternalError)


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what a database that does not answer raises into StoreUnreachable, with the driver's own words."""
    try:
        yield
    except (
        sa.exc.OperationalError,
        sa.exc.InterfaceError,
        sa.exc.TimeoutError,
        sa.exc.InternalError,
    ) as error:
        raise StoreUnreachable(str(getattr(error, "orig", None) or error).strip()) from error
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnreachable(str(error.orig).strip()) from error
        raise


def open_database(url: str, *, ttl_s: float = 5.0, tls: DatabaseTls | None = None) -> Database:
    """Open `url` (`sqlite:///file` or `postgresql://…`) with timeouts below the lease's TTL of `ttl_s`
    seconds.

    Connects to nothing yet. Raises DatabaseRefused for a URL that cannot be used: another kind of database,
    SQLite in memory, PostgreSQL over TCP without TLS that verifies the server.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseRefused(
            f"database: {url!r} is no URL; write sqlite:///FILE or postgresql://…"
        ) from error
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _open_sqlite(parsed, ttl_s=ttl_s)
    if kind == "postgresql":
        return _open_postgresql(parsed.set(drivername="postgresql+psycopg"), ttl_s=ttl_s, tls=tls)
    raise DatabaseRefused(f"database: {kind} is not supported; use sqlite or postgresql")


def prepare_schema(database: Database, *, now_ms: int) -> bool:
    """Make the schema in an empty database; give whether it was made now. A schema that exists is never
    changed (B-2).

    `now_ms` is wall time in milliseconds. Raises DatabaseRefused when the database is of another version or
    is another program's, StoreUnreachable when it does not answer.
    """
    try:
        with database.write() as conn:
            _lock_schema(conn)
            tables = set(sa.inspect(conn).get_table_names())
            if tables:
                _check_version(conn, tables)
                return False
            _create(conn, now_ms=now_ms)
            return True
    except sa.exc.DatabaseError as error:
        raise DatabaseRefused(f"database {_shown(database)}: {error.orig}") from error


def _create(conn: sa.Connection, *, now_ms: int) -> None:
    config = Config()
    config.set_main_option("script_location", "confserv:adapters/sql/migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    conn.execute(
        DEPLOYMENT.insert().values(
            id=1, stage="FIRST_STARTUP", new_deployment=True, highest_clock_ms=now_ms, compacted_revision=0
        )
    )


def _check_version(conn: sa.Connection, tables: set[str]) -> None:
    if "alembic_version" not in tables:
        raise DatabaseRefused(
            f"database {conn.engine.url!r} holds tables of another program, such as {min(tables)}; "
            "give confserv an empty one"
        )
    found = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found != SCHEMA_VERSION:
        raise DatabaseRefused(
            f"database {conn.engine.url!r} has schema {found}, this program needs {SCHEMA_VERSION}; "
            "stop every server, then run confserv -upgrade"
        )


def _lock_schema(conn: sa.Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})


def _open_sqlite(url: sa.URL, *, ttl_s: float) -> Database:
    if url.database in (None, "", ":memory:") or "mode=memory" in str(url):
        raise DatabaseRefused("database: SQLite in memory is lost with the process; write sqlite:///FILE")
    busy_s = _below(ttl_s)
    writer = sa.create_engine(url, connect_args={"timeout": busy_s})
    reader = sa.create_engine(url, connect_args={"timeout": busy_s})
    for engine in (writer, reader):
        sa.event.listen(engine, "connect", _configure_sqlite)
    begin_immediately(writer)
    sa.event.listen(reader, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    return Database(writer, reader)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the engines' own listeners
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _open_postgresql(url: sa.URL, *, ttl_s: float, tls: DatabaseTls | None) -> Database:
    timeout_ms = int(_below(ttl_s) * 1000)
    arguments: dict[str, Any] = {
        "connect_timeout": 2,
        "tcp_user_timeout": timeout_ms,
        "application_name": "confserv",
        "options": f"-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms} "
        f"-c synchronous_commit=on",
        **_postgresql_tls(url, tls),
    }
    writer = sa.create_engine(url, connect_args=arguments)
    reader = sa.create_engine(
        url,
        connect_args=arguments,
        execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    )
    return Database(writer, reader)


def _postgresql_tls(url: sa.URL, tls: DatabaseTls | None) -> dict[str, str]:
    hosts = [str(h) for h in _values(url.query.get("host"))] or ([url.host] if url.host else [])
    if all(host.startswith(("/", "@")) for host in hosts):  # a Unix socket, or libpq's default one
        return {}
    if tls is not None:
        files = {"sslrootcert": tls.ca, "sslcert": tls.certificate, "sslkey": tls.key}
        return {"sslmode": "verify-full", **{k: str(v) for k, v in files.items() if v is not None}}
    if url.query.get("sslmode") not in ("verify-ca", "verify-full"):
        raise DatabaseRefused(
            f"database: PostgreSQL over TCP ({', '.join(hosts)}) needs TLS that verifies the server; "
            "give the files in settings, or sslmode=verify-full and sslrootcert in the URL, "
            "or use a Unix socket (host=/directory)"
        )
    return {}


def _values(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _below(ttl_s: float) -> float:
    return max(0.5, ttl_s * 0.4)


def _shown(database: Database) -> str:
    return database.writer.url.render_as_string(hide_password=True)
