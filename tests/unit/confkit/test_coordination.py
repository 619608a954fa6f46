"""The etcd of a process's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from confkit.coordination import etcd_client
from confkit.settings import EtcdSettings, SettingsError


async def test_an_etcd_without_tls_needs_its_endpoints_alone() -> None:
    # B-60
    client = etcd_client(EtcdSettings(endpoints=("127.0.0.1:2379", "127.0.0.1:2380")))
    assert "127.0.0.1:2379" == client.endpoint
    await client.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"ca": "ca", "key": "ca"}, "belong together", id="a key without its certificate"),
        pytest.param(
            {"ca": "none"}, r"cannot read .*none: No such file", id="an authority that is not there"
        ),
        pytest.param({"password_file": "none"}, "etcd.password_file: cannot read", id="no password file"),
    ],
)
async def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    # B-60
    (tmp_path / "ca").write_text("PEM")
    files = {name: tmp_path / file for name, file in settings.items()}
    with pytest.raises(SettingsError, match=says):
        etcd_client(EtcdSettings(endpoints=("127.0.0.1:2379",), **files))
