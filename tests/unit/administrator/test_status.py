"""The administrator: registers with its type, shows the cluster, leaves."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.support.cluster_in_small import small_cluster, start_all
from tests.support.members import CLUSTER, Authority
from tests.unit.confclient.conftest import MakePair, authority, make_pair

__all__ = ["authority", "make_pair"]


async def administrator(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "administrator", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


async def test_registers_with_its_type_and_shows_what_it_sees(
    make_pair: MakePair, authority: Authority, tmp_path: Path
) -> None:
    # B-11, B-33
    pair, state = small_cluster(make_pair)
    await start_all(pair, state, "one", "two")
    tls = authority.tls("administrator", "administrator")
    config = tmp_path / "settings.toml"
    config.write_text(
        f'cluster = "{CLUSTER}"\nconfig_servers = ["{pair.members["two"].endpoint}"]\n'
        f'[administrator.tls]\nca = "{tls.ca}"\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
    )
    status, out, err = await administrator("-c", str(config), "status", "--json")
    assert (0, "") == (status, err)
    expected = {
        "cluster": CLUSTER,
        "primary": "one",
        "stage": "first_startup",
        "compliance": "ok",
        "lrm_bound": ["lrm-1"],
        "members": {"one": "primary", "two": "backup"},
        "sessions": [
            {"application": "administrator", "type": "administrator", "peer": "here", "host": "", "pid": 0}
        ],
    }
    assert expected == json.loads(out)
    assert {} == state.sessions
    text = (await administrator("-c", str(config), "status"))[1]
    assert "cluster test: stage first_startup, compliance ok\nLRM: lrm-1\none: primary\ntwo: backup\n" in text


async def test_without_settings_or_a_cluster_says_what_to_give(tmp_path: Path) -> None:
    # B-60
    status, _, err = await administrator("--cluster", str(tmp_path), "status")
    assert 2 == status
    assert err.startswith(f"administrator: cannot read {tmp_path}/cluster.json")
