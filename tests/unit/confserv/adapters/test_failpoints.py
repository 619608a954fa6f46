"""Failpoints: off unless asked for twice, and once per file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from confserv.adapters.failpoints import BEFORE_BEGIN, failpoints, no_failpoint


@pytest.mark.parametrize(
    ("enabled", "environment"),
    [
        pytest.param(False, {"CONFSERV_FAILPOINTS": BEFORE_BEGIN}, id="the setting is off"),
        pytest.param(True, {}, id="the environment names none"),
    ],
)
def test_does_nothing_when(tmp_path: Path, enabled: bool, environment: dict[str, str]) -> None:
    assert no_failpoint is failpoints(enabled=enabled, directory=tmp_path, environment=environment)


def test_a_point_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such point: nowhere"):
        failpoints(enabled=True, directory=tmp_path, environment={"CONFSERV_FAILPOINTS": "nowhere"})


def test_a_process_stops_itself_at_the_point_once_for_each_file(tmp_path: Path) -> None:
    hit = failpoints(enabled=True, directory=tmp_path, environment={"CONFSERV_FAILPOINTS": BEFORE_BEGIN})
    (tmp_path / f"failpoint-{BEFORE_BEGIN}").touch()
    child = os.fork()
    if child == 0:
        hit(BEFORE_BEGIN)
        hit(BEFORE_BEGIN)
        os._exit(7)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert (False, True) == (
        (tmp_path / f"failpoint-{BEFORE_BEGIN}").exists(),
        (tmp_path / f"stopped-{BEFORE_BEGIN}").exists(),
    )
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    assert 7 == os.waitstatus_to_exitcode(status)
