"""`confserv` as people type it: the upload of a license, bad input of every kind, exit statuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from confkit.process import ExitStatus
from confserv.__main__ import cli, with_two_dashes
from tests.support.confserv_pair import WITH_HA
from tests.support.licenses import OTHER_KEY, TRUST, signed

EXPIRED = signed("FEATURE config_server acmed 1.0 23-nov-2020 1 ISSUED=15-jan-2020\n")
OLDER = signed("FEATURE config_server acmed 1.0 permanent 1 ISSUED=15-jan-2020\n")
NO_RIGHT = signed("FEATURE routing acmed 1.0 permanent 1 ISSUED=15-jan-2026\n")


class Shell:
    """An empty folder with a file of trusted keys, in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "c.db"
        self.trust = folder / "trust.toml"
        self.trust.write_text(TRUST.print())

    def run(self, *arguments: str) -> Result:
        """Type a command."""
        return CliRunner().invoke(cli, with_two_dashes(arguments), prog_name="confserv")

    def upload(self, text: bytes | None, *more: str) -> Result:
        """Type `confserv -license FILE`; None for a file that does not exist."""
        file = self.folder / "license.lic"
        if text is not None:
            file.write_bytes(text)
        url = f"sqlite:///{self.database}"
        return self.run("-license", str(file), "--database", url, "--trust", str(self.trust), *more)

    def settings(self, **changes: str) -> Path:
        """Write settings for a server; `changes` are TOML values by key, empty to leave one out."""
        values = {
            "name": '"confserv-1"',
            "listen": '"127.0.0.1:0"',
            "data_dir": f'"{self.folder}"',
            "database": f'"sqlite:///{self.database}"',
            "trust": f'"{self.trust}"',
            "tls": f'{{ ca = "{self.folder}/ca", certificate = "{self.folder}/c", key = "{self.folder}/k" }}',
            "etcd": '{ endpoints = ["127.0.0.1:1"] }',
        } | changes
        file = self.folder / "confserv.toml"
        file.write_text("".join(f"{key} = {value}\n" for key, value in values.items() if value))
        return file


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    # the log of a process must not stay behind in this one
    monkeypatch.setattr("confkit.process.configure_log", lambda settings: None)
    return Shell(tmp_path)


def test_an_upload_makes_the_schema_and_prints_what_was_stored(shell: Shell) -> None:
    # B-1, B-2
    result = shell.upload(WITH_HA)
    assert ExitStatus.DONE == result.exit_code
    assert "license revision 1 is now current" in result.stdout
    assert hashlib.sha256(WITH_HA).hexdigest() in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["config_server", "1.0", "1", "2027-12-31", "technical", "key"] in rows
    assert ["ha_redundancy", "1.0", "uncounted", "2027-12-31", "technical", "key"] in rows


@pytest.mark.parametrize("spelling", ["-license", "--license"])
def test_both_spellings_are_the_same(spelling: str) -> None:
    # B-1
    assert ["--license", "x.lic"] == with_two_dashes([spelling, "x.lic"])
    assert ["--license=x.lic"] == with_two_dashes([f"{spelling}=x.lic"])


def test_the_current_text_changes_nothing_and_says_so(shell: Shell) -> None:
    # B-3
    shell.upload(WITH_HA)
    result = shell.upload(WITH_HA)
    assert ExitStatus.DONE == result.exit_code
    assert "license revision 1 was current already: nothing changed" in result.stdout


def test_each_new_text_is_a_new_revision(shell: Shell) -> None:
    # B-1
    shell.upload(WITH_HA)
    assert "license revision 2 is now current" in shell.upload(b"# newer\n" + WITH_HA).stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # B-3
        pytest.param(None, "license.lic:1:1: error: cannot read the file", id="missing"),
        pytest.param(bytes(range(256)), "CONTROL_CHARACTER", id="binary"),
        pytest.param(WITH_HA[: len(WITH_HA) // 2], "license.lic:4:1: error", id="truncated"),
        pytest.param(WITH_HA.replace(b"2027", b"2028"), "SIGNATURE_MISMATCH", id="an altered byte"),
        pytest.param(
            signed("FEATURE config_server acmed 1.0 permanent 1\n", key=OTHER_KEY),
            "SIGNATURE_MISMATCH",
            id="a wrong signature",
        ),
        pytest.param(
            signed("FEATURE config_server acmed 1.0 permanent 1\n", key_id="nobody"),
            "UNKNOWN_KEY",
            id="an unknown key",
        ),
        pytest.param(EXPIRED, "--accept-expired", id="every line expired"),
        pytest.param(b"a" * 5_000_000, "TOO_LARGE", id="5 MB"),
    ],
)
def test_a_refused_file_leaves_no_trace(shell: Shell, text: bytes | None, says: str) -> None:
    result = shell.upload(text)
    assert ExitStatus.REFUSED == result.exit_code
    assert says in result.stderr
    assert not shell.database.exists()


