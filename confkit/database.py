"""Opens a store's database: SQLite (one host) or PostgreSQL, with the timeouts and the TLS that every store needs.

A `Database` has two engines, because the two kinds of transaction differ: one that writes begins IMMEDIATE on SQLite,
so that the fence is read inside it; one that reads sees one snapshot and blocks nobody. Timeouts lie below the lease's
TTL, so that a server that was stopped inside a transaction does not block its successor for longer (`ha.md`, Fencing in
the database). What it does not promise: any retry; a caller decides what an unreachable database means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from confkit.election.ports import StoreUnreachable
from confkit.fence_sql import begin_immediately, past_blockers

T = TypeVar("T")


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


_SNAPSHOT_MS = 60_000  # nobody waits for one that only reads, and a large one takes its time

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


def open_database(url: str, *, program: str, ttl_s: float = 5.0, tls: DatabaseTls | None = None) -> Database:
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
        return _open_postgresql(
            parsed.set(drivername="postgresql+psycopg"), program=program, ttl_s=ttl_s, tls=tls
        )
    raise DatabaseRefused(f"database: {kind} is not supported; use sqlite or postgresql")


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


def _open_postgresql(url: sa.URL, *, program: str, ttl_s: float, tls: DatabaseTls | None) -> Database:
    timeout_ms = int(_below(ttl_s) * 1000)
    arguments: dict[str, Any] = {
        "connect_timeout": 2,
        "tcp_user_timeout": timeout_ms,
        "application_name": program,
        **_postgresql_tls(url, tls),
    }
    writer = sa.create_engine(url, connect_args={**arguments, "options": _timeouts(timeout_ms)})
    reader = sa.create_engine(
        url,
        connect_args={**arguments, "options": _timeouts(_SNAPSHOT_MS)},
        execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    )
    return Database(writer, reader)


def _timeouts(timeout_ms: int) -> str:
    return (
        f"-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms} "
        "-c synchronous_commit=on"
    )


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


def prepare_tables(database: Database, metadata: sa.MetaData, *, version: str, lock: int) -> bool:
    """Make the tables of `metadata` in an empty database; give whether they were made now.

    For stores whose schema has one version so far, kept in table `schema_version`; `lock` is a number that all
    servers of the store agree on, so that two do not make the tables at once. Raises DatabaseRefused when the
    database is of another version or holds another program's tables, StoreUnreachable when it does not answer.
    """
    marks = sa.Table("schema_version", sa.MetaData(), sa.Column("version", sa.Text, primary_key=True))
    try:
        with database.write() as conn:
            if conn.dialect.name == "postgresql":
                conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
            tables = set(sa.inspect(conn).get_table_names())
            if not tables:
                marks.create(conn)
                metadata.create_all(conn)
                conn.execute(marks.insert().values(version=version))
                return True
            found = conn.execute(sa.select(marks.c.version)).scalar() if marks.name in tables else None
    except sa.exc.DatabaseError as error:
        raise DatabaseRefused(f"database {shown(database)}: {error.orig}") from error
    if found != version:
        said = f"schema {found}" if found else f"tables of another program ({', '.join(sorted(tables)[:3])})"
        raise DatabaseRefused(
            f"database {shown(database)} holds {said}, this program needs an empty one or schema {version}"
        )
    return False


def shown(database: Database) -> str:
    """Give the database's URL without its password, for messages."""
    return database.writer.url.render_as_string(hide_password=True)
