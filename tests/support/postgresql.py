"""One PostgreSQL for a whole run of tests; each test takes an empty database of its own.

The fixture is offered to every test by tests/conftest.py. It skips, saying why, where no PostgreSQL can run.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from confcluster import postgresql
from confcluster.postgresql import PostgresqlServer


@dataclass
class TestServer:
    """A running server that gives out empty databases."""

    __test__ = False

    server: PostgresqlServer
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh_database(self) -> str:
        """Make an empty database and give its URL."""
        name = f"test_{next(self._numbers)}"
        postgresql.create_database(self.server, name)
        return self.server.url(name)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """A PostgreSQL that forgets everything at the end."""
    base = tmp_path_factory.mktemp("postgresql")
    try:
        program = postgresql.find_postgresql()
    except postgresql.PostgresqlError as error:
        pytest.skip(str(error))
    server = PostgresqlServer(
        data=base / "data", socket_dir=postgresql.socket_directory(base / "run"), durable=False
    )
    postgresql.initialize(program, server)
    process = subprocess.Popen(
        postgresql.start_command(program, server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        postgresql.wait_ready(server)
        yield TestServer(server)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
