"""What the tests of LRM's services share."""

from __future__ import annotations

import pytest

from tests.support.members import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))
