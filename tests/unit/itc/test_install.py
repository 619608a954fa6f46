"""Installing a package: one transaction, again without harm, as a process with settings."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from confclient.credentials import TlsFiles
from confclient.documents import document_of
from confclient.errors import LicenseRequiredError
from tests.support.cluster_in_small import State, small_cluster, start_all
from tests.support.members import CLUSTER, Authority
from tests.unit.confclient.conftest import MakePair, authority, make_pair

__all__ = ["authority", "make_pair"]

PACKAGE = """
[application]
name = "billing"
version = "8.5"
[template]
type = "generic_server"
[options.limits]
retries = 3
"""


def settings_for(directory: Path, tls: TlsFiles, endpoint: str) -> Path:
    path = directory / "settings.toml"
    path.write_text(
        f'cluster = "{CLUSTER}"\nconfig_servers = ["{endpoint}"]\n'
        f'[itc.tls]\nca = "{tls.ca}"\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
    )
    return path


async def itc(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "itc", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def server(make_pair: MakePair) -> tuple[Any, State]:
    pair, state = small_cluster(make_pair)
    await start_all(pair, state, "one")
    return pair, state


async def test_installs_in_one_transaction_and_says_when_nothing_is_to_do(
    server: tuple[Any, State], authority: Authority, tmp_path: Path
) -> None:
    # B-11, B-51
    pair, state = server
    config = settings_for(tmp_path, authority.tls("itc", "itc"), pair.members["one"].endpoint)
    package = tmp_path / "billing.toml"
    package.write_text(PACKAGE)
    common = ("-c", str(config), "install", str(package))
    status, out, err = await itc(*common)
    assert (0, "") == (status, err)
    expected = "ApplicationTemplate billing 8.5: create\nApplication billing: create\ninstalled, revision 1\n"
    assert expected == out
    assert (1, 2) == (state.revision, len(state.transactions[0].changes))
    assert {"limits": {"retries": "3"}} == document_of(state.objects["Application", "billing"])["options"]
    status, out, _ = await itc(*common, "--json")
    unchanged = [
        {"type": "ApplicationTemplate", "name": "billing 8.5", "outcome": "unchanged"},
        {"type": "Application", "name": "billing", "outcome": "unchanged"},
    ]
    assert {"objects": unchanged, "revision": None, "dry_run": False} == json.loads(out)
    assert (0, 1) == (status, state.revision)


async def test_a_refused_session_is_one_sentence(
    server: tuple[Any, State], authority: Authority, tmp_path: Path
) -> None:
    # B-16, B-60
    pair, state = server
    state.refusal = LicenseRequiredError("the license lacks itc: load one that has it", feature="itc")
    config = settings_for(tmp_path, authority.tls("itc", "itc"), pair.members["one"].endpoint)
    package = tmp_path / "billing.toml"
    package.write_text(PACKAGE)
    ended = await itc("-c", str(config), "install", str(package))
    assert (3, "", "itc: the license lacks itc: load one that has it [LICENSE_REQUIRED]\n") == ended


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        pytest.param(["check", "/nowhere.toml"], 2, "itc: cannot read /nowhere.toml", id="no package"),
        pytest.param(["-c", "/nowhere.toml", "install", "PACKAGE"], 2, "/nowhere.toml", id="no settings"),
        pytest.param(
            ["--cluster", "/nowhere", "install", "PACKAGE"], 2, "is there a cluster", id="no cluster"
        ),
    ],
)
async def test_refuses_wrong_arguments(
    tmp_path: Path, arguments: list[str], status: int, expected: str
) -> None:
    # B-60, cli.md
    package = tmp_path / "billing.toml"
    package.write_text(PACKAGE)
    ended, _, err = await itc(*[str(package) if one == "PACKAGE" else one for one in arguments])
    assert status == ended
    assert expected in err


async def test_shows_its_version_and_help() -> None:
    # cli.md
    assert (0, "itc 0.1.0\n", "") == await itc("-V")
    status, out, _ = await itc("--help")
    assert (0, True) == (status, "install" in out)