def test_a_refused_file_leaves_the_current_license_as_it_was(shell: Shell) -> None:
    # B-3
    shell.upload(WITH_HA)
    assert ExitStatus.REFUSED == shell.upload(OLDER).exit_code
    assert "was current already" in shell.upload(WITH_HA).stdout


@pytest.mark.parametrize(
    ("text", "option"), [(EXPIRED, "--accept-expired"), (OLDER, "--accept-older")], ids=["expired", "older"]
)
def test_what_is_accepted_by_hand_is_loaded(shell: Shell, text: bytes, option: str) -> None:
    # B-3
    shell.upload(OLDER if text == EXPIRED else WITH_HA)
    assert ExitStatus.DONE == shell.upload(text, option).exit_code


def test_a_folder_is_no_license(shell: Shell) -> None:
    # B-3
    url = f"sqlite:///{shell.database}"
    result = shell.run("-license", str(shell.folder), "--database", url, "--trust", str(shell.trust))
    assert ExitStatus.REFUSED == result.exit_code
    assert "UNREADABLE" in result.stderr


def test_a_database_that_cannot_be_reached_is_said(shell: Shell) -> None:
    # B-60
    file = shell.folder / "license.lic"
    file.write_bytes(WITH_HA)
    url = "postgresql:///x?host=/nonexistent"
    result = shell.run("-license", str(file), "--database", url, "--trust", str(shell.trust))
    assert ExitStatus.FAILED == result.exit_code
    assert "cannot reach the database" in result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # B-4
        pytest.param(None, "the database holds no license", id="no license"),
        pytest.param(NO_RIGHT, "lacks config_server", id="a license without the right to use"),
        pytest.param(EXPIRED, "has expired", id="an expired license"),
    ],
)
def test_a_new_deployment_does_not_start_without_a_right_to_use(
    shell: Shell, text: bytes | None, says: str
) -> None:
    if text is not None:
        shell.upload(text, "--accept-expired")
    result = shell.run("-c", str(shell.settings()))
    assert ExitStatus.NOT_LICENSED == result.exit_code
    assert says in result.stderr
    assert "confserv -license FILE" in result.stderr


def _unknown_key(shell: Shell) -> Path:
    return shell.settings(databse='"x"')


def _wrong_type(shell: Shell) -> Path:
    return shell.settings(session_ttl_s='"soon"')


def _no_database(shell: Shell) -> Path:
    return shell.settings(database="")


def _several_hosts(shell: Shell) -> Path:
    return shell.settings(several_hosts="true")


def _no_trust(shell: Shell) -> Path:
    return shell.settings(trust='"nowhere.toml"')


def _not_toml(shell: Shell) -> Path:
    shell.settings().write_text("a = = b")
    return shell.folder / "confserv.toml"


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        # B-60
        pytest.param(_unknown_key, "databse: unknown key", id="an unknown key"),
        pytest.param(_wrong_type, "session_ttl_s: ", id="a wrong type"),
        pytest.param(_no_database, "database: missing", id="a missing key"),
        pytest.param(_several_hosts, "SQLite serves one host", id="SQLite for several hosts"),
        pytest.param(_no_trust, "nowhere.toml", id="no file of trusted keys"),
        pytest.param(_not_toml, "not valid TOML", id="no TOML"),
        pytest.param(lambda shell: shell.folder / "none.toml", "cannot read the settings", id="no file"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    shell: Shell, prepare: Callable[[Shell], Path], says: str
) -> None:
    result = shell.run("-c", str(prepare(shell)))
    assert ExitStatus.REFUSED == result.exit_code
    assert says in result.stderr


def test_print_config_prints_and_ends(shell: Shell) -> None:
    result = shell.run("-c", str(shell.settings()), "--print-config")
    assert ExitStatus.DONE == result.exit_code
    assert '"lrm_connect_timeout_s": 30.0' in result.stdout


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(cli, ["-V"])
    assert (ExitStatus.DONE, True) == (result.exit_code, result.stdout.startswith("confserv "))
