"""Plans of local clusters: what is in them, in which order, with which settings."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confcluster.topology import (
    Options,
    Places,
    TopologyError,
    database_for,
    plan,
    ports_needed,
    to_toml,
)

PLACES = Places(Path("/var/cluster"), "sqlite")


def _plan(options: Options, places: Places = PLACES):
    return plan(options, places, range(1000, 1000 + ports_needed(options)))


def test_the_default_cluster_has_every_process_in_the_order_of_start() -> None:
    expected = [
        "confserv-1",
        "confserv-2",
        "lca",
        "message-server-1",
        "solution-control-1",
        "lrm-1",
        "licman-1",
    ]
    assert expected == [process.name for process in _plan(Options()).processes]


def test_no_port_is_used_twice() -> None:
    topology = _plan(Options(servers=3, etcd=3, lrm=2))
    used = [int(process.endpoint.rpartition(":")[2]) for process in topology.processes]
    used += [port for member in topology.etcd for port in (member.client_port, member.peer_port)]
    assert sorted(set(used)) == sorted(used)
    assert ports_needed(topology.options) == len(used)


def test_every_process_has_its_own_certificate_and_folder() -> None:
    topology = _plan(Options())
    for process in topology.processes:
        own = topology.settings[process.name]
        assert f"/var/cluster/pki/{process.name}.key" == own["tls"]["key"] == own["etcd"]["key"]
        assert f"/var/cluster/data/{process.name}" == own["data_dir"]
        assert process.endpoint == own["listen"]


def test_pairs_share_a_store_and_kinds_do_not() -> None:
    settings = _plan(Options(lrm=2)).settings
    assert settings["confserv-1"]["database"] == settings["confserv-2"]["database"]
    assert settings["lrm-1"]["database"] == settings["lrm-2"]["database"]
    assert settings["confserv-1"]["database"] != settings["message-server-1"]["database"]


def test_on_a_database_server_each_store_is_a_database_of_its_own() -> None:
    places = Places(Path("/var/cluster"), "postgresql+psycopg://confserv@/{database}?host=/run/x")
    settings = _plan(Options(database="postgresql"), places).settings
    assert "postgresql+psycopg://confserv@/configuration?host=/run/x" == settings["confserv-2"]["database"]
    assert "postgresql+psycopg://confserv@/messages?host=/run/x" == settings["message-server-1"]["database"]


def test_everybody_knows_the_agent_but_the_agent_itself() -> None:
    settings = _plan(Options()).settings
    assert settings["agent"] == settings["lca"]["listen"]
    assert "" == settings["lca"]["agent"]
    assert "agent" not in _plan(Options(agents=0)).settings


def test_settings_of_a_process_win_over_those_of_its_component() -> None:
    extra = {"confserv": {"failpoints": True, "pace": 1}, "confserv-2": {"pace": 2}}
    settings = _plan(Options(extra=extra)).settings
    assert (True, 1) == (settings["confserv-1"]["failpoints"], settings["confserv-1"]["pace"])
    assert (True, 2) == (settings["confserv-2"]["failpoints"], settings["confserv-2"]["pace"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(Options(servers=0), "--servers 0: a cluster needs", id="no Configuration Server"),
        pytest.param(Options(etcd=0), "--etcd 0: a cluster needs", id="no etcd"),
        pytest.param(Options(lrm=-1), "--lrm -1: a count is not negative", id="a negative count"),
        pytest.param(Options(agents=2), "one host has one", id="two agents on one host"),
        pytest.param(Options(database="oracle"), "--database oracle: sqlite, post", id="unknown database"),
    ],
)
def test_impossible_wishes_are_refused_by_name(options: Options, said: str) -> None:
    # B-60
    with pytest.raises(TopologyError, match=said):
        _plan(options)


def test_the_settings_file_reads_as_it_was_meant() -> None:
    settings = _plan(Options()).settings
    assert settings == tomllib.loads(to_toml(settings))


_scalars = st.text() | st.integers(-(2**60), 2**60) | st.booleans() | st.lists(st.text())
_documents = st.recursive(
    st.dictionaries(st.text(), _scalars), lambda inner: st.dictionaries(st.text(), _scalars | inner)
)


@given(_documents)
def test_any_document_reads_as_it_was_meant(document) -> None:
    assert document == tomllib.loads(to_toml(document))


@pytest.mark.parametrize(
    ("address", "purpose", "expected"),
    [
        pytest.param(
            "postgresql://h/conf", "configuration", "postgresql://h/conf", id="the one that is named"
        ),
        pytest.param("postgresql://h/conf", "messages", "postgresql://h/conf_messages", id="one beside it"),
        pytest.param(
            "postgresql://u:p@h:5/conf?sslmode=verify-full",
            "licenses",
            "postgresql://u:p@h:5/conf_licenses?sslmode=verify-full",
            id="what else is in the address stays",
        ),
        pytest.param("postgresql://h/{database}", "messages", "postgresql://h/messages", id="a place for it"),
    ],
)
def test_each_store_has_a_database_of_its_own(address: str, purpose: str, expected: str) -> None:
    assert expected == database_for(address, purpose)
