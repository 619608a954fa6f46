"""What the tests of the client library share: certificates and pairs of small real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from confclient.credentials import TlsFiles
from confkit.server import GrpcServer
from tests.support.members import Authority, Member, Pair


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def tls(authority: Authority) -> TlsFiles:
    return authority.tls("application", "billing")


MakePair = Callable[..., Pair]


@pytest_asyncio.fixture
async def make_pair(authority: Authority, tmp_path: Path) -> AsyncIterator[MakePair]:
    made: list[Pair] = []

    def make(add: Callable[[GrpcServer, Member], None] = lambda server, member: None) -> Pair:
        made.append(Pair(authority, add))
        return made[-1]

    yield make
    for pair in made:
        await pair.stop()
