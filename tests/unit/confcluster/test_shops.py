"""What the demo concludes from what its applications print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confcluster.process import ProcessConfig, ProcessHandle
from confcluster.shops import Shop, gaps


@pytest.fixture
def shop(tmp_path: Path):
    def _shop(*lines: dict[str, object]) -> Shop:
        log = tmp_path / "shop.log"
        log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "not a line of JSON\n")
        return Shop(ProcessHandle(ProcessConfig("shop", "application", ("true",), log)))

    return _shop


def _change(revision: int) -> dict[str, object]:
    return {"event": "change", "revision": revision}


SNAPSHOT = {"event": "snapshot", "revision": 5}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        pytest.param([6, 7, 8], [], id="each once and in order"),
        pytest.param([6, 8], ["shop was not told 7"], id="a gap"),
        pytest.param([6, 7, 7, 8], ["shop was told 7 after 7"], id="one twice"),
        pytest.param([6, 8, 7], ["shop was told 7 after 8"], id="out of order"),
        pytest.param([6, 7, 8, 9], [], id="changes of others besides"),
    ],
)
def test_an_application_is_told_each_revision_once(shop, told: list[int], found: list[str]) -> None:
    # B-52
    seen = shop(SNAPSHOT, *map(_change, told))
    assert found == gaps(seen, [4, 5, 6, 7, 8])


def test_it_follows_once_it_has_a_session_a_snapshot_and_a_write(shop) -> None:
    opened = {"event": "session", "state": "open"}
    assert not shop(opened, SNAPSHOT).follows()
    assert not shop({"event": "session", "state": "waiting"}, SNAPSHOT, {"event": "written"}).follows()
    assert shop(opened, SNAPSHOT, {"event": "written"}).follows()


def test_the_last_revision_counts_a_snapshot_too(shop) -> None:
    assert 0 == shop().told_up_to()
    assert 5 == shop(SNAPSHOT).told_up_to()
    assert 9 == shop(SNAPSHOT, _change(9)).told_up_to()
