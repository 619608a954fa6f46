"""The nine verbs of a process handle, on small real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from confcluster.process import ProcessConfig, ProcessError, ProcessHandle, ProcessKey, runs
from confkit.process import start_time_ticks

READY = """
import os, socket, sys
address = os.environ["NOTIFY_SOCKET"]
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect("\\0" + address[1:])
print("about to be ready", flush=True)
sender.send(b"READY=1")
"""
SERVE = READY + "import time\nwhile True: time.sleep(0.05)\n"
POLITE = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + SERVE
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    made: list[ProcessHandle] = []

    def _make(program: str, **settings: object) -> ProcessHandle:
        command = (sys.executable, "-c", program)
        config = ProcessConfig("probe", "probe", command, tmp_path / "probe.log", **settings)  # type: ignore[arg-type]
        made.append(ProcessHandle(config))
        return made[-1]

    yield _make
    for handle in made:
        handle.kill()


def _eventually(condition: object, *, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_start_returns_once_the_process_says_that_it_is_ready(make) -> None:
    handle = make(SERVE)
    handle.start()
    assert handle.is_running()
    assert "about to be ready\n" == handle.log()


def test_stop_asks_and_gives_the_exit_status(make) -> None:
    handle = make(POLITE)
    handle.start()
    assert 7 == handle.stop()
    assert not handle.is_running()


def test_stop_kills_what_does_not_listen(make) -> None:
    handle = make(STUBBORN)
    handle.start()
    assert -signal.SIGKILL == handle.stop(timeout_s=0.2)


def test_kill_is_immediate(make) -> None:
    handle = make(STUBBORN)
    handle.start()
    assert -signal.SIGKILL == handle.kill()
    assert not handle.is_running()


def test_a_paused_process_runs_on_when_it_is_resumed(make) -> None:
    handle = make(SERVE)
    handle.start()
    handle.pause()
    assert _eventually(handle.is_paused)
    assert handle.is_running()
    handle.resume()
    assert _eventually(lambda: not handle.is_paused())


def test_a_paused_process_can_be_stopped(make) -> None:
    handle = make(POLITE)
    handle.start()
    handle.pause()
    assert 7 == handle.stop()


def test_a_process_that_ends_before_it_is_ready_shows_its_last_words(make) -> None:
    handle = make("import sys; print('no database', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ProcessError, match=r"probe ended with status 3:\nno database"):
        handle.start()


def test_a_process_that_never_gets_ready_is_reported_in_time(make) -> None:
    handle = make("import time; time.sleep(60)")
    with pytest.raises(ProcessError, match=r"not ready after 0\.3 s"):
        handle.start(timeout_s=0.3)


def test_a_second_start_is_refused(make) -> None:
    handle = make(SERVE)
    handle.start()
    with pytest.raises(ProcessError, match="already runs as process"):
        handle.start()


def test_it_is_started_again_after_its_end_and_adds_to_the_same_log(make) -> None:
    handle = make(SERVE)
    handle.start()
    first = handle.key
    handle.kill()
    handle.start()
    assert first != handle.key
    assert 2 == handle.log().count("about to be ready")


def test_another_program_finds_the_process_by_its_key(make) -> None:
    handle = make(SERVE)
    handle.start()
    found = ProcessHandle(handle.config, handle.key)
    assert found.is_running()
    with pytest.raises(ProcessError, match="still runs"):
        found.wait(timeout_s=0.05)
    found.signal(signal.SIGKILL)
    assert -signal.SIGKILL == handle.wait(timeout_s=5)
    assert not found.is_running()
    assert found.wait(timeout_s=5) is None


def test_a_number_that_was_given_to_another_process_is_never_signalled(make) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        stale = ProcessKey(other.pid, start_time_ticks(other.pid) - 1)
        handle = ProcessHandle(make(SERVE).config, stale)
        assert not runs(stale)
        handle.signal(signal.SIGKILL)
        assert handle.kill() is None
        assert other.poll() is None
        other.kill()


def test_the_end_of_the_log_can_be_asked_for(make) -> None:
    handle = make("for n in range(5): print(n)", announces_ready=False)
    handle.start()
    handle.wait(timeout_s=5)
    assert "3\n4" == handle.log(lines=2)
