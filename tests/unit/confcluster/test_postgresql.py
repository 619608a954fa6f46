"""A PostgreSQL of the wheel is set up and started by whoever runs the tests, root included."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from confcluster import postgresql
from confcluster.pki import CertificateAuthority
from confcluster.postgresql import PostgresqlProgram, PostgresqlServer
from tests.support.ports import free_ports

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("pki"))


@contextmanager
def _running(base: Path, program: PostgresqlProgram, **settings: Any) -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(
        data=base / "data", socket_dir=postgresql.socket_directory(base / "run"), durable=False, **settings
    )
    postgresql.initialize(program, server)
    process = subprocess.Popen(
        postgresql.start_command(program, server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        postgresql.wait_ready(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    with _running(tmp_path_factory.mktemp("postgresql"), postgresql.find_postgresql()) as server:
        yield server


def test_a_database_is_made_once_and_reached_over_the_socket(server: PostgresqlServer) -> None:
    postgresql.create_database(server, "configuration")
    postgresql.create_database(server, "configuration")
    engine = create_engine(server.url("configuration"))
    with engine.connect() as connection:
        assert "configuration" == connection.scalar(text("SELECT current_database()"))
    engine.dispose()


def test_over_tcp_the_connection_is_encrypted_and_needs_a_certificate(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    # issue 3, TLS to a PostgreSQL over TCP
    try:
        program = postgresql.find_postgresql(with_tls=True)
    except postgresql.PostgresqlError as error:
        pytest.skip(str(error))
    client = authority.issue("confserv", "confserv-1", cluster="test")
    (port,) = free_ports(1)
    tls = authority.issue("postgresql", "postgresql", cluster="test")
    with _running(tmp_path, program, port=port, tls=tls) as server:
        engine = create_engine(server.url("postgres", tcp=True, client=client))
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        engine.dispose()
        with pytest.raises(OperationalError, match="certificate"):
            create_engine(server.url("postgres", tcp=True) + f"&sslrootcert={client.ca}").connect()


def test_only_the_owner_reaches_the_socket(server: PostgresqlServer) -> None:
    assert 0 == os.stat(server.socket_dir).st_mode & 0o077


def test_a_path_too_long_for_a_socket_gives_a_short_private_directory(tmp_path: Path) -> None:
    wanted = tmp_path / ("x" * 90)
    short = postgresql.socket_directory(wanted)
    try:
        assert wanted != short
        assert len(str(short)) < 40
        assert 0o700 == os.stat(short).st_mode & 0o777
    finally:
        short.rmdir()


def test_a_server_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's path may have 107 bytes
        away = PostgresqlServer(data=tmp_path / "data", socket_dir=Path(short))
        assert "No such file or directory" in (postgresql.is_ready(away) or "")
        with pytest.raises(postgresql.PostgresqlError, match=r"not ready after 0\.2 s"):
            postgresql.wait_ready(away, timeout_s=0.2)


def test_what_initdb_says_is_passed_on(tmp_path: Path) -> None:
    # B-60
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").write_text("in the way")
    server = PostgresqlServer(data=tmp_path / "data", socket_dir=tmp_path)
    with pytest.raises(postgresql.PostgresqlError, match="not empty"):
        postgresql.initialize(postgresql.find_postgresql(), server)
