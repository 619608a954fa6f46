"""Settings: what wins over what, and what a wrong one is answered with."""

from __future__ import annotations

import pytest

from confkit.settings import ProcessSettings, SettingsError, load_settings, split_address

SHARED = """
cluster = "demo"
[tls]
ca = "/pki/ca.crt"
certificate = "/pki/x.crt"
key = "/pki/x.key"
[etcd]
endpoints = ["127.0.0.1:2379"]
lease_ttl_s = 5
"""


def load(tmp_path, text, *, name=None, options=None, environment=None):
    file = tmp_path / "confserv.toml"
    file.write_text(text)
    return load_settings(
        ProcessSettings, file=file, name=name, options=options, environment=environment or {}
    )


def test_a_process_table_wins_over_what_all_share(tmp_path):
    text = SHARED + '[confserv-1]\nlisten = "127.0.0.1:7001"\n[confserv-1.etcd]\nlease_ttl_s = 2\n[other]\n'
    settings = load(tmp_path, text, name="confserv-1")
    assert ("confserv-1", "127.0.0.1:7001", 2, ("127.0.0.1:2379",)) == (
        settings.name,
        settings.listen,
        settings.etcd.lease_ttl_s,
        settings.etcd.endpoints,
    )


def test_options_win_over_environment_and_environment_over_file(tmp_path):
    text = SHARED + '[a]\nlisten = "h:1"\ndata_dir = "/file"\n'
    settings = load(
        tmp_path,
        text,
        name="a",
        options={"listen": "h:3", "etcd.lease_ttl_s": None},
        environment={
            "CONFSERV_LISTEN": "h:2",
            "CONFSERV_DATA_DIR": "/env",
            "CONFSERV_ETCD__LEASE_TTL_S": "9",
            "CONFSERV_UNRELATED": "x",
        },
    )
    assert ("h:3", "/env", 9) == (settings.listen, str(settings.data_dir), settings.etcd.lease_ttl_s)


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        pytest.param(SHARED + "[a]\nlissen='h:1'", "a", r"\[a\]: lissen: unknown key", id="an unknown key"),
        pytest.param(
            SHARED + "[a]\n[a.etcd]\nlease_ttl_s='two'", "a", r"etcd.lease_ttl_s: .*'two'", id="a wrong type"
        ),
        pytest.param(
            SHARED + "[a]\n[a.etcd]\nlease_ttl_s=1",
            "a",
            r"greater than or equal to 2",
            id="below etcd's floor",
        ),
        pytest.param("cluster='d'\n[a]", "a", r"tls: missing; set it", id="a missing setting"),
        pytest.param(
            SHARED + "[a]\n[b]", "c", r"no table \[c\]; -s takes one of: a, b", id="an unknown name"
        ),
        pytest.param(
            SHARED + "[a]\nlisten='h'", "a", r"listen: .*not host:port", id="an address without port"
        ),
        pytest.param("x = ", None, "not valid TOML", id="a file that is no TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_file_key_and_cure(tmp_path, text, name, says):
    # B-60
    with pytest.raises(SettingsError, match=says) as caught:
        load(tmp_path, text, name=name)
    assert "confserv.toml" in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(SettingsError, match=r"nowhere.toml: cannot read the settings: No such file"):
        load_settings(ProcessSettings, file=__import__("pathlib").Path("nowhere.toml"), name=None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("h:65535", ("h", 65535))],
)
def test_an_address_is_split_at_its_last_colon(address, expected):
    assert expected == split_address(address)
