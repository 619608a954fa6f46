"""What `message-server` says of settings and surroundings that cannot work: one sentence, one exit status."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from confcluster.pki import CertificateAuthority
from message_server import app
from message_server.__main__ import cli

CLUSTER = "test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of message-server-1."""
    made = tmp_path_factory.mktemp("message-server")
    CertificateAuthority.create(made).issue("message-server", "message-server-1", cluster=CLUSTER)
    return made


def run(folder: Path, tmp_path: Path, **changes: str | None) -> tuple[int, str]:
    """Run with these settings, changed, in TOML; gives exit status and what it said."""
    certificates = {"ca": "ca.crt", "certificate": "message-server-1.crt", "key": "message-server-1.key"}
    values: dict[str, str | None] = {
        "name": '"message-server-1"',
        "cluster": f'"{CLUSTER}"',
        "data_dir": f'"{tmp_path}"',
        "database": f'"sqlite:///{tmp_path}/log.sqlite"',
        "tls": "{" + ", ".join(f'{key} = "{folder / file}"' for key, file in certificates.items()) + "}",
        "etcd": '{endpoints=["127.0.0.1:1"]}',
        **changes,
    }
    file = tmp_path / "settings.toml"
    file.write_text("".join(f"{key} = {value}\n" for key, value in values.items() if value is not None))
    done = CliRunner().invoke(cli, ["-c", str(file)])
    return done.exit_code, done.output


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An etcd is waited for only shortly; the log goes where it went before, afterwards."""
    monkeypatch.setattr(app, "reach_etcd", functools.partial(app.reach_etcd, patience_s=0.3))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"database": None}, "database: missing", id="a setting that is missing"),
        pytest.param({"databse": '"x"'}, "databse: unknown key", id="a key that nobody knows"),
        pytest.param({"several_hosts": '"perhaps"'}, "several_hosts", id="a value of another type"),
        pytest.param({"database": '"nonsense"'}, "is no URL", id="a database that is none"),
        pytest.param({"several_hosts": "true"}, "SQLite serves one host", id="SQLite for a pair over hosts"),
        pytest.param({"etcd": None}, "etcd.endpoints is missing", id="no etcd"),
        pytest.param({"tls": '{ca="/no/ca",certificate="/no/crt",key="/no/key"}'}, "/no/", id="no certificate"),
    ],
)  # fmt: skip
def test_refused_settings_are_status_2(  # B-60
    folder: Path, tmp_path: Path, changes: dict[str, str | None], says: str
) -> None:
    status, said = run(folder, tmp_path, **changes)
    assert (2, True) == (status, says in said), said


def test_a_database_of_another_program_is_status_2(folder: Path, tmp_path: Path) -> None:  # B-60
    (tmp_path / "log.sqlite").write_bytes(b"this is no database, but long enough to look at" * 40)
    status, said = run(folder, tmp_path)
    assert (2, True) == (status, "not a database" in said), said


def test_a_port_in_use_is_status_1(folder: Path, tmp_path: Path) -> None:  # B-60
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = run(folder, tmp_path, listen=f'"127.0.0.1:{port}"')
    assert (1, True) == (status, f"127.0.0.1:{port}" in said), said


def test_an_etcd_that_does_not_answer_is_said_and_is_status_1(folder: Path, tmp_path: Path) -> None:  # B-60
    status, said = run(folder, tmp_path)
    assert (1, True) == (status, "cannot reach etcd at 127.0.0.1:1" in said), said
