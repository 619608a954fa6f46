"""Every place in which the usage store can be kept, for one suite; an etcd and certificates for pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm.adapters.duckdb_vault import DuckDbVault
from lrm.adapters.memory_store import MemoryVault
from lrm.ports import UsageVault
from tests.support.elected import authority, etcd

__all__ = ["authority", "etcd", "vault"]


@pytest.fixture(params=["memory", "duckdb"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> UsageVault:
    """An empty place."""
    return MemoryVault() if request.param == "memory" else DuckDbVault(tmp_path / "usage.duckdb")
