"""The launcher as people and scripts use it: one command brings a whole cluster up, others find it again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.xdist_group("launcher")]
SERVERS = ("confserv-1", "confserv-2", "message-server-1", "solution-control-1", "lrm-1", "licman-1")
EVERYTHING = ("etcd-1", "lca", *SERVERS)


def _launcher(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "confcluster", *arguments, "--dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def _confctl(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "confctl", "--cluster", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _states(directory: Path) -> dict[str, str]:
    shown = json.loads(_launcher(directory, "status", "-o", "json").stdout)
    return {row["name"]: row["state"] for row in shown["processes"]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("launcher") / "cluster"
    ended = _launcher(made, "up", "--detach")
    try:
        assert 0 == ended.returncode, ended.stderr
        yield made
    finally:
        _launcher(made, "down")


def test_up_starts_everything_and_cluster_json_names_it(directory: Path) -> None:
    # cli.md, the local launcher
    assert dict.fromkeys(EVERYTHING, "running") == _states(directory)
    document = json.loads((directory / "cluster.json").read_text())
    for name in EVERYTHING:
        process = document["processes"][name]
        assert Path(process["log"]).exists()
        assert Path(f"/proc/{process['pid']}").exists()
        assert process["endpoints"]


def test_the_operators_tool_works_on_it(directory: Path) -> None:
    # B-33
    shown = _confctl(directory, "-o", "json", "status")
    assert 0 == shown.returncode, shown.stderr
    document = json.loads(shown.stdout)
    assert ("operational", "ok") == (document["stage"], document["compliance"])


def test_a_killed_process_is_found_dead_and_started_again(directory: Path) -> None:
    assert 0 == _launcher(directory, "kill", "confserv-1").returncode
    assert "stopped" == _states(directory)["confserv-1"]
    assert 1 == _launcher(directory, "kill", "confserv-1").returncode
    started = _launcher(directory, "start", "confserv-1")
    assert (0, 1) == (started.returncode, _launcher(directory, "start", "confserv-1").returncode)
    assert "running" == _states(directory)["confserv-1"]
    assert "Process started" in _launcher(directory, "logs", "confserv-1").stdout


def test_a_process_is_paused_and_runs_on(directory: Path) -> None:
    assert 0 == _launcher(directory, "kill", "licman-1", "--signal", "STOP").returncode
    assert "paused" == _states(directory)["licman-1"]
    assert 0 == _launcher(directory, "kill", "licman-1", "--signal", "CONT").returncode
    assert "running" == _states(directory)["licman-1"]


def test_up_again_starts_what_does_not_run_and_changes_nothing_else(directory: Path) -> None:
    before = json.loads((directory / "cluster.json").read_text())["processes"]
    _launcher(directory, "kill", "lrm-1")
    again = _launcher(directory, "up", "--detach")
    assert 0 == again.returncode, again.stderr
    after = json.loads((directory / "cluster.json").read_text())["processes"]
    changed = {name for name in EVERYTHING if before[name]["pid"] != after[name]["pid"]}
    assert {"lrm-1"} == changed
    assert dict.fromkeys(EVERYTHING, "running") == _states(directory)


def test_down_stops_everything_and_up_takes_up_its_data(directory: Path) -> None:
    created = _confctl(directory, "-o", "json", "object", "list", "Application")
    assert 0 == _launcher(directory, "down").returncode
    assert dict.fromkeys(EVERYTHING, "stopped") == _states(directory)
    assert 0 == _launcher(directory, "up", "--detach").returncode
    found = _confctl(directory, "-o", "json", "object", "list", "Application")
    names = [{row["name"] for row in json.loads(shown.stdout)["objects"]} for shown in (created, found)]
    assert names[0] == names[1]


def test_in_the_foreground_it_stops_with_the_command(tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    arguments = ["up", "--dir", str(directory), "--servers", "1", "--lrm", "0", "--licman", "0"]
    arguments += ["--message-servers", "0", "--solution-controls", "0"]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "confcluster", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert launcher.stdout is not None
        until(
            lambda: "stop it:" in (launcher.stdout.readline() or "?"), within_s=60, what="the cluster is up"
        )
        assert "running" == _states(directory)["confserv-1"]
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(60)
    finally:
        _launcher(directory, "down")
    assert {"stopped"} == set(_states(directory).values())


def test_the_directory_is_private(directory: Path) -> None:
    assert 0 == os.stat(directory).st_mode & 0o077


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


def test_the_page_to_get_started_with_works_as_it_is_written(directory: Path, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "getting-started.md"
    (package,) = _blocks(page, "toml")
    issue, program = _blocks(page, "python")
    (tmp_path / ".cluster").symlink_to(directory)
    (tmp_path / "billing.toml").write_text(package)
    itc = [sys.executable, "-m", "itc", "--cluster", ".cluster", "install", "billing.toml"]
    for command in (itc, [sys.executable, "-c", issue], [sys.executable, "-c", program]):
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert 0 == ended.returncode, ended.stderr
    assert "retries: 3\n" == ended.stdout
    changed = _confctl(directory, "option", "set", "billing", "limits", "retries", "5")
    assert 0 == changed.returncode, changed.stderr
    report = json.loads(_confctl(directory, "-o", "json", "usage", "report").stdout)
    assert {("Environment", "voice_seat", 1)} <= {
        (row["tenant"], row["item"], row["peak"]) for row in report["rows"]
    }
