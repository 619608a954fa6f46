"""The command line of the launcher: what it refuses, with which status, and what it shows of a cluster at rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from confcluster.cluster import Cluster
from confcluster.topology import Options


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "confcluster", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster.create(tmp_path_factory.mktemp("cluster"), Options())


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(["status"], 2, "there is no cluster in", id="there is no cluster"),
        pytest.param(["up", "--servers", "0"], 2, "--servers 0: a cluster needs", id="impossible options"),
        pytest.param(["up", "--servers", "two"], 2, "--servers", id="a count that is no number"),
        pytest.param(
            ["kill", "confserv-1", "--signal", "HUP"], 2, "--signal", id="a signal that is not sent"
        ),
        pytest.param(["jump"], 2, "jump", id="an unknown command"),
    ],
)
def test_bad_usage_is_named_and_makes_nothing(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    # B-60
    directory = tmp_path / "cluster"
    ended = _run(*arguments, *(["--dir", str(directory)] if arguments != ["jump"] else []))
    assert status == ended.returncode
    assert said in ended.stderr
    assert not directory.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ["kill", "confserv-9"], "there is no process confserv-9; there are etcd-1", id="unknown"
        ),
        pytest.param(["kill", "confserv-1"], "confserv-1 does not run", id="kill of one that does not run"),
        pytest.param(["logs", "lrm-1"], "has not been started, so it has no log", id="no log yet"),
    ],
)
def test_what_cannot_be_done_fails_with_a_sentence(at_rest: Cluster, arguments: list[str], said: str) -> None:
    # B-60
    ended = _run(*arguments, "--dir", str(at_rest.directory))
    assert 1 == ended.returncode
    assert said in ended.stderr
    assert 1 == len(ended.stderr.splitlines())


def test_status_as_json_is_one_document_that_names_each_process(at_rest: Cluster) -> None:
    ended = _run("status", "-o", "json", "--dir", str(at_rest.directory))
    assert 0 == ended.returncode
    document = json.loads(ended.stdout)
    assert list(at_rest.handles) == [row["name"] for row in document["processes"]]
    assert {"stopped"} == {row["state"] for row in document["processes"]}


def test_taking_down_what_is_down_is_done_at_once(at_rest: Cluster) -> None:
    ended = _run("down", "--dir", str(at_rest.directory))
    assert (0, "the cluster is down\n") == (ended.returncode, ended.stdout)


def test_only_the_owner_may_look_into_the_directory(tmp_path: Path) -> None:
    made = Cluster.create(tmp_path / "cluster", Options())
    assert 0o700 == made.directory.stat().st_mode & 0o777


def test_only_one_launcher_at_a_time_works_in_a_directory(at_rest: Cluster) -> None:
    # B-60
    with at_rest.locked():
        ended = _run("down", "--dir", str(at_rest.directory))
    assert 1 == ended.returncode
    assert "another confserv-cluster is at work" in ended.stderr


def test_each_process_gets_a_certificate_of_its_role(at_rest: Cluster) -> None:
    # issue 3, the role of a process is in its certificate
    from cryptography import x509

    found = {}
    for name in at_rest.handles:
        path = at_rest.places.pki / f"{name}.crt"
        names = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        found[name] = names.value.get_values_for_type(x509.UniformResourceIdentifier)[0]
    assert "confserv://local/confserv/confserv-2" == found["confserv-2"]
    assert "confserv://local/lrm/lrm-1" == found["lrm-1"]
    assert "confserv://local/etcd/etcd-1" == found["etcd-1"]
