"""The command line of servers: options, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from confkit.command_line import command_line
from confkit.database import DatabaseRefused
from confkit.election.ports import CoordinationRefused
from confkit.election.timing import TimingImpossible
from confkit.process import Shutdown
from confkit.server import BindError
from confkit.settings import ProcessSettings, SettingsError

GOOD = 'name = "sample-1"\ntls = { ca = "ca", certificate = "crt", key = "key" }\n'


class Server:
    """A server whose `serve` does what the test says."""

    def __init__(self, outcome: int | Exception = 0) -> None:
        self.outcome, self.seen = outcome, []
        self.cli = command_line("sample", "A sample.", ProcessSettings, self.serve)

    async def serve(self, settings: ProcessSettings, shutdown: Shutdown, take_over: bool) -> int:
        self.seen.append((settings.name, take_over))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(self.cli, arguments)
        return result.exit_code, result.output


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A server sends the log to its own standard error, which is closed after the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "settings.toml"
    file.write_text(GOOD)
    return str(file)


def test_a_server_runs_with_its_settings_and_gives_its_exit_status(settings: str) -> None:
    server = Server(outcome=4)
    assert (4, [("sample-1", False)]) == (server.run("-c", settings)[0], server.seen)


def test_an_operator_can_order_it_to_take_the_role_over(settings: str) -> None:  # B-40
    server = Server()
    server.run("-c", settings, "--take-over")
    assert [("sample-1", True)] == server.seen


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(SettingsError("key x"), 2, id="settings that are refused only in use"),
        pytest.param(DatabaseRefused("another program's"), 2, id="a database that cannot be used"),
        pytest.param(TimingImpossible("ttl"), 2, id="times that cannot work"),
        pytest.param(BindError("port in use"), 1, id="a port in use"),
        pytest.param(CoordinationRefused("wrong certificate"), 1, id="an etcd that refuses"),
    ],
)
def test_a_known_error_is_one_sentence_and_an_exit_status(  # B-60
    settings: str, error: Exception, status: int
) -> None:
    assert (status, f"sample: {error}\n") == Server(error).run("-c", settings)


def test_an_unknown_key_is_refused_before_anything_starts(tmp_path: Path) -> None:  # B-60
    file = tmp_path / "settings.toml"
    file.write_text(GOOD + "lisen = 1\n")
    server = Server()
    status, output = server.run("-c", str(file))
    assert (2, [], True) == (status, server.seen, "lisen: unknown key" in output)


def test_the_settings_can_be_printed(settings: str) -> None:
    server = Server()
    status, output = server.run("-c", settings, "--print-config")
    assert (0, True, []) == (status, '"name": "sample-1"' in output, server.seen)


def test_the_version_needs_no_settings() -> None:
    status, output = Server().run("-V")
    assert (0, True) == (status, output.startswith("sample "))
