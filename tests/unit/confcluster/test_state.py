"""`cluster.json` gives back what was written, shows what others read, and says when it is missing or broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confcluster.process import ProcessKey
from confcluster.state import FILE, ClusterState, ProcessRecord, StateError


def _state(directory: Path) -> ClusterState:
    return ClusterState(
        cluster="local",
        directory=str(directory),
        processes={
            "confserv-1": ProcessRecord(
                "confserv", ("python", "-m", "confserv"), "/logs/confserv-1.log", ("127.0.0.1:7001",)
            )
        },
        endpoints={"confserv": ("127.0.0.1:7001",)},
        tls={"ca": "/pki/ca.crt", "administrator": {"certificate": "/pki/a.crt", "key": "/pki/a.key"}},
        etcd=("127.0.0.1:2379",),
        database="sqlite:////data/configuration.sqlite",
        options={"servers": 1},
        ports=(7001,),
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    state = _state(tmp_path).with_process("confserv-1", ProcessKey(4711, 1234))
    state.save()
    assert state == ClusterState.load(tmp_path)
    assert [FILE] == [path.name for path in tmp_path.iterdir()]


def test_each_process_is_shown_with_pid_endpoints_and_log(tmp_path: Path) -> None:
    # cli.md, the local launcher
    _state(tmp_path).with_process("confserv-1", ProcessKey(4711, 1234)).save()
    document = json.loads((tmp_path / FILE).read_text())
    expected = {
        "pid": 4711,
        "start_time_ticks": 1234,
        "component": "confserv",
        "endpoints": ["127.0.0.1:7001"],
        "log": "/logs/confserv-1.log",
        "command": ["python", "-m", "confserv"],
    }
    assert expected == document["processes"]["confserv-1"]


def test_a_directory_without_a_cluster_says_how_to_start_one(tmp_path: Path) -> None:
    # B-60
    with pytest.raises(StateError, match="confserv-cluster up --dir"):
        ClusterState.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cluster": 1}'])
def test_a_broken_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    # B-60
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match="is no cluster file"):
        ClusterState.load(tmp_path)
