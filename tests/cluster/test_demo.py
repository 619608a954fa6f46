"""The demo itself: a story in which every step holds, told plainly where there is no terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from confcluster.process import runs
from confcluster.state import ClusterState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.xdist_group("demo")]


def test_every_step_holds_within_three_minutes_and_nothing_is_left_running(tmp_path: Path) -> None:
    # issue 3, make demo; B-3, B-4, B-11, B-12, B-22, B-25, B-30, B-31, B-51, B-52
    directory = tmp_path / "demo"
    command = [sys.executable, "-m", "confcluster", "demo", "--dir", str(directory)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    told = ended.stdout
    assert 0 == ended.returncode, told + ended.stderr
    order = [told.index(text) for text in ("refused: 21-25101", "starts: 21-25100", "stopped: 21-25102")]
    assert sorted(order) == order
    assert "21-25101 → 21-25100 → 21-25102 → 21-25100" in told
    assert "all 7 steps held" in told
    assert "\x1b" not in told, "plain lines where there is no terminal"
    keys = [record.key for record in ClusterState.load(directory).processes.values()]
    assert [] == [key for key in keys if key and runs(key)]
