"""The stores that the contract holds for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from confkit.database import open_database
from message_server.adapters.memory import MemoryLogStore
from message_server.adapters.sql import SqlLogStore
from message_server.ports import LogStore


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    """One empty store of each kind."""
    if request.param == "memory":
        yield MemoryLogStore()
        return
    url = f"sqlite:///{tmp_path}/log.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").fresh_database()
    database = open_database(url, program="message-server-test")
    yield SqlLogStore(database)
    database.close()
