"""The stores that the contract holds for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from message_server.adapters.memory import MemoryLogStore
from message_server.adapters.sql import SqlLogStore
from message_server.ports import LogStore

from confkit.database import open_database


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    """One empty store of each kind."""
    if request.param == "memory":
        yield MemoryLogStore()
        return
    database = open_database(f"sqlite:///{tmp_path}/log.sqlite", program="message-server-test")
    yield SqlLogStore(database)
    database.close()
